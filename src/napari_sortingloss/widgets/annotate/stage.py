"""The Annotate stage: paint a few slices, know which one is next, and see that nothing painted is ever lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_sortingloss import wording
from napari_sortingloss.widgets.annotate.actions import AnnotateActions
from napari_sortingloss.widgets.annotate.class_areas import Areas
from napari_sortingloss.widgets.annotate.class_panel import ClassPanel
from napari_sortingloss.widgets.annotate.help import tool_keys
from napari_sortingloss.widgets.annotate.painting import annotating_of
from napari_sortingloss.widgets.annotate.slice_strip import SliceStrip
from napari_sortingloss.widgets.annotate.suggestions import Suggestions
from napari_sortingloss.widgets.stage import Stage
from napari_sortingloss.widgets.toolkit.shortcuts import Button
from napari_sortingloss.widgets.toolkit.theme import Colors

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.reading import Status

NO_STUDY = (
    "Paint a few slices, and a network learns to segment the whole volume. Everything you paint is written to the study "
    "at once.\n\nOpen a study with volumes first."
)
NO_VOLUMES = "This study has no volumes yet."
OPENING = "Opening the annotations of {}…"
HIDDEN = "You took the annotations of {} out of the viewer. They are safe in the study."
LOOKING = "The annotations of {} can only be looked at: another program or window has them open."
CLOSED = "The annotations of {} are not open."
SIGNS = {"empty": "○ empty", "partial": "◐ partial", "complete": "● complete"}
TICK_MS = 1000
ANNOTATIONS = "annotations"
"""What opening and writing them is called among the things that can be tried again."""


class AnnotateWidget(Stage):
    """The Annotate dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    title = "Annotate"
    key = "annotate"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.annotating = annotating_of(self.session)
        self.suggestions = Suggestions(self)
        self.actions_ = AnnotateActions(self)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.link = QPushButton()
        self.head = QLabel()
        self.head.setProperty("heading", True)
        self.head.setTextFormat(Qt.TextFormat.PlainText)
        self.head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.reason.setTextFormat(Qt.TextFormat.RichText)
        self.strip_title = QLabel()
        self.strip_title.setProperty("muted", True)
        self.slices = SliceStrip()
        self.classes = ClassPanel(self)
        self.saved = QLabel()
        self.saved.setProperty("muted", True)
        self.saved.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.content = QWidget()
        self._build()
        self.complete_button = self.add_button("Complete", self.actions_.complete, primary=True)
        self._footer.add(self.saved, stretch=True, at=1)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.refresh)
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._on_tick)
        self._tick.start()
        self._suggested_for: tuple[Any, ...] = ()
        self._dismissed = ""  # the volume whose layer the person took away
        self.areas = Areas(self)
        self._connect()
        self.slices.apply_theme(self.colors)
        self.refresh()

    def _build(self) -> None:
        self.back_button = QPushButton("◀ back")
        self.next_button = QPushButton("next suggested ▶")
        self.same_button = QPushButton("same in… ▾")
        self.propose_button = QPushButton("Propose between slices")
        self.undo_button = QPushButton("Undo")
        self.versions_button = Button("V&ersions…", "annotate.versions")
        self.import_button = Button("&Import labels…", "annotate.import")
        self.clear_button = QPushButton("Clear slice")
        jumps = QHBoxLayout()
        jumps.setSpacing(4)
        jumps.addWidget(self.back_button)
        jumps.addWidget(self.next_button, 1)
        jumps.addWidget(self.same_button)
        deeds, others = QHBoxLayout(), QHBoxLayout()
        deeds.setSpacing(4)
        others.setSpacing(4)
        for button in (self.propose_button, self.undo_button):
            deeds.addWidget(button, 1)
        for button in (self.versions_button, self.import_button, self.clear_button):
            others.addWidget(button, 1)
        inner = QGridLayout(self.content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setVerticalSpacing(6)
        inner.addWidget(self.head, 0, 0)
        inner.addLayout(jumps, 1, 0)
        inner.addWidget(self.reason, 2, 0)
        inner.addWidget(self.strip_title, 3, 0)
        inner.addWidget(self.slices, 4, 0)
        inner.addWidget(self.classes, 5, 0)
        inner.addLayout(deeds, 6, 0)
        inner.addLayout(others, 7, 0)
        self.body.addWidget(self.hint)
        self.body.addWidget(self.link, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self.content)
        self.body.addStretch(1)

    def _connect(self) -> None:
        session, annotating, actions = self.session, self.annotating, self.actions_
        for signal in (session.study_changed, session.volumes_changed, session.current_volume_changed):
            self.follow(signal, self._on_session)
        self.follow(session.runs_changed, self._look_for_suggestions)
        self.follow(session.annotations_changed, self._look_for_suggestions)
        self.follow(session.classes_changed, self._on_classes)
        self.follow(session.jobs.changed, self._update_soon)
        self.follow(annotating.changed, self._update_soon)
        self.follow(annotating.stepped, self._update_soon)
        self.follow(annotating.selected, self.classes.show_selected)
        self.follow(annotating.failed, self._on_failed)
        self.follow(annotating.noticed, self._on_notice)
        self.follow(annotating.acted, actions.on_action)
        self.follow(self.suggestions.changed, self._update_soon)
        self.follow(self.slices.chosen, actions.jump)
        self.follow(self.classes.chosen, annotating.paint_with)
        self.link.clicked.connect(lambda *_: self._follow_link())
        self.reason.linkActivated.connect(actions.follow_link)
        for button, action in (
            (self.back_button, actions.back),
            (self.next_button, actions.next),
            (self.same_button, actions.show_same),
            (self.propose_button, actions.propose),
            (self.undo_button, annotating.undo),
            (self.versions_button, actions.show_versions),
            (self.import_button, actions.import_labels),
            (self.clear_button, actions.clear_slice),
        ):
            button.clicked.connect(lambda *_, action=action: action())
        actions.bind_keys()

    def why_no_key(self, shortcut_id: str) -> str:
        """Return why a key would do nothing now; those over the image need open annotations."""
        if shortcut_id.partition(".")[0] == "any":
            return super().why_no_key(shortcut_id)
        if self.content.isHidden():
            return "Open the annotations of a volume first"
        button = {
            "annotate.complete": self.complete_button,
            "annotate.next": self.next_button,
            "annotate.previous": self.back_button,
            "annotate.propose": self.propose_button,
            "annotate.undo": self.undo_button,
            "annotate.new_class": self.classes.add_button,
            "annotate.remove": self.classes.remove_button,
            "annotate.rename": self.classes.remove_button,
        }.get(shortcut_id)
        if shortcut_id in ("annotate.remove", "annotate.rename") and not self.classes.table.hasFocus():
            return "Click into the table first"
        if shortcut_id == "annotate.redo":
            return self.annotating.why_not or ("" if self.annotating.redo_text else "Nothing was undone")
        if button is None:
            return self.annotating.why_not
        return "" if button.isEnabled() else button.toolTip()

    def canvas_keys(self) -> Mapping[str, str]:
        """Return napari's own keys over the image, and what they do, for the list of keys."""
        if self.content.isHidden():
            return {}
        return {key: f"{tool} (napari)" for tool, key in tool_keys(self.classes.taken).items()}

    # ---------------------------------------------------------------------------------------------- following the session
    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Open the annotations once the stage is looked at; the keys and the brush are theirs again."""
        super().showEvent(event)
        self._on_session()
        annotating = self.annotating
        if annotating.view is not None and annotating.view.there and self._is_current:
            self.session.viewer.layers.selection.active = annotating.layer

    def appear(self) -> None:
        """Open the annotations of the current volume, if the stage is in sight and the person did not take them away."""
        name = self.session.current_volume
        if name and name in self.session.volumes and self.in_sight and self._dismissed != name:
            self.annotating.open(name)

    def _on_session(self, _: object = None) -> None:
        annotating = self.annotating
        if self.session.current_volume != annotating.volume or self.session.study is not annotating.study:
            self._dismissed = ""
        failed = annotating.state == "closed" and annotating.problem is not None
        if not (failed and self._is_current):
            self.appear()
        self._update_soon()

    @property
    def _is_current(self) -> bool:
        return self.annotating.volume == self.session.current_volume

    def show_again(self) -> None:
        """Show the layer again, or try again to take the annotations for painting."""
        self._dismissed = ""
        self.bar.begin(ANNOTATIONS)
        self.annotating.close()
        self.appear()

    def _follow_link(self) -> None:
        if self.session.volumes:
            self.show_again()
        else:
            self.go_to("Study")

    def _on_classes(self) -> None:
        self.actions_.bind_keys()
        if self.annotating.layer is not None:
            self.classes.show_selected(int(self.annotating.layer.selected_label))
        self._update_soon()

    def _on_failed(self, error: BaseException) -> None:
        self.bar.show_error(error, of=ANNOTATIONS)

    def _on_notice(self, text: str) -> None:
        editor = self.annotating.editor
        if editor is not None and editor.problem is None:
            self.bar.begin(ANNOTATIONS)  # what could not be written is written
        self.bar.show_message("notice", text, about=self.annotating.volume or "")

    # ------------------------------------------------------------------------------------------------- showing it
    def _update_soon(self, *_: object) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def refresh(self) -> None:
        """Bring everything up to date."""
        annotating = self.annotating
        if annotating.state == "hidden":
            self._dismissed = annotating.volume or ""
        there = annotating.view is not None and self._is_current
        self._arrange(there)
        if there:
            axis, index = annotating.slice_in_view()
            statuses = annotating.statuses(axis)
            count = annotating.shape["zyx".index(axis)]
            status = statuses.get(index, "empty") if index is not None else None
            self._show_head(index, count, status)
            self.slices.set_slices(count, statuses)
            self.slices.set_current(index)
            self.slices.set_suggested([hint.index for hint in self.suggestions.hints if hint.axis == axis])
            self.strip_title.setText(f"slices along {axis} · {self.slices.said}")
            self.classes.set_status(status)
            self._look_for_suggestions()
            self._show_reason()
            self.areas.look()
        self.actions_.update_buttons(there)
        self._show_saved()

    def _arrange(self, there: bool) -> None:
        self.content.setVisible(there)
        text, link = self._what_is_missing()
        self.hint.setText(text)
        self.hint.setVisible(bool(text))
        self.link.setText(link)
        self.link.setVisible(bool(link))

    def _what_is_missing(self) -> tuple[str, str]:
        session, state = self.session, self.annotating.state
        name = session.current_volume or ""
        if session.study is None:
            return NO_STUDY, "Go to Study ▸"
        if not session.volumes:
            return NO_VOLUMES, "Go to Study ▸"
        if not self._is_current or state == "closed":
            return CLOSED.format(name), "Open them"
        if state == "opening":
            return OPENING.format(name), ""
        if state == "hidden":
            return HIDDEN.format(name), "Show them again"
        if state == "looking":
            return LOOKING.format(name), "Try again"
        return "", ""

    def _show_head(self, index: int | None, count: int, status: Status | None) -> None:
        where = f"slice {index} of {count}" if index is not None else "no slice in view"
        said = f" · {SIGNS[status]}" if status is not None else ""
        text = f"{self.annotating.volume} · {where}{said}"
        self.head.setText(
            self.head.fontMetrics().elidedText(text, Qt.TextElideMode.ElideLeft, self.width() - 20)
        )
        self.head.setToolTip(
            "" if index is not None else "Slices are painted in the 2D view, inside the volume"
        )

    def _show_reason(self) -> None:
        """Say which slice is next and why, or why the one in view is worth painting, and which others are."""
        place = self.annotating.slice_in_view()
        hints, whose, run = self.suggestions.hints, self.suggestions.run, self.actions_.run_to_ask
        if not hints:
            self.reason.setText("No slice is left to suggest.")
            return
        here = (hints[0].axis, hints[0].index) == place
        first = f"this one: {hints[0].reason}" if here else f"{hints[0].index}: {hints[0].reason}"
        others = [
            self._linked(f"slice:{one.axis}:{one.index}", str(one.index))
            for one in hints[1:4]
            if (one.axis, one.index) != place
        ]
        parts = [escape(first), f"{'then' if here else 'also'}: {', '.join(others)}" if others else ""]
        if whose:
            parts.append(f"by {escape(self.session.run_title(whose))}")
        elif run and self.suggestions.job is None and place[0] == self._ordering_axis:
            parts.append(self._linked(f"ask:{run}", f"ask {escape(self.session.run_title(run))}"))
        self.reason.setText(" · ".join(part for part in parts if part))

    @property
    def _ordering_axis(self) -> str:
        record = self.session.volumes.get(self.annotating.volume or "")
        return record.axis if record is not None else ""

    def _linked(self, where: str, text: str) -> str:
        return f'<a href="{escape(where)}" style="color: {self.colors.train}">{escape(text)}</a>'

    def _look_for_suggestions(self) -> None:
        annotating = self.annotating
        if annotating.view is None or annotating.volume is None:
            return
        axis = annotating.axis
        statuses = annotating.statuses(axis)
        runs = tuple((info.id, info.summary.get("step")) for info in self.session.runs)
        look = self.session.annotated.get(annotating.volume)  # a run ranks by what is on disk
        disk = tuple((one.axis, one.index) for one in look.slices) if look is not None else ()
        wanted = (annotating.volume, axis, tuple(sorted(statuses)), runs, disk, self.suggestions.job is None)
        if wanted != self._suggested_for:
            self._suggested_for = wanted
            count = annotating.shape["zyx".index(axis)]
            self.suggestions.refresh(annotating.volume, axis, count, sorted(statuses))

    def _show_saved(self) -> None:
        annotating = self.annotating
        text, tip = "", ""
        if annotating.view is not None and annotating.editor is not None:
            if annotating.problem is not None:
                text, tip = "⚠ not saved", str(annotating.problem)
            elif annotating.pending:
                text = "saving…"
            elif annotating.saved_at is not None:
                text = f"✓ saved {wording.ago(max(0.0, time.time() - annotating.saved_at))}"
            else:
                text = "✓ all saved"
            tip = tip or "Each stroke is written as soon as it ends; there is nothing to save by hand"
        self.saved.setText(text)
        self.saved.setToolTip(tip)

    def _on_tick(self) -> None:
        self.annotating.check()
        self._show_saved()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        super().apply_theme(colors)
        if hasattr(self, "slices"):
            self.slices.apply_theme(colors)
            self._update_soon()
