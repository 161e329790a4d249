"""The annotations that are open in a viewer: opened and closed with the current volume, every stroke recorded at once.

Files are only touched in one worker thread, one thing after the other (`Serial`); recording a stroke returns at once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.annotate.layer import AnnotationLayer
from napari_sortingloss.widgets.annotate.opening import AnnotationDesk
from napari_sortingloss.widgets.annotate.reading import new_class
from napari_sortingloss.widgets.session.session import Session
from napari_sortingloss.widgets.toolkit.lifetime import follow

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.editor import Action
    from napari_sortingloss.study.annotations.reading import Status
    from napari_sortingloss.study.classes import LabelClass
    from napari_sortingloss.study.schema import Axis

REPLACED = (
    "The data of the annotations layer cannot be exchanged or converted: what you paint is written to the study as it is. "
    "The annotations were put back; duplicate the layer to work on a copy."
)
WHAT = {"fill": "fill", "polygon": "polygon", "erase": "erased"}
"""What is said of an action by the tool it was made with; a stroke otherwise."""


class Annotating(AnnotationDesk):
    """The annotations of the current volume in a viewer, as a person paints them. Get it with `annotating_of`.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    stepped : psygnal.Signal
        Another slice is in view.
    selected : psygnal.Signal
        ``selected(value)``: painted with from now on.
    """

    selected = Signal(int)
    stepped = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._actions: dict[str, Callable[[], object]] = {}
        self._naming: set[int] = set()
        follow(self, session.study_changed, self._on_study)
        follow(self, session.volumes_changed, self._on_volumes)
        follow(self, session.current_volume_changed, self._on_current)
        follow(self, session.classes_changed, self._on_classes)
        follow(self, session.annotations_changed, self._on_annotations)
        follow(self, session.ending, self.shutdown)
        viewer = session.viewer
        if viewer is not None:
            for name in ("point", "order", "ndisplay"):
                follow(self, getattr(viewer.dims.events, name), self._on_step)

    def _connect(self, view: AnnotationLayer) -> None:
        view.set_keys(self._actions)
        for signal, slot in (
            (view.painted, self._on_painted),
            (view.undo_wanted, self.undo),
            (view.redo_wanted, self.redo),
            (view.selected, self._on_selected),
            (view.removed, self._on_removed),
            (view.replaced, self._on_replaced),
        ):
            follow(self, signal, slot)
        self.selected.emit(int(view.layer.selected_label))

    # ------------------------------------------------------------------------------------------------ where one is
    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) of the volume in voxels."""
        assert self.view is not None
        z, y, x = self.view.labels.shape
        return z, y, x

    @property
    def axis(self) -> Axis:
        """The axis that the slider steps along."""
        return self.slice_in_view()[0]

    def slice_in_view(self) -> tuple[Axis, int | None]:
        """Return the axis of the slider and the array index of the slice; None in 3D, outside the volume, or closed."""
        return self.view.slice_in_view() if self.view is not None else ("z", None)

    def go_to(self, index: int, axis: Axis | None = None) -> None:
        """Bring a slice into view, by its array index along the axis in view or another one."""
        if self.view is not None:
            self.view.go_to(index, axis)

    def statuses(self, axis: Axis) -> dict[int, Status]:
        """Return the status of each slice across an axis that is not empty."""
        found = self._slices
        if self.editor is None:
            look = self.session.annotated.get(self.volume or "")
            found = look.slices if look is not None else ()
        return {one.index: one.status for one in found if one.axis == axis}

    def status(self) -> Status:
        """Return the status of the slice in view; empty where there is none."""
        axis, index = self.slice_in_view()
        return self.statuses(axis).get(index, "empty") if index is not None else "empty"

    # --------------------------------------------------------------------------------------------------- changing them
    def undo(self) -> None:
        """Take back the last action, of this session or an earlier one."""
        self.do(lambda editor: editor.undo(), how="undone")

    def redo(self) -> None:
        """Do again what was taken back."""
        self.do(lambda editor: editor.redo(), how="redone")

    def set_status(self, status: Status) -> None:
        """Mark the slice in view empty, partial or complete."""
        axis, index = self.slice_in_view()
        if index is not None:
            self.do(lambda editor: editor.set_status(axis, index, status))

    def put_slice(
        self,
        volume: str,
        axis: Axis,
        index: int,
        labels: NDArray[np.uint8],
        what: str,
        status: Status | None = None,
        then: Callable[[Action | None], None] | None = None,
    ) -> None:
        """Put labels into a slice, as one action that can be undone, and bring it into view.

        Parameters
        ----------
        volume : str
            It becomes the current volume, if it is not.
        axis, index
            The slice, by its array index.
        labels : ndarray of uint8, shape (h, w)
            Class values, in the axis order of `Volume.read_slices`.
        what : str
            What it is called in the list of versions.
        status : {"empty", "partial", "complete"}, optional
        then : callable or None
            Called once it is done.
        """
        self.session.set_current_volume(volume)

        def put() -> None:
            self.go_to(index, axis)
            self.do(lambda editor: editor.put_slice(axis, index, labels, what=what, status=status), then)

        self.open(volume, put)

    def paint_with(self, value: int) -> None:
        """Choose what is painted."""
        viewer = self.session.viewer
        if self.view is not None and self.view.there:
            if viewer is not None:
                viewer.layers.selection.active = self.view.layer
            self.view.paint_with(value)

    def set_keys(self, actions: dict[str, Callable[[], object]]) -> None:
        """Let keys over the image call actions (as napari writes them) while the layer is active."""
        self._actions = dict(actions)
        if self.view is not None:
            self.view.set_keys(self._actions)

    def _on_painted(self, changes: list[Any]) -> None:
        editor, view = self.editor, self.view
        if editor is None or view is None:
            return
        try:
            action = editor.record(changes, WHAT.get(str(view.layer.mode), "stroke"), self.axis)
        except UserError as error:
            self.failed.emit(error)
        else:
            self._name_new(changes)
            self._told(action, "done")

    def _name_new(self, changes: list[Any]) -> None:
        """Make a class of a value that was painted without being one, as napari's users expect of a new label."""
        known = {found.value for found in self.session.classes} | self._naming
        painted = {change.new for change in changes if isinstance(change.new, int)} - known
        for value in sorted(value for value in painted if 0 < value < 255 and value not in self._retired):
            self._naming.add(value)
            study = self.study
            assert study is not None
            self._serial.run(partial(new_class, study, value), self._named)

    def _named(self, made: LabelClass) -> None:
        self._naming.discard(made.value)
        self.noticed.emit(
            f"Label {made.value} is a class of the study now: '{made.name}'. Double-click to rename it."
        )
        self.session.refresh()

    # ------------------------------------------------------------------------------------------------- following
    def _on_study(self, study: object = None) -> None:
        if self.study is not None and self.study is not study:
            self.close()

    def _on_current(self, name: str | None) -> None:
        if self.volume is not None and name != self.volume:
            self.close()

    def _on_volumes(self) -> None:
        if (
            self.volume is not None
            and self.study is self.session.study
            and self.volume not in self.session.volumes
        ):
            self.close()
        elif self.view is not None and self.volume in self.session.volumes:
            self.view.place(self.session.volumes[self.volume])

    def _on_classes(self) -> None:
        if self.view is not None:
            self.view.set_classes(self.session.classes)

    def _on_annotations(self) -> None:
        if self.state == "looking" and self.view is not None:
            self.view.refresh()
            self.changed.emit()

    def _on_step(self, event: object = None) -> None:
        if self.view is not None:
            self.stepped.emit()

    def _on_selected(self, value: int) -> None:
        if value in self._retired:
            view = self.view
            assert view is not None
            classes = self.session.classes
            self.noticed.emit(f"Label {value} was a class that was removed; it is not given again.")
            view.layer.selected_label = classes[0].value if classes else 0
            return
        self.selected.emit(value)

    def _on_removed(self) -> None:
        self._let_go("hidden")
        self.changed.emit()

    def _on_replaced(self) -> None:
        self.noticed.emit(REPLACED)


_found: weakref.WeakKeyDictionary[Session, Annotating] = weakref.WeakKeyDictionary()


def annotating_of(session: Session) -> Annotating:
    """Return the one `Annotating` of a session, made when first asked for."""
    made = _found.get(session)
    if made is None:
        made = _found[session] = Annotating(session)
    return made
