"""The live preview of a run: which slice somebody looks at, and what the network in training makes of it.

Both are files in the run's folder, so that it does not matter in which process the run trains.
"""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk import atomic
from napari_sortingloss.errors import readable_os_errors
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study.runs.run import Run

REQUEST_FILE = "preview_request.json"
PICTURE_FILE = "preview.npz"


@dataclass(frozen=True)
class PreviewRequest:
    """The slice that somebody looks at.

    Attributes
    ----------
    volume : str
    axis : {"z", "y", "x"}
        The axis across which it lies.
    index : int
        Its array index along that axis.
    """

    volume: str
    axis: Axis
    index: int


@dataclass(frozen=True)
class PreviewPicture:
    """What a network in training makes of a slice.

    Attributes
    ----------
    step : int
        Steps done.
    slice : PreviewRequest
        Which slice.
    labels : ndarray of uint8, shape (h, w)
        Class values, 0 for background, in the axis order of ``Volume.read_slices``.
    confidence : ndarray of uint8, shape (h, w)
        The probability of that label, 255 for certain.
    """

    step: int
    slice: PreviewRequest
    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


def request_preview(run: Run, volume: str, axis: Axis, index: int) -> None:
    """Ask the process that trains a run, whichever it is, to show what it makes of a slice; the last request counts.

    Raises
    ------
    OutOfSpace, UserError
        If the request cannot be written.
    """
    with readable_os_errors(f"Cannot ask the run '{run.id}' for a preview"):
        atomic.write_json(run.path / REQUEST_FILE, {"volume": volume, "axis": axis, "index": int(index)})


def read_request(folder: Path) -> PreviewRequest | None:
    """Return the slice that is asked for, or None; a request that makes no sense is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = atomic.read_json(folder / REQUEST_FILE)
        if found["axis"] in AXES:
            return PreviewRequest(str(found["volume"]), cast(Axis, found["axis"]), int(found["index"]))
    return None


def request_stamp(folder: Path) -> int:
    """Return a number that changes when another slice is asked for; 0 before the first request."""
    try:
        return (folder / REQUEST_FILE).stat().st_mtime_ns
    except OSError:
        return 0


def write_preview(folder: Path, picture: PreviewPicture) -> str:
    """Replace the preview of a run and return its file name.

    Raises
    ------
    OutOfSpace, UserError
        If it cannot be written.
    """
    data = io.BytesIO()
    about = picture.slice
    np.savez_compressed(
        data,
        labels=picture.labels,
        confidence=picture.confidence,
        step=picture.step,
        volume=about.volume,
        axis=about.axis,
        index=about.index,
    )
    with readable_os_errors("Cannot save the preview of a run"):
        atomic.write_bytes(folder / PICTURE_FILE, data.getvalue())
    return PICTURE_FILE


def read_preview(run: Run) -> PreviewPicture | None:
    """Return what a run last showed of a slice, or None if it has shown nothing that can be read."""
    try:
        with np.load(io.BytesIO((run.path / PICTURE_FILE).read_bytes()), allow_pickle=False) as found:
            about = PreviewRequest(str(found["volume"]), cast(Axis, str(found["axis"])), int(found["index"]))
            return PreviewPicture(int(found["step"]), about, found["labels"], found["confidence"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def remove_preview_after(folder: Path, step: int) -> None:
    """Delete the preview of a step that a resumed run will take again."""
    path = folder / PICTURE_FILE
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            behind = int(found["step"]) > step
        if behind:
            path.unlink()
