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
from napari_sortingloss.pretext.rotation_certainty import build_network
from napari_sortingloss.pretext.rotation_pairs import draw_pair, load_squares, turned
from napari_sortingloss.pretext.rotation_settings import RotationSettings
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
        """Draw pairs, each of any volume along any of the axes, augment both slices independently, and turn them."""
        settings = self.settings
        classes = rng.integers(len(self._angles), size=settings.pairs)
        pairs = np.empty((settings.pairs, 2, settings.size, settings.size), np.uint8)
        for pair, target in zip(pairs, classes, strict=True):
            volume = volumes[int(rng.integers(len(volumes)))]
            axes = settings.axes_of(volume)
            axis = axes[int(rng.integers(len(axes)))]
            squares = self._squares(volume, axis, rng, at=rng.random())
            self._turn(pair, self._augment.batch(squares, rng), int(target), rng)
        return Batch({"pairs": pairs, "classes": classes}, 2 * settings.pairs)

    def build(self) -> nn.Module:
        """Build the encoder and the small network that compares two embeddings."""
        return build_network(self.settings)

    def loss(self, network: nn.Module, batch: DeviceBatch) -> StepOutput:
        """Tell the angle of each pair."""
        pairs, classes = (batch.tensors[name][:: self._part] for name in ("pairs", "classes"))
        logits = network(pairs)
        found = logits.detach().argmax(dim=1)
        if network.training:
            self._count("train", classes, found)

        def snapshot() -> SnapshotData:
            return self._snapshot(pairs, classes, found)

        loss = nn.functional.cross_entropy(logits, classes)
        return StepOutput(loss, self._figures(classes, found), snapshot)

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Warm up over the first steps, then let the rate fall to nothing along half a cosine."""
        rate = self.settings.learning_rate * rate_factor(step, self.settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate

    def smaller(self) -> str | None:
        """Use only every second (fourth, …) pair."""
        pairs = self.settings.pairs
        if -(-pairs // self._part) < 2:
            return None
        before = -(-pairs // self._part)
        self._part *= 2
        return f"trains on {-(-pairs // self._part)} pairs at a time instead of {before}"

    def validation_batches(self, volume: Volume, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield pairs of every angle along every axis, not augmented, in batches as large as those of training."""
        settings = self.settings
        axes = settings.axes_of(volume)
        count = VALIDATION_PAIRS * len(self._angles)
        drawn = rng.permutation(count)  # class and axis go round independently of each other
        for start in range(0, count, settings.pairs):
            part = drawn[start : start + settings.pairs]
            pairs = np.empty((len(part), 2, settings.size, settings.size), np.uint8)
            classes = part % len(self._angles)
            for pair, number, target in zip(pairs, part, classes, strict=True):
                axis = axes[number // len(self._angles) % len(axes)]
                self._turn(pair, self._squares(volume, axis, rng), int(target), rng)
            yield Batch({"pairs": pairs, "classes": classes.astype(np.int64)}, 2 * len(part))

    def validate(
        self, network: nn.Module, volume: Volume, evaluation: Evaluation
    ) -> Generator[None, None, Mapping[str, float]]:
        """Measure loss, accuracy and angle error over all validation pairs of a volume."""
        logits, classes = [], []
        for batch in self.validation_batches(volume, evaluation.rng):
            logits.append(network(evaluation.put(batch).tensors["pairs"]).float().cpu())
            classes.append(torch.from_numpy(batch.arrays["classes"]))
            yield
        said, true = torch.cat(logits), torch.cat(classes)
        found = said.argmax(dim=1)
        self._count("validation", true, found)
        figures = {name: float(value) for name, value in self._figures(true, found).items()}
        return {"loss": float(nn.functional.cross_entropy(said, true)), **figures}

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
        self, volume: Volume, axis: Axis, rng: np.random.Generator, at: float = 0.5
    ) -> NDArray[np.uint8]:
        """Draw a slice and its twin, shape (2, d, d)."""
        settings, slices = self.settings, SlicesAlong(volume, axis)

        def load(positions: NDArray[np.intp]) -> NDArray[np.uint8]:
            return load_squares(slices, positions, settings.size, settings.field_of_view or 0.0, at)

        return draw_pair(rng, slices.n_slices, settings.reach / 100, load)

    def _turn(
        self, pair: NDArray[np.uint8], squares: NDArray[np.uint8], target: int, rng: np.random.Generator
    ) -> None:
        """Fill a pair with both squares turned by one random angle, the second by that of its class on top."""
        common = rng.uniform(0, 360)
        pair[0] = turned(squares[0], common, self.settings.size)
        pair[1] = turned(squares[1], common + float(self._angles[target]), self.settings.size)

    def _count(self, split: Split, classes: Tensor, found: Tensor) -> None:
        """Count which class was taken for which, without waiting for the device."""
        k = len(self._angles)
        places = classes * k + found
        before = self._counts.get(split)
        counts = torch.zeros(k * k, dtype=torch.int64) if before is None else before
        self._counts[split] = counts.to(places.device).scatter_add(0, places, torch.ones_like(places))

    def _figures(self, classes: Tensor, found: Tensor) -> dict[str, Tensor | float]:
        settings = self.settings
        return {
            "accuracy": (classes == found).float().mean(),
            "random_accuracy": 1 / len(self._angles),
            "angle_error": (classes - found).abs().float().mean() * settings.angle_step,
            "random_angle_error": settings.random_error,
        }

    def _snapshot(self, pairs: Tensor, classes: Tensor, found: Tensor) -> SnapshotData:
        true, said = classes.cpu().numpy(), found.cpu().numpy()
        return SnapshotData(
            tiles=pairs.flatten(0, 1).cpu().numpy(),
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
