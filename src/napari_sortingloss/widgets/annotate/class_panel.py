"""The classes of the Annotate stage: adding, renaming, colouring and removing them, and what unpainted means."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QHBoxLayout, QLabel, QMessageBox, QPushButton, QVBoxLayout, QWidget

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.study.classes import BACKGROUND
from napari_sortingloss.widgets.annotate.class_table import ClassRow, ClassTable
from napari_sortingloss.widgets.annotate.help import said_tools
from napari_sortingloss.widgets.annotate.layer import BACKGROUND_COLOR
from napari_sortingloss.widgets.stage import EDIT, allow
from napari_sortingloss.widgets.toolkit.shortcuts import SHORTCUTS, keys_of

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.classes import LabelClass
    from napari_sortingloss.widgets.stage import Stage

FIRST = (
    "What do you want to tell apart? Add a class for each structure, for instance “eye lens”, and paint it."
)
UNPAINTED = {
    "empty": "unpainted: ● unknown, nothing is said about this slice yet",
    "partial": "unpainted: ● unknown ({} paints background)",
    "complete": "unpainted: ○ background",
}
NAPARI_KEYS = "efplzxbv"
"""Letters that are napari's own over a Labels layer: tools and views. Its digits are given to the classes."""


class ClassPanel(QWidget):
    """The table of classes with its buttons.

    Parameters
    ----------
    stage : Stage
        Held weakly; it owns this widget.

    Attributes
    ----------
    chosen : psygnal.Signal
        ``chosen(value)``: paint with this.
    taken : frozenset of str
        Keys over the image that are the classes' or ours, as napari writes them.
    """

    chosen = Signal(int)

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._weak = weakref.ref(stage)
        self._rename = False
        self._wanted: int | None = None
        self._unknown = 0
        self.taken: frozenset[str] = frozenset()
        self.invitation = QLabel(FIRST)
        self.invitation.setWordWrap(True)
        self.table = ClassTable()
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setProperty("muted", True)
        self.tools = QLabel()
        self.tools.setWordWrap(True)
        self.tools.setProperty("muted", True)
        self.add_button = QPushButton("+ class")
        self.add_button.clicked.connect(lambda *_: self.add())
        self.remove_button = QPushButton("− class")
        self.remove_button.setAccessibleName("Remove the class")
        self.remove_button.clicked.connect(lambda *_: self.remove(self.table.value))
        for button in (self.add_button, self.remove_button):
            button.setProperty("small", True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.note, 1)
        buttons.addWidget(self.remove_button, 0, Qt.AlignmentFlag.AlignTop)
        buttons.addWidget(self.add_button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.invitation)
        layout.addWidget(self.table)
        layout.addLayout(buttons)
        layout.addWidget(self.tools)
        stage.follow(self.table.chosen, self._on_chosen)
        stage.follow(self.table.edited, self._on_edited)
        stage.follow(self.table.color_requested, self.choose_color)
        stage.follow(self.table.remove_requested, self.remove)
        stage.follow(stage.session.classes_changed, self.refresh)
        self.refresh()

    @property
    def _stage(self) -> Stage:
        stage = self._weak()
        assert stage is not None
        return stage

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The classes in use."""
        return self._stage.session.classes

    # ------------------------------------------------------------------------------------------------- what is shown
    def refresh(self) -> None:
        """Show the classes of the study."""
        areas = {row.value: row.area for row in self.table.model_.rows}
        rows = [
            ClassRow(one.value, one.name, one.color, one.key, areas.get(one.value, ""))
            for one in self.classes
        ]
        background = ClassRow(
            BACKGROUND, "background", BACKGROUND_COLOR, "0", areas.get(BACKGROUND, ""), fixed=True
        )
        self.table.set_rows([*rows, background] if rows else [])
        self.table.setVisible(bool(rows))
        self.tools.setVisible(bool(rows))
        self.invitation.setVisible(not rows)
        values = [row.value for row in rows]
        if self._wanted in values:
            value, self._wanted = self._wanted, None
            self.table.select(value)
            self.chosen.emit(value)
            if self._rename:
                self.table.edit_name(value)
        self._update()

    def set_areas(self, areas: Mapping[int, str]) -> None:
        """Say how much of the slice in view each class covers."""
        self.table.set_areas(areas)

    def set_status(self, status: str | None) -> None:
        """Say what unpainted means on the slice in view; None says nothing."""
        self.note.setText(UNPAINTED[status].format(keys_of("annotate.background")) if status else "")
        self.note.setVisible(bool(self.classes))

    def set_keys(self, taken: Collection[str]) -> None:
        """Say how to paint and erase by key, where these keys are the classes' and ours."""
        self.taken = frozenset(taken)
        background = f"{keys_of('annotate.background')} background ({BACKGROUND} in napari)"
        self.tools.setText(f"over the image: {said_tools(taken)} · {background}")

    def show_selected(self, value: int) -> None:
        """Follow what napari paints with; a value that is no class can be made one."""
        self.table.select(value)
        known = {0, BACKGROUND, *(one.value for one in self.classes)}
        self._unknown = 0 if value in known or not self.classes else value
        self._update()

    def _update(self) -> None:
        unknown = f" {self._unknown}" if self._unknown else ""
        self.add_button.setText(f"+ class{unknown}")
        self.add_button.setProperty("primary", not self.classes)
        self.add_button.style().unpolish(self.add_button)
        self.add_button.style().polish(self.add_button)
        key = keys_of("annotate.new_class")
        allow(
            self.add_button,
            "" if self._stage.session.study is not None else "Open a study first",
            f"Label {self._unknown} is no class yet: make it one" if unknown else f"Add a class ({key})",
        )
        value = self.table.value
        free = any(one.value == value for one in self.classes)
        allow(
            self.remove_button, "" if free else "Select a class first", "Take the selected class out of use"
        )
        self.remove_button.setVisible(bool(self.classes))

    # ---------------------------------------------------------------------------------------------------- changing it
    def add(self) -> None:
        """Add a class, select it and let the person type its name."""
        value = self._unknown or None
        names = {one.name.casefold() for one in self.classes}
        number = value or next(n for n in range(1, 256) if f"class {n}" not in names)
        name = f"class {number}"

        def work(study: Study) -> LabelClass:
            from napari_sortingloss.study.classes import add_class

            return add_class(study, name, value=value)

        self._change(work, self._added)

    def _added(self, made: LabelClass) -> None:
        self._wanted, self._rename, self._unknown = made.value, True, 0

    def remove(self, value: int | None) -> None:
        """Take a class out of use, once the person has said so."""
        found = next((one for one in self.classes if one.value == value), None)
        if found is None or not confirm_removal(self, found.name):
            return

        def work(study: Study) -> LabelClass:
            from napari_sortingloss.study.classes import remove_class

            return remove_class(study, found.value)

        self._change(work)

    def choose_color(self, value: int) -> None:
        """Ask for another colour."""
        found = next((one for one in self.classes if one.value == value), None)
        if found is None:
            return
        color = ask_color(self, found)
        if color:
            self._update_class(value, color=color)

    def _on_chosen(self, value: int) -> None:
        self._update()
        self.chosen.emit(value)

    def _on_edited(self, value: int, what: str, text: str) -> None:
        if what == "key":
            why = why_no_key(text)
            if why:
                self._stage.bar.show_error(why, of=EDIT)
                return
        self._update_class(value, **{what: text})

    def _update_class(self, value: int, **changes: str) -> None:
        def work(study: Study) -> LabelClass:
            from napari_sortingloss.study.classes import update_class

            return update_class(study, value, **changes)

        self._change(work)

    def _change(self, work: Callable[[Study], Any], then: Callable[[Any], None] | None = None) -> None:
        stage = self._stage
        study = stage.session.study
        if study is None:
            return

        def done(made: Any) -> None:
            if then is not None:
                then(made)
            stage.session.refresh()

        stage.bar.begin(EDIT)
        stage.background.run(lambda: work(study), done)


def why_no_key(text: str) -> BadSetting | None:
    """Return why a key cannot choose a class, or None if it can."""
    ours = {s.keys.lower(): s.what for s in SHORTCUTS if s.stage == "annotate" and s.id != "annotate.class"}
    what = f"Cannot give the key '{text}' to a class"
    todo = "choose a digit, or a letter that is free"
    if text in ours:
        return BadSetting(what, f"it is taken: {ours[text][0].lower()}{ours[text][1:]}", todo)
    if text and (text in NAPARI_KEYS or not text.isalnum()):
        return BadSetting(what, "napari uses it", todo)
    return None


def confirm_removal(parent: QWidget, name: str) -> bool:
    """Ask whether a class is to be taken out of use."""
    answer = QMessageBox.question(
        parent,
        "Remove the class",
        f"Take '{name}' out of use? What was painted with it stays in the files and counts as unknown. Its value is "
        "not given again.",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel,
        QMessageBox.StandardButton.Cancel,
    )
    return answer == QMessageBox.StandardButton.Yes


def ask_color(parent: QWidget, found: LabelClass) -> str:
    """Ask for the colour of a class; empty where the person cancels."""
    color = QColorDialog.getColor(QColor(found.color), parent, f"Colour of {found.name}")
    return color.name() if color.isValid() else ""
