"""The intensity window: percentiles or values, with the histogram it is drawn into; dragging its ends sets values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from napari_sortingloss.widgets.toolkit.fields import ShortFloatBox, calm_wheel
from napari_sortingloss.widgets.toolkit.theme import Colors

DEFAULT = "p1:p99.95"
HEIGHT = 84
_LIMIT = 1e12


class WindowEdit(QWidget):
    """Edits a window as `study.window.parse_window` reads it; value in, value out, one change signal."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mode = QComboBox()
        self.mode.addItem("percentiles", "p")
        self.mode.addItem("values", "")
        self.mode.setToolTip(
            "<p>Which intensities become black and white. Percentiles suit each volume by itself; values, such as "
            "-900 to 500 HU, keep scanners with a calibrated scale comparable.</p>"
        )
        self.mode.setProperty("slim", True)
        self.mode.setAccessibleName("Window given as")
        self.low, self.high = ShortFloatBox(), ShortFloatBox()
        for box, name in ((self.low, "Window from"), (self.high, "Window to")):
            box.setRange(-_LIMIT, _LIMIT)
            box.setMinimumWidth(48)
            box.setProperty("slim", True)
            box.setButtonSymbols(ShortFloatBox.ButtonSymbols.NoButtons)
            box.setKeyboardTracking(False)
            box.setAccessibleName(name)
            box.valueChanged.connect(self._tell)
        for widget in (self.mode, self.low, self.high):
            calm_wheel(widget)
        self.mode.currentIndexChanged.connect(self._on_mode)
        self._measured: tuple[float, float] | None = None
        self._quiet = self._silent = False
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.mode)
        layout.addWidget(self.low, 1)
        layout.addWidget(QLabel("–"))
        layout.addWidget(self.high, 1)
        self.set_value(DEFAULT)

    def value(self) -> str:
        """Return ``"p1:p99.95"`` or ``"-900:500"``."""
        p = self.mode.currentData()
        return f"{p}{self.low.value():.10g}:{p}{self.high.value():.10g}"

    def set_value(self, text: str) -> None:
        """Show a window given as text."""
        low, _, high = text.partition(":")
        percent = low.startswith("p")
        self._set(percent, float(low.lstrip("p")), float(high.lstrip("p")))

    def show_value(self, text: str) -> None:
        """Show a window given as text, without telling anybody."""
        self._silent = True
        try:
            self.set_value(text)
        finally:
            self._silent = False

    def set_measured(self, low: float, high: float) -> None:
        """Take note of the values that the percentiles came to: switching to values begins with them."""
        self._measured = (low, high)

    def set_values(self, low: float, high: float) -> None:
        """Switch to values, e.g. because the ends were dragged."""
        self._set(False, low, high)

    def _set(self, percent: bool, low: float, high: float) -> None:
        self._quiet = True
        try:
            self.mode.setCurrentIndex(0 if percent else 1)
            self._limits(percent)
            self.low.setValue(low)
            self.high.setValue(high)
        finally:
            self._quiet = False
        if not self._silent:
            self.changed.emit()

    def _limits(self, percent: bool) -> None:
        for box in (self.low, self.high):
            box.setRange(*((0.0, 100.0) if percent else (-_LIMIT, _LIMIT)))
            box.setSuffix(" %" if percent else "")

    def _on_mode(self) -> None:
        if self._quiet:
            return
        if self.mode.currentData():
            self._set(True, 1.0, 99.95)
        else:
            self._set(False, *(self._measured or (0.0, 255.0)))

    def _tell(self, *_: object) -> None:
        if not self._quiet:
            self.changed.emit()


class Histogram(pg.PlotWidget):
    """Voxel counts (logarithmic) with the window drawn in.

    Attributes
    ----------
    dragged : psygnal.Signal
        ``dragged(low, high)``: the person moved an end of the window.
    """

    dragged = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setMenuEnabled(False)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self.hideAxis("left")
        self.getAxis("bottom").setStyle(tickLength=-4, maxTickLevel=0)
        self.setToolTip("How often each intensity occurs (logarithmic). Drag the ends of the window.")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._curve = pg.PlotCurveItem([0.0, 1.0], [0.0], stepMode="center", fillLevel=0)
        self._region = pg.LinearRegionItem(swapMode="sort")
        self._region.sigRegionChangeFinished.connect(self._on_drag)
        self.addItem(self._curve)
        self.addItem(self._region)
        self._quiet = False
        self.clear_data()

    def clear_data(self) -> None:
        """Show that nothing is known yet."""
        self._curve.hide()
        self._region.hide()

    def set_data(self, counts: np.ndarray, edges: np.ndarray, low: float, high: float) -> None:
        """Show counts (n,) between edges (n + 1,) and the window from `low` to `high`."""
        self._curve.setData(np.asarray(edges, float), np.log10(np.asarray(counts, float) + 1))
        self._curve.show()
        self.set_window(low, high)
        span = float(edges[-1] - edges[0]) or 1.0
        left, right = min(float(edges[0]), low), max(float(edges[-1]), high)
        self.setXRange(left - 0.02 * span, right + 0.02 * span, padding=0)
        self.setYRange(0, float(np.log10(np.max(counts) + 1)) * 1.05 or 1.0, padding=0)

    def set_window(self, low: float, high: float) -> None:
        """Move the window without telling anybody."""
        self._quiet = True
        self._region.setRegion((low, high))
        self._region.show()
        self._quiet = False

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self.setBackground(colors.raised)
        axis = self.getAxis("bottom")
        axis.setPen(colors.muted)
        axis.setTextPen(colors.text)
        self._curve.setPen(pg.mkPen(colors.text, width=1))
        self._curve.setBrush(pg.mkBrush(colors.muted))
        window = pg.mkColor(colors.train)
        window.setAlpha(70)
        self._region.setBrush(window)
        self._region.setHoverBrush(window)
        for line in self._region.lines:
            line.setPen(pg.mkPen(colors.train, width=2))
            line.setHoverPen(pg.mkPen(colors.validation, width=3))

    def _on_drag(self, *_: Any) -> None:
        if not self._quiet:
            low, high = self._region.getRegion()
            if high > low:
                self.dragged.emit(float(low), float(high))
