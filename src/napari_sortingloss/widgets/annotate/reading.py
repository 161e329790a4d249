"""Opening and closing annotations for a viewer, in the worker thread of an `Annotating`; nothing here touches Qt."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import StudyError, UserError
from napari_sortingloss.widgets.viewer import layers

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.annotations.editor import AnnotationEditor
    from napari_sortingloss.study.classes import LabelClass


@dataclass
class Opened:
    """What the worker has read."""

    labels: NDArray[np.uint8]
    plan: layers.LayerPlan
    classes: tuple[LabelClass, ...]
    retired: frozenset[int]
    editor: AnnotationEditor | None = None
    problem: UserError | None = None


@dataclass
class Shared:
    """What the GUI thread and the workers both look at.

    Attributes
    ----------
    wanted : int
        The number of the opening that is wanted; what another one read is closed again.
    made : list of AnnotationEditor
        Those not closed yet.
    lent : Lock
        Held by a job for as long as it works with an editor.
    """

    wanted: int = 0
    made: list[AnnotationEditor] = field(default_factory=list)
    lent: threading.Lock = field(default_factory=threading.Lock)


def read(study: Study, volume: str, shared: Shared, turn: int) -> Opened | None:
    """Read what the layer needs and take the annotations for painting; only look where another program has them."""
    if shared.wanted != turn:
        return None
    from napari_sortingloss.study.annotations.editor import AnnotationEditor
    from napari_sortingloss.study.annotations.reading import Annotations
    from napari_sortingloss.study.classes import all_classes, read_classes

    plan = layers.plan(study.volume(volume))
    classes = read_classes(study)
    retired = frozenset(one.value for one in all_classes(study)) - {one.value for one in classes}
    try:
        editor = AnnotationEditor(study, volume)
    except StudyError as error:
        labels = Annotations(study, volume).labels()  # raises too where they are damaged
        return Opened(labels, plan, classes, retired, problem=error)
    shared.made.append(editor)
    if shared.wanted != turn:
        close(editor, shared)
        return None
    labels = np.asarray(editor.labels)  # as a plain array, whose slices are made faster than a memmap's
    return Opened(labels, plan, classes, retired, editor)


def close(editor: AnnotationEditor | None, shared: Shared) -> None:
    """See everything to the disk and let other programs paint."""
    if editor is None:
        return
    try:
        with shared.lent:
            editor.close()
    finally:
        if editor in shared.made:
            shared.made.remove(editor)


def new_class(study: Study, value: int) -> LabelClass:
    """Make a class of a value that was painted."""
    from napari_sortingloss.study.classes import add_class

    return add_class(study, f"class {value}", value=value)
