"""The table of a study's volumes: size, voxel size, ordering axis, what has been done, and which look upside down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, Qt
from qtpy.QtGui import QContextMenuEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QTableView,
    QWidget,
)

from napari_sortingloss import wording
from napari_sortingloss.widgets.states import VolumeState, about_steps, dots
from napari_sortingloss.widgets.study.axis_edit import ARROWS
from napari_sortingloss.widgets.toolkit.shortcuts import bind, keys_of

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord

HEADERS = ("volume", "voxels", "voxel size", "axis", "state")
NAME, VOXELS, SIZE, AXIS, STATE = range(5)
LEAST = {NAME: 90, SIZE: 48, VOXELS: 64}
"""The columns that are shortened where there is little room, one after the other, and to how many pixels."""
THIN = "\N{THIN SPACE}"
LOW = 110
"""Its height, in pixels, where others need the room."""
Role = Qt.ItemDataRole


class VolumeModel(QAbstractTableModel):
    """The volumes as Qt wants them.

    Attributes
    ----------
    renamed : psygnal.Signal
        ``renamed(old, new)``: the person typed a new name; the model changes nothing itself.
    """

    renamed = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[VolumeRecord, VolumeState]] = []

    def set_rows(self, volumes: Mapping[str, VolumeRecord], states: Mapping[str, VolumeState]) -> None:
        """Show these volumes."""
        self.beginResetModel()
        self.rows = [(record, states.get(name, VolumeState())) for name, record in volumes.items()]
        self.endResetModel()

    def name(self, row: int) -> str:
        """Return the name of the volume in a row."""
        return self.rows[row][0].name

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
                return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Let names be edited."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == NAME else flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        record, state = self.rows[index.row()]
        if role == Role.DisplayRole:
            return _text(record, state, index.column())
        if role == Role.EditRole:
            return record.name
        if role == Role.ToolTipRole:
            return _tooltip(record, state, index.column())
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:  # noqa: N802
        """Hand a new name on; it is shown once the study has it."""
        old, new = self.name(index.row()), str(value).strip()
        if role == Role.EditRole and new and new != old:
            self.renamed.emit(old, new)
        return False


def _text(record: VolumeRecord, state: VolumeState, column: int) -> str:
    if column == NAME:
        return record.name  # a sign behind it would be cut off in the narrow column
    if state.flipped:  # the ⚠ and the Flip button lie over the other columns
        return ""
    if column == VOXELS:
        return wording.voxels(record.shape).replace(" ", THIN)
    if column == SIZE:
        return wording.voxel_sizes(record.voxel_size, record.unit) if record.unit else "unknown"
    if column == AXIS:
        return f"{record.axis} {ARROWS[record.direction]}"
    return "".join(dots(state))


def _tooltip(record: VolumeRecord, state: VolumeState, column: int) -> str:
    if column == STATE:
        lines = about_steps(state)
        if state.displacement is not None and state.random_displacement is not None:
            lines.append(
                f"order by {state.run}: mean displacement {state.displacement:.1f} slices, "
                f"random {state.random_displacement:.1f}"
            )
        return "\n".join(lines)
    if column == AXIS:
        way = "as stored" if record.direction == "+" else "against the order stored"
        return f"Slices are ordered along {record.axis}, {way}"
    if column == SIZE:
        sizes = " × ".join(f"{s:g}" for s in record.voxel_size)
        return f"z × y × x: {sizes} {record.unit or '(unit unknown)'}"
    if column == VOXELS:
        return f"z × y × x: {' × '.join(map(str, record.shape))} voxels"
    if record.parent is not None:
        return f"{record.name}\ncut from {record.parent}"
    source = record.source.get("path")
    return f"{record.name}\nfrom {source}" if source else record.name


class VolumeTable(QTableView):
    """The table, with its context menu and the Flip button of volumes that look upside down.

    Attributes
    ----------
    model_ : VolumeModel
    show_requested, edit_requested, remove_requested, export_requested : psygnal.Signal
        With the names of the selected volumes (a tuple).
    flip_requested : psygnal.Signal
        ``flip_requested(name)``.
    chosen : psygnal.Signal
        ``chosen(names)``: the selection changed.
    """

    show_requested = Signal(object)
    edit_requested = Signal(object)
    remove_requested = Signal(object)
    export_requested = Signal(object)
    flip_requested = Signal(str)
    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._quiet = False
        self.model_ = VolumeModel()
        self.setModel(self.model_)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setProperty("tight", True)
        self.setTabKeyNavigation(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setAccessibleName("Volumes of the study")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMinimumHeight(LOW)
        self.doubleClicked.connect(lambda *_: self.show_requested.emit(self.selected()))
        for key, action in (
            ("study.show", lambda: self.show_requested.emit(self.selected())),
            ("study.edit", lambda: self.edit_requested.emit(self.selected())),
            ("study.rename", self.rename_selected),
            ("study.remove", lambda: self.remove_requested.emit(self.selected())),
            ("study.export", lambda: self.export_requested.emit(self.selected())),
            ("study.flip", self._flip_selected),
        ):
            bind(self, key, action)

    def set_rows(self, volumes: Mapping[str, VolumeRecord], states: Mapping[str, VolumeState]) -> None:
        """Show these volumes; the selection stays."""
        before = self.selected()
        self._quiet = True
        try:
            self.model_.set_rows(volumes, states)
            self.clearSpans()
            for row, (record, state) in enumerate(self.model_.rows):
                if state.flipped:
                    self.setSpan(row, VOXELS, 1, STATE - VOXELS + 1)
                    self.setIndexWidget(self.model_.index(row, VOXELS), self._flip_cell(record.name))
            self.select(before)
        finally:
            self._quiet = False
        self._fit()
        self._tell()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Share the new width among the columns."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Give each column what it needs, the name the rest; where that is too little, shorten and at last scroll."""
        header = self.horizontalHeader()
        widths = {
            column: max(self.sizeHintForColumn(column), header.sectionSizeHint(column))
            for column in range(STATE + 1)
        }
        spare = self.viewport().width() - sum(widths.values())
        if spare > 0:
            widths[NAME] += spare
        for column, least in LEAST.items():
            shorter = max(min(widths[column], least), widths[column] + min(0, spare))
            spare += widths[column] - shorter
            widths[column] = shorter
        for column, width in widths.items():
            header.resizeSection(column, width)

    def selected(self) -> tuple[str, ...]:
        """Return the names of the selected volumes, in the order of the table."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return tuple(self.model_.name(row) for row in rows)

    def select(self, names: Sequence[str]) -> None:
        """Select volumes by name."""
        selection = self.selectionModel()
        selection.clearSelection()
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        for row in range(self.model_.rowCount()):
            if self.model_.name(row) in names:
                index = self.model_.index(row, NAME)
                selection.select(index, flags)
                if self.model_.name(row) == names[-1]:
                    selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)

    def rename_selected(self) -> None:
        """Edit the name of the selected volume in place."""
        rows = self.selectionModel().selectedRows(NAME)
        if rows:
            self.edit(rows[0])

    def why_no_key(self, shortcut_id: str) -> str:
        """Return why a key of the table would do nothing now; empty if it does something."""
        count = len(self.selected())
        alone = shortcut_id in ("study.rename", "study.export", "study.flip")
        return "" if count == 1 or (count and not alone) else f"Select {'one' if alone else 'a'} volume first"

    def context_menu(self) -> QMenu:
        """Return the menu for the selected volumes."""
        names = self.selected()
        menu = QMenu(self)
        one = len(names) == 1
        entries = (
            ("Show", "study.show", lambda: self.show_requested.emit(names), bool(names)),
            ("Axis and voxel size…", "study.edit", lambda: self.edit_requested.emit(names), bool(names)),
            ("Rename", "study.rename", self.rename_selected, one),
            ("Flip direction", "study.flip", lambda: self.flip_requested.emit(names[0]), one),
            ("Export volume…", "study.export", lambda: self.export_requested.emit(names), one),
            ("Remove from study…", "study.remove", lambda: self.remove_requested.emit(names), bool(names)),
        )
        for text, key, action, enabled in entries:
            entry = menu.addAction(f"{text}\t{keys_of(key)}")
            entry.triggered.connect(lambda *_, action=action: action())
            entry.setEnabled(enabled)
        return menu

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Show the menu where the mouse (or the menu key) asks for it."""
        menu = self.context_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def selectionChanged(self, selected: Any, deselected: Any) -> None:  # noqa: N802
        """Tell who is selected."""
        super().selectionChanged(selected, deselected)
        self._tell()

    def _tell(self) -> None:
        if not self._quiet:
            self.chosen.emit(self.selected())

    def _flip_selected(self) -> None:
        names = self.selected()
        if len(names) == 1:
            self.flip_requested.emit(names[0])

    def _flip_cell(self, name: str) -> QWidget:
        cell = QWidget()
        cell.setProperty("clear", True)
        button = QPushButton("Flip")
        button.setProperty("small", True)
        button.setToolTip(f"Count the slices of {name} the other way round; nothing is copied")
        button.setAccessibleName(f"Flip {name}")
        button.clicked.connect(lambda *_: self.flip_requested.emit(name))
        layout = QHBoxLayout(cell)
        layout.setContentsMargins(4, 1, 4, 1)
        layout.addWidget(QLabel("⚠ upside down?"))
        layout.addStretch(1)
        layout.addWidget(button)
        return cell
