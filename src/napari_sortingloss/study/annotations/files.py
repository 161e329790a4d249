"""The files of a volume's annotations: the sparse array of labels and the table of slices that are not empty."""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
import time
import uuid
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_sortingloss.boxes import Shape
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.lock import is_owned
from napari_sortingloss.disk.parts import FOREIGN_SECONDS
from napari_sortingloss.errors import StudyError
from napari_sortingloss.study.belongings import Belonging
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

FOLDER = "annotations"
LABELS, SLICES = "labels.npy", "slices.json"
LINES, PAYLOADS = "journal.jsonl", "journal.bin"
LOCK = ".editor.lock"
VERSION = 1

Status = Literal["empty", "partial", "complete"]
STATUSES: tuple[Status, ...] = get_args(Status)
_CARRIED = re.compile(r"^\.(?P<name>.+)\.cropped$")
Key = tuple[Axis, int]
"""An axis and an index of the array along it."""


@dataclass(frozen=True)
class SliceState:
    """What is known of a slice that is not empty: its status, and since when (ISO 8601)."""

    status: Status
    time: str


Table = dict[Key, SliceState]


def annotation_path(study: Study, volume: str) -> Path:
    """Return the folder of a volume's annotations, whether or not it exists."""
    return study.path / FOLDER / volume


def is_being_edited(folder: Path) -> bool:
    """Whether a living program of this machine has the annotations in this folder open for painting."""
    return is_owned(folder / LOCK)


def refuse_while_painting(folder: Path, what: str) -> None:
    """Refuse to move annotations that are open; the caller holds the study's lock, under which they are opened.

    Raises
    ------
    StudyError
        If a living program has them open.
    """
    if is_being_edited(folder):
        raise StudyError(what, "its annotations are open for painting", "close them first, then try again")


def keep_annotations(folder: Path, what: str) -> None:
    """Refuse to remove annotations with their volume: that work is never removed in passing.

    Raises
    ------
    StudyError
        If somebody painted on the volume.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise StudyError(what, "it has annotations", f"export what you need, then delete '{folder}' yourself")


def damaged(folder: Path, volume: str, why: str) -> StudyError:
    """Return the error for annotations that cannot be used."""
    return StudyError(
        f"Cannot open the annotations of '{volume}'",
        f"{why} in '{folder}'",
        "restore the folder from a backup, or move it away to begin anew",
    )


def create_labels(folder: Path, shape: Shape) -> None:
    """Make an empty array of labels, at once and without taking room: only pages that are painted on get any.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = folder / LABELS
    temporary = path.with_name(f".{LABELS}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    atomic.sync_folder(folder)


def open_labels(
    folder: Path, volume: str, shape: Shape, mode: Literal["r", "r+"]
) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Map the array of labels, uint8 (z, y, x).

    Raises
    ------
    FileNotFoundError
        If there is none.
    StudyError
        If it is damaged, cut off or of another shape.
    OSError
        If it cannot be read.
    """
    path = folder / LABELS
    try:
        with path.open("rb") as file:
            major, _ = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            found, fortran, dtype = read(file)
            start = file.tell()
    except ValueError as error:
        raise damaged(folder, volume, f"'{LABELS}' is no array") from error
    if tuple(found) != tuple(shape) or fortran or dtype != np.uint8:
        theirs, ours = (" x ".join(map(str, s)) for s in (found, shape))
        raise damaged(
            folder, volume, f"'{LABELS}' holds {theirs} voxels of {dtype} and the volume {ours} of uint8"
        )
    needed = start + int(np.prod(shape, dtype=np.int64))
    size = path.stat().st_size
    if size < needed:
        raise damaged(folder, volume, f"'{LABELS}' is cut off ({size} of {needed} bytes)")
    labels = np.memmap(path, np.uint8, mode, start, tuple(shape))
    pages: Any = labels.base
    if mode == "r+" and hasattr(mmap, "MADV_RANDOM") and hasattr(pages, "madvise"):
        # Dabs of a brush meet single pages; what the system would read around each makes strokes twice as slow.
        pages.madvise(mmap.MADV_RANDOM)
    return labels


def read_ahead(path: Path, most: int = 512 << 20) -> None:
    """Let the system begin to read the painted parts of a sparse file, where it can, so that slices show at once."""
    if not (hasattr(os, "posix_fadvise") and hasattr(os, "SEEK_DATA")):
        return
    with path.open("rb") as file, suppress(OSError):  # the end of the data, or a disk that knows no holes
        at = 0
        while most > 0:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            os.posix_fadvise(file.fileno(), start, min(at - start, most), os.POSIX_FADV_WILLNEED)
            most -= at - start


def read_table(folder: Path, volume: str, shape: Shape) -> tuple[Table, int, int]:
    """Read the slices that are not empty as ``slices.json`` has them, which follows the journal after a moment.

    Returns
    -------
    dict
    int
        The number of the last action that they go by, 0 for none.
    int
        How much of ``journal.jsonl`` they go by, bytes.

    Raises
    ------
    StudyError
        If the file is damaged.
    OSError
        If it cannot be read.
    """
    try:
        document = atomic.read_json(folder / SLICES)
    except FileNotFoundError:
        return {}, 0, 0
    except ValueError as error:
        raise damaged(folder, volume, f"'{SLICES}' is not readable as JSON") from error
    try:
        if int(document["schema_version"]) > VERSION:
            raise StudyError(
                f"Cannot open the annotations of '{volume}'",
                f"a newer program wrote '{SLICES}'",
                "update napari-sortingloss",
            )
        table: Table = {}
        for entry in document["slices"]:
            key, status = key_of(entry["axis"], int(entry["index"]), shape), entry["status"]
            if status not in STATUSES:
                raise ValueError(f"'{status}' is no status")
            table[key] = SliceState(status, str(entry.get("time", "")))
        return table, int(document.get("action", 0)), int(document.get("journal", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder, volume, f"'{SLICES}' is malformed ({error})") from error


def key_of(axis: str, index: int, shape: Shape) -> Key:
    """Return the key of a slice.

    Raises
    ------
    ValueError
        If the volume has no such slice.
    """
    if axis not in AXES:
        raise ValueError(f"'{axis}' is not an axis")
    size = shape[AXES.index(axis)]
    if not 0 <= index < size:
        raise ValueError(f"there is no slice {index} along {axis}, only 0 to {size - 1}")
    return axis, int(index)


def write_table(folder: Path, table: Mapping[Key, SliceState], action: int, journal: int) -> None:
    """Replace the table of slices, whole or not at all; see `read_table`.

    Raises
    ------
    OSError
        If it cannot be written; the old table is then untouched.
    """
    ordered = sorted(table.items(), key=lambda item: (AXES.index(item[0][0]), item[0][1]))
    document = {
        "schema_version": VERSION,
        "action": action,
        "journal": journal,
        "slices": [
            {"axis": axis, "index": index, "status": state.status, "time": state.time}
            for (axis, index), state in ordered
        ],
    }
    # In one line: this is written while somebody paints, and json is slow where it indents.
    atomic.write_bytes(folder / SLICES, json.dumps(document, ensure_ascii=False).encode() + b"\n")


def tidy_annotations(study: Path, volumes: Container[str]) -> None:
    """Finish what a crop that was killed in its last moment left; the caller holds the study's lock.

    Parameters
    ----------
    study : Path
    volumes : container of str
        The names of the volumes that the study has.

    Raises
    ------
    OSError
        If it cannot be moved.
    """
    folder = study / FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _CARRIED.match(path.name)
        if match is None:
            continue
        target = folder / match["name"]
        if match["name"] in volumes and not target.exists():
            path.rename(target)
        elif time.time() - path.stat().st_mtime > FOREIGN_SECONDS:
            with suppress(OSError):
                shutil.rmtree(path)


BELONGING = Belonging(
    FOLDER + "/{}", tidy=tidy_annotations, hold=refuse_while_painting, keep=keep_annotations
)
