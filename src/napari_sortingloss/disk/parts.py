"""Folders on their way in or out of a study, and clearing away those whose program died."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from napari_sortingloss.disk.lock import is_owned

_PART = re.compile(r"^\.(?P<name>.+)\.zarr\.part-[0-9a-f]+$")
_LEAVING = re.compile(r"^\..+\.leaving-[0-9a-f]+$")

FOREIGN_SECONDS = 600.0
"""A part written on another computer is only given up when nothing has touched it for so long."""


def parts(study: Path) -> Iterator[tuple[str, Path]]:
    """Return (volume name, folder) of every volume that is, or was, being written."""
    folder = study / "volumes"
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            match = _PART.match(path.name)
            if match and path.is_dir():
                yield match["name"], path


def writing_now(study: Path) -> list[str]:
    """Return the names of the volumes that living programs are writing."""
    return [name for name, path in parts(study) if is_alive(path)]


def remove_folder(path: Path) -> None:
    """Remove a folder so that it vanishes at once, however long the disk takes.

    Raises
    ------
    OSError
        If it cannot be renamed or removed.
    """
    if path.exists():
        leaving = path.with_name(f".{path.name}.leaving-{uuid.uuid4().hex[:12]}")
        path.rename(leaving)
        shutil.rmtree(leaving)


def remove_dead_parts(study: Path) -> None:
    """Remove what killed programs left: parts of volumes, folders half removed, temporary files.

    The caller holds the study's lock, under which parts are begun.
    """
    for _, path in parts(study):
        if not is_alive(path):
            shutil.rmtree(path, ignore_errors=True)
    for folder in ("volumes", "annotations", "references", "localizations", "predictions", "runs"):
        if (study / folder).is_dir():
            for path in (study / folder).iterdir():
                if _LEAVING.match(path.name):
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name.endswith(".lock") and not path.with_suffix("").exists():
                    with suppress(OSError):
                        path.unlink()
    for path in study.glob(".study.json.*.tmp"):
        with suppress(OSError):
            path.unlink()


def is_alive(part: Path) -> bool:
    """Whether a living program is writing this folder, on this machine or, not long ago, on another one."""
    if is_owned(part.with_name(part.name + ".lock")):
        return True
    with suppress(OSError, ValueError, AttributeError):
        owner = json.loads((part / "owner.json").read_text("utf-8"))
        if owner.get("host") != socket.gethostname():  # its lock may not be visible from here
            return time.time() - _touched(part) < FOREIGN_SECONDS
    return False


def _touched(folder: Path) -> float:
    """Return when anything below a folder was last written."""
    latest = 0.0
    for path in folder.rglob("*"):
        with suppress(OSError):
            latest = max(latest, path.stat().st_mtime)
    return latest
