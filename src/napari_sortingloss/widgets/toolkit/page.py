"""The scrolling part of a stage, with the message bar over one end of it: nothing moves when a message comes or goes."""

from __future__ import annotations

from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QCursor, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QApplication, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from napari_sortingloss.widgets.toolkit.message_bar import MessageBar

PART = 0.5
"""The bar takes at most this part of the height."""


class Page(QWidget):
    """A content that scrolls, and a bar that covers its lower end, right above the buttons a person has just pressed.

    Where the mouse or the input with the focus is just there, the bar covers the upper end instead: whoever clicks
    twice hits the same thing twice. The content keeps its size and its place meanwhile; what is covered is reached by
    scrolling. The room of the scroll bar is kept free for it, so that lines do not break anew when it comes.

    Parameters
    ----------
    content : QWidget
    bar : MessageBar
    """

    def __init__(self, content: QWidget, bar: MessageBar) -> None:
        super().__init__()
        self.bar = bar
        self.on_top = False
        self._there = False
        self._over = 0  # pixels of the content's upper end that the bar covers
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._strut = (
            QWidget()
        )  # not a minimum of the content: that would stand in the place of its own, larger one
        self._strut.setFixedWidth(0)
        inner = QWidget()
        beside = QHBoxLayout(inner)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.setSpacing(0)
        beside.addWidget(content, 1)
        beside.addWidget(self._strut)
        self.scroll.setWidget(inner)
        self.scroll.verticalScrollBar().rangeChanged.connect(self._keep_room)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._layout.addWidget(self.scroll, 1)
        self._layout.addWidget(bar)
        bar.changed.connect(self._arrange)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Keep the room that the scroll bar needs in the style that it is shown in."""
        super().showEvent(event)
        self._keep_room()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Fit the bar."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """Give the bar its height and its place, and leave the content where it is."""
        scrolled = self.scroll.verticalScrollBar()
        at = scrolled.value() - self._over
        before, self._there = self._there, not self.bar.isHidden()
        if self._there:
            self.bar.fit(self.width(), int(PART * self.height()))
            if not before:
                self._choose_end()  # and stay there, also when it grows
        self._strut.setMinimumHeight(self.height() if self._there else 0)
        self._over = self.bar.height() if self._there and self.on_top else 0
        self._layout.activate()
        scrolled.setValue(at + self._over)

    def _choose_end(self) -> None:
        height = self.bar.height()
        low, high = QRect(0, self.height() - height, self.width(), height), QRect(0, 0, self.width(), height)
        mouse, focus = self.mapFromGlobal(QCursor.pos()), self._of_focus()
        in_the_way = low.contains(mouse) or (low.intersects(focus) and not high.contains(mouse))
        self.on_top = self.isVisible() and in_the_way and not high.intersects(focus)
        self._layout.removeWidget(self.bar)
        self._layout.insertWidget(0 if self.on_top else 1, self.bar)

    def _of_focus(self) -> QRect:
        """Return where the widget with the focus is, if a person types or chooses in this page."""
        focus = QApplication.focusWidget()
        if focus is None or not self.scroll.widget().isAncestorOf(focus):
            return QRect()
        return QRect(focus.mapTo(self, QPoint(0, 0)), focus.size())

    def _keep_room(self, *_: object) -> None:
        bar = self.scroll.verticalScrollBar()
        free = 0 if bar.maximum() > bar.minimum() else bar.sizeHint().width()
        self.scroll.setViewportMargins(0, 0, free, 0)
