"""A menu whose entries may be longer than it is wide: what does not fit ends in an ellipsis, and its tooltip says it all."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip


class ElidedCombo(QComboBox):
    """Qt's own cuts the entry in view off in the middle of a letter."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

    @property
    def shown(self) -> str:
        """The entry in view, as far as it fits."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        room = field.width() - 2  # as the style leaves a pixel on each side
        return self.fontMetrics().elidedText(self.currentText(), Qt.TextElideMode.ElideRight, room)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw the menu with what is shown of the entry."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.shown
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def event(self, event: QEvent) -> bool:
        """Let the tooltip begin with an entry that does not fit."""
        if event.type() == QEvent.Type.ToolTip and self.shown != self.currentText():
            says = [self.currentText(), self.toolTip()]
            QToolTip.showText(event.globalPos(), "\n".join(text for text in says if text), self)
            return True
        return super().event(event)
