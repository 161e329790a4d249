"""Brings the batches of a run to the device: made in threads ahead of the network, each from its own random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_sortingloss.slices.loader import BatchLoader, step_rng
from napari_sortingloss.training.computer.machine import Machine
from napari_sortingloss.training.task import Batch, DeviceBatch, Evaluation, PretextTask

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

_TORCH, _VALIDATION = 1, 2
"""Streams of random numbers besides that of the batches."""


class Feed:
    """The batches of the steps from `first` to `stop`.

    Parameters
    ----------
    task : PretextTask
    volumes : sequence of Volume
        Those to train on.
    machine : Machine
    device : torch.device
    rank : int
        Each process draws batches of its own.
    first, stop : int
        The steps to feed, half-open.
    ahead : int, optional
        How many batches may be made before they are asked for.
    """

    def __init__(
        self,
        task: PretextTask[Any],
        volumes: Sequence[Volume],
        machine: Machine,
        device: torch.device,
        rank: int,
        first: int,
        stop: int,
        ahead: int | None = None,
    ) -> None:
        self._device = device
        pin = device.type == "cuda"
        seed = task.settings.seed

        def make(step: int) -> tuple[int, Batch, dict[str, torch.Tensor]]:
            batch = task.make_batch(volumes, step, step_rng(seed, step, rank))
            tensors = {name: torch.from_numpy(array) for name, array in batch.arrays.items()}
            if pin:
                tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
            return step, batch, tensors

        ahead = ahead or max(4, 2 * machine.workers)
        self._loader = BatchLoader(make, first, stop - first, machine.workers, ahead)

    def next(self) -> tuple[int, DeviceBatch]:
        """Return how many slices the batch of the next step holds, and the batch on the device."""
        step, batch, tensors = next(self._loader)
        moved = {name: tensor.to(self._device, non_blocking=True) for name, tensor in tensors.items()}
        return batch.count, DeviceBatch(moved, batch.info, step)

    def close(self) -> None:
        """Stop making batches."""
        self._loader.close()


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set torch's random numbers (dropout) for a step: a function of the step alone, so nothing need be restored."""
    torch.manual_seed(_number(step_rng(seed, step, rank, _TORCH)))


def evaluation(seed: int, index: int, step: int, device: torch.device) -> Evaluation:
    """Return what a task measures volume number `index` with: the same random numbers at every validation."""
    torch.manual_seed(_number(step_rng(seed, index, 0, _TORCH, _VALIDATION)))
    return Evaluation(device, step_rng(seed, index, 0, 0, _VALIDATION), step)


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63 - 1))
