"""SortingLoss: shuffled slices of a volume are scored one by one, and the scores are to grow along the ordering axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sortingloss.events import Notice
from napari_sortingloss.pretext.displacement import average_ranks, foreground_slices
from napari_sortingloss.pretext.jobs.order import check_slices
from napari_sortingloss.pretext.sorting.batch_figures import batch_figures
from napari_sortingloss.pretext.sorting.ranking import ranking_loss
from napari_sortingloss.pretext.sorting.reversed_volumes import REVERSED, ReversedVolumes, Verdict
from napari_sortingloss.pretext.sorting.scoring import build_network, order_figures, sample_positions
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.slices.closeup import draw_zoom, load_closeup
from napari_sortingloss.slices.drawing import draw_positions
from napari_sortingloss.slices.pose import in_pose, random_pose
from napari_sortingloss.slices.reader import load_slices
from napari_sortingloss.training.rates import rate_factor
from napari_sortingloss.training.task import (
    Batch,
    DeviceBatch,
    Evaluation,
    PretextTask,
    SnapshotData,
    StepOutput,
)

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

VALIDATION_SLICES = 64
"""How many slices of a validation volume are scored (four batches' worth where a batch is larger than 16)."""


class SortingTask(PretextTask[SortingSettings]):
    """Teaches an encoder anatomy by letting it put shuffled slices of one volume in order.

    Parameters
    ----------
    settings : SortingSettings

    Notes
    -----
    Zharov et al., Using the order of tomographic slices as a prior for neural networks pre-training (2022), and
    Self-supervised learning for biological sample localization in 3D tomographic images (2023). Slices of different
    volumes are never compared, so the volumes need not be aligned, only stored in the same direction; a volume that is
    not is noticed (`ReversedVolumes`) and gets the weight 0.
    """

    name: ClassVar[str] = "sorting"
    title: ClassVar[str] = "SortingLoss"
    help: ClassVar[str] = "The network learns to put shuffled slices of a volume back into order."
    settings_class: ClassVar[type[SortingSettings]] = SortingSettings

    def __init__(self, settings: SortingSettings) -> None:
        super().__init__(settings)
        self._ranking = ranking_loss(settings.ranking, settings.margin)
        self._augment = Augmenter(settings.augment)
        self._directions = ReversedVolumes()
        self._seen: list[tuple[Sequence[str], list[int], Tensor]] = []
        self._held_back: dict[str, Verdict] = {}
        self._told: set[str] = set()
        self._part = 1

    def check(self, volumes: Sequence[Volume]) -> None:
        """See that every volume has slices to put in order.

        Raises
        ------
        BadInput
            If a volume has fewer than two along its ordering axis.
        """
        for volume in volumes:
            check_slices(volume)

    def make_batch(self, volumes: Sequence[Volume], step: int, rng: np.random.Generator) -> Batch:
        """Draw `slices` slices of one volume (or of each of several), each augmented independently, all in one pose."""
        settings = self.settings
        count = min(settings.volumes_per_batch, len(volumes))
        names, slices, positions = [], [], []
        for index in rng.choice(len(volumes), size=count, replace=False):
            volume = volumes[int(index)]
            drawn = draw_positions(rng, volume.n_slices, settings.slices, settings.weighting)
            names.append(volume.name)
            positions.append(drawn)
            field = settings.field_of_view or 0.0
            zoom = draw_zoom(rng, settings.zoom)
            shown = self._augment.batch(load_closeup(volume, drawn, settings.size, field, zoom, rng), rng)
            if settings.poses(len(volumes)):
                shown = in_pose(shown, random_pose(rng, settings.size))
            slices.append(shown)
        return _batch(names, slices, positions)

    def build(self) -> nn.Module:
        """Build encoder, global average pooling and the linear number."""
        return build_network(self.settings)

    def loss(self, network: nn.Module, batch: DeviceBatch) -> StepOutput:
        """Score the slices and compare the scores within each volume."""
        names: Sequence[str] = batch.info["volumes"]
        tensors, counts = self._lightened(batch)
        positions, groups = tensors["positions"], tensors["groups"]
        scores = network(tensors["slices"])
        figures = batch_figures(scores.detach(), positions, groups)
        if network.training and self._guarding:
            self._seen.append((names, counts, figures["spearman"]))

        def snapshot() -> SnapshotData:
            n = counts[0]
            return _snapshot(names[0], tensors["slices"][:n], positions[:n], scores[:n].detach())

        trusted = [name not in self._mistrusted for name in names]
        if all(trusted):
            return StepOutput(self._ranking(scores, positions, groups), _public(figures), snapshot)
        used = torch.tensor(np.flatnonzero(np.repeat(trusted, counts)), device=scores.device)
        loss = self._ranking(scores[used], positions[used], groups[used])
        if any(trusted):
            figures = batch_figures(scores.detach()[used], positions[used], groups[used])
        return StepOutput(loss, _public(figures) if any(trusted) else {}, snapshot)

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Warm up over the first steps, then let the rate fall to nothing along half a cosine."""
        rate = self.settings.learning_rate * rate_factor(step, self.settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate

    def review(self, step: int) -> Sequence[Notice]:
        """Compare the directions of the volumes, and speak of one that looks stored upside down."""
        self._note_seen()
        leaving = self.settings.reversed_volumes == "leave out"
        training = f"is left out of training from step {step} on" if leaving else ""
        notices = [_notice(verdict, training) for verdict in self._directions.review()]
        measuring = "is left out of the validation figures" if leaving else ""
        notices += [_notice(verdict, measuring) for verdict in self._held_back.values()]
        self._told |= set(self._held_back)
        self._held_back.clear()
        return notices

    def smaller(self) -> str | None:
        """Use only every second (fourth, …) slice of each volume's batch."""
        if self.settings.slices // (2 * self._part) < 2:
            return None
        before = -(-self.settings.slices // self._part)
        self._part *= 2
        return f"trains on {-(-self.settings.slices // self._part)} slices of a volume at a time instead of {before}"

    def validation_batches(self, volume: Volume, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield slices from all along the volume, in batches as large as those of training."""
        k = self.settings.slices
        positions = sample_positions(volume.n_slices, max(VALIDATION_SLICES, 4 * k), rng)
        for start in range(0, len(positions), k):
            part = positions[start : start + k]
            slices = load_slices(volume, part, self.settings.size, self.settings.field_of_view or 0.0)
            yield _batch([volume.name], [slices], [part])

    def validate(
        self, network: nn.Module, volume: Volume, evaluation: Evaluation
    ) -> Generator[None, None, Mapping[str, float]]:
        """Score slices from all along a volume and measure their order in many batches of `slices`.

        The figures are those of `order_figures` and the mean ranking loss of the same kind of batches. A volume that
        looks stored upside down counts as ``left_out`` and gives no other figure: the better the network, the worse
        that volume would make it look, and the best checkpoint would be a bad one.
        """
        scores, positions, tiles = [], [], []
        for batch in self.validation_batches(volume, evaluation.rng):
            tensors = evaluation.put(batch).tensors
            scores.append(network(tensors["slices"]).float().cpu())
            positions.append(batch.arrays["positions"])
            tiles.append(batch.arrays["slices"])
            yield
        places, found, slices = np.concatenate(positions), torch.cat(scores), np.concatenate(tiles)
        settings, rng = self.settings, evaluation.rng
        figures = order_figures(
            places,
            found.double().numpy(),
            foreground_slices(slices),
            settings.slices,
            volume,
            rng,
            weighting=settings.weighting,
        )
        others = self._directions.typical()
        if self._guarding and others is not None and figures["spearman"] < REVERSED:
            if volume.name not in self._told:
                self._held_back[volume.name] = Verdict(volume.name, True, figures["spearman"], others)
            if self.settings.reversed_volumes == "leave out":
                return {"left_out": 1.0}
        loss = self._validation_loss(torch.from_numpy(places), found, rng)
        return {"loss": loss, **figures, "left_out": 0.0}

    def state_dict(self) -> dict[str, Any]:
        """Return what was learnt about the directions of the volumes, and how much of a batch fits the memory."""
        self._note_seen()
        return {
            "directions": self._directions.state_dict(),
            "held_back": {name: dataclasses.asdict(verdict) for name, verdict in self._held_back.items()},
            "told": sorted(self._told),
            "part": self._part,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._directions.load_state_dict(state["directions"])
        self._held_back = {name: Verdict(**verdict) for name, verdict in state["held_back"].items()}
        self._told = set(state["told"])
        self._part = int(state["part"])
        self._seen.clear()

    def _note_seen(self) -> None:
        """Fetch the correlations of the batches since the last time; the one place that waits for the device."""
        for names, counts, rho in self._seen:
            firsts = torch.as_tensor(np.cumsum([0, *counts[:-1]]), device=rho.device)
            for name, value in zip(names, rho[firsts].tolist(), strict=True):
                self._directions.observe(name, value)
        self._seen.clear()

    @property
    def _guarding(self) -> bool:
        return self.settings.reversed_volumes != "ignore"

    @property
    def _mistrusted(self) -> frozenset[str]:
        return self._directions.mistrusted if self.settings.reversed_volumes == "leave out" else frozenset()

    def _lightened(self, batch: DeviceBatch) -> tuple[Mapping[str, Tensor], list[int]]:
        """Return the tensors and the slices of each volume that fit the memory, see `smaller`."""
        counts = list(batch.info["counts"])
        if self._part == 1:
            return batch.tensors, counts
        within = np.concatenate([np.arange(n) for n in counts])
        kept = torch.as_tensor(
            np.flatnonzero(within % self._part == 0), device=batch.tensors["groups"].device
        )
        lighter = {name: tensor[kept] for name, tensor in batch.tensors.items()}
        return lighter, [-(-n // self._part) for n in counts]

    def _validation_loss(
        self, places: Tensor, scores: Tensor, rng: np.random.Generator, draws: int = 16
    ) -> float:
        losses = []
        for _ in range(draws):
            drawn = draw_positions(rng, len(places), self.settings.slices, self.settings.weighting)
            losses.append(float(self._ranking(scores[drawn], places[drawn], None)))
        return float(np.mean(losses))


def _batch(
    names: Sequence[str], slices: Sequence[NDArray[np.uint8]], positions: Sequence[NDArray[np.intp]]
) -> Batch:
    counts = [len(p) for p in positions]
    arrays: dict[str, NDArray[Any]] = {
        "slices": np.concatenate(slices),
        "positions": np.concatenate(positions).astype(np.int64),
        "groups": np.repeat(np.arange(len(names)), counts),
    }
    return Batch(arrays, sum(counts), {"volumes": tuple(names), "counts": tuple(counts)})


def _public(figures: Mapping[str, Tensor]) -> dict[str, Tensor | float]:
    return {name: value for name, value in figures.items() if value.ndim == 0}


def _snapshot(name: str, slices: Tensor, positions: Tensor, scores: Tensor) -> SnapshotData:
    """Return the slices of one volume in the order of their scores; a slice is right where its rank is the true one."""
    places, found = positions.cpu().numpy(), scores.float().cpu().numpy()
    order = np.argsort(found, kind="stable")
    true = average_ranks(places)[order]
    return SnapshotData(
        tiles=slices.cpu().numpy()[order],
        captions=tuple(str(int(p)) for p in places[order]),
        correct=tuple(bool(rank == i) for i, rank in enumerate(true)),
        title=f"{name} in the order the network believes",
    )


def _notice(verdict: Verdict, consequence: str) -> Notice:
    rho = f"Spearman {verdict.spearman:.2f}; the other volumes {verdict.others:.2f}"
    if not verdict.reversed:
        return Notice(
            message=f"{verdict.volume} no longer looks stored upside down ({rho}): it counts again."
        )
    done = f"It {consequence}. " if consequence else ""
    return Notice(
        level="warning",
        message=f"{verdict.volume} looks stored upside down: its slices come out in reverse ({rho}). "
        f"{done}If it is, flip its direction in the study.",
    )
