"""What this computer can compute on, and what a training run will need of it; imports no torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Literal

import psutil

from napari_sortingloss.networks import encoder_info
from napari_sortingloss.training.pace import Pace, seconds_for
from napari_sortingloss.training.settings import TrainSettings
from napari_sortingloss.training.speeds import known_pace

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

Kind = Literal["cpu", "cuda", "mps"]

BASE_BYTES: dict[Kind, int] = {"cpu": 700 * 2**20, "cuda": 600 * 2**20, "mps": 600 * 2**20}
"""What the program and torch take before the first step, by kind of device (measured on the CPU)."""

CHECKPOINTS = 2
"""Checkpoints a run keeps at once: the last and the best."""


@dataclass(frozen=True)
class Device:
    """Something that can train.

    Attributes
    ----------
    kind : {"cpu", "cuda", "mps"}
    title : str
        What a person calls it, e.g. ``"2 cores"`` or ``"NVIDIA RTX A5000"``.
    memory_bytes : int
        Its memory; 0 where it is not known.
    count : int
        How many there are.
    problem : str
        Why it cannot be used, with what to do; empty when it can.
    """

    kind: Kind
    title: str
    memory_bytes: int
    count: int = 1
    problem: str = ""


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


@cache
def available_devices() -> tuple[Device, ...]:
    """Return what can compute, the best first; a graphics card that torch cannot use is listed last."""
    processor = Device("cpu", _cores_text(usable_cores()), psutil.virtual_memory().total)
    card = _nvidia()
    if card is not None:
        return (processor, card) if card.problem else (card, processor)
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return (Device("mps", "Apple graphics", psutil.virtual_memory().total), processor)
    return (processor,)


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pick_device(settings: TrainSettings) -> Device:
    """Return the device that `settings` will train on, as far as can be told without torch."""
    devices = available_devices()
    if settings.device == "auto":
        return devices[0]
    return next(
        (d for d in devices if d.kind == settings.device), Device(settings.device, settings.device, 0)
    )


def has_bfloat16() -> bool:
    """Return whether the processor computes in bfloat16 faster than in float32 (AVX512-BF16 or AMX)."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - a pseudo file
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


def uses_bfloat16(settings: TrainSettings, kind: Kind) -> bool:
    """Return whether a run will compute in bfloat16."""
    if settings.precision != "auto":
        return settings.precision == "bf16"
    return has_bfloat16() if kind == "cpu" else kind == "cuda"


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
        device=_cores_text(settings.threads) if device.kind == "cpu" and settings.threads else device.title,
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


def _cores_text(cores: int) -> str:
    return "1 core" if cores == 1 else f"{cores} cores"


def _nvidia() -> Device | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None  # no driver, or a card that does not answer: nothing to train on
    cards = [line.rsplit(",", 1) for line in answer.splitlines() if "," in line]
    if not cards:
        return None
    title, mebibytes = cards[0]
    memory = int(mebibytes) * 2**20 if mebibytes.strip().isdigit() else 0
    problem = ""
    if metadata.version("torch").endswith("+cpu"):
        problem = f"the {title.strip()} is not used because torch is installed for processors only: install torch for CUDA"
    return Device("cuda", title.strip(), memory, len(cards), problem)
