"""The runs of a study: state, progress, result; tick some to compare their curves."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QColor, QContextMenuEvent, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_sortingloss.networks import ENCODERS
from napari_sortingloss.pretext import can_order
from napari_sortingloss.widgets.runs.curves import COMPARED
from napari_sortingloss.widgets.runs.run_words import GOING_ON, differences
from napari_sortingloss.widgets.runs.split import Split
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.theme import Colors

SIGNS = {
    "running": "▶ running",
    "paused": "‖ paused",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✖ failed",
    "interrupted": "⚠ interrupted",
}
HEADERS = ("runs (tick to compare)", "", "step", "result")
ROWS = 5
"""More runs than these scroll."""

_ID = Qt.ItemDataRole.UserRole


class RunTable(QTreeWidget):
    """One row a run, newest first.

    Attributes
    ----------
    chosen : psygnal.Signal
        ``chosen(id)``: the person selected a run.
    compared : psygnal.Signal
        ``compared()``: the ticks changed.
    resume_requested, order_requested, settings_requested, delete_requested : psygnal.Signal
        From the context menu, with the run's id.
    renamed : psygnal.Signal
        ``renamed(id, name)``: a person gave a run another name; an empty one takes it away.
    """

    chosen = Signal(str)
    compared = Signal()
    resume_requested = Signal(str)
    order_requested = Signal(str)
    settings_requested = Signal(str)
    delete_requested = Signal(str)
    renamed = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(list(HEADERS))
        self.setRootIsDecorated(False)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setUniformRowHeights(True)
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)  # ids begin alike
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.header()
        header.setStretchLastSection(False)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.headerItem().setToolTip(
            0, "Tick runs to draw their curves behind those of the run in view; F2 gives a run a name"
        )
        self.headerItem().setToolTip(1, "  ".join(SIGNS.values()))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setItemDelegate(_Names(self))
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.setAccessibleName("Runs of this study")
        self._infos: dict[str, RunInfo] = {}
        self._colours: dict[str, str] = {}  # of the ticked runs, in the order of ticking
        self._quiet = False
        self.currentItemChanged.connect(self._on_current)
        self.itemChanged.connect(self._on_item)

    def set_runs(self, runs: Sequence[RunInfo]) -> None:
        """Show these runs; ticks, the selection and a name that is being typed stay as they were."""
        if self.state() == QAbstractItemView.State.EditingState and set(self._ids()) == {i.id for i in runs}:
            return
        current = self.current()
        self._infos = {info.id: info for info in runs}
        self._colours = {run_id: colour for run_id, colour in self._colours.items() if run_id in self._infos}
        self._quiet = True
        try:
            if [info.id for info in runs] != self._ids():
                self.clear()
                self.addTopLevelItems([QTreeWidgetItem() for _ in runs])
            apart = differences(runs)
            for row, info in enumerate(runs):
                self._fill(self.topLevelItem(row), info, apart[info.id], info.id in self._colours)
            self._select(current)
            self._colour()
        finally:
            self._quiet = False
        rows = min(max(len(runs), 1), ROWS)
        self.setFixedHeight(self.header().sizeHint().height() + rows * (self.sizeHintForRow(0) or 22) + 4)

    def current(self) -> str:
        """Return the id of the selected run, or an empty string."""
        item = self.currentItem()
        return str(item.data(0, _ID)) if item is not None else ""

    def select(self, run_id: str) -> None:
        """Select a run without telling anybody."""
        self._quiet = True
        try:
            self._select(run_id)
        finally:
            self._quiet = False

    def ticked(self) -> list[str]:
        """Return the runs to compare, at most as many as there are colours."""
        return list(self._colours)

    def colour_of(self, run_id: str) -> str:
        """Return the colour of a ticked run."""
        return self._colours[run_id]

    def tick(self, run_id: str, on: bool = True) -> None:
        """Tick a run, or take the tick away, as a person does."""
        item = self.topLevelItem(self._ids().index(run_id))
        item.setCheckState(0, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Offer what can be done with the run under the mouse, or the selected one when a key asked for it."""
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        item = self.currentItem() if by_key else self.itemAt(event.pos())
        if item is not None:
            where = self.visualItemRect(item).bottomLeft() if by_key else event.pos()
            menu = self.menu_for(str(item.data(0, _ID)))
            menu.exec(self.viewport().mapToGlobal(where))
            menu.deleteLater()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Name the selected run by F2."""
        if event.key() == Qt.Key.Key_F2:
            self.edit_name(self.current())
        else:
            super().keyPressEvent(event)

    def menu_for(self, run_id: str) -> QMenu:
        """Return the context menu of a run."""
        info = self._infos[run_id]
        going_on = info.state in GOING_ON
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for text, signal, why_not in (
            ("&Go on training", self.resume_requested, "It is going on" if going_on else ""),
            self.use_of(info),
            ("Use its &settings for a new run", self.settings_requested, ""),
            ("Re&name…\tF2", None, ""),
            ("&Delete…", self.delete_requested, "Stop it first" if going_on else ""),
        ):
            action = menu.addAction(text)
            action.setEnabled(not why_not)
            action.setToolTip(why_not)
            if signal is None:
                action.triggered.connect(lambda *_: self.edit_name(run_id))
            else:
                action.triggered.connect(lambda *_, signal=signal: signal.emit(run_id))
        return menu

    def edit_name(self, run_id: str) -> None:
        """Let a person type a name for a run into its row."""
        if run_id in self._ids():
            self.edit(self.model().index(self._ids().index(run_id), 0))

    def info_at(self, row: int) -> RunInfo:
        """Return what is known of the run in a row."""
        return self._infos[self._ids()[row]]

    def use_of(self, info: RunInfo) -> tuple[str, Any, str]:
        """Return what a run is good for: the text of the entry, its signal, and why it cannot be asked for yet."""
        why_not = "" if info.summary.get("step") else "It has no weights yet"
        why_not = why_not if can_order(info.task) else "It did not learn to order slices"
        return "&Order the slices of all volumes", self.order_requested, why_not

    def _fill(self, item: QTreeWidgetItem, info: RunInfo, apart: str, ticked: bool) -> None:
        step, steps = info.summary.get("step", 0), info.summary.get("steps", 0)
        state = SIGNS.get(info.state, info.state)
        title = f"{info.title} · {apart}" if apart else info.title
        texts = (title, state.split()[0], f"{step}/{steps}" if steps else f"{step}", _result(info))
        about = [
            *dict.fromkeys((info.title, info.id)),
            f"{state}, step {step}" + (f" of {steps}" if steps else ", until stopped"),
            f"begun {info.created[:16].replace('T', ' ')}",
        ]
        about += [given(info.settings), *figures(info)]
        for column, text in enumerate(texts):
            item.setText(column, text)
            item.setToolTip(column, "\n".join(about))
        item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setTextAlignment(3, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setData(0, _ID, info.id)
        item.setData(1, Qt.ItemDataRole.AccessibleTextRole, state)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEditable)
        item.setCheckState(0, Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def _ids(self) -> list[str]:
        return [str(self.topLevelItem(i).data(0, _ID)) for i in range(self.topLevelItemCount())]

    def _select(self, run_id: str) -> None:
        ids = self._ids()
        if run_id in ids:
            self.setCurrentItem(self.topLevelItem(ids.index(run_id)))

    def _colour(self) -> None:
        """Write the compared runs in the colour of their curves; the one in view has curves of its own."""
        shown = self.current()
        quiet, self._quiet = self._quiet, True
        for i in range(self.topLevelItemCount()):
            item = self.topLevelItem(i)
            run_id = str(item.data(0, _ID))
            if run_id in self._colours and run_id != shown:
                item.setForeground(0, QColor(self._colours[run_id]))
            else:
                item.setData(0, Qt.ItemDataRole.ForegroundRole, None)
        self._quiet = quiet

    def _on_current(self, *_: Any) -> None:
        self._colour()
        if not self._quiet and self.current():
            self.chosen.emit(self.current())

    def _on_item(self, item: QTreeWidgetItem, *_: Any) -> None:
        if self._quiet:
            return
        run_id = str(item.data(0, _ID))
        free = [colour for colour in COMPARED if colour not in self._colours.values()]
        if item.checkState(0) != Qt.CheckState.Checked:
            self._colours.pop(run_id, None)
        elif run_id not in self._colours and free:
            self._colours[run_id] = free[0]
        elif run_id not in self._colours:
            item.setCheckState(0, Qt.CheckState.Unchecked)
        self._colour()
        self.compared.emit()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self.setStyleSheet(table_style(colors))


class _Names(QStyledItemDelegate):
    """Lets the name of a run be typed: an empty line takes it away, and the id is shown again."""

    def __init__(self, table: RunTable) -> None:
        super().__init__(table)
        self._table = weakref.ref(table)

    def createEditor(self, parent: QWidget, option: Any, index: QModelIndex) -> QWidget | None:  # noqa: N802
        """Edit the first column only."""
        if index.column() != 0:
            return None
        editor = QLineEdit(parent)
        editor.setAccessibleName("Name of the run")
        editor.setStyleSheet("padding: 0px 2px; margin: 0px; min-height: 0px;")
        return editor

    def updateEditorGeometry(  # noqa: N802
        self, editor: QLineEdit, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Leave the tick visible, and the row below."""
        box = 24
        editor.setGeometry(option.rect.adjusted(box - option.rect.left(), 0, 0, 0))

    def setEditorData(self, editor: QLineEdit, index: QModelIndex) -> None:  # noqa: N802
        """Begin with the name, not with what tells the run from others."""
        table = self._table()
        if table is not None:
            info = table.info_at(index.row())
            editor.setText(info.name)
            editor.setPlaceholderText(info.id)

    def setModelData(self, editor: QLineEdit, model: Any, index: QModelIndex) -> None:  # noqa: N802
        """Tell the new name; the row shows it once it is kept."""
        table, name = self._table(), " ".join(editor.text().split())
        if table is not None and name != table.info_at(index.row()).name:
            table.renamed.emit(table.info_at(index.row()).id, name)


def table_style(colors: Colors) -> str:
    """Return the style of a table whose rows can be ticked."""
    icons = "dark" if colors.dark else "light"
    return f"""
        QTreeView {{ background-color: {colors.background}; alternate-background-color: {colors.raised};
            border: 1px solid {colors.field}; }}
        QTreeView:focus {{ border: 1px solid {colors.train}; }}
        QTreeView::item {{ padding: 2px 0px; border: none; }}
        QTreeView::item:selected {{ background-color: {colors.field}; color: {colors.text}; }}
        QTreeView::indicator {{ width: 12px; height: 12px; border: 1px solid {colors.muted};
            border-radius: 2px; background-color: {colors.background}; }}
        QTreeView::indicator:checked {{ image: url("theme_{icons}:/check.svg"); }}
        """


def given(settings: Mapping[str, Any]) -> str:
    """Say in a line what a run was given, e.g. ``"ResNet-18, 16 slices of 112 px, 30 train · 8 validate"``."""
    encoders = {info.name: info.title for info in ENCODERS}
    parts = [encoders.get(str(settings.get("encoder")), "")]
    for what in ("slices", "pairs"):
        if what in settings and "size" in settings:
            parts.append(f"{settings[what]} {what} of {settings['size']} px")
    parts.append(Split(tuple(settings.get("volumes", ())), tuple(settings.get("validate", ()))).said())
    return ", ".join(part for part in parts if part)


def figures(info: RunInfo) -> list[str]:
    """Say the main figure of a run with the level of chance beside it, the unseen volumes first.

    Parameters
    ----------
    info : RunInfo
    """
    said = []
    for split, on in (("validation", "unseen volumes"), ("train", "the training volumes")):
        found = info.headline(split)
        if info.kind == "finetune":  # measured on slices, of whichever volumes
            on = {"validation": "held-back slices", "train": "the training slices"}[split]
        if found is not None:
            beside = f", random {found.random}" if found.random else ""
            on = f"{found.measured_on} {on}".lstrip()
            said.append(f"{found.title} {found.value}{found.unit} on {on}{beside}")
    return said


def _result(info: RunInfo) -> str:
    found = info.headline()
    return found.value if found is not None else "–"
