"""What runs predicted of the volume in view: tick one to see it, choose one to correct it, or delete it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QContextMenuEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTreeWidget, QTreeWidgetItem

from napari_sortingloss.widgets.predicted import PredictedLook
from napari_sortingloss.widgets.runs.run_table import table_style
from napari_sortingloss.widgets.toolkit.theme import Colors

ROWS = 3
"""More predictions than these scroll."""

_RUN = Qt.ItemDataRole.UserRole


class PredictionTable(QTreeWidget):
    """One row a prediction of the volume in view, the newest first.

    Attributes
    ----------
    chosen : psygnal.Signal
        ``chosen(run)``: the person selected a prediction.
    ticked_changed : psygnal.Signal
        ``ticked_changed(run, on)``: the person wants to see it, or no more.
    titles : mapping of str to str
        What the runs are called, for those that have a name.
    uncertainty_requested, export_requested, delete_requested, again_requested, drop_requested : psygnal.Signal
        From the context menu, with the run; the last two go on with what was cut off, or drop it.
    """

    chosen = Signal(str)
    ticked_changed = Signal(str, bool)
    uncertainty_requested = Signal(str)
    export_requested = Signal(str)
    delete_requested = Signal(str)
    again_requested = Signal(str)
    drop_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(["predictions (tick to see)", "step", "axes", "state"])
        self.setRootIsDecorated(False)
        self.setAlternatingRowColors(True)
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.setAccessibleName("Predictions of the volume in view")
        self._looks: dict[str, PredictedLook] = {}
        self.titles: Mapping[str, str] = {}
        self._busy = ""
        self._quiet = False
        self.currentItemChanged.connect(self._on_current)
        self.itemChanged.connect(self._on_item)

    def set_predictions(
        self, looks: Sequence[PredictedLook], ticked: Collection[str], busy: str = ""
    ) -> None:
        """Show these predictions.

        Parameters
        ----------
        looks : sequence of PredictedLook
            Of one volume, the newest first.
        ticked : collection of str
            The runs of those that are in the viewer.
        busy : str
            The run whose prediction is being made now.
        """
        current = self.current()
        self._looks, self._busy = {look.run: look for look in looks}, busy
        self._quiet = True
        try:
            if [look.run for look in looks] != self._runs():
                self.clear()
                self.addTopLevelItems([QTreeWidgetItem() for _ in looks])
            for row, look in enumerate(looks):
                self._fill(self.topLevelItem(row), look, look.run in ticked)
            wanted = current if current in self._looks else next(iter(self._looks), "")
            if wanted:
                self.setCurrentItem(self.topLevelItem(self._runs().index(wanted)))
        finally:
            self._quiet = False
        rows = min(max(len(looks), 1), ROWS)
        self.setFixedHeight(self.header().sizeHint().height() + rows * (self.sizeHintForRow(0) or 22) + 4)

    def current(self) -> str:
        """Return the run of the selected prediction, or an empty string."""
        item = self.currentItem()
        return str(item.data(0, _RUN)) if item is not None else ""

    def look(self, run: str) -> PredictedLook | None:
        """Return what is known of the prediction of a run."""
        return self._looks.get(run)

    def tick(self, run: str, on: bool = True) -> None:
        """Tick a prediction, or take the tick away, as a person does."""
        item = self.topLevelItem(self._runs().index(run))
        item.setCheckState(0, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def choose(self, run: str) -> None:
        """Select a prediction, as a person does."""
        if run in self._looks:
            self.setCurrentItem(self.topLevelItem(self._runs().index(run)))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        """Offer what can be done with the prediction under the mouse, or the selected one when a key asked for it."""
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        item = self.currentItem() if by_key else self.itemAt(event.pos())
        if item is not None:
            where = self.visualItemRect(item).bottomLeft() if by_key else event.pos()
            menu = self.menu_for(str(item.data(0, _RUN)))
            menu.exec(self.viewport().mapToGlobal(where))
            menu.deleteLater()

    def menu_for(self, run: str) -> QMenu:
        """Return the context menu of a prediction."""
        look = self._looks[run]
        part = look.unfinished
        going_on = part is not None and (part.alive or run == self._busy)
        busy = "It is being made" if going_on else ""
        whole = "" if look.complete else "It is not finished"
        unsure = "" if look.value is not None and look.value.has_uncertainty else "It was made without"
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        entries = [
            ("Where it is &unsure", self.uncertainty_requested, unsure),
            ("&Go on predicting", self.again_requested, busy or ("" if part else "It is finished")),
            ("&Export its labels…", self.export_requested, whole),
            ("&Delete…", self.delete_requested, busy),
        ]
        if part is not None and part is not look:
            entries.insert(2, (f"&Drop what was begun {_along(part)}…", self.drop_requested, busy))
        for text, signal, why_not in entries:
            action = menu.addAction(text)
            action.setEnabled(not why_not)
            action.setToolTip(why_not)
            action.triggered.connect(lambda *_, signal=signal: signal.emit(run))
        return menu

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self.setStyleSheet(table_style(colors))

    def _fill(self, item: QTreeWidgetItem, look: PredictedLook, ticked: bool) -> None:
        value, part = look.value, look.unfinished
        states = ["✓"] if look.complete else [] if value is not None else ["⚠ damaged"]
        if part is not None:
            sign = "▶" if part.alive or look.run == self._busy else "⚠"
            states.append(f"{sign} {100 * part.share:.0f} %")
        axes = " + ".join(value.axes) if value is not None else ""
        step = f"{value.step:,}" if value is not None else ""
        title = self.titles.get(look.run, look.run)
        about = [*dict.fromkeys((title, look.run))]
        if value is not None:
            about += [f"weights of step {value.step:,}", f"predicted along {axes}"]
            about.append(f"made {value.created[:16].replace('T', ' ')}")
        elif look.problem is not None:
            about.append(str(look.problem))
        if part is not None:
            about.append(said_unfinished(part))
        for column, text in enumerate((title, step, axes.replace(" ", ""), " ".join(states))):
            item.setText(column, text)
            item.setToolTip(column, "\n".join(about))
        item.setData(0, _RUN, look.run)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(0, Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def _runs(self) -> list[str]:
        return [str(self.topLevelItem(i).data(0, _RUN)) for i in range(self.topLevelItemCount())]

    def _on_current(self, *_: object) -> None:
        if not self._quiet and self.current():
            self.chosen.emit(self.current())

    def _on_item(self, item: QTreeWidgetItem, *_: object) -> None:
        if not self._quiet:
            self.ticked_changed.emit(str(item.data(0, _RUN)), item.checkState(0) == Qt.CheckState.Checked)


def said_unfinished(part: PredictedLook) -> str:
    """Say how far an unfinished prediction is, and whether anybody is at it."""
    far = f"{100 * part.share:.0f} %"
    return f"being made {_along(part)}: {far}" if part.alive else f"cut off at {far} {_along(part)}"


def _along(part: PredictedLook) -> str:
    return "along " + " + ".join(part.value.axes) if part.value is not None else ""
