"""Writes the picture of a batch into the run's folder as one row of small tiles."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from napari_sortingloss.disk.atomic import write_bytes
from napari_sortingloss.errors import readable_os_errors
from napari_sortingloss.events import Snapshot
from napari_sortingloss.training.task import SnapshotData

TILE = 64
"""The side of a tile in pixels."""

MOST = 64
"""More tiles than this are thinned out evenly."""

KEPT = 3
"""Pictures kept at a time: a window may still be reading the one before the last."""


def save_snapshot(folder: Path, step: int, data: SnapshotData) -> Snapshot:
    """Write a picture and return the event that announces it.

    Parameters
    ----------
    folder : Path
        The run's folder.
    step : int
        The step it shows.
    data : SnapshotData
        The tiles, grey (k, h, w) or RGB (k, h, w, 3).

    Raises
    ------
    OutOfSpace, UserError
        If the disk is full or cannot be written to.
    """
    groups = _thinned(len(data.tiles) // data.group, MOST // data.group)
    chosen = [group * data.group + i for group in groups for i in range(data.group)]
    row = np.concatenate(
        [cv2.resize(data.tiles[i], (TILE, TILE), interpolation=cv2.INTER_AREA) for i in chosen], axis=1
    )
    _, png = cv2.imencode(".png", row if row.ndim == 2 else row[..., ::-1])
    name = f"snapshot-{step:08d}.png"
    with readable_os_errors("Cannot save the picture of a batch"):
        write_bytes(folder / name, png.tobytes())
    for old in sorted(folder.glob("snapshot-*.png"))[:-KEPT]:
        with suppress(OSError):
            old.unlink()
    return Snapshot(
        step=step,
        picture=name,
        tiles=len(chosen),
        captions=tuple(data.captions[i] for i in groups) if data.captions else (),
        correct=tuple(bool(data.correct[i]) for i in groups) if data.correct else (),
        title=data.title,
        group=data.group,
        about=data.about,
    )


def remove_pictures_after(folder: Path, step: int) -> None:
    """Delete pictures of steps that a resumed run will take again."""
    for picture in folder.glob("snapshot-*.png"):
        number = picture.stem.removeprefix("snapshot-")
        if number.isdigit() and int(number) > step:
            with suppress(OSError):
                picture.unlink()


def _thinned(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return [round(i) for i in np.linspace(0, count - 1, most)]
