"""Takes a predicted slice over into the annotations, so that a person repairs it and the next run learns from it."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.widgets.annotate.painting import annotating_of
from napari_sortingloss.widgets.stage import EDIT
from napari_sortingloss.widgets.viewer.slice_layer import SliceAt

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.editor import Action, AnnotationEditor
    from napari_sortingloss.study.predictions.reading import Prediction
    from napari_sortingloss.widgets.segment.stage import SegmentWidget


class Correction:
    """The verb of *Correct this slice*.

    Parameters
    ----------
    stage : SegmentWidget
        Held weakly; it owns this object.
    """

    def __init__(self, stage: SegmentWidget) -> None:
        self._weak = weakref.ref(stage)

    @property
    def _stage(self) -> SegmentWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    def why_not(self) -> str:
        """Return why no slice can be taken over; empty if one can."""
        stage = self._stage
        run = stage.panel.predictions.current()
        if not run:
            return "Predict the volume first"
        at = stage.slice_in_view()
        if at is None:
            return "Show the volume and step to a slice first (in 2D)"
        look = stage.panel.predictions.look(run)
        if look is None or look.value is None:
            return "The prediction is damaged: predict the volume again"
        return "" if look.complete else _not_reached(look.value, at)

    def take_over(self) -> None:
        """Put the predicted labels of the slice in view where nothing is painted, as one action that can be undone."""
        stage, at = self._stage, self._stage.slice_in_view()
        look = stage.panel.predictions.look(stage.panel.predictions.current())
        if at is None or look is None or look.value is None:
            return
        prediction, known = look.value, tuple(found.value for found in stage.session.classes)
        stage.bar.begin(EDIT)
        read = partial(prediction.read_slice, at.axis, at.index)  # type: ignore[arg-type]
        stage.background.run(read, lambda labels: self._put(at, usable(labels, known), prediction.run))

    def _put(self, at: SliceAt, labels: NDArray[np.uint8], run: str) -> None:
        stage = self._stage
        annotating = annotating_of(stage.session)
        stage.session.set_current_volume(at.volume)

        def put() -> None:
            annotating.go_to(at.index, at.axis)  # type: ignore[arg-type]
            annotating.do(lambda editor: fill(editor, at, labels, run), self._taken)

        stage.go_to("Annotate")
        annotating.open(at.volume, put)

    def _taken(self, action: Action | None) -> None:
        """Make the annotations active; where both stages are in sight, hide the prediction that would lie below them."""
        stage = self._stage
        annotating = annotating_of(stage.session)
        if stage.in_sight:
            stage.shown.hide_all()
        viewer = stage.session.viewer
        if viewer is not None and annotating.layer is not None:
            viewer.layers.selection.active = annotating.layer
        annotating.noticed.emit(
            "The prediction was taken over where nothing was painted. Repair it, mark the slice complete, then train on in "
            "Segment."
        )


def usable(labels: NDArray[np.uint8], known: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return labels without classes that are not in use any more."""
    return np.where(np.isin(labels, known), labels, 0).astype(np.uint8)


def fill(editor: AnnotationEditor, at: SliceAt, labels: NDArray[np.uint8], run: str) -> Any:
    """Put labels where nothing is painted on a slice; what a person painted stays."""
    axis: Any = at.axis
    painted = editor.annotations.read_slice(axis, at.index)
    merged = np.where(painted == 0, labels, painted)
    empty = editor.annotations.status(axis, at.index) == "empty"
    status = "partial" if empty else None  # begun, even where nothing was predicted
    return editor.put_slice(axis, at.index, merged, what=f"taken over from {run}", status=status)


def _not_reached(prediction: Prediction, at: SliceAt) -> str:
    """Return why a growing prediction does not have a slice; empty if it does."""
    done = prediction.done
    if at.axis == prediction.axis:
        reached = any(start <= at.index < stop for start, stop in done)
        return "" if reached else "The prediction has not reached this slice yet"
    size = prediction.shape["zyx".index(prediction.axis)]
    if done == [(0, size)]:
        return ""
    return f"The prediction grows along {prediction.axis} and has not all of this slice along {at.axis} yet"
