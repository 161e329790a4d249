"""Runs one trial of a learning curve: annotates a few slices in a study of links, fine-tunes, judges, clears away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import readable_os_errors
from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.segment.learning_curve.linked_study import annotate_from, draw_slices, linked_study
from napari_sortingloss.segment.learning_curve.scores import (
    Counts,
    as_classes,
    confusion,
    dice,
    iou,
    mean_over_volumes,
    score_volume,
)
from napari_sortingloss.segment.reference_labels import open_reference
from napari_sortingloss.segment.settings import SCRATCH
from napari_sortingloss.study.classes import LabelClass, add_class, read_classes

if TYPE_CHECKING:
    from napari_sortingloss.segment.learning_curve.results import Cell
    from napari_sortingloss.segment.learning_curve.settings import LearningCurveSettings
    from napari_sortingloss.study import Study, Volume

Drawn = Mapping[str, tuple[int, ...]]


def label_classes(study: Study, values: Sequence[int]) -> list[LabelClass]:
    """Return the class of each label: the study's own where it has one, ``label N`` otherwise."""
    known = {found.value: found for found in read_classes(study)}
    return [known.get(value) or LabelClass(value, f"label {value}", "#888888", "") for value in values]


class Trial:
    """The trials of one curve, one after the other in the same place.

    Parameters
    ----------
    study : Study
        Only read.
    folder : Path
        Where the study of links is made for each trial; what a killed program left there goes.
    settings : LearningCurveSettings
    test : sequence of Volume
        What is judged on.
    classes : sequence of LabelClass
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        settings: LearningCurveSettings,
        test: Sequence[Volume],
        classes: Sequence[LabelClass],
    ) -> None:
        self._study, self._folder, self._settings = study, folder, settings
        self._test, self._classes = test, classes

    def draw(self, candidates: Mapping[str, NDArray[np.intp]], cell: Cell) -> dict[str, tuple[int, ...]]:
        """Return the slices that are annotated in a trial, the same for every arm."""
        return draw_slices(candidates, cell.seed, self._settings.volumes_per_seed, cell.slices)

    def run(self, cell: Cell, drawn: Drawn, words: str) -> Generator[Event, None, dict[str, Any]]:
        """Train and judge; return what was measured.

        Parameters
        ----------
        cell : Cell
        drawn : mapping of str to tuple of int
            From `draw`.
        words : str
            What progress calls the trial.

        Yields
        ------
        Progress
            Steps of the training; the judging counts as its last step.

        Raises
        ------
        UserError
            As fine-tuning.
        """
        self._clear()
        try:
            child = self._annotated(cell, drawn)
            began = time.monotonic()
            run = yield from self._train(child, cell, words)
            trained = time.monotonic()
            measured = yield from self._judge(child, run, drawn, words)
        finally:
            self._clear()
        return {
            "annotated": sum(map(len, drawn.values())),
            "drawn": {name: list(indices) for name, indices in drawn.items()},
            **measured,
            "train_seconds": round(trained - began, 2),
            "judge_seconds": round(time.monotonic() - trained, 2),
        }

    def _clear(self) -> None:
        with readable_os_errors(f"Cannot clear away '{self._folder}'"):
            if self._folder.exists():
                shutil.rmtree(self._folder)

    def _annotated(self, cell: Cell, drawn: Drawn) -> Study:
        runs = [] if cell.arm == SCRATCH else [self._study.run(cell.arm)]
        child = linked_study(self._study, self._folder, self._study.select(list(drawn)), runs)
        known = {found.value for found in read_classes(child)}
        for found in self._classes:
            if found.value not in known:
                add_class(child, found.name, value=found.value)
        for name, indices in drawn.items():
            volume = child.volume(name)
            reference = open_reference(volume, f"Cannot annotate '{name}'")
            annotate_from(child, volume, indices, reference, [found.value for found in self._classes])
        return child

    def _train(self, child: Study, cell: Cell, words: str) -> Generator[Event, None, str]:
        from napari_sortingloss.segment.finetune.job import finetune

        settings = self._settings.finetune.replace(init=cell.arm, seed=cell.seed, volumes=(), validate=())
        run = ""
        job = cast("Generator[Event, None, None]", finetune(child, settings))
        with closing(job):
            for event in job:
                if isinstance(event, Progress):
                    yield event.replace(what=words)
                elif isinstance(event, Result):
                    run = str(event.value["run"])
        return run

    def _judge(
        self, child: Study, run: str, drawn: Drawn, words: str
    ) -> Generator[Event, None, dict[str, Any]]:
        from napari_sortingloss.segment.segmenter import load_segmenter

        finetune = self._settings.finetune
        values = [found.value for found in self._classes]
        which: Literal["best", "last"] = "best" if finetune.held_back else "last"
        with load_segmenter(
            child.run(run), which=which, device=finetune.device, threads=finetune.threads
        ) as segmenter:

            def counted(volume: Volume, indices: Sequence[int]) -> Generator[Event, None, Counts]:
                total: Counts = np.zeros((len(values) + 1,) * 2, np.int64)
                reference = open_reference(volume, f"Cannot judge on '{volume.name}'")
                positions = [volume.index_of(i) for i in indices]
                for counts in score_volume(segmenter, volume, reference, positions, values):
                    total = total + counts
                    yield Progress(done=finetune.steps, total=finetune.steps, what=f"{words}: {volume.name}")
                return total

            judged: list[Counts] = []
            for volume in self._test:
                judged.append((yield from counted(volume, range(0, volume.n_slices, self._settings.every))))
            between: list[Counts] = []
            for name, indices in drawn.items():
                inner = between_indices(indices, self._settings.every)
                if inner:
                    between.append((yield from counted(self._study.volume(name), inner)))
        names = [found.name for found in self._classes]
        return {
            "iou": _named(names, mean_over_volumes(judged, iou)),
            "dice": _named(names, mean_over_volumes(judged, dice)),
            "between": _named(names, mean_over_volumes(between, iou)) if between else None,
            "volumes": {
                volume.name: _named(names, iou(one)) for volume, one in zip(self._test, judged, strict=True)
            },
        }


def interpolation_cell(study: Study, drawn: Drawn, values: Sequence[int], every: int) -> dict[str, Any]:
    """Judge signed-distance interpolation between the drawn slices, on the slices between them.

    Parameters
    ----------
    study : Study
    drawn : mapping of str to tuple of int
        Array indices of the annotated slices of each volume.
    values : sequence of int
        The labels.
    every : int
        Every n-th slice is judged.
    """
    from napari_sortingloss.segment.annotator.interpolate import Between

    judged = []
    classes = label_classes(study, values)
    for name, indices in drawn.items():
        volume = study.volume(name)
        reference = open_reference(volume, f"Cannot judge on '{name}'")
        wanted = between_indices(indices, every)
        total: Counts = np.zeros((len(values) + 1,) * 2, np.int64)
        for low, high in pairwise(sorted(indices)):
            inner = [i for i in wanted if low < i < high]
            if not inner:
                continue
            ends = reference.read_slices(volume.axis, [low, high])
            ends = np.where(np.isin(ends, values), ends, 0).astype(np.uint8)
            between = Between(ends[0], ends[1], volume.slice_voxel_size)
            labels = reference.read_slices(volume.axis, inner)
            for index, true in zip(inner, labels, strict=True):
                said = between.at((index - low) / (high - low))
                total = total + confusion(as_classes(true, values), as_classes(said, values), len(values))
        if total.any():
            judged.append(total)
    names = [found.name for found in classes]
    return {
        "annotated": sum(map(len, drawn.values())),
        "iou": None,
        "dice": None,
        "between": _named(names, mean_over_volumes(judged, iou)) if judged else None,
    }


def between_indices(indices: Sequence[int], every: int) -> list[int]:
    """Return every n-th of the slices that lie between annotated ones, as far from one end as from the other."""
    known = set(indices)
    low, high = min(known) + 1, max(known)
    return [i for i in range(low + (high - low - 1) % every // 2, high, every) if i not in known]


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | None]:
    return {name: None if np.isnan(v) else round(float(v), 5) for name, v in zip(names, values, strict=True)}


__all__: Sequence[str] = ["Trial", "between_indices", "interpolation_cell", "label_classes"]
