"""What has been annotated in a study, read from its folder and read again only where it changed; not for the GUI thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sortingloss.errors import UserError

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.annotations.reading import AnnotatedSlice
    from napari_sortingloss.study.classes import LabelClass


@dataclass(frozen=True)
class AnnotatedLook:
    """The annotations of a volume as they were on disk.

    Attributes
    ----------
    stamp : str
        Another one whenever anything was changed, be it one voxel.
    slices : tuple of AnnotatedSlice
        Those that are not empty.
    problem : UserError or None
        Why they cannot be read.
    """

    stamp: str
    slices: tuple[AnnotatedSlice, ...] = ()
    problem: UserError | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AnnotatedLook):
            return NotImplemented
        return self.stamp == other.stamp

    __hash__ = None  # type: ignore[assignment]

    def count(self, status: str) -> int:
        """Return how many slices are partial, or complete."""
        return sum(one.status == status for one in self.slices)


Annotated = Mapping[str, AnnotatedLook]
"""Volume to what was seen; volumes of which no slice is annotated are left out."""

_seen: dict[Path, AnnotatedLook] = {}


def look_at(study: Study, names: Iterable[str]) -> dict[str, AnnotatedLook]:
    """Return what is annotated of each volume."""
    from napari_sortingloss.study.annotations.files import SLICES, annotation_path

    found = {}
    for name in names:
        path = annotation_path(study, name)
        if not (path / SLICES).is_file():
            _seen.pop(path, None)
            continue
        look = _look(study, name, path)
        if look.slices or look.problem is not None:
            found[name] = look
    return found


def classes_of(study: Study) -> tuple[LabelClass, ...]:
    """Return the classes in use."""
    from napari_sortingloss.study.classes import read_classes

    return read_classes(study)


def _look(study: Study, name: str, path: Path) -> AnnotatedLook:
    from napari_sortingloss.study.annotations.reading import Annotations

    try:
        annotations = Annotations(study, name)
        stamp = annotations.stamp
        kept = _seen.get(path)
        if kept is not None and kept.stamp == stamp:
            return kept
        look = AnnotatedLook(stamp, annotations.slices())
    except UserError as error:
        return AnnotatedLook(str(error), problem=error)
    _seen[path] = look
    return look
