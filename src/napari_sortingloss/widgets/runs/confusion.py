"""What a network that classifies takes for what: true classes down, the network's across, each cell its share of the row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QEvent, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QLabel, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from napari_sortingloss.events import Matrix
from napari_sortingloss.widgets.toolkit.theme import Colors

MOST_SIDE = 30
"""Pixels of a cell at most."""
MOST_NAME = 0.42
"""Names take at most this part of the width; longer ones are shortened, and whole in the tooltip."""
SMALL = 0.85
"""The size of the numbers in the cells, in that of the names."""

SPLITS = {"train": "training", "validation": "validation"}


@dataclass(frozen=True)
class Table:
    """A `Matrix` as an array.

    Attributes
    ----------
    counts : ndarray of int, shape (k, k)
    labels : tuple of str
    """

    counts: np.ndarray
    labels: tuple[str, ...]

    @classmethod
    def of(cls, matrix: Matrix | None) -> Table | None:
        """Return the table of an event, or None where it is none that can be drawn."""
        if matrix is None:
            return None
        k = len(matrix.labels)
        try:
            counts = np.array(matrix.counts, dtype=int)
        except ValueError:  # rows of different lengths: a line of another program
            return None
        return cls(counts, tuple(matrix.labels)) if k and counts.shape == (k, k) else None

    @property
    def is_scale(self) -> bool:
        """Whether the labels are numbers, so that some of them say what lies between; names are numbered instead."""
        return all(label[:1] in "-+−0123456789" for label in self.labels)

    @property
    def rows(self) -> tuple[str, ...]:
        """What stands before each row, e.g. ``"-30°"`` or ``"2 retina"``."""
        return self.labels if self.is_scale else tuple(f"{i} {name}" for i, name in enumerate(self.labels, 1))

    @property
    def columns(self) -> tuple[str, ...]:
        """What stands under each column, e.g. ``"-30°"`` or ``"2"``."""
        return self.labels if self.is_scale else tuple(map(str, range(1, len(self.labels) + 1)))

    @property
    def shares(self) -> np.ndarray:
        """For each true class how often the network said each, in shares of that row; 0 where nothing was asked."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)

    @property
    def accuracy(self) -> float:
        """The share that is right, every true class weighing the same; 0 where nothing was asked."""
        asked = self.counts.sum(axis=1) > 0
        return float(np.diag(self.shares)[asked].mean()) if asked.any() else 0.0


class ConfusionPlot(QWidget):
    """Draws one table: the labels of the rows, the cells, and the labels of the columns under them."""

    def __init__(self, split: str, on: str = "") -> None:
        super().__init__()
        self._split, self._on = split, on or f"{SPLITS[split]} volumes"
        self._table: Table | None = None
        self._what = ""
        self._colors: Colors | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumWidth(120)

    @property
    def table(self) -> Table | None:
        """What is drawn."""
        return self._table

    def set_matrix(self, matrix: Matrix | None) -> None:
        """Draw a table; nothing is done where it is the same."""
        table = Table.of(matrix)
        if matrix is not None and table is not None:
            self._what = matrix.what
            right = f"{100 * table.accuracy:.0f} % of {int(table.counts.sum())} right"
            self.setAccessibleName(f"True and said {matrix.what} on {self._on}")
            self.setAccessibleDescription(right)
        self._table = table
        self.setMinimumHeight(self.heightForWidth(self.width()))
        self.updateGeometry()
        self.update()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size for the width it has."""
        width = max(self.minimumWidth(), self.width())
        return QSize(170, self.heightForWidth(width))

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """Cells are square, so the height follows the width."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Return the height that `width` needs."""
        k = len(self._table.labels) if self._table is not None else 0
        return k * self._side(width) + self._foot() + 2

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the height that the new width needs, also where room is short."""
        super().resizeEvent(event)
        self.setMinimumHeight(self.heightForWidth(self.width()))

    def tip_at(self, x: int, y: int) -> str:
        """Return what the cell under a point says, or an empty string."""
        table = self._table
        if table is None:
            return ""
        side, left = self._side(self.width()), self._margin(self.width())
        k, row, column = len(table.labels), (y - 1) // side, (x - left) // side
        if 0 <= row < k and x < left:
            return self._said(table, row)
        if not 0 <= column < k or row < 0:
            return ""
        if row >= k:
            return f"network says {table.labels[column]}"
        count, asked = int(table.counts[row, column]), int(table.counts[row].sum())
        return (
            f"true {self._what} {table.labels[row]}, network says {table.labels[column]}: {count} of {asked}"
        )

    def _said(self, table: Table, row: int) -> str:
        asked = int(table.counts[row].sum())
        right = f"{100 * table.shares[row, row]:.0f} % of {asked:,} right" if asked else "none there"
        return f"{table.rows[row]}: {right}"

    def event(self, event: QEvent) -> bool:
        """Show the counts of the cell under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            text = self.tip_at(event.pos().x(), event.pos().y())
            if text:
                QToolTip.showText(event.globalPos(), text, self)
                return True
            QToolTip.hideText()
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the table."""
        table, colors = self._table, self._colors
        if table is None or colors is None:
            return
        painter = QPainter(self)
        side, left, shares = self._side(self.width()), self._margin(self.width()), table.shares
        base = QColor(colors.train if self._split == "train" else colors.validation)
        small = self._small()
        for row, label in enumerate(table.rows):
            top = 1 + row * side
            painter.setPen(QColor(colors.muted))
            painter.setFont(self.font())
            name = self.fontMetrics().elidedText(label, Qt.TextElideMode.ElideRight, left - 4)
            aligned = Qt.AlignmentFlag.AlignRight if table.is_scale else Qt.AlignmentFlag.AlignLeft
            painter.drawText(QRect(0, top, left - 4, side), aligned | Qt.AlignmentFlag.AlignVCenter, name)
            painter.setFont(small)
            for column in range(len(table.labels)):
                box = QRect(left + column * side, top, side, side)
                colour = _mixed(colors.raised, base, shares[row, column])
                painter.fillRect(box.adjusted(0, 0, -1, -1), colour)
                self._write_share(painter, box, colour, shares[row, column])
            # The right answers are framed: the eye finds the diagonal before it reads a number.
            painter.setPen(QPen(QColor(colors.text), 1))
            painter.drawRect(QRect(left + row * side, top, side, side).adjusted(0, 0, -2, -2))
        painter.setFont(self.font())
        self._draw_foot(painter, table, colors, left, side)
        painter.end()

    def _write_share(self, painter: QPainter, box: QRect, behind: QColor, share: float) -> None:
        """Write a share in percent, where there is one and it fits."""
        text, metrics = said_share(share), QFontMetrics(self._small())
        if metrics.horizontalAdvance(text) + 3 <= box.width() and metrics.height() <= box.height() + 2:
            painter.setPen(QColor("#000000" if _luminance(behind) > MIDDLE else "#ffffff"))
            painter.drawText(box.adjusted(0, 0, -1, -1), Qt.AlignmentFlag.AlignCenter, text)

    def _draw_foot(self, painter: QPainter, table: Table, colors: Colors, left: int, side: int) -> None:
        """Write the labels of the columns, as many as fit without touching."""
        k, labels = len(table.labels), table.columns
        widest = max(self.fontMetrics().horizontalAdvance(label) for label in labels) + 4
        every = next((n for n in range(1, k) if (k - 1) % n == 0 and n * side >= widest), max(1, k - 1))
        painter.setPen(QColor(colors.muted))
        for column in range(0, k, every):
            middle = left + column * side + side // 2
            box = QRect(middle - widest, 1 + k * side, 2 * widest, self._foot())
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, labels[column])

    def _side(self, width: int) -> int:
        k = len(self._table.labels) if self._table is not None else 1
        return max(6, min(MOST_SIDE, (width - self._margin(width) - self._overhang(width)) // k))

    def _margin(self, width: int) -> int:
        table = self._table
        labels = table.rows if table is not None else ("",)
        widest = max(self.fontMetrics().horizontalAdvance(label) for label in labels) + 8
        return widest if table is None or table.is_scale else min(widest, int(MOST_NAME * width))

    def _overhang(self, width: int) -> int:
        """Room on the right for the half of the last column's label."""
        return self._margin(width) // 2 if self._table is None or self._table.is_scale else 0

    def _small(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(SMALL * font.pointSizeF())
        return font

    def _foot(self) -> int:
        return self.fontMetrics().height() + 2


class ConfusionRow(QWidget):
    """The tables of a run, training and validation, under a line that says how to read them.

    Tables of numbers stand side by side; those of names, which need room, one below the other.

    Parameters
    ----------
    titles : mapping of str to str
        The splits to draw, and what stands over each.
    """

    def __init__(self, titles: Mapping[str, str] = SPLITS) -> None:
        super().__init__()
        self._titles = dict(titles)
        self._title = QLabel()
        self._title.setProperty("muted", True)
        self._title.setWordWrap(True)
        self.plots = {split: ConfusionPlot(split) for split in self._titles}
        self._names = {split: QLabel() for split in self._titles}
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._row.setSpacing(8)
        for split, plot in self.plots.items():
            self._names[split].setTextFormat(Qt.TextFormat.RichText)
            self._names[split].setWordWrap(True)
            column = QVBoxLayout()
            column.setSpacing(1)
            column.addWidget(self._names[split])
            column.addWidget(plot)
            column.addStretch(1)
            self._row.addLayout(column, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._title)
        layout.addLayout(self._row)
        self._colors: Colors | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return all(plot.table is None for plot in self.plots.values())

    def set_matrices(self, matrices: dict[str, Matrix]) -> None:
        """Show the last table of each split; splits without one are hidden."""
        for split, plot in self.plots.items():
            plot.set_matrix(matrices.get(split))
        what = next((matrix.what for matrix in matrices.values()), "")
        self._title.setText(f"True {what} (rows) → the network's (columns), in %".replace("  ", " "))
        named = any(plot.table is not None and not plot.table.is_scale for plot in self.plots.values())
        way = QBoxLayout.Direction
        self._row.setDirection(way.TopToBottom if named else way.LeftToRight)
        self._say_names()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        for plot in self.plots.values():
            plot.apply_theme(colors)
        self._say_names()

    def _say_names(self) -> None:
        for split, plot in self.plots.items():
            table, label = plot.table, self._names[split]
            for widget in (plot, label):
                widget.setVisible(table is not None)
            if table is not None and self._colors is not None:
                colour = getattr(self._colors, split)
                label.setText(
                    f'{self._titles[split]} <b style="color:{colour}">{100 * table.accuracy:.0f} % right</b>'
                )


def said_share(share: float) -> str:
    """Return a share in percent without its sign, e.g. ``"92"`` or ``"<1"``; nothing where there is none."""
    return "" if share <= 0 else "<1" if share < 0.005 else f"{100 * share:.0f}"


MIDDLE = 0.18
"""The luminance at which black and white are equally easy to read."""


def _luminance(colour: QColor) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    parts = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3])
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def _mixed(low: str, high: QColor, share: float) -> QColor:
    """Return the colour of a share between two colours; small shares are seen too."""
    weight = min(max(share, 0.0), 1.0) ** 0.7
    a, b = QColor(low).getRgb()[:3], high.getRgb()[:3]
    return QColor(*(round((1 - weight) * x + weight * y) for x, y in zip(a, b, strict=True)))
