"""What has been localised in a study, read from its folder and read again only where it changed; not for the GUI thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sortingloss.errors import UserError

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, VolumeRecord
    from napari_sortingloss.study.localizations.reading import Localization

FOLDER = "localizations"
FILE = "region.json"


@dataclass(frozen=True)
class Look:
    """One localisation as it was on disk.

    Attributes
    ----------
    mtime : int
        When its file was written, in nanoseconds.
    size : int
        Of the file; two looks with the same signature saw the same.
    value : Localization or None
        None where it cannot be read.
    problem : UserError or None
        Why it cannot be read.
    """

    mtime: int
    size: int
    value: Localization | None = None
    problem: UserError | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Look):
            return NotImplemented
        return (self.mtime, self.size) == (other.mtime, other.size)

    __hash__ = None  # type: ignore[assignment]


Localized = Mapping[str, Mapping[str, Look]]
"""Volume to run to what was seen."""

_seen: dict[Path, Look] = {}


def look_at(study: Study, names: Iterable[str]) -> Localized:
    """Return what there is of each volume; volumes without any localisation are left out."""
    found: dict[str, dict[str, Look]] = {}
    for name in names:
        for folder in _folders(study.path / FOLDER / name):
            look = _look(study, name, folder)
            if look is not None:
                found.setdefault(name, {})[folder.name] = look
    return found


def modified(study: Study, volume: str, run: str) -> int:
    """Return when a localisation was last written, in nanoseconds; 0 where there is none."""
    try:
        return (study.path / FOLDER / volume / run / FILE).stat().st_mtime_ns
    except OSError:
        return 0


def best_of(looks: Mapping[str, Look]) -> Localization | None:
    """Return the localisation of a volume that counts: the newest accepted one, or else the newest."""
    readable = sorted((look.value for look in looks.values() if look.value), key=lambda one: one.created)
    accepted = [one for one in readable if one.status == "accepted"]
    return next(iter(reversed(accepted or readable)), None)


def crop_of(localization: Localization, parent: VolumeRecord, children: Iterable[VolumeRecord]) -> str:
    """Return which of the volumes cut from `parent` is cut to just the box of a localisation, or an empty string."""
    if localization.is_empty:
        return ""
    start = tuple(low + o for (low, _), o in zip(localization.box, parent.offset, strict=True))
    shape = tuple(high - low for low, high in localization.box)
    cut = (child for child in children if (tuple(child.offset), tuple(child.shape)) == (start, shape))
    return next((child.name for child in cut), "")


def children_of(records: Mapping[str, VolumeRecord]) -> dict[str, list[VolumeRecord]]:
    """Return for each volume those that were cut out of it; volumes without any are left out."""
    found: dict[str, list[VolumeRecord]] = {}
    for record in records.values():
        if record.parent is not None:
            found.setdefault(record.parent, []).append(record)
    return found


def _look(study: Study, volume: str, folder: Path) -> Look | None:
    path = folder / FILE
    try:
        status = path.stat()
    except OSError:
        _seen.pop(path, None)
        return None
    kept = _seen.get(path)
    if kept is not None and (kept.mtime, kept.size) == (status.st_mtime_ns, status.st_size):
        return kept
    from napari_sortingloss.study.localizations.reading import read_localization

    signature = status.st_mtime_ns, status.st_size
    try:
        value = read_localization(study, volume, folder.name)
    except UserError as error:
        look = Look(*signature, problem=error)
    else:
        look = Look(*signature, value=value)
    _seen[path] = look
    return look


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
