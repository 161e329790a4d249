"""One network on its device: takes a step, measures on a volume, gives and takes its state; Fabric does the rest."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_sortingloss.errors import BadInput
from napari_sortingloss.training import failures
from napari_sortingloss.training.computer.machine import Machine, build_fabric, free_device
from napari_sortingloss.training.computer.place import Place
from napari_sortingloss.training.loop.checkpoints import Checkpoint
from napari_sortingloss.training.loop.feed import evaluation, seed_step
from napari_sortingloss.training.task import DeviceBatch, PretextTask, StepOutput

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume
    from napari_sortingloss.study.runs.live_preview import PreviewPicture, PreviewRequest


class _Hand:
    """Carries a batch in and an output out, past everything that would copy or convert them on the way."""

    def __init__(self, batch: DeviceBatch) -> None:
        self.batch = batch
        self.output: StepOutput | None = None


class _Step(nn.Module):
    """The whole loss as one module, so that Fabric's autocast and distributed forward wrap all of it."""

    def __init__(self, task: PretextTask[Any], network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._task = task

    def forward(self, hand: _Hand) -> Tensor:
        hand.output = self._task.loss(self.network, hand.batch)
        return hand.output.loss


class Engine:
    """The network of a run with its optimizer, on the device.

    Parameters
    ----------
    task : PretextTask
    machine : Machine
    place : Place

    Attributes
    ----------
    network : torch.nn.Module
        As the task built it.
    optimizer : torch.optim.Optimizer
    device : torch.device
    updating : bool
        Whether the weights are being changed; when a step failed, whether they are neither the old nor the new ones.
    """

    def __init__(self, task: PretextTask[Any], machine: Machine, place: Place) -> None:
        self._task, self._machine, self._rank = task, machine, place.rank
        self.updating = False
        self._threads_before = torch.get_num_threads()
        self._benchmark_before = torch.backends.cudnn.benchmark
        environment = dict(os.environ)
        self._fabric = build_fabric(machine, place, unused_parameters=task.unused_parameters)
        self._fabric.launch()
        if "OMP_NUM_THREADS" not in environment:
            os.environ.pop("OMP_NUM_THREADS", None)  # Fabric sets it for programs that run once
        self.device: torch.device = self._fabric.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.settings.seed)
            self.network = task.build()
        if not any(p.dim() == 5 for p in self.network.parameters()):
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.to(self.device)
        self.optimizer = task.optimizer(self.network)
        self._module, self._stepper = self._fabric.setup(_Step(task, self.network), self.optimizer)
        torch.set_num_threads(machine.threads)
        torch.backends.cudnn.benchmark = True

    def learn(self, batch: DeviceBatch) -> StepOutput:
        """Take one step.

        Raises
        ------
        UserError
            If the loss is not a number, where finding out costs no time (on the CPU).
        """
        task, step = self._task, batch.step
        seed_step(task.settings.seed, step, self._rank)
        task.set_rates(self.optimizer, step)
        self._module.train()
        self.optimizer.zero_grad(set_to_none=True)
        hand = _Hand(batch)
        loss = self._module(hand)
        if self.device.type == "cpu" and not bool(torch.isfinite(loss)):
            raise failures.not_a_number(step + 1)
        self._fabric.backward(loss)
        self.updating = True
        self._stepper.step()
        with torch.no_grad():
            task.after_step(self.network, step)
        self.updating = False
        assert hand.output is not None
        return hand.output

    def measure(self, volume: Volume, index: int, step: int) -> Generator[None, None, Mapping[str, float]]:
        """Measure on a volume in evaluation mode: a generator that yields between pieces of work."""
        self._module.eval()
        work = self._task.validate(
            self.network, volume, evaluation(self._task.settings.seed, index, step, self.device)
        )
        while True:
            try:
                with torch.no_grad(), self._fabric.autocast():
                    next(work)
            except StopIteration as end:
                figures: Mapping[str, float] = end.value
                return figures
            yield

    def preview(self, request: PreviewRequest | None, step: int) -> PreviewPicture | None:
        """Let the task show a slice, in evaluation mode."""
        self._module.eval()
        look = evaluation(self._task.settings.seed, 0, step, self.device)
        with torch.no_grad(), self._fabric.autocast():
            return self._task.preview(self.network, request, look)

    def is_finite(self) -> bool:
        """Return whether all weights and statistics are numbers."""
        return failures.all_finite([*self.network.parameters(), *self.network.buffers()])

    def load(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint.

        Raises
        ------
        BadInput
            If it is of another network.
        """
        try:
            self.network.load_state_dict(checkpoint.network)
            self.optimizer.load_state_dict(dict(checkpoint.optimizer))
        except (RuntimeError, ValueError, KeyError) as error:
            raise BadInput(
                "Cannot go on from the checkpoint",
                "it holds another network than the settings say",
                "start a new run",
            ) from error
        if self._rank < len(checkpoint.tasks):
            self._task.load_state_dict(checkpoint.tasks[self._rank])

    def free(self) -> None:
        """Free all that a step needs and leaves behind."""
        self.optimizer.zero_grad(set_to_none=True)
        free_device(self._machine.kind)

    def close(self) -> None:
        """Let go of the network and give the device's memory and the processor's threads back."""
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()
        self.network.to("cpu")  # frees the card's memory even where someone still holds the network
        del self._module, self._stepper, self._fabric
        torch.set_num_threads(self._threads_before)
        torch.backends.cudnn.benchmark = self._benchmark_before
        free_device(self._machine.kind)
