"""Where specimens were found: one folder for each volume and run, read back and changed under the study's lock."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.boxes import NO_BOX, box_of
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.ome import PROVENANCE
from napari_sortingloss.errors import BadSetting, StudyError, UserError, readable_os_errors
from napari_sortingloss.study.belongings import Belonging
from napari_sortingloss.study.localizations.maps import Floats, place_map, read_float_map
from napari_sortingloss.study.localizations.record import (
    FOLDER,
    MAPS,
    REGION_FILE,
    STATUSES,
    Hull,
    Localization,
    Profile,
    Status,
    Which,
    localization_path,
)
from napari_sortingloss.study.localizations.writer import LocalizationWriter, tidy_localizations
from napari_sortingloss.study.runs.names import fitting_runs
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
    "localized_runs",
    "read_localization",
    "read_map",
    "update_localization",
]

_CHANGES = ("box", "status", "threshold", "fraction", "automatic", "hull", "warnings", "profiles")


class NoBox(StudyError):
    """There is nothing wrong, but no box of a specimen either: not localised, nothing found, or skipped."""


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
    return _runs(study.path, volume)


def _runs(study: Path, volume: str) -> list[str]:
    folder = study / FOLDER / volume
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
        A run's id, its name, or the beginning that only one has; see `read_localization` for what is chosen without it.

    Raises
    ------
    NoBox
        If there is none.
    StudyError
        If several runs fit, or it is damaged.
    """
    runs = localized_runs(study, volume)
    if run is not None and run not in runs:
        fitting = fitting_runs(study.path, runs, run)
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


def place_maps(study: Path, record: VolumeRecord) -> None:
    """Bring the OME attributes of a volume's maps up to its record.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    for run in _runs(study, record.name):
        for which in MAPS:
            path = study / FOLDER / record.name / run / f"{which}.zarr"
            with suppress(FileNotFoundError, ValueError, KeyError, TypeError):  # a damaged map lies nowhere
                grid = atomic.read_json(path / "zarr.json")["attributes"][PROVENANCE]["grid"]
                place_map(path, f"{record.name} {which}", grid, record.voxel_size, record.unit)


BELONGING = Belonging(FOLDER + "/{}", tidy=tidy_localizations, place=place_maps)
