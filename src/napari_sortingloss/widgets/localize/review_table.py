"""The table of what was found: one row a volume, gone through by keyboard, so that forty boxes take two minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psygnal import Signal
from qtpy.QtCore import QAbstractTableModel, QItemSelection, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtGui import QContextMenuEvent, QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView

from napari_sortingloss import wording
from napari_sortingloss.widgets.toolkit.shortcuts import bind, keys_of

HEADERS = ("volume", "state", "keeps", "8-bit size")
NAME, STATE, KEEPS, SIZE = range(4)
MOST_ROWS = 6
"""More volumes than these scroll."""
NARROW = 330
"""Below this width the size before is left out: the name of the volume needs the room."""
ADJUSTED = "✎"

Status = Literal["none", "waiting", "working", "found", "accepted", "skipped", "damaged"]
SIGNS: dict[Status, str] = {
    "none": "○ not yet",
    "waiting": "… waits",
    "working": "▶ at work",
    "found": "◐ check",
    "accepted": "✓ accepted",
    "skipped": "– skipped",
    "damaged": "✖ damaged",
}
CHECKED: tuple[Status, ...] = ("accepted", "skipped")
LOCALIZED: tuple[Status, ...] = ("found", *CHECKED)
Role = Qt.ItemDataRole


@dataclass(frozen=True)
class ReviewRow:
    """One volume of the table.

    Attributes
    ----------
    name : str
    status : {"none", "waiting", "working", "found", "accepted", "skipped", "damaged"}
    voxels : int
        Of the whole volume; a voxel takes a byte.
    kept : float or None
        The share of them in the box; None where it has none.
    adjusted : bool
        A person moved the box.
    warnings : tuple of str
        What was said when it was found.
    crop : str
        The volume that was cut to just this box, if there is one.
    problem : str
        Why its localisation cannot be read.
    """

    name: str
    status: Status = "none"
    voxels: int = 0
    kept: float | None = None
    adjusted: bool = False
    warnings: tuple[str, ...] = ()
    crop: str = ""
    problem: str = ""

    @property
    def said(self) -> str:
        """Sign and word of its state."""
        if self.status == "accepted" and self.crop:
            return "✓ cropped"
        if self.status == "found" and self.warnings:
            return "⚠ check"
        return SIGNS[self.status]


class ReviewModel(QAbstractTableModel):
    """The rows as Qt wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[ReviewRow] = []
        self.narrow = False

    def set_narrow(self, narrow: bool) -> None:
        """Say less where there is little room."""
        if narrow != self.narrow:
            self.narrow = narrow
            if self.rows:
                self.dataChanged.emit(self.index(0, SIZE), self.index(len(self.rows) - 1, SIZE))

    def set_rows(self, rows: Sequence[ReviewRow]) -> None:
        """Show these rows; where only their content changed, selection and scrolling stay."""
        rows = list(rows)
        if [row.name for row in rows] != [row.name for row in self.rows]:
            self.beginResetModel()
            self.rows = rows
            self.endResetModel()
            return
        changed = [i for i, (old, new) in enumerate(zip(self.rows, rows, strict=True)) if old != new]
        self.rows = rows
        for i in changed:
            self.dataChanged.emit(self.index(i, 0), self.index(i, len(HEADERS) - 1))

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of volumes."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:  # noqa: N802
        """Return a heading."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Role.DisplayRole:
                return HEADERS[section]
            if role == Role.TextAlignmentRole:
                return _alignment(section)
        return None

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        row = self.rows[index.row()]
        if role == Role.DisplayRole:
            return _text(row, index.column(), self.narrow)
        if role == Role.TextAlignmentRole:
            return _alignment(index.column())
        if role == Role.ToolTipRole:
            return _tooltip(row)
        return None


class ReviewTable(QTableView):
    """The table and its keys, which work while it has the focus.

    Attributes
    ----------
    model_ : ReviewModel
    chosen : psygnal.Signal
        ``chosen(name)``: the person went to a volume.
    selection_changed : psygnal.Signal
        Other rows are selected.
    accept_requested, skip_requested, reopen_requested, next_requested : psygnal.Signal
        By key or from the menu, for the volume in view; the last one asks for the next unchecked.
    """

    chosen = Signal(str)
    selection_changed = Signal()
    accept_requested = Signal()
    skip_requested = Signal()
    reopen_requested = Signal()
    next_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._quiet = False
        self.model_ = ReviewModel()
        self.setModel(self.model_)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("What was found in each volume")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for key, signal in (
            ("localize.accept", self.accept_requested),
            ("localize.skip", self.skip_requested),
            ("localize.reopen", self.reopen_requested),
            ("localize.next", self.next_requested),
        ):
            bind(self, key, lambda signal=signal: signal.emit())

    def set_rows(self, rows: Sequence[ReviewRow]) -> None:
        """Show these volumes; the current one stays, if it is still there."""
        current, selected = self.current(), self.selected()
        self._quiet = True
        try:
            self.model_.set_rows(rows)
            if self.current() != current:
                self._select(current)
            if self.selected() != selected and len(selected) > 1:
                self._mark(selected)
        finally:
            self._quiet = False
        shown = min(max(len(rows), 2), MOST_ROWS)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + shown * 22 + 4)

    def current(self) -> str:
        """Return the volume of the current row, or an empty string."""
        row = self.currentIndex().row()
        return self.model_.rows[row].name if 0 <= row < len(self.model_.rows) else ""

    def selected(self) -> tuple[str, ...]:
        """Return the selected volumes, in the order of the table."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return tuple(self.model_.rows[row].name for row in rows)

    def select(self, name: str) -> None:
        """Make a volume the current one without telling anybody."""
        if name == self.current():
            return
        self._quiet = True
        try:
            self._select(name)
        finally:
            self._quiet = False

    def row(self, name: str) -> ReviewRow | None:
        """Return the row of a volume."""
        return next((row for row in self.model_.rows if row.name == name), None)

    def next_unchecked(self) -> str:
        """Return the first volume to check after the current one, beginning anew at the end; empty if there is none."""
        rows, at = self.model_.rows, self.currentIndex().row()
        order = [*rows[at + 1 :], *rows[: at + 1]]
        return next((row.name for row in order if row.status == "found"), "")

    def following(self) -> str:
        """Return the volume a person most likely goes to next: the next unchecked, or the next row."""
        unchecked, at = self.next_unchecked(), self.currentIndex().row()
        if unchecked and unchecked != self.current():
            return unchecked
        return next((row.name for row in self.model_.rows[at + 1 :] if row.status in LOCALIZED), "")

    def why_no_key(self, shortcut_id: str) -> str:
        """Return why a key of the table would do nothing now; empty if it does something."""
        row = self.row(self.current())
        if shortcut_id == "localize.next":
            return "" if self.next_unchecked() else "All are checked"
        if row is None or row.status not in LOCALIZED:
            return "Select a localized volume first"
        return (
            "It is not checked yet" if shortcut_id == "localize.reopen" and row.status not in CHECKED else ""
        )

    def context_menu(self) -> QMenu:
        """Return the menu of the current volume."""
        row = self.row(self.current())
        localized = row is not None and row.status in LOCALIZED
        menu = QMenu(self)
        for text, key, signal, enabled in (
            ("Accept", "localize.accept", self.accept_requested, localized),
            ("Skip", "localize.skip", self.skip_requested, localized),
            (
                "Check again",
                "localize.reopen",
                self.reopen_requested,
                localized and row.status in CHECKED,
            ),
            ("Next to check", "localize.next", self.next_requested, bool(self.next_unchecked())),
        ):
            entry = menu.addAction(f"{text}\t{keys_of(key)}")
            entry.triggered.connect(lambda *_, signal=signal: signal.emit())
            entry.setEnabled(bool(enabled))
        return menu

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Show the menu where the mouse (or the menu key) asks for it."""
        menu = self.context_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Let the Enter of the number pad accept too; letters do not search, they are keys of the review."""
        if event.key() == Qt.Key.Key_Enter:
            self.accept_requested.emit()
        elif not event.text().strip():
            super().keyPressEvent(event)
        else:
            event.ignore()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Say as much as there is room for."""
        super().resizeEvent(event)
        self.model_.set_narrow(self.viewport().width() < NARROW)

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:  # noqa: N802
        """Tell where the person went."""
        super().currentChanged(current, previous)
        if not self._quiet and current.isValid() and current.row() != previous.row():
            self.chosen.emit(self.model_.rows[current.row()].name)

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:  # noqa: N802
        """Tell that others are selected."""
        super().selectionChanged(selected, deselected)
        self.selection_changed.emit()

    def _select(self, name: str) -> None:
        names = [row.name for row in self.model_.rows]
        if name not in names:
            self.selectionModel().clear()
            return
        index = self.model_.index(names.index(name), NAME)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.selectionModel().setCurrentIndex(index, flags)
        self.scrollTo(index)

    def _mark(self, names: Sequence[str]) -> None:
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for i, row in enumerate(self.model_.rows):
            if row.name in names:
                self.selectionModel().select(self.model_.index(i, NAME), flags)


def sizes(before: float, after: float) -> str:
    """Return two numbers of bytes as short as can be read, e.g. ``"24.0 → 6.2 GB"``."""
    first, second = wording.size(before), wording.size(after)
    number, _, unit = first.partition(" ")
    return f"{number} → {second}" if second.endswith(f" {unit}") else f"{first} → {second}"


def percent(share: float) -> str:
    """Return a share as a person reads it, e.g. ``"26 %"`` or ``"0.4 %"``."""
    value = 100 * share
    if value >= 99.95 or value == 0:
        return f"{value:.0f} %"
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %" if value >= 0.095 else f"{value:.1g} %"


def _text(row: ReviewRow, column: int, narrow: bool) -> str:
    if column == NAME:
        return row.name
    if column == STATE:
        return row.said
    if column == KEEPS:
        if row.kept is None:
            return "–" if row.status in LOCALIZED else ""
        return f"{percent(row.kept)} {ADJUSTED}" if row.adjusted else percent(row.kept)
    if row.kept is None:
        return wording.size(row.voxels)
    after = row.kept * row.voxels
    return f"→ {wording.size(after)}" if narrow else sizes(row.voxels, after)


def _tooltip(row: ReviewRow) -> str:
    lines = [f"{row.name}: {row.said}"]
    if row.problem:
        lines.append(row.problem)
    if row.kept is not None:
        lines.append(f"keeps {percent(row.kept)}: {sizes(row.voxels, row.kept * row.voxels)}")
    if row.adjusted:
        lines.append(f"{ADJUSTED} the box was adjusted by hand")
    lines += [f"⚠ {warning}" for warning in row.warnings]
    if row.crop:
        lines.append(f"cut out as {row.crop}")
    return "\n".join(lines)


def _alignment(column: int) -> Any:
    side = Qt.AlignmentFlag.AlignRight if column in (KEEPS, SIZE) else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
