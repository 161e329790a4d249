"""The segmentation task: pieces of annotated slices, cross-entropy and Dice, IoU on slices that are held back."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sortingloss.errors import BadInput, StudyError
from napari_sortingloss.events import Split
from napari_sortingloss.networks.segmenters.build import SegmentationNetwork
from napari_sortingloss.networks.weights import InputSpec
from napari_sortingloss.segment.finetune.dataset import AnnotatedSlices, Pieces, read_slice
from napari_sortingloss.segment.finetune.initial_weights import begin
from napari_sortingloss.segment.finetune.losses import (
    confusion,
    cross_entropy,
    dice_loss,
    iou_of,
    segmentation_loss,
)
from napari_sortingloss.segment.finetune.overlay import overlay
from napari_sortingloss.segment.finetune.plan import WHAT, SliceKey
from napari_sortingloss.segment.finetune.predicted_slices import slices_also_learnt
from napari_sortingloss.segment.segmenter import Segmenter, as_pictures, build_network
from napari_sortingloss.segment.settings import BACKGROUND_NAME, FinetuneSettings, iou_metric
from napari_sortingloss.slices import IGNORE
from napari_sortingloss.slices.along import SlicesAlong
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.study.runs.live_preview import PreviewPicture, PreviewRequest
from napari_sortingloss.training.export import input_spec
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
    from napari_sortingloss.study import Study, Volume

SHOWN = 8
"""Pieces in the picture of a batch."""

SMALLEST_LOG = 1e-7


class SegmentationTask(PretextTask[FinetuneSettings]):
    """Teaches a network to segment slices from a few annotated ones.

    Parameters
    ----------
    settings : FinetuneSettings
        Settled by `napari_sortingloss.segment.finetune.plan.plan_run`.

    Notes
    -----
    Unknown pixels (not painted on a slice that is not complete) count neither in the loss nor in any figure. Validation
    adds up intersections and unions over all slices held back before dividing, so a class is judged where it occurs.
    """

    name: ClassVar[str] = "segmentation"
    title: ClassVar[str] = "Segmentation"
    help: ClassVar[str] = "The network learns from annotated slices what each pixel shows."
    settings_class: ClassVar[type[FinetuneSettings]] = FinetuneSettings
    whole_model: ClassVar[bool] = True

    def __init__(self, settings: FinetuneSettings) -> None:
        super().__init__(settings)
        self.classes = settings.label_classes()
        self._kinds = len(self.classes) + 1
        self._part = 1
        self._counted: dict[Split, Tensor] = {}
        self._weights: Tensor | None = None
        self.unused_parameters = settings.freeze > 0 and bool(settings.taken())

    def check(self, volumes: Sequence[Volume]) -> None:
        """See that there are volumes at all; the slices were looked at when the run was planned.

        Raises
        ------
        BadInput
            If there is none.
        """
        if not volumes:
            raise BadInput(WHAT, "no slice is annotated", "paint at least one slice first")

    def prepare(
        self, study: Study, train: Sequence[Volume], validation: Sequence[Volume], *, resume: bool
    ) -> None:
        """Read the annotations, and remember what the network begins with.

        Raises
        ------
        BadInput
            If there is nothing left to learn from, or predictions that are learnt from show none of the classes.
        StudyError
            If a prediction that is learnt from is no longer there, or damaged.
        """
        settings = self.settings
        self._study, self._fresh = study, not resume
        values = [found.value for found in self.classes]
        pixel = settings.pixel_size or 0.0

        def slices(names: Sequence[str]) -> AnnotatedSlices:
            return AnnotatedSlices(study, [SliceKey.parse(name) for name in names], values, pixel)

        self._learnt, self._kept = slices(settings.learnt), slices(settings.kept)
        if not self._learnt.keys:
            raise BadInput(WHAT, "no slice to learn from is annotated any more", "paint at least one slice")
        self._pieces = Pieces(
            self._learnt,
            settings.batch,
            settings.size,
            settings.class_pieces,
            Augmenter(settings.augment),
            settings.pose,
            settings.seed,
            slices_also_learnt(study, settings, [*self._learnt.keys, *self._kept.keys]),
            settings.painted_pieces,
        )
        if settings.class_weights == "balanced":
            self._weights = balanced_weights(self._learnt.counts.sum(0))

    def make_batch(self, volumes: Sequence[Volume], step: int, rng: np.random.Generator) -> Batch:
        """Draw pieces of annotated slices, and of predicted ones where they are learnt from too."""
        images, targets = self._pieces.draw(step, rng)
        there = [
            set(np.flatnonzero(np.bincount(t.ravel(), minlength=256)[:IGNORE]).tolist()) for t in targets
        ]
        return Batch({"slices": images, "targets": targets}, len(images), {"there": there})

    def validation_batches(self, volume: Volume, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the slices of a volume that are held back, whole, one at a time."""
        for key in self._kept.keys:
            if key.volume == volume.name:
                example = self._kept.native(key)
                arrays: dict[str, NDArray[Any]] = {
                    "slices": example.image[None],
                    "targets": example.target[None],
                }
                yield Batch(arrays, 1, {"key": key})

    def build(self) -> nn.Module:
        """Build encoder, decoder and head, with the weights that the run begins with."""
        network = build_network(self.settings)
        if self._fresh:
            begin(network, self._study, self.settings)
        return network

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return AdamW with a rate of its own for what was taken over; weights decay, biases and norms do not."""
        taken = tuple(f"encoder.{part}." for part in self.settings.taken())
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            share = self.settings.encoder_rate if taken and name.startswith(taken) else 1.0
            decay = self.settings.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
        rate = self.settings.learning_rate
        return torch.optim.AdamW(
            [
                {"params": parameters, "lr": rate * share, "share": share, "weight_decay": decay}
                for (share, decay), parameters in groups.items()
            ],
            fused=True,
        )

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Warm up over the first steps, then let the rates fall to nothing along half a cosine."""
        rate = self.settings.learning_rate * rate_factor(step, self.settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]

    def loss(self, network: nn.Module, batch: DeviceBatch) -> StepOutput:
        """Segment the pieces and compare with what is painted."""
        self._hold(network, batch.step)
        kept = -(-len(batch.tensors["slices"]) // self._part)
        slices, targets = batch.tensors["slices"][:kept], batch.tensors["targets"][:kept]
        logits = network(as_pictures(slices))
        loss = segmentation_loss(logits, targets, self._weights_on(logits.device))
        found = logits.detach().argmax(1)
        counts = confusion(found, targets, self._kinds)
        self._count("train", counts)
        there = sorted(set().union(*batch.info["there"][:kept]) - {0})
        ious = iou_of(counts)
        metrics: dict[str, Tensor | float] = {iou_metric(self.classes[k - 1].name): ious[k] for k in there}
        if there:
            metrics["mean_iou"] = torch.stack([ious[k] for k in there]).mean()

        def snapshot() -> SnapshotData:
            return self._snapshot(slices[:SHOWN], targets[:SHOWN], found[:SHOWN])

        return StepOutput(loss, metrics, snapshot)

    def smaller(self) -> str | None:
        """Use only half (a quarter, …) of each batch."""
        before = -(-self.settings.batch // self._part)
        if before == 1:
            return None
        self._part *= 2
        return f"trains on {-(-self.settings.batch // self._part)} pieces at a time instead of {before}"

    def validate(
        self, network: nn.Module, volume: Volume, evaluation: Evaluation
    ) -> Generator[None, None, Mapping[str, float]]:
        """Segment the slices of a volume that are held back: a generator that returns sums, see `pooled`."""
        segmenter = self._segmenter(network, evaluation.step)
        counts = torch.zeros((self._kinds, self._kinds), dtype=torch.int64)
        known, entropy, dice, slices = 0, 0.0, 0.0, 0
        for batch in self.validation_batches(volume, evaluation.rng):
            along = self._kept.along(batch.info["key"])
            shown, targets = batch.arrays["slices"], evaluation.put(batch).tensors["targets"]
            found = segmenter.probabilities(shown, along.slice_voxel_size, along.unit)
            counts += confusion(found.argmax(1), targets, self._kinds).cpu()
            number = int((targets != IGNORE).sum())
            logs = found.clamp(min=SMALLEST_LOG).log()
            entropy += number * float(cross_entropy(logs, targets))
            dice += float(dice_loss(logs, targets))
            known, slices = known + number, slices + 1
            yield
        self._count("validation", counts)
        sums = {"known": float(known), "entropy": entropy, "dice": dice, "slices": float(slices)}
        for (row, column), number in np.ndenumerate(counts.numpy()):
            sums[f"{row},{column}"] = float(number)
        return sums

    def pooled(self, parts: Sequence[Mapping[str, float]]) -> Mapping[str, float] | None:
        """Return loss and IoU over all slices held back: intersections and unions are added up before dividing.

        A class that neither occurs nor is said to occur has no IoU and does not count in the mean.
        """
        sums = {key: sum(part[key] for part in parts) for key in parts[0]} if parts else {}
        if not sums.get("known"):
            return {}
        table = [[sums[f"{row},{column}"] for column in range(self._kinds)] for row in range(self._kinds)]
        ious = iou_of(torch.tensor(table, dtype=torch.float64))[1:]
        there = ~ious.isnan()
        figures = {"loss": sums["entropy"] / sums["known"] + sums["dice"] / sums["slices"]}
        if there.any():
            figures["mean_iou"] = float(ious[there].mean())
        for found, iou, occurs in zip(self.classes, ious.tolist(), there.tolist(), strict=True):
            if occurs:
                figures[iou_metric(found.name)] = iou
        return figures

    def take_matrix(self, split: Split) -> MatrixData | None:
        """Return how many pixels of each class were taken for which."""
        counts = self._counted.pop(split, None)
        if counts is None or not int(counts.sum()):
            return None
        return MatrixData(counts.cpu().numpy(), (BACKGROUND_NAME, *(c.name for c in self.classes)), "class")

    def preview(
        self, network: nn.Module, request: PreviewRequest | None, evaluation: Evaluation
    ) -> PreviewPicture | None:
        """Segment the slice that somebody looks at, or else the first one that is held back or learnt from."""
        found = self._wanted(request)
        if found is None:
            found = (*self._kept.keys, *self._learnt.keys)[0]
        along = SlicesAlong(self._study.volume(found.volume), found.axis)
        segmenter = self._segmenter(network, evaluation.step)
        shown = segmenter.probabilities(
            read_slice(along, found.index)[None], along.slice_voxel_size, along.unit
        )[0]
        confidence, kinds = shown.max(0)
        values = np.array([0, *(c.value for c in self.classes)], np.uint8)
        return PreviewPicture(
            step=evaluation.step,
            slice=PreviewRequest(found.volume, found.axis, found.index),
            labels=values[kinds.cpu().numpy()],
            confidence=(confidence * 255).round().to(torch.uint8).cpu().numpy(),
        )

    def input_spec(self, volumes: Sequence[Volume]) -> InputSpec:
        """Say what the network expects and what its channels mean; stored with its weights."""
        import dataclasses

        return dataclasses.replace(
            input_spec(self.settings, volumes),
            network=self.settings.network,
            decoder_norm=self.settings.decoder_norm,
            classes={str(found.value): (found.name, found.color) for found in self.classes},
            pixel_size=self.settings.pixel_size or 0.0,
        )

    def achieved(self) -> Mapping[str, Any]:
        """Return the names of the classes, for the run's result."""
        return {"classes": [found.name for found in self.classes]}

    def state_dict(self) -> dict[str, Any]:
        """Return how much of a batch fits the memory, and the counts of training since the last table."""
        counted = self._counted.get("train")
        return {"part": self._part, "counted": None if counted is None else counted.cpu().tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self._part = int(state["part"])
        self._counted.clear()
        if state["counted"] is not None:
            self._counted["train"] = torch.tensor(state["counted"], dtype=torch.int64)

    def _hold(self, network: nn.Module, step: int) -> None:
        """Keep what was taken over as it is during the first steps: no gradient, and batch-norm as in evaluation."""
        frozen = step < self.settings.freeze
        for name in self.settings.taken():
            part = network.get_submodule(f"encoder.{name}")
            part.requires_grad_(not frozen)
            if frozen:
                part.eval()
            elif self.settings.encoder_norm == "frozen":
                for module in part.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        module.eval()

    def _count(self, split: Split, counts: Tensor) -> None:
        before = self._counted.get(split)
        self._counted[split] = counts if before is None else before.to(counts.device) + counts

    def _weights_on(self, device: torch.device) -> Tensor | None:
        if self._weights is not None:
            self._weights = self._weights.to(device)
        return self._weights

    def _segmenter(self, network: nn.Module, step: int) -> Segmenter:
        inner = cast(SegmentationNetwork, network)
        return Segmenter(inner, self.classes, step, self.settings.pixel_size or 0.0)

    def _wanted(self, request: PreviewRequest | None) -> SliceKey | None:
        """Return the slice that is asked for, if the study has it."""
        if request is None:
            return None
        try:
            along = SlicesAlong(self._study.volume(request.volume), request.axis)
        except StudyError:
            return None
        inside = 0 <= request.index < along.n_slices
        return SliceKey(request.volume, request.axis, request.index) if inside else None

    def _snapshot(self, slices: Tensor, targets: Tensor, found: Tensor) -> SnapshotData:
        """Return pairs of tiles: what is painted, and what the network says."""
        images, painted, said = (t.cpu().numpy() for t in (slices, targets, found.to(torch.uint8)))
        colors = [c.color for c in self.classes]
        tiles = []
        for image, target, own in zip(images, painted, said, strict=True):
            tiles += [overlay(image, target, colors), overlay(image, own, colors)]
        return SnapshotData(
            np.stack(tiles),
            title="What is painted, and what the network says",
            group=2,
            about="Left what is painted (dark where nothing is known), right what the network says.",
        )


def balanced_weights(counts: NDArray[np.int64]) -> Tensor:
    """Return how much a pixel of each kind counts: more the rarer it is, by the square root; a known pixel 1 on average.

    Parameters
    ----------
    counts : ndarray of int, shape (1 + classes,)
        Known pixels of each kind.
    """
    frequency = counts / max(1, counts.sum())
    weights = 1 / np.sqrt(np.maximum(frequency, 1e-4))
    weights /= (weights * frequency).sum()
    return torch.tensor(weights, dtype=torch.float32)
