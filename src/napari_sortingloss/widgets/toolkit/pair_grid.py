"""A grid of labels and inputs, two pairs in a row; where the panel is too narrow for two, each pair has its own."""

from __future__ import annotations

from qtpy.QtCore import QRect, QSize
from qtpy.QtWidgets import QGridLayout, QLayout, QLayoutItem

READABLE = 100
"""Pixels that an input has at least where two share a row, unless it needs less."""
Pair = tuple[QLayoutItem | None, QLayoutItem]


class PairGrid(QGridLayout):
    """Fill it like any grid: labels into columns 0 and 2, inputs into 1 and 3, what has no label over all columns."""

    def minimumSize(self) -> QSize:  # noqa: N802
        """Return the width of one pair in a row, and the height of two."""
        margins, pairs = self.contentsMargins(), self._pairs()
        labels, wide = self._labels(pairs), super().minimumSize()
        widths = [item.minimumSize().width() + (labels if label is not None else 0) for label, item in pairs]
        width = max(widths, default=0) + margins.left() + margins.right()
        return QSize(min(width, wide.width()), wide.height())

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """Narrower is higher."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Return the height at a width."""
        if self._is_wide(width):
            return super().heightForWidth(width) if super().hasHeightForWidth() else self.sizeHint().height()
        return self._place(QRect(0, 0, width, 0), move=False)

    def minimumHeightForWidth(self, width: int) -> int:  # noqa: N802
        """Return the same: an input has one height."""
        return self.heightForWidth(width)

    def setGeometry(self, rect: QRect) -> None:  # noqa: N802
        """Lay out."""
        if self._is_wide(rect.width()):
            super().setGeometry(rect)
        else:
            QLayout.setGeometry(self, rect)
            self._place(rect, move=True)

    def _is_wide(self, width: int) -> bool:
        return width >= max(super().minimumSize().width(), self._comfortable())

    def _comfortable(self) -> int:
        """Return the width at which numbers and menus two in a row can still be read."""
        columns = dict.fromkeys(range(4), 0)
        for i in range(self.count()):
            _, column, _, span = self.getItemPosition(i)
            item = self.itemAt(i)
            if span == 1 and not item.isEmpty():
                columns[column] = max(columns[column], min(item.sizeHint().width(), READABLE))
        return sum(columns.values()) + 3 * self.horizontalSpacing()

    def _pairs(self) -> list[Pair]:
        """Return (label or None, input) in reading order, without those that are hidden."""
        places = [(*self.getItemPosition(i), self.itemAt(i)) for i in range(self.count())]
        shown = sorted((p for p in places if not p[-1].isEmpty()), key=lambda place: place[:2])
        pairs: list[Pair] = []
        label: QLayoutItem | None = None
        for _, column, _, span, item in shown:
            if column % 2 == 0 and span == 1:
                label = item
            else:
                pairs.append((label, item))
                label = None
        return pairs

    def _labels(self, pairs: list[Pair]) -> int:
        widest = max((label.sizeHint().width() for label, _ in pairs if label is not None), default=0)
        return widest + self.horizontalSpacing()

    def _place(self, rect: QRect, *, move: bool) -> int:
        """Put each pair into a row of its own, if asked to; return the height of all rows."""
        margins, pairs = self.contentsMargins(), self._pairs()
        inner = rect.adjusted(margins.left(), margins.top(), -margins.right(), -margins.bottom())
        labels, top = self._labels(pairs), inner.top()
        for label, item in pairs:
            left = labels if label is not None else 0
            width = inner.width() - left
            height = item.heightForWidth(width) if item.hasHeightForWidth() else item.sizeHint().height()
            if label is not None:
                height = max(height, label.sizeHint().height())
            if move:
                item.setGeometry(QRect(inner.left() + left, top, width, height))
                if label is not None:
                    label.setGeometry(QRect(inner.left(), top, labels - self.horizontalSpacing(), height))
            top += height + self.verticalSpacing()
        return top - self.verticalSpacing() + margins.bottom() - rect.top()
