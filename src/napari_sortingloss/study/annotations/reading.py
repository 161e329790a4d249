"""Reading annotations: labels, the status of each slice, and what a network is to learn from them; takes no lock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadSetting, readable_os_errors
from napari_sortingloss.study.annotations.actions import follow
from napari_sortingloss.study.annotations.files import (
    LABELS,
    LINES,
    SLICES,
    STATUSES,
    Key,
    Status,
    Table,
    annotation_path,
    damaged,
    key_of,
    open_labels,
    read_table,
)
from napari_sortingloss.study.classes import BACKGROUND, FIRST, LAST, UNPAINTED
from napari_sortingloss.study.schema import AXES, Axis

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

__all__ = ["IGNORE", "STATUSES", "AnnotatedSlice", "Annotations", "Status", "annotated"]

IGNORE = 255
"""What a target holds where nobody said anything."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class AnnotatedSlice:
    """A slice that somebody said something about.

    Attributes
    ----------
    axis : {"z", "y", "x"}
        Across which axis.
    index : int
        Along the array, not in the ordering direction: flipping that moves nothing.
    status : {"partial", "complete"}
        Whether what is unpainted is unknown or background.
    time : str
        Since when it has this status, ISO 8601.
    """

    axis: Axis
    index: int
    status: Literal["partial", "complete"]
    time: str


class Annotations:
    """The annotations of one volume, as the disk has them; another program may be painting.

    Parameters
    ----------
    study : Study
    volume : str
        The volume's name.

    Raises
    ------
    StudyError
        If the study has no such volume. The methods raise it where the files are damaged.

    Notes
    -----
    A slice is *empty* (nothing is said about it, whatever slices across other axes painted there), *partial* (unpainted
    voxels are unknown) or *complete* (they are background). Painting across one axis says nothing about slices across
    the others.
    """

    def __init__(self, study: Study, volume: str) -> None:
        self.study, self.volume = study, volume
        self.record = study.volume(volume).record
        self.path = annotation_path(study, volume)
        self._map: tuple[int, Labels] | None = None
        self._table: tuple[str, Table] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.volume!r})"

    @property
    def exists(self) -> bool:
        """Whether somebody ever began to annotate the volume."""
        return (self.path / LABELS).is_file()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) in voxels, the volume's."""
        return self.record.shape

    def labels(self) -> Labels:
        """Return all labels, uint8 (z, y, x), read-only: a memory map, or zeros that take no memory.

        Raises
        ------
        StudyError
            If they are damaged or of another shape than the volume.
        """
        with readable_os_errors(f"Cannot read the annotations of '{self.volume}'"):
            try:
                inode = (self.path / LABELS).stat().st_ino
                if self._map is None or self._map[0] != inode:
                    self._map = inode, open_labels(self.path, self.volume, self.shape, "r")
            except FileNotFoundError:
                return np.broadcast_to(np.uint8(UNPAINTED), self.shape)
        return self._map[1]

    def _states(self) -> Table:
        """Return what is known of the slices that are not empty; not to be modified."""
        with readable_os_errors(f"Cannot read the annotations of '{self.volume}'"):
            signature = self._signature(SLICES, LINES)
            if self._table is None or self._table[0] != signature:
                table, action, at = read_table(self.path, self.volume, self.shape)
                try:
                    with (self.path / LINES).open("rb") as file:  # what was done since the table was written
                        file.seek(at if file.seek(0, os.SEEK_END) >= at else 0)
                        follow(table, file.read(), action)
                except FileNotFoundError:
                    pass
                except (KeyError, TypeError, ValueError) as error:
                    raise damaged(self.path, self.volume, f"'{LINES}' is malformed") from error
                self._table = signature, table
        return self._table[1]

    def _signature(self, *names: str) -> str:
        parts = []
        for name in names:
            try:
                status = (self.path / name).stat()
            except FileNotFoundError:
                parts.append("-")
            else:
                parts.append(f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}")
        return "/".join(parts)

    def slices(self) -> tuple[AnnotatedSlice, ...]:
        """Return the slices that are not empty, across z, then y, then x, in the array's order.

        Raises
        ------
        StudyError
            If the table of slices is damaged.
        """
        found = [
            AnnotatedSlice(axis, index, state.status, state.time)
            for (axis, index), state in self._states().items()
            if state.status != "empty"
        ]
        return tuple(sorted(found, key=lambda one: (AXES.index(one.axis), one.index)))

    def status(self, axis: Axis, index: int) -> Status:
        """Return the status of a slice, by its index along the array.

        Raises
        ------
        BadSetting
            If the volume has no such slice.
        """
        state = self._states().get(self.key(axis, index))
        return "empty" if state is None else state.status

    def read_slice(self, axis: Axis, index: int) -> Labels:
        """Return a copy of the labels of a slice, uint8 (h, w).

        Parameters
        ----------
        axis : {"z", "y", "x"}
        index : int
            Along the array.

        Returns
        -------
        ndarray of uint8, shape (h, w)
            (y, x) across z, (z, x) across y, (z, y) across x, as `Volume.read_slices` gives them.

        Raises
        ------
        BadSetting
            If the volume has no such slice.
        StudyError
            If the labels are damaged.
        """
        self.key(axis, index)
        where: list[Any] = [slice(None)] * 3
        where[AXES.index(axis)] = index
        return np.array(self.labels()[tuple(where)], order="C", subok=False)

    def target(self, axis: Axis, index: int, values: Sequence[int]) -> Labels:
        """Return what a network is to say about a slice.

        Parameters
        ----------
        axis : {"z", "y", "x"}
        index : int
            Along the array.
        values : sequence of int
            The values of the classes that are told apart, in the network's order.

        Returns
        -------
        ndarray of uint8, shape (h, w)
            0 for background, k + 1 for ``values[k]``, `IGNORE` where nothing is known: on unpainted voxels of a partial
            slice, everywhere on an empty one, and where a class was painted that is not in `values`.

        Raises
        ------
        BadSetting
            If the volume has no such slice, or a value is none of a class.
        """
        look = look_up(values, self.status(axis, index))
        found: Labels = look[self.read_slice(axis, index)]
        return found

    @property
    def stamp(self) -> str:
        """Some text that is another one whenever anything was changed."""
        return self._signature(LINES, SLICES, LABELS)

    def key(self, axis: str, index: int) -> Key:
        """Return the checked (axis, index) of a slice.

        Raises
        ------
        BadSetting
            If the volume has no such slice.
        """
        try:
            return key_of(axis, index, self.shape)
        except ValueError as error:
            raise BadSetting(
                f"Cannot find the slice {index} along {axis} of '{self.volume}'",
                str(error),
                "choose a slice of the volume",
            ) from error


def look_up(values: Sequence[int], status: Status) -> Labels:
    """Return the table from labels to targets of a slice of this status; see `Annotations.target`.

    Raises
    ------
    BadSetting
        If a value is none of a class or there twice.
    """
    table = np.full(256, IGNORE, np.uint8)
    if len(set(values)) != len(values) or not all(FIRST <= value <= LAST for value in values):
        raise BadSetting(
            f"Cannot tell the classes {list(values)} apart",
            f"a value is there twice or not from {FIRST} to {LAST}",
            "name each class once",
        )
    if status == "empty":
        return table
    table[BACKGROUND] = 0
    if status == "complete":
        table[UNPAINTED] = 0
    for k, value in enumerate(values):
        table[value] = k + 1
    return table


def annotated(study: Study, names: Sequence[str] | None = None) -> dict[str, Annotations]:
    """Return the annotations of the volumes that have a slice that is not empty, in the study's order.

    Parameters
    ----------
    study : Study
    names : sequence of str, optional
        Names or shell patterns of the volumes to look at; all where None.

    Raises
    ------
    StudyError
        If a name fits no volume or annotations are damaged.
    """
    found = {}
    for volume in study.select(names):
        annotations = Annotations(study, volume.name)
        if annotations.slices():
            found[volume.name] = annotations
    return found
