"""Predicted against true position of every slice of a volume: a diagonal when the network knows its anatomy."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot
from typing import Any

import pyqtgraph as pg
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sortingloss.pretext.directions import is_told
from napari_sortingloss.widgets.toolkit.elided_combo import ElidedCombo
from napari_sortingloss.widgets.toolkit.theme import Colors

HEIGHT = 180
NOTHING = (
    "No order by this run yet. Order slices predicts the position of every slice of each volume, and tells which volume "
    "is stored upside down."
)


class OrderPlot(QWidget):
    """Shows what `order` found, one volume at a time.

    Attributes
    ----------
    volume_chosen : psygnal.Signal
        ``volume_chosen(name)``: the person chose a volume here.
    slice_chosen : psygnal.Signal
        ``slice_chosen(name, position)``: the person clicked a dot; the position counts along the ordering direction.
    flip_requested : psygnal.Signal
        ``flip_requested(name)``.
    """

    volume_chosen = Signal(str)
    slice_chosen = Signal(str, int)
    flip_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.choice = ElidedCombo()
        self.choice.setToolTip(
            "The volume whose slices are plotted; one that looks upside down comes with a ⚠"
        )
        self.choice.setAccessibleName("Volume")
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.flip_button = QPushButton("⚠ upside down? Flip")
        self.flip_button.setProperty("small", True)
        self.flip_button.setToolTip(
            "Turn the volume's direction round and order it again; no voxel is copied"
        )
        self.flip_button.clicked.connect(lambda *_: self.flip_requested.emit(self.choice.currentData()))
        self.flip_button.hide()
        self.plot = pg.PlotWidget()
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMenuEnabled(False)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.hideButtons()
        self.plot.setLabel("bottom", "true position (slice)")
        self.plot.setLabel("left", "predicted position")
        self.plot.getAxis("left").setWidth(46)
        self.plot.plotItem.layout.setContentsMargins(1, 1, 1, 5)  # the label hangs out of its axis
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setStyle(tickLength=-4, maxTickLevel=0)
        self.plot.setToolTip("<p>Each dot is a slice. Click one to see it in the viewer.</p>")
        self._diagonal = pg.PlotDataItem()
        self._dots = pg.ScatterPlotItem(size=4, pxMode=True)
        self._dots.sigClicked.connect(self._on_click)
        self._chosen = pg.ScatterPlotItem(size=11, pxMode=True)
        for item in (self._diagonal, self._chosen, self._dots):
            self.plot.addItem(item)
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.hint = QLabel(NOTHING)
        self.hint.setWordWrap(True)
        self.hint.setProperty("muted", True)
        top = QHBoxLayout()
        top.addWidget(self.choice, 1)
        top.addWidget(self.flip_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.hint)
        layout.addWidget(self.plot)
        layout.addWidget(self.figures)
        self._entries: dict[str, Mapping[str, Any]] = {}
        self._colors: Colors | None = None
        self._arrange()

    @property
    def shown(self) -> str:
        """The volume in view, or an empty string."""
        return self.choice.currentData() or ""

    def set_order(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Show the entries of an ``order.json``, by volume name."""
        before = self.shown
        self._entries = dict(entries)
        self.choice.blockSignals(True)
        self.choice.clear()
        for name, entry in self._entries.items():
            self.choice.addItem(f"{name} ⚠" if entry["flipped"] else name, name)
        if before in self._entries:
            self.choice.setCurrentIndex(list(self._entries).index(before))
        self.choice.blockSignals(False)
        self._arrange()

    def show_volume(self, name: str | None) -> None:
        """Plot a volume, if there is an order of it."""
        if name in self._entries and name != self.shown:
            self.choice.blockSignals(True)
            self.choice.setCurrentIndex(list(self._entries).index(name))
            self.choice.blockSignals(False)
            self._draw()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        self.plot.setBackground(colors.background)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(colors.muted)
            axis.setTextPen(colors.muted)
        self._chosen.setBrush(None)
        self._chosen.setPen(pg.mkPen(colors.text, width=1.5))
        self._diagonal.setPen(pg.mkPen(colors.chance, width=1, style=Qt.PenStyle.DashLine))
        self._draw()

    def _arrange(self) -> None:
        found = bool(self._entries)
        self.hint.setVisible(not found)
        for widget in (self.choice, self.plot, self.figures):
            widget.setVisible(found)
        self._draw()

    def _on_choice(self, index: int) -> None:
        self._draw()
        if index >= 0:
            self.volume_chosen.emit(self.choice.itemData(index))

    def _on_click(self, item: Any, points: Any, event: Any) -> None:
        """Take the nearest of the dots under the mouse: on a long volume they lie closer than they are wide."""
        if not len(points):
            return
        at, (width, height) = event.pos(), self.plot.plotItem.vb.viewPixelSize()
        where = min(
            (point.pos() for point in points),
            key=lambda p: hypot((p.x() - at.x()) / width, (p.y() - at.y()) / height),
        )
        self._chosen.setData(x=[where.x()], y=[where.y()])
        self.slice_chosen.emit(self.shown, round(float(where.x())))

    def _draw(self) -> None:
        entry = self._entries.get(self.shown)
        self.flip_button.setVisible(bool(entry and entry["flipped"]))
        if entry is None:
            return
        positions, predicted = entry["positions"], entry["predicted"]
        last = max(positions, default=1)
        self._chosen.clear()
        self._diagonal.setData([0, last], [0, last])
        colors = self._colors
        if colors is not None:
            colour = colors.error if entry["flipped"] else colors.train
            self._dots.setData(x=positions, y=predicted, brush=pg.mkBrush(colour), pen=None)
        self.plot.setXRange(0, last, padding=0.02)
        self.plot.setYRange(0, last, padding=0.02)
        self.figures.setText(said(entry))


def said(entry: Mapping[str, Any]) -> str:
    """Return the figures of one volume as a person reads them."""
    where = f"{entry['mean_displacement']:.1f} of {entry['slices']} slices"
    if "mean_displacement_mm" in entry:
        where += f" ({entry['mean_displacement_mm']:.2f} mm)"
    text = f"mean displacement {where}, random {entry['random_displacement']:.1f}"
    untold = "" if is_told(entry) else ": which way round it lies cannot be told yet"
    return f"{text} · Spearman {entry['spearman']:+.2f}{untold}"
