"""The classes to paint with: key, colour, name and how much of the slice in view each covers; knows no study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QContextMenuEvent, QKeyEvent, QMouseEvent, QPainter, QPen
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from napari_sortingloss.widgets.toolkit.shortcuts import keys_of

KEY, COLOR, NAME, AREA = range(4)
HEADERS = ("key", "", "class", "in this slice")
MOST_ROWS = 7
"""More classes than these scroll."""
SWATCH = 14
Role = Qt.ItemDataRole


@dataclass(frozen=True)
class ClassRow:
    """One line of the table.

    Attributes
    ----------
    value : int
        What is painted.
    name, color, key : str
        As of a `LabelClass`.
    area : str
        How much of the slice in view it covers, with its unit; empty where that is not known.
    fixed : bool
        It is no class of the study (the painted background) and cannot be changed.
    """

    value: int
    name: str
    color: str
    key: str = ""
    area: str = ""
    fixed: bool = False


class ClassModel(QAbstractTableModel):
    """The rows as Qt wants them.

    Attributes
    ----------
    edited : psygnal.Signal
        ``edited(value, "name" or "key", text)``: a person typed something else.
    """

    edited = Signal(int, str, str)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[ClassRow] = []

    def set_rows(self, rows: Sequence[ClassRow]) -> None:
        """Show these rows; where only their content changed, the selection and an open editor stay."""
        rows = list(rows)
        if [row.value for row in rows] != [row.value for row in self.rows]:
            self.beginResetModel()
            self.rows = rows
            self.endResetModel()
            return
        changed = [i for i, (old, new) in enumerate(zip(self.rows, rows, strict=True)) if old != new]
        self.rows = rows
        for i in changed:
            self.dataChanged.emit(self.index(i, 0), self.index(i, len(HEADERS) - 1))

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of classes."""
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

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names and keys of the study's classes can be typed."""
        flags = super().flags(index)
        if index.isValid() and index.column() in (KEY, NAME) and not self.rows[index.row()].fixed:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        row = self.rows[index.row()]
        if role in (Role.DisplayRole, Role.EditRole):
            return {KEY: row.key, NAME: row.name, AREA: row.area}.get(index.column(), "")
        if role == Role.TextAlignmentRole:
            return _alignment(index.column())
        if role == Role.ToolTipRole:
            return _tooltip(row, index.column())
        if role == Role.AccessibleTextRole and index.column() == COLOR:
            return f"colour {row.color}"
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:  # noqa: N802
        """Tell what was typed; it is shown once the study has it."""
        row, text = self.rows[index.row()], str(value).strip()
        what = {KEY: "key", NAME: "name"}.get(index.column())
        if role != Role.EditRole or what is None or row.fixed or text == getattr(row, what):
            return False
        if what == "name" and not text:
            return False
        self.edited.emit(row.value, what, text[-1:].lower() if what == "key" else text)
        return True


class _Swatch(QStyledItemDelegate):
    """Draws the colour of a class; the painted background is hatched."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().paint(painter, option, index)
        model = index.model()
        if not isinstance(model, ClassModel):
            return
        row = model.rows[index.row()]
        rect = QRect(0, 0, SWATCH, SWATCH)
        rect.moveCenter(option.rect.center())
        painter.save()
        if row.fixed:
            painter.fillRect(rect, QColor(row.color))
            painter.fillRect(rect, QBrush(QColor("#c8d0e0"), Qt.BrushStyle.BDiagPattern))
        else:
            painter.fillRect(rect, QColor(row.color))
        painter.setPen(QPen(QColor(0, 0, 0, 110), 1))
        painter.drawRect(rect.adjusted(0, 0, -1, -1))
        painter.restore()


class ClassTable(QTableView):
    """The table; what is selected is what is painted.

    Attributes
    ----------
    chosen : psygnal.Signal
        ``chosen(value)``: paint with this class.
    edited : psygnal.Signal
        ``edited(value, "name" or "key", text)``.
    color_requested, remove_requested : psygnal.Signal
        With the value of the class.
    """

    chosen = Signal(int)
    edited = Signal(int, str, str)
    color_requested = Signal(int)
    remove_requested = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._quiet = False
        self.model_ = ClassModel()
        self.setModel(self.model_)
        self.setItemDelegateForColumn(COLOR, _Swatch(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setAlternatingRowColors(True)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(SWATCH + 8)
        header.setSectionResizeMode(KEY, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(COLOR, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(AREA, QHeaderView.ResizeMode.ResizeToContents)
        self.setColumnWidth(COLOR, SWATCH + 10)
        self.setAccessibleName("Classes")
        self.model_.edited.connect(self._on_edited)
        self._fit()

    # ------------------------------------------------------------------------------------------------- what is shown
    @property
    def value(self) -> int | None:
        """The class that is selected."""
        index = self.currentIndex()
        selected = index.isValid() and self.selectionModel().isRowSelected(index.row(), QModelIndex())
        return self.model_.rows[index.row()].value if selected else None

    def set_rows(self, rows: Sequence[ClassRow]) -> None:
        """Show these classes; the selected one stays so."""
        selected, editing = self.value, self.state() == QAbstractItemView.State.EditingState
        same = [row.value for row in rows] == [row.value for row in self.model_.rows]
        self.model_.set_rows(rows)
        if not (same and editing):
            self._fit()
        if not same:
            self.select(selected)

    def set_areas(self, areas: Mapping[int, str]) -> None:
        """Say how much of the slice in view each class covers; nothing of those left out."""
        self.model_.set_rows(
            [
                ClassRow(row.value, row.name, row.color, row.key, areas.get(row.value, ""), row.fixed)
                for row in self.model_.rows
            ]
        )

    def select(self, value: int | None) -> None:
        """Show what is painted with, without telling; None, or a value that is not there, selects nothing."""
        values = [row.value for row in self.model_.rows]
        self._quiet = True
        if value in values:
            index = self.model_.index(values.index(value), NAME)
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.selectionModel().setCurrentIndex(index, flags)
            self.scrollTo(index)
        else:
            self.selectionModel().clear()
        self._quiet = False

    def edit_name(self, value: int) -> None:
        """Let the person type the name of a class."""
        values = [row.value for row in self.model_.rows]
        if value in values:
            self.setFocus()
            index = self.model_.index(values.index(value), NAME)
            self.setCurrentIndex(index)
            self.edit(index)

    # --------------------------------------------------------------------------------------------- mouse and keyboard
    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:  # noqa: N802
        """Tell what is painted with from now on."""
        super().currentChanged(current, previous)
        if not self._quiet and current.isValid() and current.row() != previous.row():
            self.chosen.emit(self.model_.rows[current.row()].value)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """A click on the class that is selected already chooses it too: the brush may have been put away."""
        before = self.currentIndex().row()
        super().mousePressEvent(event)
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and index.row() == before and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(self.model_.rows[index.row()].value)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Ask for another colour on the swatch; edit names and keys."""
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and index.column() == COLOR and not self.model_.rows[index.row()].fixed:
            self.color_requested.emit(self.model_.rows[index.row()].value)
            return
        super().mouseDoubleClickEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Take the key of a class; letters do not search."""
        text = event.text().strip().lower()
        values = {row.key: row.value for row in self.model_.rows if row.key}
        if event.key() == Qt.Key.Key_Delete and self._free(self.value):
            self.remove_requested.emit(self.value)
        elif text and text in values:
            self.select(values[text])
            self.chosen.emit(values[text])
        elif not text:
            super().keyPressEvent(event)
        else:
            event.ignore()

    def context_menu(self) -> QMenu:
        """Return the menu of the selected class."""
        menu = QMenu(self)
        value = self.value
        free = self._free(value)
        for text, keys, action in (
            ("Rename", "F2", lambda: self.edit_name(value or 0)),
            ("Colour…", "", lambda: self.color_requested.emit(value)),
            ("Key…", "", lambda: self.edit(self.model_.index(self.currentIndex().row(), KEY))),
            ("Remove", keys_of("annotate.remove"), lambda: self.remove_requested.emit(value)),
        ):
            entry = menu.addAction(f"{text}\t{keys}" if keys else text)
            entry.triggered.connect(lambda *_, action=action: action())
            entry.setEnabled(free)
        return menu

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Show the menu where the mouse (or the menu key) asks for it."""
        menu = self.context_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the height of the rows, so that nothing but the panel scrolls while there are few."""
        return QSize(300, self.height())

    def _free(self, value: int | None) -> bool:
        return any(row.value == value and not row.fixed for row in self.model_.rows)

    def _on_edited(self, value: int, what: str, text: str) -> None:
        self.edited.emit(value, what, text)

    def _fit(self) -> None:
        rows = max(1, min(MOST_ROWS, len(self.model_.rows)))
        each = self.verticalHeader().defaultSectionSize()
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows * each + 2 * self.frameWidth())


def _alignment(column: int) -> Any:
    side = {KEY: Qt.AlignmentFlag.AlignHCenter, AREA: Qt.AlignmentFlag.AlignRight}.get(
        column, Qt.AlignmentFlag.AlignLeft
    )
    return side | Qt.AlignmentFlag.AlignVCenter


def _tooltip(row: ClassRow, column: int) -> str:
    if row.fixed:
        return "Painted on purpose: known background, on a slice that is not complete; napari shows it as label 255"
    return {
        KEY: "Press it over the image to paint with this class; double-click to choose another key",
        COLOR: "Double-click to choose another colour",
        NAME: f"{row.name} (value {row.value}); double-click to rename",
        AREA: f"How much of the slice in view is painted as {row.name}",
    }[column]
