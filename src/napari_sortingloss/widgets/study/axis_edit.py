"""Ordering axis and direction, and voxel size and unit: the two small editors that import and details share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.widgets.stage import set_property
from napari_sortingloss.widgets.toolkit.fields import calm_wheel, narrow

ARROWS = {"+": "↑", "-": "↓"}
UNITS = (("", "px"), ("mm", "mm"), ("um", "µm"), ("nm", "nm"), ("cm", "cm"), ("m", "m"))


class AxisEdit(QWidget):
    """Chooses along which axis slices are put in order, and in which direction."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.axis, self.direction = QComboBox(), QComboBox()
        for name, what in (("z", "z"), ("y", "y"), ("x", "x")):
            self.axis.addItem(what, name)
        for sign, word in (("+", "↑ as stored"), ("-", "↓ reversed")):
            self.direction.addItem(word, sign)
        self.axis.setToolTip(
            "<p>The axis along which the slices have an order, e.g. from head to tail. Slices are cut across it.</p>"
        )
        self.direction.setToolTip(
            "<p>Whether slices are counted as they are stored or against it. All volumes should run the same way, "
            "e.g. head first. Nothing is copied.</p>"
        )
        self.axis.setAccessibleName("Ordering axis")
        self.direction.setAccessibleName("Direction")
        for combo in (self.axis, self.direction):
            calm_wheel(combo)
            combo.activated.connect(lambda *_: self.changed.emit())
        narrow(self.direction)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.axis)
        layout.addWidget(self.direction, 1)

    def value(self) -> tuple[str, str]:
        """Return (axis, direction)."""
        return self.axis.currentData(), self.direction.currentData()

    def set_value(self, axis: str, direction: str) -> None:
        """Show an axis and a direction without telling anybody."""
        self.axis.setCurrentIndex(self.axis.findData(axis))
        self.direction.setCurrentIndex(self.direction.findData(direction))


class VoxelSizeEdit(QWidget):
    """Edits (z, y, x) voxel size and unit; empty boxes mean what the file says.

    Anything can be typed; a box that holds no number above 0 is marked, and `value` says what is wrong.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.boxes: list[QLineEdit] = []
        for axis in "zyx":
            box = QLineEdit()
            box.setPlaceholderText(axis)
            box.setToolTip(f"Distance of the voxels along {axis}")
            box.setAccessibleName(f"Voxel size along {axis}")
            box.setMinimumWidth(28)
            box.textChanged.connect(lambda *_: self._mark())
            box.editingFinished.connect(self._tell)
            self.boxes.append(box)
            layout.addWidget(QLabel(axis))
            layout.addWidget(box, 1)
        self.unit = QComboBox()
        for name, shown in UNITS:
            self.unit.addItem(shown, name)
        self.unit.setToolTip("Unit of the voxel size")
        self.unit.setAccessibleName("Unit of the voxel size")
        self.unit.setProperty("slim", True)
        self.unit.setMinimumWidth(44)
        calm_wheel(self.unit)
        self.unit.activated.connect(self._tell)
        layout.addWidget(self.unit)
        self._exact: list[tuple[str, float]] = [("", 0.0)] * 3  # what a shortened text stands for
        self._last = self._texts()

    def value(self) -> tuple[tuple[float, float, float] | None, str]:
        """Return (voxel size or None when all boxes are empty, unit).

        Raises
        ------
        BadSetting
            If some boxes are empty or a number is not positive.
        """
        texts = [box.text().strip().replace(",", ".") for box in self.boxes]
        unit = self.unit.currentData()
        if not any(texts):
            return None, unit
        wrong = next((text for text in texts if text and not _is_size(text)), None)
        if wrong is not None:
            raise BadSetting(
                f"Cannot use '{wrong}' as voxel size",
                "a voxel has a size above 0",
                "give a number such as 0.25",
            )
        if not all(texts):
            raise BadSetting(
                "Cannot use this voxel size", "it needs three numbers above 0", "fill in z, y and x"
            )
        z, y, x = (
            value if text == short else float(text)
            for text, (short, value) in zip(texts, self._exact, strict=True)
        )
        return (z, y, x), unit

    @property
    def empty(self) -> bool:
        """Whether nothing is typed, so that what the file says holds."""
        return not any(box.text().strip() for box in self.boxes) and not self.unit.currentData()

    def set_value(self, voxel_size: Sequence[float] | None, unit: str) -> None:
        """Show a voxel size without telling anybody; None empties the boxes."""
        self._exact = [(f"{value:.3g}", value) for value in voxel_size or ()] or [("", 0.0)] * 3
        for box, value in zip(self.boxes, voxel_size or (None,) * 3, strict=True):
            box.setText("" if value is None else f"{value:.3g}")
            box.setCursorPosition(0)
        index = self.unit.findData(unit)
        if index < 0:
            self.unit.addItem(unit, unit)
            index = self.unit.count() - 1
        self.unit.setCurrentIndex(index)
        self._last = self._texts()

    def set_hint(self, voxel_size: Sequence[float] | None) -> None:
        """Show in the empty boxes what the file says."""
        for box, value, axis in zip(self.boxes, voxel_size or (None,) * 3, "zyx", strict=True):
            box.setPlaceholderText(axis if value is None else f"{value:.3g}")

    def _texts(self) -> tuple[str, ...]:
        return (*(box.text() for box in self.boxes), self.unit.currentText())

    def _mark(self) -> None:
        for box in self.boxes:
            text = box.text().strip().replace(",", ".")
            wrong = bool(text) and not _is_size(text)
            if bool(box.property("wrong")) != wrong:
                set_property(box, "wrong", wrong)

    def _tell(self, *_: object) -> None:
        if self._texts() == self._last:  # leaving a box untouched is no change
            return
        texts = [box.text().strip() for box in self.boxes]
        to_another = (
            QApplication.focusWidget() in self.boxes and self.sender() is not QApplication.focusWidget()
        )
        if to_another and not all(texts) and any(texts):
            return  # the person goes on to the next box
        self._last = self._texts()
        self.changed.emit()


class VoxelSizeRow(QWidget):
    """A voxel size with room for a remark below it, and the way back to what the file says.

    Attributes
    ----------
    edit : VoxelSizeEdit
    restored : psygnal.Signal
        The person wants what the file says.
    """

    restored = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.edit = VoxelSizeEdit()
        self.remark = QLabel()
        self.remark.setProperty("muted", True)
        self.remark.setWordWrap(True)
        self.as_in_file = QPushButton("As in the file")
        self.as_in_file.setProperty("small", True)
        self.as_in_file.clicked.connect(lambda *_: self.restored.emit())
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(2)
        layout.addWidget(self.edit, 0, 0, 1, 2)
        layout.addWidget(self.remark, 1, 0)
        layout.addWidget(self.as_in_file, 1, 1)
        layout.setColumnStretch(0, 1)
        self.say("")
        self.offer("")

    def say(self, text: str) -> None:
        """Say something below the boxes, or nothing."""
        self.remark.setText(text)
        self.remark.setVisible(bool(text))

    def offer(self, text: str, tooltip: str = "") -> None:
        """Offer the way back to what the file says, in these words, or not at all."""
        self.as_in_file.setText(text or self.as_in_file.text())
        self.as_in_file.setToolTip(tooltip)
        self.as_in_file.setVisible(bool(text))


def _is_size(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False
