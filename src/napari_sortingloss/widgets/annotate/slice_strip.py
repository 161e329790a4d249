"""The slices of a volume at a glance: which are empty, partial or complete, which to do next, and where one stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_sortingloss.widgets.toolkit.theme import Colors

Status = Literal["empty", "partial", "complete"]

RANK: dict[str, int] = {"empty": 0, "partial": 1, "complete": 2}
MARKS = 9
"""Height of the row of suggestions above the bars (pixels)."""
BARS = 22
"""Height of a complete slice."""
FOOT = 7
"""Height of the row with the triangle below."""
SIDE = 5
"""Room at both ends for half a triangle."""
LEAST = 4
"""Width of the bar of an annotated slice, however many slices there are."""
PAGE = 10


class SliceStrip(QWidget):
    """One bar a slice along the axis in view, like the slider of the viewer.

    Complete slices are full and high, partial ones hatched and half as high, empty ones a line; suggested slices have
    a diamond above, the slice in view a triangle below. A click goes there; so do the arrow keys.

    Attributes
    ----------
    chosen : psygnal.Signal
        ``chosen(index)``: the person wants to go to a slice (array index along the axis).
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._statuses: dict[int, Status] = {}
        self._suggested: tuple[int, ...] = ()
        self._current: int | None = None
        self._colors: Colors | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(80)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Slices")

    # ------------------------------------------------------------------------------------------------- what is shown
    @property
    def current(self) -> int | None:
        """The slice in view; None in 3D."""
        return self._current

    @property
    def suggested(self) -> tuple[int, ...]:
        """The slices marked as worth annotating, best first."""
        return self._suggested

    def status(self, index: int) -> Status:
        """Return the status of a slice."""
        return self._statuses.get(index, "empty")

    def set_slices(self, count: int, statuses: Mapping[int, Status]) -> None:
        """Show a volume of `count` slices; those not in `statuses` are empty."""
        self._count = count
        self._statuses = {index: status for index, status in statuses.items() if status != "empty"}
        self.setAccessibleDescription(self.said)
        self.update()

    def set_suggested(self, indices: Sequence[int]) -> None:
        """Mark the slices worth annotating, best first."""
        self._suggested = tuple(indices)
        self.update()

    def set_current(self, index: int | None) -> None:
        """Mark the slice in view."""
        if index != self._current:
            self._current = index
            self.update()

    @property
    def said(self) -> str:
        """What is shown, in words, e.g. ``"5 complete, 2 partial of 800"``."""
        counts = [
            f"{n} {status}"
            for status in ("complete", "partial")
            if (n := sum(s == status for s in self._statuses.values()))
        ]
        return f"{', '.join(counts) or 'none annotated'} of {self._count}"

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        self.update()

    # ------------------------------------------------------------------------------------------------------ geometry
    def index_at(self, x: float) -> int:
        """Return the slice under a place of the widget (pixels), the nearest one in the volume."""
        if self._count < 1:
            return 0
        share = (x - SIDE) / max(1, self.width() - 2 * SIDE)
        return int(np.clip(int(share * self._count), 0, self._count - 1))

    def x_of(self, index: int) -> float:
        """Return the middle of a slice's bar (pixels)."""
        return SIDE + (index + 0.5) * (self.width() - 2 * SIDE) / max(1, self._count)

    def columns(self) -> NDArray[np.uint8]:
        """Return for each pixel column the rank of the status drawn there: 0 empty, 1 partial, 2 complete."""
        ranks = np.zeros(max(0, self.width()), np.uint8)
        step = (self.width() - 2 * SIDE) / max(1, self._count)
        gap = 1 if step >= 4 else 0
        for wanted in (1, 2):  # where bars of many slices meet, the complete one is in front
            for index, status in self._statuses.items():
                if RANK[status] == wanted and 0 <= index < self._count:
                    width = max(LEAST, round(step) - gap)
                    left = round(self.x_of(index) - width / 2)
                    ranks[max(0, left) : max(0, left + width)] = wanted
        return ranks

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the width of a dock and the height of the rows."""
        return QSize(300, MARKS + BARS + FOOT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the least that can be read."""
        return QSize(80, MARKS + BARS + FOOT)

    # ------------------------------------------------------------------------------------------------------- drawing
    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the bars, the suggestions and the slice in view."""
        colors = self._colors
        if colors is None or self._count < 1:
            return
        painter = QPainter(self)
        floor = MARKS + BARS
        painter.fillRect(QRect(SIDE, floor - 2, self.width() - 2 * SIDE, 2), QColor(colors.chance))
        ranks = self.columns()
        edges = np.flatnonzero(np.diff(np.concatenate(([0], ranks, [0]))))
        for left, right in pairwise(edges):
            if ranks[left]:
                self._bar(painter, colors, int(left), int(right - left), int(ranks[left]))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for place, index in enumerate(self._suggested):
            self._diamond(painter, colors, index, filled=place == 0)
        if self._current is not None and 0 <= self._current < self._count:
            self._triangle(painter, colors)
        if self.hasFocus():
            painter.setPen(QPen(QColor(colors.train), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(0.5, 0.5, self.width() - 1, self.height() - 1))

    def _bar(self, painter: QPainter, colors: Colors, left: int, width: int, rank: int) -> None:
        height = BARS if rank == 2 else BARS // 2
        rect = QRect(left, MARKS + BARS - height, width, height)
        if rank == 2:
            painter.fillRect(rect, QColor(colors.good))
        else:
            painter.fillRect(rect, QColor(colors.field))
            painter.fillRect(rect, QBrush(QColor(colors.warning), Qt.BrushStyle.Dense4Pattern))

    def _diamond(self, painter: QPainter, colors: Colors, index: int, *, filled: bool) -> None:
        x, y, r = self.x_of(index), MARKS / 2 - 0.5, 3.5
        color = QColor(colors.train)
        painter.setPen(QPen(color, 1.2))
        painter.setBrush(color if filled else Qt.BrushStyle.NoBrush)
        painter.drawPolygon(
            QPolygonF([QPointF(x, y - r), QPointF(x + r, y), QPointF(x, y + r), QPointF(x - r, y)])
        )

    def _triangle(self, painter: QPainter, colors: Colors) -> None:
        assert self._current is not None
        x, floor = self.x_of(self._current), MARKS + BARS
        painter.setPen(QPen(QColor(colors.text), 1))
        painter.drawLine(QPointF(x, MARKS), QPointF(x, floor))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colors.text))
        painter.drawPolygon(
            QPolygonF([QPointF(x, floor), QPointF(x + 5, floor + FOOT), QPointF(x - 5, floor + FOOT)])
        )

    # ---------------------------------------------------------------------------------------------- mouse and keyboard
    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go to the slice under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._choose(self._near(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Drag through the slices, or say what is under the mouse."""
        x = event.position().x()
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._choose(self.index_at(x))
            return
        index = self._near(x)
        suggested = " · suggested" if index in self._suggested else ""
        text = f"slice {index} · {self.status(index)}{suggested}" if self._count else ""
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Step with the arrow keys, ten slices with Page Up and Down, to the ends with Home and End."""
        at = self._current if self._current is not None else 0
        steps = {
            Qt.Key.Key_Left: at - 1,
            Qt.Key.Key_Right: at + 1,
            Qt.Key.Key_PageUp: at - PAGE,
            Qt.Key.Key_PageDown: at + PAGE,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: self._count - 1,
        }
        if event.key() in steps and self._count:
            self._choose(int(np.clip(steps[Qt.Key(event.key())], 0, self._count - 1)))
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Draw anew when it is enabled or disabled."""
        super().changeEvent(event)
        self.update()

    def _near(self, x: float) -> int:
        """Return an annotated or suggested slice whose mark is under the mouse, or else the slice at the very place."""
        at = self.index_at(x)
        marked = [i for i in (*self._statuses, *self._suggested) if abs(self.x_of(i) - x) <= LEAST]
        return min(marked, key=lambda i: abs(self.x_of(i) - x), default=at) if at not in marked else at

    def _choose(self, index: int) -> None:
        if index != self._current:
            self.chosen.emit(index)
