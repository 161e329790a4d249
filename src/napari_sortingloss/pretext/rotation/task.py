"""RotationLoss: tells by which of a few angles one slice of a volume was turned against another slice near it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sortingloss.errors import BadInput
from napari_sortingloss.events import Split
from napari_sortingloss.pretext.rotation.certainty import build_network
from napari_sortingloss.pretext.rotation.pairs import all_pairs, draw_near, draw_turns, load_squares, turned
from napari_sortingloss.pretext.rotation.settings import RotationSettings
from napari_sortingloss.slices.along import SlicesAlong, SquareOf
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.training.rates import rate_factor
from napari_sortingloss.training.task import (
    Batch,
    DeviceBatch,
    Evaluation,
    MatrixData,
    PretextTask,
    SnapshotData,
    StepOutput,
)

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume
    from napari_sortingloss.study.schema import Axis

VALIDATION_PAIRS = 9
"""Pairs of each angle on which a validation volume is measured, evenly over the axes."""

LEAST_SIDE = 8
"""Fewer voxels across a slice show no angle."""

ABOUT = (
    "Each frame holds a slice and its twin from nearby; under it the angle by which the twin was turned against the slice, "
    "and the angle the network says, with ✓ where they agree and ✗ where they do not."
)


class RotationTask(PretextTask[RotationSettings]):
    """Teaches an encoder anatomy by letting it tell the angle between two neighbouring slices.

    Parameters
    ----------
    settings : RotationSettings

    Notes
    -----
    Zharov et al., Self-supervised learning for biological sample localization in 3D tomographic images (2023). Nothing
    but what a slice shows may tell the angle. So both slices are cut to a circle; both are turned by one random angle,
    and the twin by the relative angle on top, each resampled exactly once, since interpolation smooths the noise at
    some angles and not at others; and the augmentation is one that keeps the angle (`upright`). What is drawn is the
    square middle of a slice, at a random place along its longer side, so that the straight border of a slice that
    is not square never comes into view.

    The paper compares the two slices of a pair. Here several slices come from one place, and all are compared with all
    (`together`): the network costs the same, and the angles are learnt from many times as many pairs.
    """

    name: ClassVar[str] = "rotation"
    title: ClassVar[str] = "RotationLoss"
    help: ClassVar[str] = "The network learns by which angle one slice was turned against another near it."
    settings_class: ClassVar[type[RotationSettings]] = RotationSettings

    def __init__(self, settings: RotationSettings) -> None:
        super().__init__(settings)
        self._angles = np.array(settings.angles)
        self._augment = Augmenter(settings.augment, upright=True)
        self._counts: dict[Split, Tensor] = {}
        self._part = 1

    def check(self, volumes: Sequence[Volume]) -> None:
        """See that every volume has slices whose angle can be told.

        Raises
        ------
        BadInput
            If a volume has a single slice along an axis, slices of a few voxels, or one grey value throughout.
        """
        for volume in volumes:
            for axis in self.settings.axes_of(volume):
                self._check_along(volume, axis)
            coarse = np.asarray(volume.pyramid()[-1])
            if coarse.min() == coarse.max():
                raise BadInput(
                    f"Cannot learn from '{volume.name}'",
                    f"all its voxels have the grey value {coarse.min()}",
                    "check its window and add it again, or leave it out",
                )

    def make_batch(self, volumes: Sequence[Volume], step: int, rng: np.random.Generator) -> Batch:
        """Draw slices from places in any of the volumes, along any of the axes; augment each by itself, and turn them."""
        settings = self.settings
        count, classes = 2 * settings.pairs, len(self._angles)
        slices = np.empty((count, settings.size, settings.size), np.uint8)
        groups = np.arange(count) // settings.together
        turns = np.empty(count, np.intp)
        for group in range(int(groups[-1]) + 1):
            of = np.flatnonzero(groups == group)
            volume = volumes[int(rng.integers(len(volumes)))]
            axes = settings.axes_of(volume)
            axis = axes[int(rng.integers(len(axes)))]
            squares = self._augment.batch(self._squares(volume, axis, rng, len(of), at=rng.random()), rng)
            turns[of] = draw_turns(rng, len(of), classes)
            slices[of] = self._turned(squares, turns[of], rng)
        return _batch(slices, groups, turns, classes)

    def build(self) -> nn.Module:
        """Build the encoder and the small network that compares two embeddings."""
        return build_network(self.settings)

    def loss(self, network: nn.Module, batch: DeviceBatch) -> StepOutput:
        """Tell the angle of each pair; every angle weighs the same, however many pairs have it."""
        tensors = self._lightened(batch)
        slices, first, second, classes = (tensors[name] for name in ("slices", "first", "second", "classes"))
        logits = network(slices, first, second)
        found = logits.detach().argmax(dim=1)
        if network.training:
            self._count("train", classes, found)
        counts = torch.zeros(len(self._angles), device=classes.device)
        weights = 1 / counts.scatter_add(0, classes, torch.ones_like(classes, dtype=counts.dtype)).clamp(
            min=1
        )

        def snapshot() -> SnapshotData:
            neighbours = (first % 2 == 0) & (second == first + 1)
            return self._snapshot(slices, first[neighbours], classes[neighbours], found[neighbours])

        loss = nn.functional.cross_entropy(logits, classes, weight=weights)
        return StepOutput(loss, self._figures(classes, found, weights[classes]), snapshot)

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Warm up over the first steps, then let the rate fall to nothing along half a cosine."""
        rate = self.settings.learning_rate * rate_factor(step, self.settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate

    def smaller(self) -> str | None:
        """Use only the first half (quarter, …) of a batch's slices."""
        before = self._kept(2 * self.settings.pairs)
        self._part *= 2
        after = self._kept(2 * self.settings.pairs)
        return f"trains on {after} slices at a time instead of {before}" if after < before else None

    def validation_batches(self, volume: Volume, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield pairs of every angle along every axis, not augmented, in batches as large as those of training."""
        settings = self.settings
        axes, classes = settings.axes_of(volume), len(self._angles)
        drawn = rng.permutation(
            VALIDATION_PAIRS * classes
        )  # angle and axis go round independently of each other
        for start in range(0, len(drawn), settings.pairs):
            part = drawn[start : start + settings.pairs]
            slices, turns = [], []
            for number in part:
                axis = axes[number // classes % len(axes)]
                turns.append(np.array([classes // 2, number % classes]))
                slices.append(self._turned(self._squares(volume, axis, rng, 2), turns[-1], rng))
            groups = np.repeat(np.arange(len(part)), 2)
            yield _batch(np.concatenate(slices), groups, np.concatenate(turns), classes, both_ways=False)

    def validate(
        self, network: nn.Module, volume: Volume, evaluation: Evaluation
    ) -> Generator[None, None, Mapping[str, float]]:
        """Measure loss, accuracy and angle error over all validation pairs of a volume."""
        logits, classes = [], []
        for batch in self.validation_batches(volume, evaluation.rng):
            tensors = evaluation.put(batch).tensors
            logits.append(network(tensors["slices"], tensors["first"], tensors["second"]).float().cpu())
            classes.append(torch.from_numpy(batch.arrays["classes"]))
            yield
        said, true = torch.cat(logits), torch.cat(classes)
        found = said.argmax(dim=1)
        self._count("validation", true, found)
        figures = self._figures(true, found, torch.ones(len(true)))
        loss = float(nn.functional.cross_entropy(said, true))
        return {"loss": loss, **{name: float(value) for name, value in figures.items()}}

    def take_matrix(self, split: Split) -> MatrixData | None:
        """Return which angles were taken for which since the last time."""
        counts = self._counts.pop(split, None)
        if counts is None:
            return None
        k = len(self._angles)
        labels = tuple(f"{angle}°" for angle in self._angles)
        return MatrixData(counts.cpu().numpy().reshape(k, k), labels, "angle")

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted since the last table, and how much of a batch fits the memory."""
        return {
            "counts": {split: counts.tolist() for split, counts in self._counts.items()},
            "part": self._part,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._counts = {split: torch.tensor(counts) for split, counts in state["counts"].items()}
        self._part = int(state["part"])

    def _squares(
        self, volume: Volume, axis: Axis, rng: np.random.Generator, count: int, at: float = 0.5
    ) -> NDArray[np.uint8]:
        """Draw slices from one place, shape (count, d, d)."""
        settings, slices = self.settings, SlicesAlong(volume, axis)

        def load(positions: NDArray[np.intp]) -> NDArray[np.uint8]:
            return load_squares(slices, positions, settings.size, settings.field_of_view or 0.0, at)

        return draw_near(rng, slices.n_slices, settings.reach / 100, count, load)

    def _turned(
        self, squares: NDArray[np.uint8], turns: NDArray[np.intp], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return squares turned by one random angle and each by its own on top."""
        common, size, step = rng.uniform(0, 360), self.settings.size, self.settings.angle_step
        turned_by = common + step * turns.astype(float)
        return np.stack([turned(s, float(angle), size) for s, angle in zip(squares, turned_by, strict=True)])

    def _kept(self, slices: int) -> int:
        """How many of so many slices fit the memory, see `smaller`."""
        return max(2, slices // self._part)

    def _lightened(self, batch: DeviceBatch) -> Mapping[str, Tensor]:
        """Return the tensors of the slices that fit the memory."""
        if self._part == 1:
            return batch.tensors
        kept = self._kept(len(batch.info["groups"]))
        pairs = all_pairs(batch.info["groups"][:kept], batch.info["turns"][:kept], len(self._angles))
        slices = batch.tensors["slices"][:kept]
        lighter = {
            name: torch.as_tensor(values, device=slices.device)
            for name, values in zip(("first", "second", "classes"), pairs, strict=True)
        }
        return {"slices": slices, **lighter}

    def _count(self, split: Split, classes: Tensor, found: Tensor) -> None:
        """Count which class was taken for which, without waiting for the device."""
        k = len(self._angles)
        places = classes * k + found
        before = self._counts.get(split)
        counts = torch.zeros(k * k, dtype=torch.int64) if before is None else before
        self._counts[split] = counts.to(places.device).scatter_add(0, places, torch.ones_like(places))

    def _figures(self, classes: Tensor, found: Tensor, weights: Tensor) -> dict[str, Tensor | float]:
        settings = self.settings
        total = weights.sum()
        return {
            "accuracy": ((classes == found) * weights).sum() / total,
            "random_accuracy": 1 / len(self._angles),
            "angle_error": ((classes - found).abs() * weights).sum() / total * settings.angle_step,
            "random_angle_error": settings.random_error,
        }

    def _snapshot(self, slices: Tensor, first: Tensor, classes: Tensor, found: Tensor) -> SnapshotData:
        true, said = classes.cpu().numpy(), found.cpu().numpy()
        pairs = torch.stack([first, first + 1], dim=1).flatten()
        return SnapshotData(
            tiles=slices[pairs].cpu().numpy(),
            captions=tuple(
                f"{a}° → {b}°" for a, b in zip(self._angles[true], self._angles[said], strict=True)
            ),
            correct=tuple(bool(same) for same in true == said),
            title="Pairs of slices: true angle → the network's",
            group=2,
            about=ABOUT,
        )

    def _check_along(self, volume: Volume, axis: Axis) -> None:
        slices = SlicesAlong(volume, axis)
        narrowest = min(SquareOf(slices).slice_shape)
        if slices.n_slices < 2:
            why = f"it has only 1 slice along {axis}, and a pair needs two"
        elif narrowest < LEAST_SIDE:
            why = f"the square middle of its slices along {axis} is only {narrowest} voxels wide"
        else:
            return
        others = [other for other in self.settings.axes_of(volume) if other != axis]
        todo = "leave it out"
        if others and axis != volume.axis:
            todo += f", or draw slices along the ordering axis {volume.axis} only"
        raise BadInput(f"Cannot tell angles in '{volume.name}'", why, todo)


def _batch(
    slices: NDArray[np.uint8],
    groups: NDArray[np.intp],
    turns: NDArray[np.intp],
    classes: int,
    *,
    both_ways: bool = True,
) -> Batch:
    """Make a batch of slices, of which those of a group are compared with each other."""
    first, second, target = all_pairs(groups, turns, classes)
    if not both_ways:
        once = first < second
        first, second, target = first[once], second[once], target[once]
    arrays: dict[str, NDArray[Any]] = {
        "slices": slices,
        "first": first.astype(np.int64),
        "second": second.astype(np.int64),
        "classes": target.astype(np.int64),
    }
    return Batch(arrays, len(slices), {"groups": groups, "turns": turns})
