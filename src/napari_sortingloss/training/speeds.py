"""Remembers how fast this computer trained, so that the next run can say how long it will take; imports no torch."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.networks import encoder_info
from napari_sortingloss.study.atomic import write_json
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.training.devices import Device

DEFAULT_SPEED = {"cpu": 25.0, "cuda": 1500.0, "mps": 250.0}
"""Slices a second of ResNet-18 at 112 px where nothing was measured yet; for the CPU for each core."""

REFERENCE_SIZE = 112


def expected_speed(settings: TrainSettings, device: Device) -> tuple[float, bool]:
    """Return how many slices a second a run will train on.

    Parameters
    ----------
    settings : TrainSettings
        The run.
    device : Device
        What will compute.

    Returns
    -------
    speed : float
        Slices a second, scaled from what is known by the pixels of a slice and the weight of the encoder.
    measured : bool
        Whether it comes from an earlier run of the same encoder on this computer.
    """
    from napari_sortingloss.training.devices import usable_cores

    cores = (settings.threads or usable_cores()) if device.kind == "cpu" else 1
    processes = settings.devices if device.kind != "cpu" else 1
    all_known = _read()
    key = _key(settings, device.kind, device.title)
    known = all_known.get(key) or _relative(all_known, key)
    if known is not None:
        speed = float(known["speed"]) * cores / known["cores"] * _work(known["work"], settings)
        return speed * processes, key in all_known
    reference = encoder_info("resnet18").activations_mib(REFERENCE_SIZE)
    return DEFAULT_SPEED[device.kind] * cores * _work(reference, settings) * processes, False


def remember_speed(settings: TrainSettings, device: Device, slices_per_second: float, cores: int) -> None:
    """Keep the measured speed of a run for `expected_speed`; a cache that cannot be written is no reason to fail.

    Parameters
    ----------
    settings : TrainSettings
        The run that was measured.
    device : Device
        What computed.
    slices_per_second : float
        Its speed from end to end, for one device.
    cores : int
        The processor cores that computed; 1 for a graphics card.
    """
    known = _read()
    known[_key(settings, device.kind, device.title)] = {
        "speed": slices_per_second,
        "cores": max(1, cores),
        "work": _cost(settings),
    }
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, known)
    except OSError:
        return


def cache_file() -> Path:
    """Return where the speeds are kept: the user's cache folder."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "napari-sortingloss" / "speeds.json"


def _key(settings: TrainSettings, kind: str, title: str) -> str:
    where = kind if kind == "cpu" else title
    return f"{settings.task} · {where} · {settings.precision} · {encoder_info(settings.encoder).title}"


def _relative(known: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Return what was measured with another encoder, everything else being the same."""
    stem = key.rsplit(" · ", 1)[0]
    return next((value for other, value in known.items() if other.rsplit(" · ", 1)[0] == stem), None)


def _work(known: float, settings: TrainSettings) -> float:
    """Return by how much a slice of `settings` is cheaper than one whose activations take `known` MiB."""
    now = _cost(settings)
    return known / now if known > 0 and now > 0 else 1.0


def _cost(settings: TrainSettings) -> float:
    """Return the MiB that training keeps for one slice, which the time for it goes with."""
    _, more = settings.decoder()
    return encoder_info(settings.encoder).activations_mib(settings.size) + more * settings.size**2 / 2**20


def _read() -> dict[str, Any]:
    try:
        found = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
