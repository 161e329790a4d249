"""Painting on the annotations of the Annotate stage, as napari does it when the mouse is dragged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import add_class


def two_classes(study: Study) -> None:
    """Give the study an eye lens (1) and a retina (2)."""
    add_class(study, "eye lens")
    add_class(study, "retina")


def stroke(layer: Any, at: Sequence[int], value: int = 1, length: int = 3) -> None:
    """Paint a short line with the brush, as one drag of the mouse."""
    z, y, x = at
    with layer.block_history():
        for step in range(length):
            layer.paint((z, y, x + step), value, refresh=False)
    layer._partial_labels_refresh()


def settled(annotating: Any, qtbot: Any) -> None:
    """Wait until everything asked for is done, and on the disk."""

    def at_rest() -> bool:
        annotating.check()
        return not annotating.busy and not annotating.pending

    qtbot.waitUntil(at_rest, timeout=20_000)


def opened(annotating: Any, qtbot: Any, volume: str) -> Any:
    """Wait until the annotations of a volume are open, and return their layer."""
    qtbot.waitUntil(lambda: annotating.state == "open" and annotating.volume == volume, timeout=20_000)
    return annotating.layer


def on_disk(study: Study, volume: str) -> Annotations:
    """Read the annotations as another program would."""
    return Annotations(Study.open(study.path), volume)


def heard(signal: Any) -> list[Any]:
    """Keep what a signal tells."""
    told: list[Any] = []

    def hear(*args: Any) -> None:
        told.append(args[0] if len(args) == 1 else args)

    signal.connect(hear, check_nargs=False)
    return told


def box(labels: np.ndarray, value: int) -> tuple[tuple[int, int], ...]:
    """Return the smallest box around all voxels with a label."""
    return tuple((int(i.min()), int(i.max()) + 1) for i in np.nonzero(np.asarray(labels) == value))
