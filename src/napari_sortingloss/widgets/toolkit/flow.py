"""Widgets in a row that becomes several rows where the panel is narrow."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QRect, QSize
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

SPACING = 6


class FlowRow(QWidget):
    """Lays its widgets out in lines, ending at the right: the last one, most often the one that matters, is in the corner.

    The room that is left over in a line goes to the widgets that were added with a stretch, or stands before them all but
    the pinned ones, which stay at the left.

    Parameters
    ----------
    spacing : int
        Pixels between widgets and between lines.
    """

    def __init__(self, spacing: int = SPACING) -> None:
        super().__init__()
        self._spacing = spacing
        self.widgets: list[QWidget] = []
        self._stretched: set[QWidget] = set()
        self._pinned: set[QWidget] = set()
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def add(
        self, widget: QWidget, *, stretch: bool = False, pin: bool = False, at: int | None = None
    ) -> None:
        """Put a widget at the end, or before another."""
        self.widgets.insert(len(self.widgets) if at is None else at, widget)
        if stretch:
            self._stretched.add(widget)
        if pin:
            self._pinned.add(widget)
        widget.setParent(self)
        if self.isVisible():
            widget.show()
        self._changed()

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """Narrower is higher."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Return the height of the lines at a width."""
        lines = self._lines(width)
        return sum(map(_height, lines)) + self._spacing * max(0, len(lines) - 1)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size of a single line."""
        shown = self._shown()
        width = sum(_size(widget).width() for widget in shown) + self._spacing * max(0, len(shown) - 1)
        return QSize(width, self.heightForWidth(max(self.width(), self.minimumSizeHint().width())))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the size of the widest widget."""
        shown = self._shown()
        return QSize(max(map(_least, shown), default=0), max(map(_tall, shown), default=0))

    def event(self, event: QEvent) -> bool:
        """Lay out anew when a widget comes, goes or says something else."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._changed()
        return super().event(event)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Lay out what came and went meanwhile."""
        super().showEvent(event)
        self._place()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Lay out anew."""
        super().resizeEvent(event)
        self._place()

    def _changed(self) -> None:
        self.updateGeometry()
        self._place()

    def _shown(self) -> list[QWidget]:
        return [widget for widget in self.widgets if not widget.isHidden()]

    def _lines(self, width: int) -> list[list[QWidget]]:
        lines: list[list[QWidget]] = []
        left = -1
        for widget in self._shown():
            left -= _least(widget) + self._spacing
            if left < 0:
                lines.append([])
                left = width - _least(widget)
            lines[-1].append(widget)
        return lines

    def _place(self) -> None:
        top = 0
        for line in self._lines(self.width()):
            height = _height(line)
            spare = self.width() - sum(map(_least, line)) - self._spacing * (len(line) - 1)
            grows = [widget for widget in line if widget in self._stretched]
            left = 0
            for widget in line:
                if not grows and widget not in self._pinned:
                    left, spare = left + max(0, spare), 0
                width = _least(widget) + (max(0, spare) // len(grows) if widget in grows else 0)
                tall = _tall(widget)
                widget.setGeometry(QRect(left, top + (height - tall) // 2, min(width, self.width()), tall))
                left += width + self._spacing
            top += height + self._spacing


def _size(widget: QWidget) -> QSize:
    return widget.sizeHint().boundedTo(widget.maximumSize()).expandedTo(widget.minimumSize())


def _least(widget: QWidget) -> int:
    """Return the width a widget gets at least."""
    ignored = widget.sizePolicy().horizontalPolicy() == QSizePolicy.Policy.Ignored
    return widget.minimumWidth() if ignored else _size(widget).width()


def _tall(widget: QWidget) -> int:
    return _size(widget).height()


def _height(line: list[QWidget]) -> int:
    return max(map(_tall, line), default=0)
