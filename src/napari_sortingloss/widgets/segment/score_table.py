"""How good a run is, class by class, with the run before beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.widgets.toolkit.theme import Colors

MEAN = "mean"
ROWS = 6
"""More classes than these scroll."""

_ABOUT = {
    "IoU": "Intersection over union: voxels right, of all that either the network or the annotator gave the class. 1 is "
    "perfect.",
    "last run": "The same figure of the run before.",
    "Dice": "Twice the voxels both agree on, of all that either gave the class. 1 is perfect.",
    "distance": "Mean distance between the two surfaces. 0 is perfect.",
}


@dataclass(frozen=True)
class ScoreRow:
    """The figures of one class, or of all together.

    Attributes
    ----------
    name : str
    color : str
        ``"#rrggbb"``; empty for the mean.
    iou, before, dice, distance : float or None
        Intersection over union, the same of the run before, Dice, and the distance of the surfaces (mm); None where not
        measured.
    """

    name: str
    color: str = ""
    iou: float | None = None
    before: float | None = None
    dice: float | None = None
    distance: float | None = None


class ScoreTable(QWidget):
    """A line that says on what was measured, over a table with a row a class."""

    def __init__(self) -> None:
        super().__init__()
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["class", "IoU", "last run", "Dice", "distance"])
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tree.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.tree.setAccessibleName("Scores per class")
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, 5):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        for column, name in enumerate(("class", "IoU", "last run", "Dice", "distance")):
            self.tree.headerItem().setToolTip(column, f"<p>{_ABOUT[name]}</p>" if name in _ABOUT else "")
        self._colors: Colors | None = None
        self.rows: tuple[ScoreRow, ...] = ()
        self._on = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.title)
        layout.addWidget(self.tree)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.rows

    def set_scores(self, rows: Sequence[ScoreRow], on: str, mean: ScoreRow | None = None) -> None:
        """Show scores.

        Parameters
        ----------
        rows : sequence of ScoreRow
            One a class.
        on : str
            On what was measured, e.g. ``"2 held-back slices"``.
        mean : ScoreRow or None
            Over all classes; the mean of `rows` where it is not given.
        """
        mean = mean or mean_of(rows)
        shown = (*rows, mean) if rows else ()
        if (shown, on) == (self.rows, self._on):
            return
        self.rows, self._on = shown, on
        self.tree.clear()
        for row in shown:
            texts = [row.name, _two(row.iou), _two(row.before), _two(row.dice), _length(row.distance)]
            item = QTreeWidgetItem(texts)
            if row.color:
                item.setIcon(0, _swatch(row.color))
            for column in range(1, 5):
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if row is mean:
                font = item.font(0)
                font.setBold(True)
                for column in range(5):
                    item.setFont(column, font)
            self.tree.addTopLevelItem(item)
        for column, name in ((2, "before"), (3, "dice"), (4, "distance")):
            self.tree.setColumnHidden(column, all(getattr(row, name) is None for row in shown))
        height = self.tree.sizeHintForRow(0) if shown else 20
        rows_shown = min(len(shown), ROWS)
        self.tree.setFixedHeight(self.tree.header().sizeHint().height() + rows_shown * max(height, 18) + 4)
        self._say()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        self.tree.setStyleSheet(
            f"QTreeView {{ background-color: {colors.background}; border: 1px solid {colors.field}; }} "
            "QTreeView::item { padding: 1px 0px; border: none; }"
        )
        self._say()

    def said(self) -> str:
        """Return the scores in a line, e.g. ``"mean IoU 0.85 (last run 0.81) on 2 held-back slices"``."""
        if not self.rows:
            return ""
        mean = self.rows[-1]
        before = f" (last run {mean.before:.2f})" if mean.before is not None else ""
        return f"mean IoU {_two(mean.iou)}{before} on {self._on}"

    def _say(self) -> None:
        if not self.rows or self._colors is None:
            self.title.setText("")
            return
        mean, colour = self.rows[-1], self._colors.validation
        before = f" (last run {mean.before:.2f})" if mean.before is not None else ""
        self.title.setText(
            f'mean IoU <b style="color:{colour}">{_two(mean.iou)}</b>{before}'
            f'<span style="color:{self._colors.muted}"> on {self._on}</span>'
        )


def mean_of(rows: Sequence[ScoreRow]) -> ScoreRow:
    """Return the mean over classes of each figure, over those for which it is known."""

    def mean(name: str) -> float | None:
        values = [value for row in rows if (value := getattr(row, name)) is not None and value == value]
        return sum(values) / len(values) if values else None

    return ScoreRow(MEAN, "", mean("iou"), mean("before"), mean("dice"), mean("distance"))


def rows_of(
    classes: Mapping[str, str],
    scores: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, float] | None = None,
) -> list[ScoreRow]:
    """Return a row for each class.

    Parameters
    ----------
    classes : mapping of str to str
        Name to colour, in order.
    scores : mapping of str to mapping
        Name to ``{"iou", "dice", "surface_distance_mm"}``, as far as measured.
    before : mapping of str to float or None
        Name to the IoU of the run before.
    """
    return [
        ScoreRow(
            name,
            color,
            scores.get(name, {}).get("iou"),
            (before or {}).get(name),
            scores.get(name, {}).get("dice"),
            scores.get(name, {}).get("surface_distance_mm"),
        )
        for name, color in classes.items()
        if name in scores
    ]


def _two(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"


def _length(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g} mm"


def _swatch(color: str) -> QIcon:
    picture = QPixmap(12, 12)
    picture.fill(QColor(color))
    return QIcon(picture)
