"""Networks of runs that are asked about slices: encoders of pretext tasks, and segmenters with the order behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sortingloss.errors import BadSetting, StudyError, UserError
from napari_sortingloss.pretext import TASKS, can_order
from napari_sortingloss.pretext.loading import load_pretrained
from napari_sortingloss.slices.reader import load_slices

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study, Volume

Floats = NDArray[np.float32]
Weights = Literal["best", "last"]

FINETUNE = "finetune"
"""The kind of the runs that segment."""


class Seer(Protocol):
    """A network that is asked about slices."""

    step: int

    def look(self, volume: Volume, positions: Sequence[int]) -> tuple[Floats, Floats | None, Floats | None]:
        """Return embeddings (n, d), and anatomy (n,) and doubt (n,) where it knows them."""


class PretrainedSeer:
    """The network of a pretext task.

    Parameters
    ----------
    run : Run
    weights : {"best", "last"}
    device, threads
        As in `napari_sortingloss.training.settings.TrainSettings`.
    stack : ExitStack
        The network is given back when it closes.
    """

    def __init__(self, run: Run, weights: Weights, device: str, threads: int, stack: ExitStack) -> None:
        self._trained = stack.enter_context(load_pretrained(run, weights, device, threads))
        self.step: int = self._trained.step
        self._orders = can_order(run.task)

    def look(self, volume: Volume, positions: Sequence[int]) -> tuple[Floats, Floats | None, None]:
        """Return embeddings, and scores where the task orders slices."""
        settings, network = self._trained.settings, self._trained.network
        slices = load_slices(volume, positions, settings.size, settings.field_of_view or 0.0)
        device = next(network.parameters()).device
        encoder: Any = network.encoder
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=self._trained.bfloat16),
        ):
            pictures = torch.from_numpy(slices).to(device)[:, None].float() / 255
            pooled = encoder(pictures).float().mean(dim=(-2, -1))
        scores = None
        if self._orders:
            head: Any = network.head
            with torch.inference_mode():
                scores = head(pooled)[:, 0].cpu().numpy()
        return pooled.cpu().numpy(), scores, None


class SegmentingSeer:
    """The network of a fine-tuning run, and the sorting network that it started from where there is one.

    Parameters
    ----------
    study : Study
        Where the runs are.
    run, weights, device, threads, stack
        As for `PretrainedSeer`.
    """

    def __init__(
        self, study: Study, run: Run, weights: Weights, device: str, threads: int, stack: ExitStack
    ) -> None:
        from napari_sortingloss.segment.segmenter import load_segmenter

        self._segmenter = stack.enter_context(
            load_segmenter(run, which=weights, device=device, threads=threads)
        )
        self.step: int = self._segmenter.step
        before = sorting_run_behind(study, run)
        self._order: PretrainedSeer | None = None
        if before is not None:
            try:
                self._order = PretrainedSeer(before, "best", device, threads, stack)
            except UserError:  # its weights are gone: true positions serve
                self._order = None

    def look(self, volume: Volume, positions: Sequence[int]) -> tuple[Floats, Floats | None, Floats]:
        """Return embeddings, scores where an order is known, and the mean entropy of each slice."""
        slices = volume.read_slices(positions)
        spacing, unit = volume.slice_voxel_size, volume.unit
        embedded = self._segmenter.embed(slices, spacing, unit)
        with torch.inference_mode():
            doubt = mean_entropy(self._segmenter.probabilities(slices, spacing, unit)).cpu().numpy()
        scores = None if self._order is None else self._order.look(volume, positions)[1]
        return embedded, scores, doubt


def mean_entropy(probabilities: Tensor) -> Tensor:
    """Return the mean entropy over the pixels of each slice, as a share of the largest possible.

    Parameters
    ----------
    probabilities : Tensor, shape (n, classes, h, w)

    Returns
    -------
    Tensor of float32, shape (n,)
    """
    p = probabilities.float()
    # xlogy is 0 where p is, so that a sure network has no doubt at all.
    entropy = -torch.special.xlogy(p, p).sum(dim=1).mean(dim=(1, 2)) / math.log(p.shape[1])
    share: Tensor = entropy.clamp(0.0, 1.0)
    return share


def open_seer(study: Study, run: Run, weights: Weights, device: str, threads: int, stack: ExitStack) -> Seer:
    """Load the network of a run, to be asked about slices for as long as `stack` is open.

    Raises
    ------
    BadInput
        If there are no weights yet, or they are damaged.
    BadSetting
        If the run trained something that has no encoder of slices.
    """
    if run.kind == FINETUNE:
        return SegmentingSeer(study, run, weights, device, threads, stack)
    if run.task in TASKS:
        return PretrainedSeer(run, weights, device, threads, stack)
    raise BadSetting(
        f"Cannot look at slices with the run '{run.id}'",
        run.problem or f"it trained '{run.task}'",
        "choose a pre-training or a fine-tuning run",
    )


def sorting_run_behind(study: Study, run: Run) -> Run | None:
    """Return the run that orders slices and that a fine-tuning run started from, directly or over others, or None."""
    seen: set[str] = set()
    settings: dict[str, Any] = run.settings
    while True:
        name = str(settings.get("init") or "")
        if name in seen:
            return None
        seen.add(name)
        try:
            before = study.run(name)
        except StudyError:  # from scratch, or the run was deleted
            return None
        if can_order(before.task):
            return before
        settings = before.settings
