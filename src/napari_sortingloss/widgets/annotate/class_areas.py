"""How much of the slice in view each class covers, counted in a background thread a moment after it changed."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from napari_sortingloss import wording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sortingloss.widgets.annotate.stage import AnnotateWidget

PAUSE_MS = 150


class Areas:
    """Fills the last column of the class table.

    Parameters
    ----------
    stage : AnnotateWidget
        Held weakly; it owns this object.
    """

    def __init__(self, stage: AnnotateWidget) -> None:
        self._weak = weakref.ref(stage)
        self._timer = QTimer(stage)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._count)

    def look(self) -> None:
        """Count again soon; calls in quick succession count once."""
        if not self._timer.isActive():
            self._timer.start()

    def _count(self) -> None:
        stage = self._weak()
        if stage is None:
            return
        view = stage.annotating.view
        axis, index = stage.annotating.slice_in_view()
        record = stage.session.volumes.get(stage.annotating.volume or "")
        if view is None or index is None or record is None:
            stage.classes.set_areas({})
            return
        across = "zyx".index(axis)
        labels, others = view.labels, [i for i in range(3) if i != across]
        each = record.voxel_size[others[0]] * record.voxel_size[others[1]]
        unit = record.unit

        def work() -> dict[int, str]:
            counts = painted(labels, across, index)
            return {value: wording.area(n * each, unit) for value, n in counts.items()}

        stage.background.run(work, self._show, topic="areas")

    def _show(self, areas: dict[int, str]) -> None:
        stage = self._weak()
        if stage is not None:
            stage.classes.set_areas(areas)


def painted(labels: NDArray[np.uint8], across: int, index: int) -> dict[int, int]:
    """Return how many voxels of a slice hold each label but 0.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
    across : int
        The array axis that the slice lies across.
    index : int
        Of the slice.
    """
    where: list[slice | int] = [slice(None)] * 3
    where[across] = index
    counts = np.bincount(np.asarray(labels[tuple(where)]).ravel(), minlength=256)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value}
