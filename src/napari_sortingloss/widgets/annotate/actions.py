"""What the buttons and keys of the Annotate stage do: jump, complete, propose, undo, go back to a version, import."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QMenu

from napari_sortingloss import wording
from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.study.classes import BACKGROUND
from napari_sortingloss.widgets.annotate.import_labels import LabelImport
from napari_sortingloss.widgets.annotate.suggestions import Hint, Place, usable_run
from napari_sortingloss.widgets.annotate.versions_dialog import VersionsDialog
from napari_sortingloss.widgets.stage import EDIT, allow
from napari_sortingloss.widgets.toolkit.shortcuts import canvas_key, keys_of
from napari_sortingloss.widgets.viewer import layers

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.editor import Action, AnnotationEditor, Version
    from napari_sortingloss.study.schema import Axis
    from napari_sortingloss.widgets.annotate.stage import AnnotateWidget
    from napari_sortingloss.widgets.toolkit.message_bar import Level

MOST_STEPS = 100
"""So many jumps can be gone back."""
DONE = {"undone": "Undone", "redone": "Done again"}


class AnnotateActions:
    """The verbs of the stage.

    Parameters
    ----------
    stage : AnnotateWidget
        Held weakly; it owns this object.
    """

    def __init__(self, stage: AnnotateWidget) -> None:
        self._weak = weakref.ref(stage)
        self._been: list[tuple[str, Axis, int]] = []
        self.importing = LabelImport(stage)
        for shortcut, action in self._verbs().items():
            if shortcut not in ("annotate.class", "annotate.rename", "annotate.remove"):
                stage.bind(shortcut, action)

    @property
    def _stage(self) -> AnnotateWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    def _verbs(self) -> dict[str, Callable[[], object]]:
        """Return the action of each key that works over the image too; none of them holds the stage."""
        weak = weakref.ref(self)

        def call(name: str) -> Callable[[], object]:
            def verb() -> None:
                actions = weak()
                if actions is not None and actions._weak() is not None:
                    getattr(actions, name)()

            return verb

        names = (
            "complete",
            "next",
            "previous",
            "background",
            "new_class",
            "polygon",
            "propose",
            "undo",
            "redo",
        )
        return {f"annotate.{name}": call(name) for name in names}

    def bind_keys(self) -> None:
        """Give the keys over the image to the classes and to the verbs; napari's own undo comes to us anyway."""
        stage = self._stage
        keys: dict[str, Callable[[], object]] = {}
        for shortcut, action in self._verbs().items():
            if shortcut not in ("annotate.undo", "annotate.redo"):
                keys[canvas_key(shortcut)] = action
        weak = weakref.ref(stage.annotating)
        for found in stage.session.classes:
            if found.key and found.key.isalnum():
                keys[found.key.upper()] = _paint(weak, found.value)
        stage.annotating.set_keys(keys)
        stage.classes.set_keys(keys)

    # ------------------------------------------------------------------------------------------------- where to go
    @property
    def run_to_ask(self) -> str:
        """The run that could say which slices are worth annotating; empty if there is none."""
        return usable_run(self._stage.session.runs)

    def jump(self, index: int, axis: Axis | None = None) -> None:
        """Go to a slice, and remember where one was."""
        annotating = self._stage.annotating
        before, at = annotating.slice_in_view()
        if at is not None and annotating.volume is not None and (axis or before, index) != (before, at):
            self._been = [*self._been, (annotating.volume, before, at)][-MOST_STEPS:]
        annotating.go_to(index, axis)

    def next(self) -> None:
        """Go to the slice that is suggested."""
        stage = self._stage
        hint = stage.suggestions.next(*stage.annotating.slice_in_view())
        if stage.annotating.view is not None and hint is not None:
            self.jump(hint.index, hint.axis)

    def back(self) -> None:
        """Go back to where one was before the last jump."""
        if self._been:
            volume, axis, index = self._been.pop()
            self._go(Place(volume, axis, index))
            self._stage.refresh()

    previous = back

    def _go(self, place: Place | Hint) -> None:
        stage = self._stage
        if place.volume not in stage.session.volumes:
            return
        stage.session.set_current_volume(place.volume)
        annotating = stage.annotating
        annotating.open(place.volume, lambda: annotating.go_to(place.index, place.axis))

    def follow_link(self, link: str) -> None:
        """Go to one of the other suggested slices, or let a run suggest some."""
        what, _, rest = link.partition(":")
        if what == "ask":
            self._stage.suggestions.ask(rest)
            return
        axis, _, index = rest.partition(":")
        self.jump(int(index), cast("Axis", axis))

    def show_same(self) -> None:
        """Find where other volumes show the same anatomy, and offer to go there."""
        stage = self._stage
        _, index = stage.annotating.slice_in_view()
        if index is not None and stage.annotating.volume is not None:
            stage.suggestions.same_anatomy(stage.annotating.volume, index, self._offer_places)

    def _offer_places(self, places: list[Place]) -> QMenu:
        stage = self._stage
        menu = QMenu(stage)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for place in places:
            entry = menu.addAction(f"{place.volume} · slice {place.index} along {place.axis}")
            entry.triggered.connect(lambda *_, place=place: self._leave_for(place))
        if not places:
            menu.addAction("(no other volume has been looked at)").setEnabled(False)
        menu.popup(stage.same_button.mapToGlobal(QPoint(0, stage.same_button.height())))
        return menu

    def _leave_for(self, place: Place) -> None:
        annotating = self._stage.annotating
        axis, index = annotating.slice_in_view()
        if index is not None and annotating.volume is not None:
            self._been = [*self._been, (annotating.volume, axis, index)][-MOST_STEPS:]
        self._go(place)

    # ----------------------------------------------------------------------------------------------------- the slice
    def complete(self) -> None:
        """Mark the slice in view complete, or open it again."""
        annotating = self._stage.annotating
        if annotating.writable:
            annotating.set_status("partial" if annotating.status() == "complete" else "complete")

    def clear_slice(self) -> None:
        """Erase the slice in view and mark it empty."""
        annotating = self._stage.annotating
        axis, index = annotating.slice_in_view()
        if index is None:
            return
        shape = tuple(n for i, n in enumerate(annotating.shape) if i != layers.AXES.index(axis))
        empty = np.zeros(shape, np.uint8)
        what = f"cleared slice {index} along {axis}"
        annotating.do(lambda editor: editor.put_slice(axis, index, empty, what=what, status="empty"))

    def background(self) -> None:
        """Paint what is known to be none of the classes."""
        self._stage.annotating.paint_with(BACKGROUND)

    def polygon(self) -> None:
        """Take napari's polygon tool; its own key is one of the classes'."""
        view = self._stage.annotating.view
        if view is not None and view.layer.editable:
            view.layer.mode = "polygon"

    def new_class(self) -> None:
        """Add a class."""
        stage = self._stage
        if stage.session.study is not None:
            stage.classes.add()

    def undo(self) -> None:
        """Take the last action back."""
        self._stage.annotating.undo()

    def redo(self) -> None:
        """Do the last undone action again."""
        self._stage.annotating.redo()

    # ----------------------------------------------------------------------------------------------------- the volume
    def gap(self) -> tuple[int, int] | None:
        """Return the complete slices between which to propose: around the slice in view, or beside it if it is complete."""
        annotating = self._stage.annotating
        axis, index = annotating.slice_in_view()
        known = sorted(i for i, status in annotating.statuses(axis).items() if status == "complete")
        if index is None or len(known) < 2:
            return None
        pairs = [(low, high) for low, high in pairwise(known) if high - low > 1]
        around = [pair for pair in pairs if pair[0] <= index <= pair[1]]
        return around[-1] if around else None

    def propose(self) -> None:
        """Interpolate between two complete slices; nothing painted is changed."""
        annotating, gap = self._stage.annotating, self.gap()
        if gap is None or not annotating.writable:
            return
        axis, (low, high) = annotating.axis, gap
        values = [found.value for found in self._stage.session.classes]

        def work(editor: AnnotationEditor) -> Action | None:
            from napari_sortingloss.segment.annotator.interpolate import propose

            return propose(editor, axis, low, high, values)

        annotating.do(work, self._proposed, long=True)

    def _proposed(self, action: Action | None) -> None:
        if action is None:
            self._say("notice", "Everything between these slices is painted already.")
            return
        self._say(
            "success",
            f"Proposed labels on {wording.count(len(action.slices), 'slice')}: look through them, correct, and mark "
            "complete what is right.",
        )

    def _say(self, level: Level, text: str, *link: Any) -> None:
        """Say something of the volume that is open."""
        stage = self._stage
        stage.bar.show_message(level, text, *link, about=stage.annotating.volume or "")

    def show_versions(self) -> None:
        """List the earlier versions; read in the background."""
        annotating = self._stage.annotating
        annotating.ask(lambda editor: editor.versions(), self._list_versions)

    def _list_versions(self, versions: list[Version]) -> VersionsDialog:
        stage = self._stage
        dialog = VersionsDialog(stage.annotating.volume or "", versions, stage)
        stage.follow(dialog.restore_requested, self._restore)
        dialog.show()
        return dialog

    def _restore(self, version: Version) -> None:
        self._stage.annotating.do(lambda editor: editor.restore(version), self._restored, long=True)

    def _restored(self, action: Action | None) -> None:
        undo = keys_of("annotate.undo")
        self._say("success", f"The earlier version is back; {undo} takes that back.")

    def import_labels(self) -> None:
        """Import labels from a file."""
        self.importing.choose()

    def on_action(self, action: Action, how: str) -> None:
        """Say what was undone where that is not in view, with a way to go there; what was said before is over."""
        stage = self._stage
        stage.bar.begin(EDIT)
        if how not in DONE:
            return
        axis, index = stage.annotating.slice_in_view()
        low, high = action.box[layers.AXES.index(axis)]
        seen = action.box != NO_BOX and index is not None and low <= index < high
        if (
            seen
            or (action.axis == axis and index in action.slices)
            or not action.slices
            or action.axis is None
        ):
            return
        where, there = action.axis, action.slices[len(action.slices) // 2]
        on = f", on slice {there} along {where}" if "slice" not in action.what else ""
        text = f"{DONE[how]}: {action.what}{on}."
        weak = weakref.ref(self)
        self._say("notice", text, "Go there ▸", lambda: _jump(weak, there, where))

    # ---------------------------------------------------------------------------------------------------- the buttons
    def update_buttons(self, there: bool) -> None:
        """Say which buttons can be pressed, and why the others cannot."""
        stage = self._stage
        annotating = stage.annotating
        axis, index = annotating.slice_in_view()
        status = annotating.status() if there else "empty"
        only_look = annotating.why_not
        no_slice = "" if index is not None else "Show a slice of the volume in 2D first"
        why = "" if there else "Open the annotations of a volume first"
        stage.complete_button.setText("Reopen" if there and status == "complete" else "Complete")
        allow(
            stage.complete_button,
            why or only_look or no_slice,
            f"All of this slice is painted: what is unpainted is background ({keys_of('annotate.complete')})"
            if status != "complete"
            else f"Not all is painted yet: what is unpainted is unknown again ({keys_of('annotate.complete')})",
        )
        if not there:
            return
        hint = stage.suggestions.next(axis, index)
        allow(
            stage.next_button,
            "" if hint is not None else "No slice is left to suggest",
            f"Go to the slice that is most worth painting ({keys_of('annotate.next')})",
        )
        allow(
            stage.back_button,
            "" if self._been else "You have not jumped yet",
            f"Back to the slice before the last jump ({keys_of('annotate.previous')})",
        )
        record = stage.session.volumes.get(annotating.volume or "")
        along = record.axis if record is not None else axis
        other = "" if len(stage.session.volumes) > 1 else "The study has no other volume"
        crossed = "" if axis == along else f"Step along the ordering axis ({along}) first"
        allow(stage.same_button, other or no_slice or crossed, "The same anatomy in another volume")
        gap = self.gap()
        allow(
            stage.propose_button,
            only_look or ("" if gap else "Mark a slice complete on both sides of this one first"),
            f"Interpolate between slices {gap[0]} and {gap[1]}; nothing painted is changed "
            f"({keys_of('annotate.propose')})"
            if gap
            else "",
        )
        what = annotating.undo_text
        stage.undo_button.setText("Undo")
        allow(
            stage.undo_button,
            only_look or ("" if what else "There is nothing to undo"),
            f"Undo: {what} ({keys_of('annotate.undo')})",
        )
        label = f"Undo {what}" if what else "Undo"
        room = max(60, stage.undo_button.width() - 16)
        stage.undo_button.setText(
            stage.undo_button.fontMetrics().elidedText(label, Qt.TextElideMode.ElideRight, room)
        )
        allow(stage.versions_button, only_look, "Go back to how it was at an earlier time")
        allow(
            stage.import_button,
            only_look or self.importing.why_not(),
            "Take over labels from a file; you are told first what would be overwritten",
        )
        allow(
            stage.clear_button,
            only_look or no_slice,
            "Erase what is painted on this slice and mark it empty; can be undone",
        )


def _paint(weak: Any, value: int) -> Callable[[], object]:
    def paint() -> None:
        annotating = weak()
        if annotating is not None:
            annotating.paint_with(value)

    return paint


def _jump(weak: Any, index: int, axis: Axis) -> None:
    actions = weak()
    if actions is not None:
        actions.jump(index, axis)
