"""The runs of a study: state, progress, result; tick some to compare their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QContextMenuEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTreeWidget, QTreeWidgetItem

from napari_sortingloss.networks import ENCODERS
from napari_sortingloss.pretext.headline import headline
from napari_sortingloss.pretext.order import ORDERED_BY
from napari_sortingloss.widgets.curves import COMPARED
from napari_sortingloss.widgets.session import RunInfo
from napari_sortingloss.widgets.split import Split
from napari_sortingloss.widgets.theme import Colors

SIGNS = {
    "running": "▶ running",
    "paused": "‖ paused",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✖ failed",
    "interrupted": "⚠ interrupted",
}
GOING_ON = ("running", "paused")
HEADERS = ("runs (tick to compare)", "state", "step", "result")
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
    """

    chosen = Signal(str)
    compared = Signal()
    resume_requested = Signal(str)
    order_requested = Signal(str)
    settings_requested = Signal(str)
    delete_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(list(HEADERS))
        self.setRootIsDecorated(False)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setUniformRowHeights(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.header()
        header.setStretchLastSection(False)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.headerItem().setToolTip(0, "Tick runs to draw their curves behind those of the run in view")
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
        """Show these runs; ticks and the selection stay where they were."""
        current = self.current()
        self._infos = {info.id: info for info in runs}
        self._colours = {run_id: colour for run_id, colour in self._colours.items() if run_id in self._infos}
        self._quiet = True
        try:
            if [info.id for info in runs] != self._ids():
                self.clear()
                self.addTopLevelItems([QTreeWidgetItem() for _ in runs])
            for row, info in enumerate(runs):
                self._fill(self.topLevelItem(row), info, info.id in self._colours)
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
            ("&Delete…", self.delete_requested, "Stop it first" if going_on else ""),
        ):
            action = menu.addAction(text)
            action.setEnabled(not why_not)
            action.setToolTip(why_not)
            action.triggered.connect(lambda *_, signal=signal: signal.emit(run_id))
        return menu

    def use_of(self, info: RunInfo) -> tuple[str, Any, str]:
        """Return what a run is good for: the text of the entry, its signal, and why it cannot be asked for yet."""
        why_not = "" if info.summary.get("step") else "It has no weights yet"
        why_not = why_not if info.task == ORDERED_BY else "It did not learn to order slices"
        return "&Order the slices of all volumes", self.order_requested, why_not

    def _fill(self, item: QTreeWidgetItem, info: RunInfo, ticked: bool) -> None:
        step, steps = info.summary.get("step", 0), info.summary.get("steps", 0)
        texts = (info.id, SIGNS.get(info.state, info.state), f"{step}/{steps}", _result(info.summary))
        about = [
            info.id,
            f"{texts[1]}, step {step} of {steps}",
            f"begun {info.created[:16].replace('T', ' ')}",
        ]
        about += [given(info.settings), *figures(info.summary)]
        for column, text in enumerate(texts):
            item.setText(column, text)
            item.setToolTip(column, "\n".join(about))
        item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setTextAlignment(3, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
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


def figures(summary: Mapping[str, Any]) -> list[str]:
    """Say the main figure of a run with the level of chance beside it, the unseen volumes first.

    Parameters
    ----------
    summary : mapping
        As of `napari_sortingloss.study.Run.summary`.
    """
    said = []
    for split, on in (("validation", "unseen volumes"), ("train", "the training volumes")):
        found = headline(summary.get(split))
        if found is not None and found.title == "mean IoU":  # measured on slices, of whichever volumes
            on = {"validation": "held-back slices", "train": "the training slices"}[split]
        if found is not None:
            beside = f", random {found.random}" if found.random else ""
            on = f"{found.measured_on} {on}".lstrip()
            said.append(f"{found.title} {found.value}{found.unit} on {on}{beside}")
    return said


def _result(summary: Mapping[str, Any]) -> str:
    found = headline(summary.get("validation")) or headline(summary.get("train"))
    return found.value if found is not None else "–"
