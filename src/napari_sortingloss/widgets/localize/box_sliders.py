"""The six faces of a box as three double sliders with numbers beside them; value in, value out, one change signal."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QGridLayout, QLabel, QSizePolicy, QSpinBox, QWidget
from superqt import QRangeSlider

from napari_sortingloss import wording
from napari_sortingloss.boxes import NO_BOX, Box, Shape, whole
from napari_sortingloss.widgets.toolkit.fields import WholeBox, calm_wheel

AXES = ("z", "y", "x")
BAR = "#3a96cc"
"""Between the handles; reads on the dark theme and on the light one."""
Span = tuple[int, int]


class AxisRow:
    """One interval: a slider, the first voxel and the one after the last, and how long that is.

    Parameters
    ----------
    axis : str
        ``"z"``, ``"y"`` or ``"x"``.

    Attributes
    ----------
    changed : psygnal.Signal
        ``changed(axis, (low, high))``: by the person.
    """

    changed = Signal(str, object)

    def __init__(self, axis: str) -> None:
        self.axis = axis
        self._span: Span = (0, 1)
        self._quiet = False
        self.label = QLabel(axis)
        self.slider = QRangeSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(f"From and to along {axis}")
        self.slider.setToolTip(
            f"<p>Which voxels along {axis} are kept. Drag an end, or the bar between them to move both.</p>"
        )
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the numbers take the keys
        self.slider.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.slider.setMinimumWidth(60)
        self.slider.setStyleSheet(f"QRangeSlider {{ qproperty-barColor: {BAR}; }}")
        self.low, self.high = _number(axis, "first voxel"), _number(axis, "voxel after the last")
        self.length = QLabel()
        self.length.setProperty("muted", True)
        self.length.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.label.setBuddy(self.low)
        self.slider.valueChanged.connect(self._on_slider)
        self.low.valueChanged.connect(self._on_low)
        self.high.valueChanged.connect(self._on_high)

    def set_size(self, size: int) -> None:
        """Say how many voxels there are along the axis."""
        self._quiet = True
        try:
            self.slider.setRange(0, size)
            self.low.setRange(0, size - 1)
            self.high.setRange(1, size)
        finally:
            self._quiet = False
        self.set_span((0, size))

    def set_span(self, span: Span) -> None:
        """Show an interval without telling anybody."""
        self._span = span
        self._quiet = True
        try:
            self.slider.setValue(span)
            self.low.setValue(span[0])
            self.high.setValue(span[1])
        finally:
            self._quiet = False

    def _on_slider(self, values: Sequence[float]) -> None:
        if self._quiet:
            return
        low, high = (round(v) for v in values)
        if low >= high:  # the ends stay a voxel apart: the one that is not dragged stays where it was
            low, high = (low, low + 1) if low == self._span[0] else (high - 1, high)
            low, high = (0, 1) if low < 0 else (low, high)
            if high > self.slider.maximum():
                low, high = low - 1, high - 1
        self._tell((low, high))

    def _on_low(self, low: int) -> None:
        if not self._quiet:
            self._tell((low, max(low + 1, self._span[1])))

    def _on_high(self, high: int) -> None:
        if not self._quiet:
            self._tell((min(high - 1, self._span[0]), high))

    def _tell(self, span: Span) -> None:
        before = self._span
        self.set_span(span)
        if span != before:
            self.changed.emit(self.axis, span)


class BoxSliders(QWidget):
    """Shows and edits a box.

    Attributes
    ----------
    changed : psygnal.Signal
        ``changed(Box)``: the person moved a face; also while it is being dragged.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = {axis: AxisRow(axis) for axis in AXES}
        self._box: Box = NO_BOX
        self._shape: Shape = (1, 1, 1)
        self._voxel_size: Sequence[float] = (1.0, 1.0, 1.0)
        self._unit = ""
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(5)
        layout.setVerticalSpacing(3)
        layout.setColumnStretch(1, 1)
        for line, row in enumerate(self.rows.values()):
            row.changed.connect(self._on_changed)
            dash = QLabel("–")
            for column, widget in enumerate((row.label, row.slider, row.low, dash, row.high, row.length)):
                layout.addWidget(widget, line, column)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.set_volume((1, 1, 1), (1.0, 1.0, 1.0), "")

    def value(self) -> Box:
        """Return the box; `NO_BOX` as long as there is none."""
        return self._box

    def set_volume(self, shape: Shape, voxel_size: Sequence[float], unit: str) -> None:
        """Say in which volume the box lies; there is no box until `set_value`.

        Parameters
        ----------
        shape : tuple of int
            (z, y, x).
        voxel_size : sequence of float
        unit : str
            Of the voxel size; empty where only voxels are known.
        """
        self._shape, self._voxel_size, self._unit = shape, voxel_size, unit
        digits = max(len(str(size)) for size in shape)
        for row, size in zip(self.rows.values(), shape, strict=True):
            row.set_size(size)
            for number in (row.low, row.high):
                number.setFixedWidth(number.fontMetrics().horizontalAdvance("0" * digits) + 18)
        widest = max(
            row.length.fontMetrics().horizontalAdvance(self._said((0, size), axis))
            for axis, (row, size) in enumerate(zip(self.rows.values(), shape, strict=True))
        )
        for row in self.rows.values():
            row.length.setMinimumWidth(widest + 2)
        self.set_value(NO_BOX)

    def set_value(self, box: Box) -> None:
        """Show a box without telling anybody; `NO_BOX` shows the whole volume to begin with."""
        self._box = box
        shown = whole(self._shape) if box == NO_BOX else box
        for row, span in zip(self.rows.values(), shown, strict=True):
            row.set_span(span)
        self._say()

    def _on_changed(self, axis: str, span: Span) -> None:
        spans = list(whole(self._shape) if self._box == NO_BOX else self._box)
        spans[AXES.index(axis)] = span
        self._box = (spans[0], spans[1], spans[2])
        self._say()
        self.changed.emit(self._box)

    def _say(self) -> None:
        for axis, row in enumerate(self.rows.values()):
            row.length.setText("–" if self._box == NO_BOX else self._said(self._box[axis], axis))

    def _said(self, span: Span, axis: int) -> str:
        return wording.length((span[1] - span[0]) * self._voxel_size[axis], self._unit)


def _number(axis: str, what: str) -> QSpinBox:
    box = WholeBox()
    box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    box.setProperty("slim", True)
    box.setKeyboardTracking(False)
    box.setAlignment(Qt.AlignmentFlag.AlignRight)
    box.setAccessibleName(f"{axis}: {what}")
    box.setToolTip(f"<p>The {what} along {axis}. Arrow keys move it by one voxel, Page keys by ten.</p>")
    calm_wheel(box)
    return box
