"""What a training run will need of this computer; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sortingloss.networks import encoder_info
from napari_sortingloss.training.computer.devices import Device, Kind, cores_text, pick_device, uses_bfloat16
from napari_sortingloss.training.computer.pace import Pace, seconds_for
from napari_sortingloss.training.computer.speeds import known_pace
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

BASE_BYTES: dict[Kind, int] = {"cpu": 700 * 2**20, "cuda": 600 * 2**20, "mps": 600 * 2**20}
"""What the program and torch take before the first step, by kind of device (measured on the CPU)."""

CHECKPOINTS = 2
"""Checkpoints a run keeps at once: the last and the best."""


@dataclass(frozen=True)
class Estimate:
    """What a run will need.

    Attributes
    ----------
    memory_bytes : int
        Peak memory on the device that computes.
    disk_bytes : int
        Checkpoints and exported weights.
    device : str
        What will compute, e.g. ``"2 cores"``.
    pace : Pace or None
        What the parts of such a run take on this computer; None where none was timed yet.
    seconds : float or None
        How long the run takes, with getting ready, measuring and saving, but without loading the libraries; None where
        that is not known, or the run has no end.
    problem : str
        What speaks against starting, e.g. too little memory; empty when nothing does.
    """

    memory_bytes: int
    disk_bytes: int
    device: str
    pace: Pace | None = None
    seconds: float | None = None
    problem: str = ""


def estimate(settings: TrainSettings, volumes: Sequence[Volume] = (), measured_on: int = 0) -> Estimate:
    """Say what a run will need before it starts.

    Parameters
    ----------
    settings : TrainSettings
        The settings of the run.
    volumes : sequence of Volume
        What it will train on: fewer slices than asked for make a step smaller.
    measured_on : int
        On how many volumes, or slices that are held back, it will measure.

    Returns
    -------
    Estimate
        Memory from the encoder's weights (with gradients and Adam's two moments) and the activations of one step;
        time from what such runs took on this computer.
    """
    device = pick_device(settings)
    info = encoder_info(settings.encoder)
    more_parameters, more_activations = settings.decoder()
    most = max((volume.n_slices for volume in volumes), default=settings.slices_per_step())
    slices = settings.slices_per_step()
    if not settings.repeats:
        slices = min(slices, max(1, len(volumes)) * most)
    half = 0.5 if uses_bfloat16(settings, device.kind) else 1.0
    activations = (
        slices * half * (info.activations_mib(settings.size) + more_activations * settings.size**2 / 2**20)
    )
    processes = settings.devices if device.kind == "cpu" else 1
    memory = processes * (
        BASE_BYTES[device.kind] + int((info.weights_mib + activations) * 2**20 + more_parameters * 16e6)
    )
    pace = known_pace(settings, device, volumes)
    weights = (info.parameters + more_parameters) * 4e6
    return Estimate(
        memory_bytes=memory,
        disk_bytes=int(CHECKPOINTS * 3 * weights + weights),
        device=cores_text(settings.threads) if device.kind == "cpu" and settings.threads else device.title,
        pace=pace,
        seconds=None
        if pace is None or settings.endless
        else pace.ready + seconds_for(pace, settings, measured_on),
        problem=_problem(device, memory),
    )


def _problem(device: Device, memory: int) -> str:
    if device.problem:
        return device.problem
    if device.memory_bytes and memory > device.memory_bytes:
        return (
            f"needs about {memory / 2**30:.1f} GB of memory, but there are {device.memory_bytes / 2**30:.1f} GB: "
            "lower the size or the number of slices, or choose a smaller encoder"
        )
    return ""
