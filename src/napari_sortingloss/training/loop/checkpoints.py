"""Checkpoints that are either the old one or the new one, never half of each, and that run no code when read."""

from __future__ import annotations

import os
import pickle
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Literal

import torch

from napari_sortingloss.disk.atomic import sync_folder
from napari_sortingloss.errors import BadInput, readable_os_errors

Which = Literal["last", "best"]

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next step depends on.

    Attributes
    ----------
    step : int
        Steps done.
    network, optimizer : mapping
        Their states; buffers (statistics of batch-norm, a teacher) included.
    tasks : sequence of mapping
        What the task of each process remembers, by rank.
    settings : mapping
        The settings of the run, JSON-ready.
    best : float or None
        The best value of the main figure so far.
    seconds : float
        Time spent training so far.
    slices : int
        Slices trained on so far.
    metrics, validation : mapping of str to float
        The last figures.
    """

    step: int
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    tasks: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    best: float | None = None
    seconds: float = 0.0
    slices: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)


def path_of(folder: Path, which: Which) -> Path:
    """Return where a checkpoint of the run in `folder` lies."""
    return folder / f"{which}.pt"


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Replace the last checkpoint of a run; a crash at any moment leaves the old one or the new one.

    Parameters
    ----------
    folder : Path
        The folder of the run.
    checkpoint : Checkpoint

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutOfSpace, UserError
        If the disk is full or cannot be written to; the old checkpoint is still there then.
    """
    path = path_of(folder, "last")
    document = {"version": VERSION, **{f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}}
    with readable_os_errors(f"Cannot save a checkpoint of '{folder.name}'"), _beside(path) as part:
        with part.open("wb") as file:
            _write(document, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(folder)
    return path


def keep_as_best(folder: Path) -> Path:
    """Make the last checkpoint the best one too, without copying it where the disk can do without.

    Raises
    ------
    OutOfSpace, UserError
        If it cannot be written.
    """
    last, best = path_of(folder, "last"), path_of(folder, "best")
    with readable_os_errors(f"Cannot save a checkpoint of '{folder.name}'"), _beside(best) as part:
        try:
            os.link(last, part)
        except OSError:  # a disk without hard links
            with part.open("wb") as file:
                file.write(last.read_bytes())
                file.flush()
                os.fsync(file.fileno())
        part.replace(best)
        sync_folder(folder)
    return best


def load_checkpoint(folder: Path, which: Which = "last") -> Checkpoint:
    """Read a checkpoint of a run; tensors come to the CPU.

    Raises
    ------
    BadInput
        If there is none, it is damaged, or a newer version wrote it. Nothing in the file is ever run.
    """
    path = path_of(folder, which)
    what = f"Cannot go on from the checkpoint of '{folder.name}'"
    if not path.is_file():
        raise BadInput(what, "the run has none yet", "start a new run")
    with readable_os_errors(what), path.open("rb") as file:
        archive = file.read(2) == b"PK"
    try:
        if not archive:  # a bare pickle, which torch would try to read
            raise ValueError("not an archive")
        document = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, pickle.UnpicklingError) as error:
        raise BadInput(
            what,
            f"the file '{path.name}' is damaged",
            "copy it again from a backup, or give the run's other checkpoint its name",
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("version"), int):
        raise BadInput(what, f"the file '{path.name}' is not a checkpoint of this program", "start a new run")
    if document["version"] > VERSION:
        raise BadInput(what, "a newer version of the program wrote it", "update napari-sortingloss")
    return Checkpoint(**{f.name: document[f.name] for f in fields(Checkpoint) if f.name in document})


def best_or_last(folder: Path) -> Checkpoint:
    """Read the best checkpoint of a run, or the last one where none was the best yet.

    Raises
    ------
    BadInput
        As `load_checkpoint`.
    """
    return load_checkpoint(folder, "best" if path_of(folder, "best").is_file() else "last")


def remove_leftovers(folder: Path) -> None:
    """Delete half-written checkpoints that a killed process left behind; call it while holding the run."""
    for which in ("last", "best"):
        for part in folder.glob(f".{which}.pt.part-*"):
            with suppress(OSError):
                part.unlink()


class _beside:  # noqa: N801 - used like a function
    """A temporary file next to `path` that does not outlive the block."""

    def __init__(self, path: Path) -> None:
        self._part = path.with_name(f".{path.name}.part-{uuid.uuid4().hex}")

    def __enter__(self) -> Path:
        return self._part

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


class _Remembering:
    """A file that remembers the system's error: torch reports only that writing failed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _write(document: Mapping[str, Any], file: IO[bytes]) -> None:
    target = _Remembering(file)
    try:
        torch.save(document, target)  # type: ignore[arg-type]
    except RuntimeError as error:
        if target.error is not None:
            raise target.error from error
        raise
