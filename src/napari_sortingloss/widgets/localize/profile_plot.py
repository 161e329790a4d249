"""How the uncertainty runs along z, y and x, with the intervals that make the box; a click finds the slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from psygnal import Signal
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_sortingloss import wording
from napari_sortingloss.boxes import NO_BOX, Box, Shape
from napari_sortingloss.widgets.toolkit.theme import Colors

if TYPE_CHECKING:
    from napari_sortingloss.study.localizations.reading import Profile

HEIGHT = 50
"""Of a plot (pixels): three of them, six volumes and the box fit a window of 1280 x 800 without scrolling."""
NUMBERS = 17
"""Of the numbers below it."""
AXES = ("z", "y", "x")


class AxisPlot(pg.PlotWidget):
    """The profile along one axis.

    Parameters
    ----------
    axis : str

    Attributes
    ----------
    clicked : psygnal.Signal
        ``clicked(axis, voxel)``.
    """

    clicked = Signal(str, int)

    def __init__(self, axis: str) -> None:
        super().__init__()
        self.axis = axis
        self.profile: Profile | None = None
        self._size = 1
        self._voxel_size = 1.0
        self._unit = ""
        self.setFixedHeight(HEIGHT)
        self.setMenuEnabled(False)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(f"Profile along {axis}")
        self.hideAxis("left")
        self.getAxis("bottom").setStyle(tickLength=-3, maxTickLevel=0, tickTextOffset=1)
        self.getAxis("bottom").setHeight(NUMBERS)
        self._curve = pg.PlotDataItem(connect="finite")
        self._threshold = pg.InfiniteLine(angle=0)
        self._slice = pg.InfiniteLine(angle=90)
        self._slice.hide()
        self._interval = pg.LinearRegionItem(movable=False)
        self._interval.setZValue(-10)
        for item in (self._interval, self._threshold, self._curve, self._slice):
            self.addItem(item, ignoreBounds=True)
        self.scene().sigMouseMoved.connect(self._on_hover)
        self.scene().sigMouseClicked.connect(self._on_click)

    def set_profile(self, profile: Profile, size: int, voxel_size: float, unit: str) -> None:
        """Draw a profile of a volume of `size` voxels along the axis."""
        self.profile, self._size, self._voxel_size, self._unit = profile, size, voxel_size, unit
        values = np.asarray(profile.values, float)
        self._curve.setData(profile.start + profile.step * np.arange(len(values)), values)
        self._threshold.setVisible(profile.threshold is not None)
        finite = values[np.isfinite(values)]
        levels = [*finite, *([] if profile.threshold is None else [profile.threshold])]
        low, high = (min(levels), max(levels)) if levels else (0.0, 1.0)
        if profile.threshold is not None:
            self._threshold.setPos(profile.threshold)
        room = 0.08 * ((high - low) or abs(high) or 1.0)
        self.setYRange(low - room, high + room, padding=0)
        self.setXRange(-0.5, size - 0.5, padding=0.01)
        self.set_interval((profile.low, profile.high))

    def set_interval(self, span: tuple[int, int]) -> None:
        """Shade the voxels of the box, half-open; nothing where it is empty."""
        low, high = span
        self._interval.setVisible(high > low)
        if high > low:
            self._interval.setRegion((low - 0.5, high - 0.5))

    def set_slice(self, voxel: float | None) -> None:
        """Mark the slice in view, or none."""
        self._slice.setVisible(voxel is not None)
        if voxel is not None:
            self._slice.setPos(voxel)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self.setBackground(colors.background)
        axis = self.getAxis("bottom")
        axis.setPen(colors.muted)
        axis.setTextPen(colors.muted)
        self._curve.setPen(pg.mkPen(colors.train, width=1.5))
        self._threshold.setPen(pg.mkPen(colors.chance, width=1, style=Qt.PenStyle.DashLine))
        self._slice.setPen(pg.mkPen(colors.text, width=1))
        shade = QColor(colors.validation)
        shade.setAlpha(60)
        self._interval.setBrush(shade)
        for line in self._interval.lines:
            line.setPen(pg.mkPen(colors.validation, width=1.5))

    def voxel_at(self, where: QPointF) -> int:
        """Return the voxel under a place of the scene, the nearest one in the volume."""
        x = self.plotItem.vb.mapSceneToView(where).x()
        return int(np.clip(round(x), 0, self._size - 1))

    def _on_click(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.profile is not None:
            self.clicked.emit(self.axis, self.voxel_at(event.scenePos()))

    def _on_hover(self, where: QPointF) -> None:
        if self.profile is not None:
            self.setToolTip(self.said(self.voxel_at(where)))

    def said(self, voxel: int) -> str:
        """Return what the profile is at a voxel, e.g. ``"z 112 · 5.8 mm · 0.43"``."""
        profile = self.profile
        parts = [f"{self.axis} {voxel}"]
        if self._unit:
            parts.append(wording.length(voxel * self._voxel_size, self._unit))
        if profile is not None and profile.values:
            at = round((voxel - profile.start) / profile.step)
            value = profile.values[min(max(at, 0), len(profile.values) - 1)]
            parts.append(wording.number(value) if np.isfinite(value) else "no value")
            if profile.threshold is not None:
                parts.append(f"threshold {wording.number(profile.threshold)}")
        return " · ".join(parts)


class ProfilePlot(QWidget):
    """The profiles of a localisation, one below the other.

    Attributes
    ----------
    position_clicked : psygnal.Signal
        ``position_clicked(axis, voxel)``: the person clicked into the profile along ``"z"``, ``"y"`` or ``"x"``.
    """

    position_clicked = Signal(str, int)

    def __init__(self) -> None:
        super().__init__()
        self.plots = {axis: AxisPlot(axis) for axis in AXES}
        self.letters = {axis: QLabel(axis) for axis in AXES}
        self.title = QLabel()
        self.title.setProperty("muted", True)
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.title.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed
        )  # never widens the panel
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(0)
        grid.setHorizontalSpacing(4)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.title, 0, 0, 1, 2)
        for row, axis in enumerate(AXES, 1):
            self.plots[axis].clicked.connect(self.position_clicked.emit)
            grid.addWidget(self.letters[axis], row, 0)
            grid.addWidget(self.plots[axis], row, 1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.set_profiles({}, (1, 1, 1))

    def set_profiles(
        self,
        profiles: Mapping[str, Profile],
        shape: Shape,
        voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
        unit: str = "",
    ) -> None:
        """Draw profiles with the intervals that were read from them; `set_box` shades those of a box instead.

        Parameters
        ----------
        profiles : mapping of str to Profile
            By axis; an axis without one is left out.
        shape, voxel_size : sequence
            Of the volume, (z, y, x).
        unit : str
            Of the voxel size; empty where only voxels are known.
        """
        titles: dict[str, str] = {}
        for place, (axis, plot) in enumerate(self.plots.items()):
            profile = profiles.get(axis)
            there = profile is not None and len(profile.values) > 0
            plot.setVisible(there)
            self.letters[axis].setVisible(there)
            if profile is not None and there:
                titles[axis] = profile.title
                plot.set_profile(profile, shape[place], voxel_size[place], unit)
        self.title.setText(_titled(titles))
        self.setVisible(bool(profiles))

    def set_box(self, box: Box) -> None:
        """Shade the intervals of a box; none of `NO_BOX`."""
        for plot, span in zip(self.plots.values(), NO_BOX if box == NO_BOX else box, strict=True):
            plot.set_interval(span)

    def set_slice(self, axis: str, voxel: float | None) -> None:
        """Mark the slice in view along one axis and no other; None marks none."""
        for name, plot in self.plots.items():
            plot.set_slice(voxel if name == axis else None)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        for plot in self.plots.values():
            plot.apply_theme(colors)


def _titled(titles: Mapping[str, str]) -> str:
    """Return one title for the profiles along several axes, e.g. ``"mean sensitivity along z, y and x"``."""
    whats = {axis: title.removesuffix(f"along {axis}").strip() for axis, title in titles.items()}
    *before, last = whats or ("",)
    along = f"along {' and '.join([', '.join(before), last] if before else [last])}"
    return f"{', '.join(dict.fromkeys(whats.values()))} {along}".strip()
