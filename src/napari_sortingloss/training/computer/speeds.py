"""Remembers how fast this computer trained, so that the next run can say how long it will take; imports no torch."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.disk.atomic import plain, write_json
from napari_sortingloss.training.computer.pace import Pace
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume
    from napari_sortingloss.training.computer.devices import Device

KEEP = 100
"""So many paces are kept, those used last."""

NO_MATTER = (
    *("steps", "volumes", "validate", "learning_rate", "validate_every", "checkpoint_every", "seed"),
    *(
        "field_of_view",
        "pixel_size",
        "init",
        "take",
        "init_weights",
        "freeze",
        "encoder_rate",
        "weight_decay",
    ),
    *("class_weights", "held_back", "classes", "learnt", "kept", "predicted", "sure", "sure_of_background"),
    *("margin", "weighting", "reversed_volumes", "threads"),
)
"""Settings that change nothing, or little, in what a step takes; the number of threads is counted as cores."""


def known_pace(settings: TrainSettings, device: Device, volumes: Sequence[Volume]) -> Pace | None:
    """Return how fast runs with just these settings are here, or None where none was timed yet.

    Parameters
    ----------
    settings : TrainSettings
        The run; `NO_MATTER` says what may be another.
    device : Device
        What will compute.
    volumes : sequence of Volume
        What it will train on: of large slices reading is what takes long.
    """
    return Pace.from_json(_read().get(_key(settings, device, volumes)))


def remember_pace(settings: TrainSettings, device: Device, volumes: Sequence[Volume], pace: Pace) -> None:
    """Keep a pace for `known_pace`; a cache that cannot be written is no reason to fail."""
    known = _read()
    key = _key(settings, device, volumes)
    known.pop(key, None)  # the newest stand last
    known[key] = pace.to_json()
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, dict(list(known.items())[-KEEP:]))
    except OSError:
        return


def matters(settings: TrainSettings) -> dict[str, Any]:
    """Return what of the settings decides what a step takes."""
    return {name: value for name, value in settings.to_json().items() if name not in NO_MATTER}


def cache_file() -> Path:
    """Return where the speeds are kept: the user's cache folder."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "napari-sortingloss" / "speeds.json"


def _key(settings: TrainSettings, device: Device, volumes: Sequence[Volume]) -> str:
    from napari_sortingloss.training.computer.devices import usable_cores

    cores = settings.threads or usable_cores() if device.kind == "cpu" else 0
    where = [settings.task, device.title, cores, sorted({_size(volume) for volume in volumes})]
    return json.dumps([*where, plain(matters(settings))], ensure_ascii=False)


def _size(volume: Volume) -> str:
    """Say how large the slices of a volume are, to the nearest power of two, and across which axis they lie."""
    return f"{volume.axis} 2^{round(math.log2(math.prod(volume.slice_shape)))}"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
