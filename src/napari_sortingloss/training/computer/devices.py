"""What this computer can compute on; imports no torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Literal

import psutil

from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    pass

Kind = Literal["cpu", "cuda", "mps"]


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


@cache
def available_devices() -> tuple[Device, ...]:
    """Return what can compute, the best first; a graphics card that torch cannot use is listed last."""
    processor = Device("cpu", cores_text(usable_cores()), psutil.virtual_memory().total)
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


def cores_text(cores: int) -> str:
    """Say how many cores, e.g. ``"2 cores"``."""
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
