"""The share of a volume that is taken as the region: a slider over three decades, the number, and back to automatic."""

from __future__ import annotations

import math

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSlider,
    QToolButton,
    QWidget,
)

from napari_sortingloss.widgets.toolkit.fields import ShortFloatBox, calm_wheel

LOW, HIGH = 0.001, 0.9
TICKS = 300


class FractionSlider(QWidget):
    """Chooses a share between a thousandth and nine tenths, or leaves it to the program.

    Attributes
    ----------
    changed : psygnal.Signal
        ``changed(fraction)``: the person chose a share, or None for automatic.
    """

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._quiet = False
        self._fraction = 0.03
        self._automatic = True
        self.label = QLabel("Threshold")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, TICKS)
        self.slider.setSingleStep(3)
        self.slider.setPageStep(20)
        self.slider.setAccessibleName("Threshold")
        calm_wheel(self.slider)
        self.slider.valueChanged.connect(self._on_slider)
        self.slider.sliderReleased.connect(self._show)
        self.box = ShortFloatBox()
        self.box.setRange(100 * LOW, 100 * HIGH)
        self.box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.box.setSuffix(" %")
        self.box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.box.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.box.setFixedWidth(self.box.fontMetrics().horizontalAdvance("0.123 %") + 18)
        self.box.setKeyboardTracking(False)
        self.box.setProperty("slim", True)
        self.box.setAccessibleName("Threshold, in % of the volume")
        calm_wheel(self.box)
        self.box.valueChanged.connect(self._on_box)
        self.label.setBuddy(self.box)
        self.auto = QToolButton()
        self.auto.setText("auto")
        self.auto.setCheckable(True)
        self.auto.setProperty("choice", True)
        self.auto.setAccessibleName("Automatic threshold")
        self.auto.clicked.connect(self._on_auto)
        about = (
            "The share of the volume taken as the region: its highest values. Region, hull and box follow at once, the "
            "network is not asked again."
        )
        for part in (self.label, self.slider, self.box):
            part.setToolTip(f"<p>{about}</p>")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.label)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.box)
        layout.addWidget(self.auto)
        self._show()

    @property
    def automatic(self) -> bool:
        """Whether the program chooses."""
        return self._automatic

    def value(self) -> float:
        """Return the share."""
        return self._fraction

    def set_value(self, fraction: float, automatic: bool) -> None:
        """Show a share without telling anybody."""
        self._fraction, self._automatic = fraction, automatic
        self._show()

    def _show(self) -> None:
        self._quiet = True
        try:
            if not self.slider.isSliderDown():
                self.slider.setValue(_tick(self._fraction))
            if not self.box.hasFocus() or self._automatic:
                self.box.setValue(float(f"{100 * min(max(self._fraction, LOW), HIGH):.3g}"))
            self.auto.setChecked(self._automatic)
            self.auto.setToolTip(
                "The threshold was found by the program" if self._automatic else "Let the program find it"
            )
        finally:
            self._quiet = False

    def _on_slider(self, tick: int) -> None:
        if not self._quiet:
            self._take(_share(tick), self.slider)

    def _on_box(self, percent: float) -> None:
        if not self._quiet:
            self._take(percent / 100, self.box)

    def _on_auto(self) -> None:
        self._automatic = True
        self._show()
        self.changed.emit(None)

    def _take(self, fraction: float, source: QWidget) -> None:
        self._fraction, self._automatic = fraction, False
        self._quiet = True
        try:
            if source is not self.slider:
                self.slider.setValue(_tick(fraction))
            if source is not self.box:
                self.box.setValue(float(f"{100 * fraction:.3g}"))
            self.auto.setChecked(False)
            self.auto.setToolTip("Let the program find it")
        finally:
            self._quiet = False
        self.changed.emit(fraction)


def _tick(fraction: float) -> int:
    share = min(max(fraction, LOW), HIGH)
    return round(TICKS * math.log(share / LOW) / math.log(HIGH / LOW))


def _share(tick: int) -> float:
    return LOW * math.exp(math.log(HIGH / LOW) * tick / TICKS)
