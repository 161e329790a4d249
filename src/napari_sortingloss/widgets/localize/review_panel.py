"""The box of the volume in view: threshold, faces, profiles, and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_sortingloss import wording
from napari_sortingloss.boxes import NO_BOX, share_of
from napari_sortingloss.widgets.localize.box_sliders import BoxSliders
from napari_sortingloss.widgets.localize.fraction_slider import FractionSlider
from napari_sortingloss.widgets.localize.profile_plot import ProfilePlot
from napari_sortingloss.widgets.localize.review_table import percent
from napari_sortingloss.widgets.stage import allow
from napari_sortingloss.widgets.toolkit.shortcuts import Button, keys_of
from napari_sortingloss.widgets.toolkit.theme import Colors

if TYPE_CHECKING:
    from napari_sortingloss.boxes import Box
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.study.localizations.reading import Localization

NOTHING = "Nothing was found: lower the threshold, set the faces by hand, or skip the volume."
BY_INTERVALS = (
    "The rotation task gives an interval along each axis; there is no map to choose a threshold for."
)


class ReviewPanel(QWidget):
    """Shows and edits one localisation.

    Attributes
    ----------
    fraction_changed : psygnal.Signal
        ``fraction_changed(fraction)``: the person wants another share of the volume; None for automatic.
    box_changed : psygnal.Signal
        ``box_changed(box)``: the person moved a face.
    reset_requested : psygnal.Signal
    position_chosen : psygnal.Signal
        ``position_chosen(axis, index)``: the person clicked into a profile; in voxels of the volume.
    """

    fraction_changed = Signal(object)
    box_changed = Signal(object)
    reset_requested = Signal()
    position_chosen = Signal(str, int)

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Any, ...] = ()
        self.fraction = FractionSlider()
        self.fraction.changed.connect(lambda fraction: self.fraction_changed.emit(fraction))
        self.sliders = BoxSliders()
        self.sliders.changed.connect(lambda box: self.box_changed.emit(box))
        self.plot = ProfilePlot()
        self.plot.position_clicked.connect(lambda axis, at: self.position_chosen.emit(axis, at))
        self.keeps = QLabel()
        self.keeps.setWordWrap(True)
        self.keeps.setProperty("heading", True)
        self.reset = Button("Reset &box", "localize.reset")
        self.reset.setProperty("small", True)
        self.reset.clicked.connect(lambda *_: self.reset_requested.emit())
        self.warnings = QLabel()
        self.warnings.setWordWrap(True)
        self.warnings.setTextFormat(Qt.TextFormat.PlainText)
        line = QHBoxLayout()
        line.addWidget(self.keeps, 1)
        line.addWidget(self.reset)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.fraction)
        layout.addWidget(self.sliders)
        layout.addLayout(line)
        layout.addWidget(self.warnings)
        layout.addWidget(self.plot)

    def show_localization(self, found: Localization, record: VolumeRecord) -> None:
        """Show a localisation, and its changes."""
        key = (found.volume, found.run, found.created, record.voxel_size, record.unit)
        if key != self._shown:
            self._shown = key
            self.sliders.set_volume(record.shape, record.voxel_size, record.unit)
            self.plot.set_profiles(found.profiles, record.shape, record.voxel_size, record.unit)
        self.fraction.set_value(found.fraction, found.automatic)
        self.show_box(found)
        lines = [NOTHING] if found.is_empty else []
        lines += found.warnings
        self.warnings.setText("\n".join(f"⚠ {line}" for line in lines))
        self.warnings.setVisible(bool(lines))
        given = found.settings.get("fraction")
        changed = found.adjusted or (given is None and not found.automatic)
        allow(
            self.reset,
            "" if changed else "It is as it was found",
            f"Back to the box as it was found ({keys_of('localize.reset')})",
        )

    def show_box(self, found: Localization) -> None:
        """Show where the box is and what it keeps."""
        if self.sliders.value() != found.box:
            self.sliders.set_value(found.box)
        self.plot.set_box(found.box)
        self.keeps.setText(said_kept(found.box, found.shape))

    def apply_theme(self, colors: Colors) -> None:
        """Restyle the plot."""
        self.plot.apply_theme(colors)


def said_kept(box: Box, shape: tuple[int, int, int]) -> str:
    """Return what a box keeps, e.g. ``"keeps 26 % · 24.0 GB → 6.2 GB"`` of voxels of a byte each."""
    if box == NO_BOX:
        return "no box"
    before = shape[0] * shape[1] * shape[2]
    share = share_of(box, shape)
    return f"keeps {percent(share)} · {wording.size(before)} → {wording.size(share * before)}"
