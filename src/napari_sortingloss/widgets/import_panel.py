"""How chosen files become volumes: ordering axis, window with histogram and preview, downsampling, voxel size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.study.add_settings import AddSettings
from napari_sortingloss.widgets import words
from napari_sortingloss.widgets.axis_edit import AxisEdit, VoxelSizeEdit
from napari_sortingloss.widgets.background import Background
from napari_sortingloss.widgets.fields import calm_wheel
from napari_sortingloss.widgets.forms import Form
from napari_sortingloss.widgets.pictures import Picture
from napari_sortingloss.widgets.previews import Candidate, Look, look_at, windowed
from napari_sortingloss.widgets.theme import Colors
from napari_sortingloss.widgets.window_edit import HEIGHT, Histogram, WindowEdit

READING = tuple(field.name for field in ReadOptions.fields() if not field.about.hidden)
"""The settings that say how files are read."""

OWN = ("paths", "axis", "direction", "window", "downsample", "voxel_size", "unit")


class ImportPanel(QWidget):
    """Edits `AddSettings` for the candidates and shows what they come to.

    Parameters
    ----------
    background : Background
        Runs the previews.

    Attributes
    ----------
    changed : psygnal.Signal
        A setting or the list of candidates changed.
    """

    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self.candidates: list[Candidate] = []
        self._look: Look | None = None
        self._looked_at: tuple[Any, ...] | None = None

        self.title = QLabel()
        self.title.setProperty("heading", True)
        self.which = QComboBox()
        self.which.setToolTip("The volume that is shown below; the settings apply to all of them")
        self.which.setAccessibleName("Volume in the preview")
        self.which.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.which.setMinimumContentsLength(10)
        calm_wheel(self.which)
        self.which.currentIndexChanged.connect(self._look_again)
        self.about = QLabel()
        self.about.setProperty("muted", True)
        self.about.setWordWrap(True)

        self.axis = AxisEdit()
        self.downsample = QSpinBox()
        self.downsample.setRange(1, 64)
        self.downsample.setSuffix(" ×")
        self.downsample.setAccessibleName("Downsample")
        calm_wheel(self.downsample)
        self.window = WindowEdit()
        self.histogram = Histogram()
        self.picture = Picture(HEIGHT)
        self.voxel_size = VoxelSizeEdit()
        self.voxel_size.unit.clear()
        for unit, shown in ((None, "auto"), ("mm", "mm"), ("um", "µm"), ("nm", "nm")):
            self.voxel_size.unit.addItem(shown, unit)
        self.more = Form(AddSettings, exclude=OWN)

        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.which)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(8)
        form.setVerticalSpacing(4)
        form.addRow("Ordering axis", self.axis)
        form.addRow("Downsample", self.downsample)
        form.addRow("Window", self.window)
        pictures = QHBoxLayout()
        pictures.setSpacing(4)
        pictures.addWidget(self.histogram, 3)
        pictures.addWidget(self.picture, 2)
        size_row = QFormLayout()
        size_row.setContentsMargins(0, 0, 0, 0)
        size_row.setHorizontalSpacing(8)
        size_row.addRow("Voxel size", self.voxel_size)
        _explain(form, size_row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 8, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(head)
        layout.addWidget(self.about)
        layout.addLayout(form)
        layout.addLayout(pictures)
        layout.addLayout(size_row)
        layout.addWidget(self.more)

        self.axis.changed.connect(self.changed.emit)
        self.downsample.valueChanged.connect(lambda *_: self._look_again())
        self.window.changed.connect(self._on_window)
        self.histogram.dragged.connect(self.window.set_values)
        self.voxel_size.changed.connect(self.changed.emit)
        self.more.changed.connect(self._look_again)

    def set_candidates(self, candidates: Sequence[Candidate]) -> None:
        """Show these volumes."""
        self.candidates = list(candidates)
        self.title.setText(f"Add {words.count(len(candidates), 'volume')}")
        self.which.blockSignals(True)
        self.which.clear()
        self.which.addItems([candidate.name for candidate in candidates])
        self.which.blockSignals(False)
        self.which.setVisible(len(candidates) > 1)
        self._look = self._looked_at = None
        sizes = {candidate.voxel_size for candidate in candidates}
        self.voxel_size.set_value(None, None)  # type: ignore[arg-type]
        self.voxel_size.set_hint(next(iter(sizes)) if len(sizes) == 1 else None)
        self.more.edits["name"].set_value(None)
        self.more.set_field_visible("name", len(candidates) == 1)
        self._look_again()

    def settings(self) -> AddSettings:
        """Return the settings.

        Raises
        ------
        BadSetting
            If one does not fit.
        """
        axis, direction = self.axis.value()
        size, unit = self.voxel_size.value()
        return self.more.value(
            paths=tuple(c.path for c in self.candidates if c.path is not None),
            axis=axis,
            direction=direction,
            window=self.window.value(),
            downsample=self.downsample.value(),
            voxel_size=size,
            unit=unit,
        )

    def reading(self) -> ReadOptions:
        """Return how files are read."""
        return ReadOptions(**{name: self.more.edits[name].value() for name in READING})

    def set_reading(self, options: ReadOptions) -> None:
        """Read files in this way from now on."""
        for name in READING:
            self.more.edits[name].set_value(getattr(options, name))

    def error(self) -> UserError | None:
        """Return what is wrong with the settings, or None."""
        try:
            self.settings()
        except UserError as error:
            return error
        return None

    def needed_bytes(self) -> int:
        """Return about how large the volumes will be in the study, with their pyramids."""
        voxels = sum(candidate.voxels for candidate in self.candidates)
        return int(voxels / self.downsample.value() ** 3 * 8 / 7)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle the histogram."""
        self.histogram.apply_theme(colors)

    @property
    def current(self) -> Candidate | None:
        """The candidate in the preview."""
        index = self.which.currentIndex()
        return self.candidates[index] if 0 <= index < len(self.candidates) else None

    def _look_again(self, *_: object) -> None:
        self._describe()
        self.changed.emit()
        candidate = self.current
        if candidate is None or self.error() is not None:
            return
        settings = self.settings()
        key = (candidate, settings.replace(paths=(), axis="z", direction="+", name=None, reference=None))
        if key == self._looked_at:
            return
        self._looked_at = key
        if self._look is None:
            self.histogram.clear_data()
            self.picture.set_image(None)
            self.picture.set_text("reading…")
        self._background.run(
            lambda: look_at(candidate, settings), self._take_look, self._no_look, topic="preview"
        )

    def _take_look(self, look: Look) -> None:
        self._look = look
        self.window.set_measured(look.low, look.high)
        self.histogram.set_data(look.counts, look.edges, look.low, look.high)
        self.picture.set_image(windowed(look.middle, look.low, look.high), look.spacing)

    def _no_look(self, error: BaseException) -> None:
        self._look = self._looked_at = None
        self.histogram.clear_data()
        self.picture.set_image(None)
        self.picture.set_text("no preview")
        self.picture.setToolTip(str(error))
        self.about.setText(f"⚠ {error}")

    def _on_window(self) -> None:
        if self.window.mode.currentData() or self._look is None:
            self._look_again()
            return
        low, high = self.window.low.value(), self.window.high.value()
        if high > low:
            self.histogram.set_window(low, high)
            self.picture.set_image(windowed(self._look.middle, low, high), self._look.spacing)
        self.changed.emit()

    def _describe(self) -> None:
        candidate = self.current
        if candidate is None:
            self.about.setText("")
            return
        size = words.voxel_size(candidate.voxel_size, candidate.unit) if candidate.voxel_size else ""
        size = size or "⚠ the file gives no voxel size: type it below"
        parts = (words.voxels(candidate.shape), size, candidate.format, candidate.dtype)
        self.about.setText(" · ".join(parts))


def _explain(*forms: QFormLayout) -> None:
    """Give each label the tooltip of its field in `AddSettings`."""
    tips = {field.label: field.tooltip for field in AddSettings.fields()}
    for form in forms:
        for row in range(form.rowCount()):
            label = form.itemAt(row, QFormLayout.ItemRole.LabelRole).widget()
            label.setToolTip(f"<p>{tips.get(label.text(), '')}</p>")
