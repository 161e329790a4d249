"""Where specimens were found: one folder for each volume and run, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadSetting, StudyError, UserError, readable_os_errors
from napari_sortingloss.study import atomic
from napari_sortingloss.study.boxes import NO_BOX, Shape, box_of
from napari_sortingloss.study.float_map import FloatMapWriter, Floats, Grid, place_map, read_float_map
from napari_sortingloss.study.localization_record import STATUSES, Hull, Localization, Profile, Status
from napari_sortingloss.study.lock import Ownership
from napari_sortingloss.study.ome import PROVENANCE
from napari_sortingloss.study.parts import is_alive, remove_folder
from napari_sortingloss.study.schema import NewerSchemaError, VolumeRecord

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

__all__ = [
    "Hull",
    "Localization",
    "LocalizationWriter",
    "NoBox",
    "Profile",
    "Status",
    "find_localization",
    "list_localizations",
    "localization_path",
    "read_localization",
    "read_map",
    "update_localization",
]

FOLDER = "localizations"
REGION_FILE = "region.json"
Which = Literal["uncertainty", "evidence"]
MAPS: tuple[Which, ...] = ("uncertainty", "evidence")

_CHANGES = ("box", "status", "threshold", "fraction", "automatic", "hull", "warnings", "profiles")
_OLD = re.compile(r"^\.(?P<run>.+)\.old-[0-9a-f]+$")


class NoBox(StudyError):
    """There is nothing wrong, but no box of a specimen either: not localised, nothing found, or skipped."""


def localization_path(study: Study, volume: str, run: str) -> Path:
    """Return the folder of a localisation, whether or not it exists."""
    return study.path / FOLDER / volume / run


def list_localizations(study: Study, volume: str) -> list[Localization]:
    """Return what is known of where the specimen of a volume is, the newest first.

    Raises
    ------
    StudyError
        If one is damaged or was written by a newer program.
    """
    found = [_read(study, volume, run) for run in localized_runs(study, volume)]
    return sorted(found, key=lambda one: (one.created, one.run), reverse=True)


def localized_runs(study: Study, volume: str) -> list[str]:
    """Return the ids of the runs that have localised a volume; nothing but folders is looked at."""
    folder = study.path / FOLDER / volume
    if not folder.is_dir():
        return []
    return sorted(p.parent.name for p in folder.glob(f"*/{REGION_FILE}") if not p.parent.name.startswith("."))


def read_localization(study: Study, volume: str, run: str | None = None) -> Localization | None:
    """Return one localisation of a volume.

    Parameters
    ----------
    study : Study
    volume : str
    run : str, optional
        The run's id. Without it: the newest that a person accepted, else the newest.

    Returns
    -------
    Localization or None
        None where there is none.

    Raises
    ------
    StudyError
        If it is damaged or was written by a newer program.
    """
    if run is not None:
        return (
            _read(study, volume, run)
            if (localization_path(study, volume, run) / REGION_FILE).exists()
            else None
        )
    found = list_localizations(study, volume)
    return next((one for one in found if one.status == "accepted"), found[0] if found else None)


def find_localization(study: Study, volume: str, run: str | None = None) -> Localization:
    """Return one localisation of a volume that must be there.

    Parameters
    ----------
    study : Study
    volume : str
    run : str, optional
        A run's id, or the beginning that only one has; see `read_localization` for what is chosen without it.

    Raises
    ------
    NoBox
        If there is none.
    StudyError
        If several runs fit, or it is damaged.
    """
    runs = localized_runs(study, volume)
    if run is not None and run not in runs:
        fitting = [one for one in runs if run and one.startswith(run)]
        what = f"Cannot find where '{run}' saw the specimen of '{volume}'"
        if not fitting:
            raise NoBox(what, _have(runs), "choose one of these" if runs else "localise it first")
        if len(fitting) > 1:
            raise StudyError(what, f"these runs fit: {', '.join(fitting)}", "choose one of these")
        run = fitting[0]
    found = read_localization(study, volume, run)
    if found is None:
        raise NoBox(f"Cannot find where the specimen of '{volume}' is", _have(runs), "localise it first")
    return found


def _have(runs: list[str]) -> str:
    return f"it was localised by {', '.join(runs)}" if runs else "it has not been localised yet"


def _read(study: Study, volume: str, run: str) -> Localization:
    file = localization_path(study, volume, run) / REGION_FILE
    what = f"Cannot read where '{run}' found the specimen of '{volume}'"
    try:
        values = atomic.read_json(file)
        return Localization.from_json({**values, "volume": volume, "run": run})  # both may have been renamed
    except NewerSchemaError as error:
        raise StudyError(what, f"a newer program wrote it ({error})", "update napari-sortingloss") from error
    except (ValueError, TypeError, KeyError, AttributeError, UserError) as error:
        raise StudyError(
            what, f"its '{REGION_FILE}' is damaged", "localise the volume again with this run"
        ) from error
    except OSError as error:
        raise StudyError(
            what, f"the system reports '{error.strerror}'", "check the disk, then try again"
        ) from error


def update_localization(study: Study, volume: str, run: str, **changes: Any) -> Localization:
    """Change what a person, or a new threshold, makes of a localisation; the maps stay.

    Parameters
    ----------
    study : Study
    volume, run : str
        The run's whole id.
    **changes
        Of ``box``, ``status``, ``threshold``, ``fraction``, ``automatic``, ``hull``, ``warnings`` and ``profiles``.

    Raises
    ------
    StudyError
        If there is no such localisation, it is damaged, or another program keeps the study locked.
    BadSetting
        If a box reaches out of the volume or a status is none.
    OutOfSpace, UserError
        If it cannot be written; the old one is then untouched.
    """
    unknown = set(changes) - set(_CHANGES)
    if unknown:
        raise TypeError(f"a localisation's {', '.join(sorted(unknown))} cannot be changed")
    what = f"Cannot change where the specimen of '{volume}' is"
    if changes.get("status", "found") not in STATUSES:
        raise BadSetting(what, f"'{changes['status']}' is no status", "choose " + " or ".join(STATUSES))
    with study.transaction():
        before = find_localization(study, volume, run)
        box = changes.get("box")
        if box is not None and tuple(tuple(span) for span in box) != NO_BOX:
            changes["box"] = box_of(box, before.shape, what)
        after = before.replace(**changes)
        with readable_os_errors(what):
            atomic.write_json(localization_path(study, volume, before.run) / REGION_FILE, after.to_json())
    return after


def read_map(study: Study, volume: str, run: str, which: Which) -> tuple[Floats, dict[str, Any]]:
    """Read one of the maps of a localisation.

    Parameters
    ----------
    study : Study
    volume, run : str
    which : {"uncertainty", "evidence"}
        Where there is no map of the evidence the uncertainty is it.

    Returns
    -------
    ndarray of float32, shape (z, y, x)
    dict
        Its grid, as ``Grid.to_json`` gives it.

    Raises
    ------
    StudyError
        If there is no such localisation, or it is damaged.
    """
    found = find_localization(study, volume, run)
    grid = found.uncertainty_grid
    if which == "evidence" and found.evidence_grid is not None:
        grid = found.evidence_grid
    else:
        which = "uncertainty"
    path = localization_path(study, volume, found.run) / f"{which}.zarr"
    values = read_float_map(path)
    if list(values.shape) != list(grid["shape"]):
        raise StudyError(
            f"Cannot read '{path}'", f"its shape is not {tuple(grid['shape'])}", "localise the volume again"
        )
    return values, dict(grid)


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


def place_maps(study: Study, record: VolumeRecord) -> None:
    """Bring the OME attributes of a volume's maps up to its record.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    for run in localized_runs(study, record.name):
        for which in MAPS:
            path = localization_path(study, record.name, run) / f"{which}.zarr"
            with suppress(FileNotFoundError, ValueError, KeyError, TypeError):  # a damaged map lies nowhere
                grid = atomic.read_json(path / "zarr.json")["attributes"][PROVENANCE]["grid"]
                place_map(path, f"{record.name} {which}", grid, record.voxel_size, record.unit)


def tidy_localizations(study: Path) -> None:
    """Remove what killed programs left, and finish a replacement that was cut short between its two steps.

    The caller holds the study's lock, under which parts are begun.
    """
    folder = study / FOLDER
    if not folder.is_dir():
        return
    for part in folder.glob(".*.part"):
        if not is_alive(part):
            shutil.rmtree(part, ignore_errors=True)
    for old in folder.glob("*/.*.old-*"):
        match = _OLD.match(old.name)
        if match and not old.with_name(match["run"]).exists():
            with suppress(OSError):
                old.rename(old.with_name(match["run"]))
        elif match:
            shutil.rmtree(old, ignore_errors=True)
