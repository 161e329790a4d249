"""Predicts one volume: slices across one axis or several, kept or averaged, and labels made of what was said."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from napari_sortingloss.disk.slabs import Ahead, steps
from napari_sortingloss.events import Event, Notice, Progress
from napari_sortingloss.progress import SliceCounter
from napari_sortingloss.segment.predict.kept_axes import KeptAxes
from napari_sortingloss.segment.predict.overlap import OverlapLimits, labels_above
from napari_sortingloss.segment.predict.pipeline import (
    Assembler,
    Batch,
    Behind,
    Network,
    Sees,
    entropy_of,
    read_blocks,
    to_labels,
)
from napari_sortingloss.segment.predict.settings import PredictSettings
from napari_sortingloss.study.predictions.reading import Prediction, PredictionWriter
from napari_sortingloss.study.predictions.record import part_path
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, Volume


def axes_of(volume: Volume, settings: PredictSettings) -> str:
    """Return the axes across which a volume is predicted."""
    return settings.axes or volume.axis


def slices_across(volume: Volume, axes: str) -> int:
    """Return how many slices a volume has across some axes, all together."""
    return sum(n for n, axis in zip(volume.shape, AXES, strict=True) if axis in axes)


def predict_volume(
    study: Study, run: str, segmenter: Sees, volume: Volume, settings: PredictSettings, counter: SliceCounter
) -> Generator[Event, None, tuple[Prediction, int]]:
    """Predict one volume, or go on with it.

    Parameters
    ----------
    study : Study
    run : str
        The id under which the prediction is kept.
    segmenter : Sees
    volume : Volume
    settings : PredictSettings
        Its run and volumes are not looked at.
    counter : SliceCounter
        Which expects the volume's slices already.

    Yields
    ------
    Event

    Returns
    -------
    prediction : Prediction
        What is stored.
    voxels : int
        How many were predicted now.
    """
    axes, overlap = axes_of(volume, settings), settings.labels == "overlap"
    with ExitStack() as stack:
        writer = stack.enter_context(
            PredictionWriter(
                study,
                volume.name,
                run,
                step=segmenter.step,
                classes=segmenter.classes,
                axes=axes,
                settings={
                    "weights": settings.weights,
                    "every_pose": settings.every_pose,
                    "labels": settings.labels,
                },
                uncertainty=settings.uncertainty,
            )
        )
        others = [_axis(name) for name in axes[1:]]
        kept = None
        if overlap or (others and writer.missing):
            folder = part_path(study, volume.name, run)
            names = [*others, writer.axis] if overlap else others
            what = f"Cannot predict '{volume.name}'"
            kept = KeptAxes(folder, volume.shape, len(segmenter.classes), names, what)
            stack.callback(kept.close)
        missing = writer.missing if kept is None or not overlap else kept.missing(writer.axis)
        size, left = slices_across(volume, writer.axis), sum(stop - start for start, stop in missing)
        if left < size:
            counter.had(size - left)
            yield Notice(message=f"{volume.name}: {size - left} of {size} slices are there; going on.")
        work = _Work(segmenter, volume, writer, settings, kept, counter)
        if kept is None:
            counter.had(slices_across(volume, axes) - size)
        else:
            for axis in others:
                yield from work.keep(axis)
        yield counter.progress(volume.name)
        yield from work.write(missing)
        if overlap:
            yield from work.write_for_overlap()
        found = writer.commit()
    return found, left * (math.prod(volume.shape) // size)


class _Work:
    """One volume, its network and its writer."""

    def __init__(
        self,
        segmenter: Sees,
        volume: Volume,
        writer: PredictionWriter,
        settings: PredictSettings,
        kept: KeptAxes | None,
        counter: SliceCounter,
    ) -> None:
        self._segmenter, self._volume, self._writer = segmenter, volume, writer
        self._settings, self._kept, self._counter = settings, kept, counter
        self._values = [c.value for c in segmenter.classes]

    def _progress(self, doing: str = "") -> Progress:
        return self._counter.progress(f"{self._volume.name}{doing}")

    def _batches(self, axis: Axis, blocks: Sequence[tuple[int, int]]) -> Generator[Batch | Progress]:
        """Yield what the network says about the slices of each block, and how far it is."""
        network = Network(self._segmenter, self._volume, axis)
        with Ahead(read_blocks(self._volume, axis, blocks)) as pieces:
            for piece in pieces:
                if piece is None:
                    yield self._progress()
                    continue
                for batch in network.see(*piece):
                    yield batch
                    self._counter.add(len(batch.probabilities))
                    yield self._progress()

    def keep(self, axis: Axis) -> Iterator[Event]:
        """Keep what the network says about all slices across an axis, for the mean with the others."""
        assert self._kept is not None
        blocks = self._kept.missing(axis)
        self._counter.had(slices_across(self._volume, axis) - sum(stop - start for start, stop in blocks))
        with Behind() as behind, closing(self._batches(axis, blocks)) as items:
            for item in items:
                if isinstance(item, Batch):
                    rounded = self._kept.rounded(item.probabilities)
                    behind.do(self._kept.put, axis, item.block, item.start, rounded)
                else:
                    yield item.replace(what=f"{self._volume.name}, across {axis}")
            for _ in behind.finish():
                yield self._progress(f", across {axis}")

    def write(self, blocks: Sequence[tuple[int, int]]) -> Iterator[Event]:
        """Write the likeliest labels of slices across the writer's axis, averaged with the other axes.

        What was said across that axis is kept as well where `kept` has it.
        """
        axis, kept = self._writer.axis, self._kept
        into = kept if kept is not None and axis in kept.axes else None
        assembler = Assembler(axis, self._writer.write)
        with Behind() as behind, closing(self._batches(axis, self._around(blocks))) as items:
            for item in items:
                if isinstance(item, Batch):
                    found = (
                        item.probabilities
                        if kept is None
                        else kept.mean(axis, item.start, item.probabilities)
                    )
                    labels = to_labels(found, self._values, self._settings.uncertainty)
                    behind.do(assembler.add, item.block, item.start, *labels)
                    if into is not None:
                        rounded = into.rounded(item.probabilities)
                        behind.do(into.put, axis, item.block, item.start, rounded)
                else:
                    yield item
            for _ in behind.finish():
                yield self._progress(": writing")

    def write_for_overlap(self) -> Iterator[Event]:
        """Write the labels with the largest overlap to be expected, from what is kept across all axes."""
        kept, axis = self._kept, self._writer.axis
        assert kept is not None
        size = slices_across(self._volume, axis)
        blocks = list(steps(size, self._writer.block))
        limits = OverlapLimits(len(self._values), kept.most)
        at_once = Network(self._segmenter, self._volume, axis).at_once
        for start, stop in steps(size, at_once):
            limits.add(kept.totals(axis, start, stop))
            yield self._progress(": weighing the classes")
        least = limits.limits()
        assembler = Assembler(axis, self._writer.write)
        for block in self._around(blocks):
            for low, high in steps(block[1] - block[0], at_once):
                totals = kept.totals(axis, block[0] + low, block[0] + high)
                labels = labels_above(totals, least, self._values)
                entropy = entropy_of(kept.probabilities(totals)) if self._settings.uncertainty else None
                assembler.add(block, block[0] + low, labels, entropy)
                yield self._progress(": writing")

    def _around(self, blocks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Order blocks by how far they are from the slice to begin with."""
        first = self._settings.first
        if first is None:
            return list(blocks)
        return sorted(blocks, key=lambda block: abs((block[0] + block[1] - 1) / 2 - first))


def _axis(name: str) -> Axis:
    return next(axis for axis in AXES if axis == name)
