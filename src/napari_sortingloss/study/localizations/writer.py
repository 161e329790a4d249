"""Writing what one run finds in one volume, so that an earlier result stays until the new one is whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Shape
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.lock import Ownership, is_owned
from napari_sortingloss.disk.parts import is_alive, remove_folder
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.study.localizations.maps import FloatMapWriter, Grid
from napari_sortingloss.study.localizations.record import (
    FOLDER,
    REGION_FILE,
    Localization,
    Which,
    localization_path,
)
from napari_sortingloss.study.schema import VolumeRecord

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

_OLD = re.compile(r"^\.(?P<run>.+)\.old-[0-9a-f]+$")


class LocalizationWriter:
    """Writes what one run finds in one volume; until `commit` an earlier result stays as it is.

    Parameters
    ----------
    study : Study
    volume : str
    run : str
        The run's whole id.

    Raises
    ------
    StudyError
        If the study has no such volume, or another program or job is localising it with this run.
    UserError
        If the folder cannot be written.

    Notes
    -----
    The maps go to ``localizations/.RUN.NAME.part``, whose lock file this process holds while it lives; a part that
    nobody holds is removed when the study is opened next. Leaving the `with` block without `commit` removes it at once.
    """

    def __init__(self, study: Study, volume: str, run: str) -> None:
        self.study, self.run = study, run
        self.record: VolumeRecord = study.volume(volume).record
        self._what = f"Cannot localise '{volume}'"
        self._maps: dict[Which, FloatMapWriter] = {}
        self._part = study.path / FOLDER / f".{run}.{volume}.part"
        self._owner = Ownership(self._part.with_name(self._part.name + ".lock"))
        self._open = False
        with readable_os_errors(self._what), study.transaction():
            self._part.parent.mkdir(exist_ok=True)
            if is_alive(self._part) or not self._owner.take(timeout=0.1):
                raise StudyError(
                    self._what,
                    f"another program or job is localising it with run '{run}'",
                    "wait until it is done, or stop it there",
                )
            self._open = True
            try:
                shutil.rmtree(self._part, ignore_errors=True)
                (self._part / "result").mkdir(parents=True)
                owner = {"pid": os.getpid(), "host": socket.gethostname()}
                (self._part / "owner.json").write_text(json.dumps(owner), "utf-8")
            except BaseException:
                self.abort()
                raise

    def uncertainty(self, points: Shape | NDArray[np.floating[Any]], grid: Grid) -> FloatMapWriter:
        """Begin the map of the uncertainty, or write it whole.

        Parameters
        ----------
        points : tuple of int, or ndarray of float, shape (z, y, x)
            The shape of the map, whose slabs are then written along z with `FloatMapWriter.write`; or the whole map.
        grid : mapping
            As ``Grid.to_json`` gives it.
        """
        return self._map("uncertainty", points, grid)

    def evidence(self, points: Shape | NDArray[np.floating[Any]], grid: Grid) -> FloatMapWriter:
        """Begin the map that the region is cut from, or write it whole; left out where it is the uncertainty."""
        return self._map("evidence", points, grid)

    def _map(self, which: Which, points: Shape | NDArray[np.floating[Any]], grid: Grid) -> FloatMapWriter:
        whole = points if isinstance(points, np.ndarray) else None
        z, y, x = points.shape if isinstance(points, np.ndarray) else points
        writer = FloatMapWriter(self._part / "result" / f"{which}.zarr", (z, y, x), grid)
        self._maps[which] = writer
        if whole is not None:
            writer.write(0, whole)
        return writer

    def commit(self, found: Localization) -> Localization:
        """Put the result in place of an earlier one.

        Parameters
        ----------
        found : Localization
            Its volume, run, shape and grids are filled in from what was written.

        Returns
        -------
        Localization
            As it is stored.

        Raises
        ------
        StudyError
            If the volume was removed or renamed in the meantime, or another program keeps the study locked.
        OutOfSpace, UserError
            If the disk is full or fails; the earlier result is then untouched.
        """
        if not self._open or "uncertainty" not in self._maps:
            raise ValueError("a localisation is committed once, with the map of its uncertainty")
        evidence = self._maps.get("evidence")
        name, shape = self.record.name, self.record.shape
        stored = found.replace(
            volume=name,
            run=self.run,
            shape=shape,
            uncertainty_grid=dict(self._maps["uncertainty"].grid),
            evidence_grid=None if evidence is None else dict(evidence.grid),
        )
        result = self._part / "result"
        with readable_os_errors(self._what):
            atomic.write_json(result / REGION_FILE, stored.to_json())
            with self.study.transaction():
                record = self.study.volumes.get(name)
                if record is None or record.shape != shape:
                    raise StudyError(
                        self._what, "it was removed or renamed in the meantime", "localise it again"
                    )
                for which, writer in self._maps.items():
                    writer.finish(f"{name} {which}", record.voxel_size, record.unit)
                _put_in_place(result, localization_path(self.study, name, self.run))
        self.abort()
        return stored

    def abort(self) -> None:
        """Remove what was written; harmless after `commit` and when repeated."""
        if self._open:
            self._open = False
            shutil.rmtree(self._part, ignore_errors=True)
            with suppress(OSError):
                self._part.with_name(self._part.name + ".lock").unlink()
            self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _put_in_place(result: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    old = path.with_name(f".{path.name}.old-{uuid.uuid4().hex[:12]}")
    if path.exists():
        path.rename(old)
    try:
        result.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    with suppress(OSError):  # what is left goes when the study is opened next
        remove_folder(old)


def tidy_localizations(study: Path, volumes: Mapping[str, VolumeRecord]) -> None:
    """Remove what killed programs left, and finish a replacement that was cut short between its two steps.

    The caller holds the study's lock, under which parts and crops are begun.
    """
    folder = study / FOLDER
    if not folder.is_dir():
        return
    for part in folder.glob(".*.part"):
        if not is_alive(part):
            shutil.rmtree(part, ignore_errors=True)
    for lock in folder.glob("*/.*.lock"):  # of crops
        if not is_owned(lock):
            with suppress(OSError):
                lock.unlink()
    for old in folder.glob("*/.*.old-*"):
        match = _OLD.match(old.name)
        if match and not old.with_name(match["run"]).exists():
            with suppress(OSError):
                old.rename(old.with_name(match["run"]))
        elif match:
            shutil.rmtree(old, ignore_errors=True)
