"""The runs of a study: state, progress, result; tick some to compare their curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QContextMenuEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTreeWidget, QTreeWidgetItem

from napari_sortingloss.widgets.curves import COMPARED
from napari_sortingloss.widgets.session import RunInfo

SIGNS = {
    "running": "▶ running",
    "paused": "⏸ paused",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✖ failed",
    "interrupted": "⚠ interrupted",
}
GOING_ON = ("running", "paused")
HEADERS = ("run (tick to compare)", "state", "step", "displaced")
_ID = Qt.ItemDataRole.UserRole


class RunTable(QTreeWidget):
    """One row a run, newest first.

    Attributes
    ----------
    chosen : psygnal.Signal
        ``chosen(id)``: the person selected a run.
    compared : psygnal.Signal
        ``compared()``: the ticks changed.
    resume_requested, order_requested, delete_requested : psygnal.Signal
        From the context menu, with the run's id.
    """

    chosen = Signal(str)
    compared = Signal()
    resume_requested = Signal(str)
    order_requested = Signal(str)
    delete_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(list(HEADERS))
        self.setRootIsDecorated(False)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setUniformRowHeights(True)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.setAccessibleName("Runs of this study")
        self._infos: dict[str, RunInfo] = {}
        self._quiet = False
        self.currentItemChanged.connect(self._on_current)
        self.itemChanged.connect(self._on_item)

    def set_runs(self, runs: Sequence[RunInfo]) -> None:
        """Show these runs; ticks and the selection stay where they were."""
        ticked, current = set(self.ticked()), self.current()
        self._infos = {info.id: info for info in runs}
        self._quiet = True
        try:
            if [info.id for info in runs] != self._ids():
                self.clear()
                self.addTopLevelItems([QTreeWidgetItem() for _ in runs])
            for row, info in enumerate(runs):
                self._fill(self.topLevelItem(row), info, info.id in ticked)
            self._select(current)
            self._colour()
        finally:
            self._quiet = False
        rows = min(max(len(runs), 1), 5)
        self.setFixedHeight(self.header().sizeHint().height() + rows * (self.sizeHintForRow(0) or 22) + 6)

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
        """Return the runs to compare, as many as there are colours."""
        items = [self.topLevelItem(i) for i in range(self.topLevelItemCount())]
        ids = [str(i.data(0, _ID)) for i in items if i.checkState(0) == Qt.CheckState.Checked]
        return ids[: len(COMPARED)]

    def colour_of(self, run_id: str) -> str:
        """Return the colour of a ticked run."""
        return COMPARED[self.ticked().index(run_id)]

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Offer what can be done with the run under the mouse."""
        item = self.itemAt(event.pos())
        if item is not None:
            self.menu_for(str(item.data(0, _ID))).exec(event.globalPos())

    def menu_for(self, run_id: str) -> QMenu:
        """Return the context menu of a run."""
        going_on = self._infos[run_id].state in GOING_ON
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for text, signal, why_not in (
            ("&Go on training", self.resume_requested, "It is going on" if going_on else ""),
            ("&Order the slices of all volumes", self.order_requested, ""),
            ("&Delete…", self.delete_requested, "Stop it first" if going_on else ""),
        ):
            action = menu.addAction(text)
            action.setEnabled(not why_not)
            action.setToolTip(why_not)
            action.triggered.connect(lambda *_, signal=signal: signal.emit(run_id))
        return menu

    def _fill(self, item: QTreeWidgetItem, info: RunInfo, ticked: bool) -> None:
        step, steps = info.summary.get("step", 0), info.summary.get("steps", 0)
        texts = (info.id, SIGNS.get(info.state, info.state), f"{step}/{steps}", _displaced(info.summary))
        for column, text in enumerate(texts):
            item.setText(column, text)
            item.setToolTip(column, f"{info.id}\n{SIGNS.get(info.state, info.state)}\nbegun {info.created}")
        item.setData(0, _ID, info.id)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(0, Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def _ids(self) -> list[str]:
        return [str(self.topLevelItem(i).data(0, _ID)) for i in range(self.topLevelItemCount())]

    def _select(self, run_id: str) -> None:
        ids = self._ids()
        if run_id in ids:
            self.setCurrentItem(self.topLevelItem(ids.index(run_id)))

    def _colour(self) -> None:
        ticked = self.ticked()
        for i in range(self.topLevelItemCount()):
            item = self.topLevelItem(i)
            run_id = str(item.data(0, _ID))
            if run_id in ticked:
                item.setForeground(0, QColor(COMPARED[ticked.index(run_id)]))
            else:
                item.setData(0, Qt.ItemDataRole.ForegroundRole, None)

    def _on_current(self, *_: Any) -> None:
        if not self._quiet and self.current():
            self.chosen.emit(self.current())

    def _on_item(self, *_: Any) -> None:
        if self._quiet:
            return
        self._quiet = True
        self._colour()
        self._quiet = False
        self.compared.emit()


def _displaced(summary: Any) -> str:
    for split in ("validation", "train"):
        value = (summary.get(split) or {}).get("mean_displacement")
        if value is not None:
            return f"{value:.2f}"
    return "–"
