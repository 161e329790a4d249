"""Rebuilds the network of a run from its checkpoint, ready to be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import nn

from napari_sortingloss.errors import BadInput
from napari_sortingloss.pretext import settings_for, task_class
from napari_sortingloss.training.computer.machine import choose_machine
from napari_sortingloss.training.loop.checkpoints import Which, best_or_last, load_checkpoint, path_of
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.study import Run

N = TypeVar("N", bound=nn.Module)
S = TypeVar("S", bound=TrainSettings)


@dataclass(frozen=True)
class Trained(Generic[N, S]):
    """A network and what is known about it.

    Attributes
    ----------
    network : torch.nn.Module
        In evaluation mode, on its device.
    settings : TrainSettings
        Of the run, with the device and the threads asked for.
    step : int
        Steps its weights were trained for.
    bfloat16 : bool
        Whether to compute in bfloat16, as in training.
    """

    network: N
    settings: S
    step: int
    bfloat16: bool


@contextmanager
def load_network(
    run: Run,
    which: Which,
    device: str,
    threads: int,
    settings_class: type[S],
    build: Callable[[S], N],
) -> Iterator[Trained[N, S]]:
    """Rebuild the network of a run from a checkpoint, for as long as the block lasts.

    Parameters
    ----------
    run : Run
    which : {"best", "last"}
    device, threads
        As in `napari_sortingloss.training.settings.TrainSettings`; the threads are given back in the end.
    settings_class : type
        Of the settings of the run's task.
    build : callable
        Builds the network from the settings.

    Raises
    ------
    BadInput
        If there are no weights yet, or they are damaged or do not fit the run's settings.
    BadSetting
        If the device is not there.
    """
    what = f"Cannot use the weights of the run '{run.id}'"
    if not path_of(run.path, "last").is_file():
        raise BadInput(what, "it has none yet", "wait for its first checkpoint, or choose another run")
    try:
        checkpoint = best_or_last(run.path) if which == "best" else load_checkpoint(run.path)
    except BadInput as error:
        raise BadInput(what, error.why, "choose another run, or train again") from error
    settings = settings_class.from_json({**checkpoint.settings, "device": device, "threads": threads})
    network = build(settings)
    try:
        network.load_state_dict(dict(checkpoint.network))
    except RuntimeError as error:
        why = "they belong to another kind of network"
        raise BadInput(what, why, "choose another run, or train again") from error
    with ready(network, settings) as bfloat16:
        yield Trained(network, settings, checkpoint.step, bfloat16)


@contextmanager
def load_pretrained(run: Run, which: Which, device: str, threads: int) -> Iterator[Trained[Any, Any]]:
    """Rebuild the network of a pre-training run, of whatever task, for as long as the block lasts.

    Parameters
    ----------
    run : Run
        Of a task of the registry, see `napari_sortingloss.pretext.TASKS`.
    which : {"best", "last"}
    device, threads
        As in `napari_sortingloss.training.settings.TrainSettings`; the threads are given back in the end.

    Raises
    ------
    BadInput
        If there are no weights yet, or they are damaged or do not fit the run's settings.
    BadSetting
        If the device is not there, or the task is not known.
    """
    task = task_class(run.task)
    with load_network(
        run, which, device, threads, settings_for(run.task), lambda s: task(s).build()
    ) as found:
        yield found


@contextmanager
def ready(network: nn.Module, settings: TrainSettings) -> Iterator[bool]:
    """Bring a network to its device, ready to be asked, for as long as the block lasts.

    Parameters
    ----------
    network : torch.nn.Module
    settings : TrainSettings
        With the device and the threads asked for; the threads are given back in the end.

    Returns
    -------
    bool
        Whether to compute in bfloat16.

    Raises
    ------
    BadSetting
        If the device is not there.
    """
    machine = choose_machine(settings, 1)
    network.eval().to(torch.device(machine.kind))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = torch.get_num_threads()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        yield machine.bfloat16
    finally:
        torch.set_num_threads(before)
