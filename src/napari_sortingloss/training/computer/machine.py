"""Decides with torch at hand what a run computes on: device, number format, threads; builds the Fabric for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.training.computer.devices import usable_cores, uses_bfloat16
from napari_sortingloss.training.computer.place import Place
from napari_sortingloss.training.settings import TrainSettings

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives up."""


@dataclass(frozen=True)
class Machine:
    """What a run computes on.

    Attributes
    ----------
    kind : {"cpu", "cuda", "mps"}
    bfloat16 : bool
        Whether the network computes in bfloat16 (weights and loss stay in float32).
    threads : int
        Threads that compute in this process.
    workers : int
        Threads that make batches in this process.
    title : str
        What a person calls it.
    """

    kind: Literal["cpu", "cuda", "mps"]
    bfloat16: bool
    threads: int
    workers: int
    title: str

    @property
    def text(self) -> str:
        """One line for a person."""
        return f"Trains on {self.title} in {'bfloat16' if self.bfloat16 else 'float32'}."


def choose_machine(settings: TrainSettings, processes: int) -> Machine:
    """Settle what `settings` leaves to the machine.

    Parameters
    ----------
    settings : TrainSettings
    processes : int
        How many processes of the run share this computer.

    Raises
    ------
    BadSetting
        If the device asked for is not there, or not that many of them.
    """
    kind = _kind(settings)
    if kind == "cuda":
        found = torch.cuda.device_count()
        if processes > found:
            raise BadSetting(
                f"Cannot train on {processes} graphics cards",
                f"this computer has {found}",
                f"choose at most {found} devices",
            )
        title = torch.cuda.get_device_name(0) + (f" x {processes}" if processes > 1 else "")
        half = uses_bfloat16(settings, kind) and torch.cuda.is_bf16_supported(including_emulation=False)
        workers = settings.workers or max(2, min(12, usable_cores() // processes))
        return Machine(kind, half, settings.threads or torch.get_num_threads(), workers, title)
    if kind == "mps":
        if processes > 1:
            raise BadSetting("Cannot train on several Apple devices", "there is only one", "set devices to 1")
        return Machine(
            kind,
            uses_bfloat16(settings, kind),
            torch.get_num_threads(),
            settings.workers or 4,
            "Apple graphics",
        )
    threads = max(1, (settings.threads or torch.get_num_threads()) // processes)
    cores = threads * processes
    title = ("1 core" if cores == 1 else f"{cores} cores") + (
        f", {processes} processes" if processes > 1 else ""
    )
    return Machine(kind, uses_bfloat16(settings, kind), threads, settings.workers or min(2, threads), title)


def _kind(settings: TrainSettings) -> Literal["cpu", "cuda", "mps"]:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if settings.device == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there[settings.device]:
        raise BadSetting(
            f"Cannot train on the device '{settings.device}'",
            "torch does not find one on this computer",
            "choose auto or cpu, or install the driver and a torch that is built for it",
        )
    return settings.device


def build_fabric(machine: Machine, place: Place, *, unused_parameters: bool) -> Fabric:
    """Build the Fabric of this process.

    Parameters
    ----------
    machine : Machine
    place : Place
        Where this process stands among those of the run.
    unused_parameters : bool
        As in `napari_sortingloss.training.task.PretextTask`.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    options: dict[str, Any] = {
        "accelerator": machine.kind,
        "precision": "bf16-mixed" if machine.bfloat16 else "32-true",
    }
    if place.size == 1:
        return Fabric(devices=1, **options)
    strategy = DDPStrategy(timeout=PATIENCE, find_unused_parameters=unused_parameters)
    return Fabric(
        devices=place.local_size,
        num_nodes=place.size // place.local_size,
        strategy=strategy,
        plugins=[place.environment] if place.environment is not None else None,
        **options,
    )


def free_device(kind: str) -> None:
    """Give the memory that torch keeps for later back to the device."""
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()
