"""Live curves of a run: training, validation and the level of a network that knows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_sortingloss.training.curves import Curve
from napari_sortingloss.widgets.runs.run_watch import RunHistory, smooth
from napari_sortingloss.widgets.toolkit.theme import Colors

HEIGHT = 138

AXIS, GAP = 30, 6
"""Pixels for the numbers at the left, and around the name of the level of chance."""

DENSE = 145
"""From this width (pixels) on there is room for many numbers along the steps."""

TOP = 7
"""Pixels above a plot: half of the uppermost number stands there."""

VALUE = "0.000"
"""As wide as a value gets in a title."""

COMPARED = ("#cc79a7", "#009e73", "#999999", "#d55e00")
"""Colours of the runs that are compared with the one in view (Okabe and Ito)."""


@dataclass(frozen=True)
class Compared:
    """One more run to draw.

    Attributes
    ----------
    name : str
    colour : str
    history : RunHistory
    """

    name: str
    colour: str
    history: RunHistory


class CurvePlot(QWidget):
    """One figure over the steps.

    Parameters
    ----------
    curve : Curve
    """

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self.curve = curve
        self._title = QLabel()
        self._title.setTextFormat(Qt.TextFormat.RichText)
        self._title.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed
        )  # never widens the panel
        self._stacked = False
        self.plot = pg.PlotWidget()
        self.plot.plotItem.setContentsMargins(0, TOP, 0, 0)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMenuEnabled(False)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.hideButtons()
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plot.setToolTip(_tooltip(curve))
        self.plot.getAxis("left").setWidth(AXIS)
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setStyle(tickLength=-4, maxTickLevel=0)
        self._raw = pg.PlotDataItem(autoDownsample=True, downsampleMethod="peak", autoDownsampleFactor=2.0)
        self._train = pg.PlotDataItem(autoDownsample=True, downsampleMethod="mean", autoDownsampleFactor=2.0)
        self._validation = pg.PlotDataItem()
        self._others: list[pg.PlotDataItem] = []
        self._chance = pg.InfiniteLine(angle=0)
        self._chance_text = pg.TextItem(anchor=(1, 1))
        for item in (self._chance, self._raw, self._train, self._validation):
            self.plot.addItem(item)
        self.plot.addItem(self._chance_text, ignoreBounds=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._title)
        layout.addWidget(self.plot)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._colors: Colors | None = None
        self._history: RunHistory | None = None
        self._drawn: list[tuple[Any, ...]] = []
        self._range: tuple[float, ...] = ()
        self._value: tuple[float | None, bool] = (None, False)
        self._show_chance()

    def set_history(self, history: RunHistory, others: Sequence[Compared] = ()) -> None:
        """Draw a run, and others behind it; nothing is done where nothing has changed."""
        metric = self.curve.metric
        steps, values = history.train.get(metric, ([], []))
        v_steps, v_values = history.validation.get(metric, ([], []))
        drawn = [(len(steps), len(v_steps)), *(_told(other, metric) for other in others)]
        if history is self._history and drawn == self._drawn:
            return
        self._history, self._drawn = history, drawn
        smoothed = smooth(values)
        self._raw.setData(steps, values)
        self._train.setData(steps, smoothed)
        self._validation.setData(v_steps, v_values)
        for item in self._others:
            self.plot.removeItem(item)
        self._others = [self._compare(other) for other in others]
        last = _last(v_values) if v_values else _last(smoothed)
        self._set_title(last, bool(v_values))
        self._set_range([(steps, values), (v_steps, v_values), *(_of(other, metric) for other in others)])

    @property
    def title_width(self) -> int:
        """How wide the title is in a line, whatever the value is."""
        font = QFont(self._title.font())
        font.setBold(True)
        value = QFontMetrics(font).horizontalAdvance(f"{VALUE} {self.curve.unit}".strip())
        return value + self._title.fontMetrics().horizontalAdvance(f"{self.curve.title}  ")

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Write as many numbers as there is room for."""
        super().resizeEvent(event)
        self._show_chance()
        self._set_ticks()

    def set_stacked(self, stacked: bool) -> None:
        """Say whether the value stands below the name, because there is no room for both in a line."""
        if stacked != self._stacked:
            self._stacked = stacked
            self._say_title()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        self.plot.setBackground(colors.background)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(colors.muted)
            axis.setTextPen(colors.muted)
        faint = QColor(colors.train)
        faint.setAlpha(70)
        self._raw.setPen(pg.mkPen(faint, width=1))
        self._train.setPen(pg.mkPen(colors.train, width=2))
        self._validation.setPen(pg.mkPen(colors.validation, width=2, style=Qt.PenStyle.DashLine))
        self._validation.setSymbol("o")
        self._validation.setSymbolSize(5)
        self._validation.setSymbolBrush(colors.validation)
        self._validation.setSymbolPen(None)
        self._chance.setPen(pg.mkPen(colors.chance, width=1, style=Qt.PenStyle.DotLine))
        self._chance_text.setColor(colors.muted)
        behind = QColor(colors.background)
        behind.setAlpha(190)  # readable over a curve
        self._chance_text.fill = pg.mkBrush(behind)
        self._history = None  # the title is written anew
        self._set_title(None, False)

    def _show_chance(self) -> None:
        chance = self.curve.chance
        self._chance.setVisible(chance is not None)
        self._chance_text.setVisible(chance is not None)
        if chance is not None:
            self._chance.setPos(chance)
            text, room = f"random {chance:.3g}", self.plot.width() - AXIS - 2 * GAP
            fits = self.plot.fontMetrics().horizontalAdvance(text) <= room
            self._chance_text.setText(text if fits else "random")

    def _compare(self, other: Compared) -> pg.PlotDataItem:
        steps, values = _of(other, self.curve.metric)
        item = pg.PlotDataItem(steps, values, pen=pg.mkPen(other.colour, width=2))
        item.setZValue(-1)
        self.plot.addItem(item)
        return item

    def _set_title(self, value: float | None, validation: bool) -> None:
        self._value = (value, validation)
        self._say_title()

    def _say_title(self) -> None:
        value, validation = self._value
        unit, gap = self.curve.unit, "<br>" if self._stacked else " "
        if value is None or self._colors is None:
            last = f"({unit})" if unit else "&nbsp;" if self._stacked else ""
        else:
            colour = self._colors.validation if validation else self._colors.train
            last = f'<b style="color:{colour}">{f"{value:#.3g} {unit}".strip()}</b>'
        self._title.setText(f"{self.curve.title}{gap}{last}".strip())

    def _set_range(self, all_points: Sequence[tuple[Sequence[int], Sequence[float]]]) -> None:
        steps = [s for some, _ in all_points for s in some]
        values = np.array([v for _, some in all_points for v in some], float)
        values = values[np.isfinite(values)]
        top = float(np.percentile(values, 99.5)) if values.size else 1.0
        low = min(0.0, float(values.min())) if values.size else 0.0
        if self.curve.chance is not None:
            top = max(top, self.curve.chance * 1.22)  # room for its name above the line
        # In coarse steps, so that the axes are not drawn anew with each point.
        wanted = (_above(max([*steps, 10])), low, _above(max(top, 1e-6) * 1.02))
        if wanted == self._range:
            return
        self._range = wanted
        right = wanted[0]
        self._set_ticks()
        self.plot.setXRange(0, right, padding=0.02)
        self.plot.setYRange(low, wanted[2], padding=0)
        if self.curve.chance is not None:
            self._chance_text.setPos(right, self.curve.chance)

    def _set_ticks(self) -> None:
        """Write few numbers along the steps where many would run into each other."""
        if not self._range:
            return
        few = None if self.plot.width() >= DENSE else _round_step(self._range[0] / 2.5)
        self.plot.getAxis("bottom").setTickSpacing(few, few)


class CurveRow(QWidget):
    """The curves of a task side by side, with a line that says what is what.

    Attributes
    ----------
    names : dict of str to str
        What the line calls training and validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.plots: list[CurvePlot] = []
        self._row = QHBoxLayout()
        self._row.setSpacing(6)
        self._legend = QLabel()
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        self._legend.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._row)
        layout.addWidget(self._legend)
        self._colors: Colors | None = None
        self.names = {"train": "training", "validation": "validation"}
        self._history = RunHistory()
        self._others: tuple[Compared, ...] = ()

    def set_curves(self, curves: Sequence[Curve]) -> None:
        """Choose the figures to draw."""
        if tuple(curves) == tuple(plot.curve for plot in self.plots):
            return
        for plot in self.plots:
            self._row.removeWidget(plot)
            plot.hide()
            plot.deleteLater()
        self.plots = [CurvePlot(curve) for curve in curves]
        for plot in self.plots:
            self._row.addWidget(plot, _share(plot, self.plots))
            if self._colors is not None:
                plot.apply_theme(self._colors)
        self.set_history(self._history, self._others)
        self._stack()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Give the titles the lines they need."""
        super().resizeEvent(event)
        self._stack()

    def _stack(self) -> None:
        """Write all titles in two lines where one of them does not fit into one; the plots stay level."""
        shares = [_share(plot, self.plots) for plot in self.plots]
        room = self.width() - self._row.spacing() * (len(shares) - 1)
        tight = any(
            plot.title_width > room * share / sum(shares)
            for plot, share in zip(self.plots, shares, strict=True)
        )
        for plot in self.plots:
            plot.set_stacked(tight)

    def set_history(self, history: RunHistory, others: Sequence[Compared] = ()) -> None:
        """Draw a run, and others behind it."""
        self._history, self._others = history, tuple(others)
        for plot in self.plots:
            plot.set_history(history, others)
        self._say_legend()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        for plot in self.plots:
            plot.apply_theme(colors)
        self.set_history(self._history, self._others)

    def _say_legend(self) -> None:
        if self._colors is None:
            return
        entries = [f'<span style="color:{self._colors.train}">━ {self.names["train"]}</span>']
        if self._history.validation:
            named = self.names["validation"]
            entries.append(f'<span style="color:{self._colors.validation}">╍ {named}</span>')
        entries += [f'<span style="color:{other.colour}">━ {other.name}</span>' for other in self._others]
        self._legend.setText("&nbsp;&nbsp; ".join(entries))


def _share(plot: CurvePlot, plots: Sequence[CurvePlot]) -> int:
    """Return how much of the width a plot gets: the main one of two more than the other."""
    return 3 if plot.curve.main and len(plots) < 3 else 2


def _told(other: Compared, metric: str) -> tuple[Any, ...]:
    """Return what changes when there is more of a run to draw."""
    train, validation = (
        split.get(metric, ([], []))[0] for split in (other.history.train, other.history.validation)
    )
    return other.name, other.colour, len(train), len(validation)


def _of(other: Compared, metric: str) -> tuple[list[int], list[float]]:
    steps, values = other.history.validation.get(metric, ([], []))
    if len(steps) > 1:
        return steps, values
    steps, values = other.history.train.get(metric, ([], []))
    return steps, smooth(values)


def _above(value: float, ratio: float = 1.15) -> float:
    """Return the next number not below `value` in a geometric series."""
    return float(ratio ** np.ceil(np.log(value) / np.log(ratio) - 1e-9))


def _round_step(value: float) -> float:
    """Return the least of 1, 2, 5, 10, 20, … that is not below `value`."""
    power = 10.0 ** np.floor(np.log10(max(value, 1.0)))
    return float(next(power * n for n in (1, 2, 5, 10) if power * n >= value * (1 - 1e-9)))


def _last(values: Sequence[float]) -> float | None:
    return next((v for v in reversed(values) if v == v), None)


def _tooltip(curve: Curve) -> str:
    better = "Lower is better." if curve.lower_is_better else "Higher is better."
    chance = "" if curve.chance is None else f" A network that knows nothing stays at {curve.chance:.3g}."
    return f"<p>{curve.title.capitalize()} over the training steps. {better}{chance}</p>"
