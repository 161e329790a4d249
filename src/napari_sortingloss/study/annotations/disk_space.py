"""Whether the disk has room for what will be painted: a mapped page without room would end the program."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_sortingloss.boxes import NO_BOX, Box, Shape, size_of
from napari_sortingloss.errors import OutOfSpace

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

MARGIN = 64 << 20
"""So much of the disk stays free: strokes of some minutes, and all that is in the system's hands."""
_PAGE = 4096


def check_room(study: Study, what: str, extra: int, box: Box = NO_BOX, shape: Shape = (1, 1, 1)) -> None:
    """Refuse to change labels on a disk that is nearly full.

    Parameters
    ----------
    study : Study
    what : str
        What cannot be done, as in `UserError`.
    extra : int
        Bytes that the journal takes.
    box : Box
        The voxels that may be changed, half-open (z, y, x).
    shape : tuple of int
        (z, y, x) of the volume.

    Raises
    ------
    OutOfSpace
        If less than `MARGIN` would be left.
    """
    free = study.free_bytes()
    if free < MARGIN + extra + mapped_bytes(box, shape):
        raise OutOfSpace(
            what,
            f"the disk is nearly full ({free >> 20} MB are free)",
            "free some space; nothing that was painted is lost",
        )


def mapped_bytes(box: Box, shape: Shape) -> int:
    """Return how many bytes of the file the pages have, at most, on which a box of labels lies."""
    if box == NO_BOX:
        return 0
    z, y, x = size_of(box)
    rows = z * y * (x + 2 * _PAGE)  # each row may begin and end within a page
    planes = z * ((y - 1) * shape[2] + x + 2 * _PAGE)
    whole = ((z - 1) * shape[1] + y - 1) * shape[2] + x + 2 * _PAGE
    return min(rows, planes, whole, math.prod(shape) + 2 * _PAGE)
