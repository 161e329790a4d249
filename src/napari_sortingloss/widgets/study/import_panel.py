"""How chosen files become volumes: ordering axis with its slices, window with histogram, downsampling, voxel size."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss import wording
from napari_sortingloss.errors import UserError
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.units import Geometry
from napari_sortingloss.study.exchange.add_settings import AddSettings
from napari_sortingloss.study.exchange.window import parse_window
from napari_sortingloss.widgets.study import remarks
from napari_sortingloss.widgets.study.axis_choice import AxisChoice
from napari_sortingloss.widgets.study.axis_edit import VoxelSizeRow
from napari_sortingloss.widgets.study.new_study import NewStudy
from napari_sortingloss.widgets.study.previews import Candidate, Look
from napari_sortingloss.widgets.study.read_options_dialog import READING
from napari_sortingloss.widgets.study.survey import Survey
from napari_sortingloss.widgets.study.window_choice import WindowChoice
from napari_sortingloss.widgets.study.window_edit import DEFAULT
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.elided_combo import ElidedCombo
from napari_sortingloss.widgets.toolkit.fields import WholeBox, calm_wheel
from napari_sortingloss.widgets.toolkit.forms import Form
from napari_sortingloss.widgets.toolkit.sentence import Sentence
from napari_sortingloss.widgets.toolkit.theme import Colors

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.study.exchange.grey_values import Fill
    from napari_sortingloss.widgets.study.batch import Batch

SOON_MS = 200
"""How long what is found in other files than the one in the preview may wait, so that many of them cost little."""
OWN = ("paths", "axis", "direction", "window", "downsample", "voxel_size", "unit")


class ImportPanel(QWidget):
    """Edits `AddSettings` for a batch of candidates and shows what they come to.

    All settings are those of the batch, and forgotten with it; only a window may belong to one file.

    Parameters
    ----------
    background : Background
        Looks at the files, one by one, the one in the preview first.

    Attributes
    ----------
    changed : psygnal.Signal
        A setting or the list of candidates changed.
    new_study : NewStudy
        Where a study will be made, if none is open.
    """

    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self.survey = Survey(background)
        self._volumes: tuple[VolumeRecord, ...] = ()
        self._common = DEFAULT
        self._quiet = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._settle)
        self._make_parts()
        self._lay_out()
        self._connect()

    # ------------------------------------------------------------------------------------------------- building
    def _make_parts(self) -> None:
        self.title = QLabel()
        self.title.setProperty("heading", True)
        self.which = ElidedCombo()
        self.which.setToolTip("The volume that is shown below")
        self.which.setAccessibleName("Volume in the preview")
        self.which.setMinimumContentsLength(10)
        calm_wheel(self.which)
        self.about = Sentence(muted=True)
        self.new_study = NewStudy(self._background)
        self.axis = AxisChoice()
        self.downsample = WholeBox()
        self.downsample.setRange(1, 64)
        self.downsample.setSuffix(" ×")
        self.downsample.setAccessibleName("Downsample")
        calm_wheel(self.downsample)
        self.window = WindowChoice()
        self.size_row = VoxelSizeRow()
        self.voxel_size = self.size_row.edit
        self.voxel_size.unit.clear()
        for unit, shown in ((None, "auto"), ("mm", "mm"), ("um", "µm"), ("nm", "nm")):
            self.voxel_size.unit.addItem(shown, unit)
        self.checks = Sentence()
        self.checks.setAccessibleName("What is worth a look before adding")
        self.more = Form(AddSettings, exclude=OWN)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addWidget(self.which, 1)
        sizes = QFormLayout()
        sizes.setContentsMargins(0, 0, 0, 0)
        sizes.setHorizontalSpacing(8)
        sizes.setVerticalSpacing(4)
        sizes.addRow("Voxel size", self.size_row)
        sizes.addRow("Downsample", self.downsample)
        _explain(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(head)
        layout.addWidget(self.about)
        layout.addWidget(self.new_study)
        layout.addWidget(self.axis)
        layout.addWidget(self.window)
        layout.addLayout(sizes)
        layout.addWidget(self.checks)
        layout.addWidget(self.more)

    def _connect(self) -> None:
        self.which.currentIndexChanged.connect(lambda *_: self._show_current())
        self.axis.changed.connect(self._draw_and_update)
        self.downsample.valueChanged.connect(lambda *_: self._update())
        self.window.changed.connect(self._on_window)
        self.window.own_wanted.connect(self._on_own)
        self.voxel_size.changed.connect(self._draw_and_update)
        self.size_row.restored.connect(self._forget_size)
        self.checks.linkActivated.connect(self._follow)
        self.more.changed.connect(self._on_more)
        self.survey.looked.connect(self._on_look)
        self.new_study.changed.connect(self.changed.emit)

    # ------------------------------------------------------------------------------------------------- the batch
    @property
    def batch(self) -> Batch:
        """What is about to be added, and what is known of it."""
        return self.survey.batch

    @property
    def candidates(self) -> list[Candidate]:
        """What is about to be added."""
        return self.batch.candidates

    @property
    def current(self) -> Candidate | None:
        """The candidate in the preview."""
        index = self.which.currentIndex()
        return self.candidates[index] if 0 <= index < len(self.candidates) else None

    @property
    def look(self) -> Look | None:
        """What the candidate in the preview looks like, once that is known."""
        return self.batch.look_of(self.current)

    def add_candidates(self, candidates: Sequence[Candidate]) -> int:
        """Put these into the batch too; return how many were not there yet."""
        new = self.batch.add(candidates)
        if new:
            self.more.set_field_visible("name", len(self.candidates) == 1)
            if len(self.candidates) > 1:
                self.more.edits["name"].set_value(None)
            self._list()
            self._show_current()
        return new

    def replace_files(self, candidates: Sequence[Candidate]) -> None:
        """Take these instead of the files there were, read in another way; layers stay."""
        layers, before = [one for one in self.candidates if one.layer is not None], self.batch
        self.survey.begin_anew()
        self.batch.own = before.own
        self.batch.looks = {
            one.label: before.looks[one.label]
            for one in (*layers, *candidates)
            if not one.reading and one.label in before.looks
        }
        self.add_candidates([*layers, *candidates])

    def forget(self) -> None:
        """Forget the files, and all that was chosen for them: the next ones begin with the defaults."""
        self.survey.begin_anew()
        self.survey.read_otherwise(ReadOptions())
        defaults = AddSettings()
        self._common = defaults.window
        self.axis.begin_anew(defaults.axis, defaults.direction)
        self.downsample.setValue(defaults.downsample)
        self.voxel_size.set_value(None, None)  # type: ignore[arg-type]
        self.more.set_value(defaults)
        if self.more.fold is not None:
            self.more.fold.set_open(False)
        self.new_study.forget()
        self._list()
        self._show_current()

    def set_volumes(self, volumes: Sequence[VolumeRecord] | None) -> None:
        """Take the volumes of the open study, that the new ones should fit to; None while no study is open."""
        self._volumes = tuple(volumes or ())
        self.new_study.setVisible(volumes is None)
        if self.candidates:
            if volumes is None:
                self.new_study.propose_for(self.paths())
            self._update()

    def paths(self) -> tuple[Path, ...]:
        """Return the files, without layers."""
        return tuple(one.path for one in self.candidates if one.path is not None)

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
            paths=self.paths(),
            axis=axis,
            direction=direction,
            window=self._common,
            downsample=self.downsample.value(),
            voxel_size=size,
            unit=unit,
        )

    def windows(self) -> dict[str, str]:
        """Return the windows of single files, as `study.add.add` takes them."""
        return dict(self.batch.own)

    def reading(self) -> ReadOptions:
        """Return how files are read; what is being typed counts once it makes sense."""
        return self.survey.reading

    def set_reading(self, options: ReadOptions) -> None:
        """Read files in this way from now on."""
        self._quiet = True
        try:
            for name in READING:
                self.more.edits[name].set_value(getattr(options, name))
        finally:
            self._quiet = False
        self.survey.read_otherwise(options)

    def error(self) -> UserError | None:
        """Return what is wrong with the settings, or None."""
        try:
            self.settings()
            for text in self.batch.own.values():
                parse_window(text)
        except UserError as error:
            return error
        return None

    def needed_bytes(self) -> int:
        """Return about how large the volumes will be in the study, with their pyramids."""
        voxels = sum(candidate.voxels for candidate in self.candidates)
        return int(voxels / self.downsample.value() ** 3 * 8 / 7)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle the histogram and the links."""
        for part in (self.axis, self.window, self.checks):
            part.apply_theme(colors)
        self._update()

    # ------------------------------------------------------------------------------------- following what is found
    def _on_look(self, candidate: Candidate) -> None:
        current = self.current
        if current is not None and current.label == candidate.label:
            self.axis.propose(self.batch.proposal())
            self._show_current()
        else:
            self.survey.go_on(current)
            if not self._soon.isActive():
                self._soon.start()

    def _settle(self) -> None:
        """Take in what has been found in other files."""
        self.axis.propose(self.batch.proposal())
        self._update()

    # --------------------------------------------------------------------------------------- what a person changes
    def _draw_and_update(self) -> None:
        self._draw()
        self._update()

    def _on_window(self, text: str) -> None:
        candidate = self.current
        if candidate is not None and candidate.label in self.batch.own:
            self.batch.own[candidate.label] = text
        else:
            self._common = text
        self._draw_and_update()

    def _on_own(self, on: bool) -> None:
        candidate = self.current
        if candidate is None:
            return
        if on:
            self.batch.own[candidate.label] = self.window.edit.value()
        else:
            self.batch.own.pop(candidate.label, None)
        self._show_current()

    def _forget_size(self) -> None:
        self.voxel_size.set_value(None, None)  # type: ignore[arg-type]
        self._show_current()

    def _on_more(self) -> None:
        if self._quiet:
            return
        try:
            options = ReadOptions(**{name: self.more.edits[name].value() for name in READING})
        except UserError:
            self._update()
            return
        if self.survey.read_otherwise(options):
            self._show_current()
        else:
            self._update()

    def _follow(self, link: str) -> None:
        """Go to a file that a remark names, or give those that a window does not suit percentiles of their own."""
        if link == remarks.PERCENTILES:
            for label, fill in self._fills().items():
                if fill.poor:
                    self.batch.own[label] = DEFAULT
            self._show_current()
        else:
            self.which.setCurrentIndex(int(link))

    # ------------------------------------------------------------------------------------------------- showing it
    def _list(self) -> None:
        """List the candidates; the one in the preview stays."""
        chosen = max(0, self.which.currentIndex())
        self.which.blockSignals(True)
        self.which.clear()
        self.which.addItems([candidate.name for candidate in self.candidates])
        self.which.setCurrentIndex(min(chosen, len(self.candidates) - 1))
        self.which.blockSignals(False)
        self.which.setVisible(len(self.candidates) > 1)

    def _show_current(self) -> None:
        """Show another candidate, or what has become known of this one."""
        candidate = self.current
        self.voxel_size.set_hint(candidate.voxel_size if candidate is not None else None)
        self._show_window()
        self._draw_and_update()
        self.survey.go_on(candidate)

    def _show_window(self) -> None:
        candidate, own = self.current, self.batch.own
        text = self.batch.window_of(candidate, self._common) if candidate is not None else self._common
        mine = candidate is not None and candidate.label in own
        self.window.show_window(text, self._common, files=len(self.candidates), own=len(own), mine=mine)

    def _draw(self) -> None:
        """Draw histogram and slices of the current candidate."""
        candidate = self.current
        known = self.batch.looks.get(candidate.label) if candidate is not None else None
        ends = self.window.draw(known)
        broken = candidate is not None and candidate.label in self.batch.problems
        size = (1.0, 1.0, 1.0)
        if candidate is not None:
            try:
                size = self.settings().geometry(Geometry(candidate.voxel_size, candidate.unit))[0]
            except UserError:  # said elsewhere
                size = candidate.voxel_size or size
        self.axis.draw(self.look, ends, size, "no preview" if broken else "reading…")

    def _update(self) -> None:
        """Say what holds for whom and what is worth a look; tell that something changed."""
        count = len(self.candidates)
        self.title.setText(f"Add {wording.count(count, 'volume')}")
        self._say_about()
        self._show_window()
        self._say_whom_the_size_is_for()
        self._say_checks()
        self._show_reading_fields()
        self.changed.emit()

    def _say_about(self) -> None:
        candidate = self.current
        if candidate is None:
            self.about.setText("")
            return
        problem = self.batch.problems.get(candidate.label)
        if problem is not None:
            self.about.setText(escape(f"⚠ {problem}"))
            return
        size = wording.voxel_size(candidate.voxel_size, candidate.unit) if candidate.voxel_size else ""
        size = size or "⚠ the file gives no voxel size: type it below"
        parts = (wording.voxels(candidate.shape), size, candidate.format, candidate.dtype)
        self.about.setText(escape(" · ".join(parts)))
        self.about.setToolTip("Voxels and their size are given as z × y × x")

    def _say_whom_the_size_is_for(self) -> None:
        typed, count = not self.voxel_size.empty, len(self.candidates)
        unlike = len({(one.voxel_size, one.unit) for one in self.candidates}) > 1
        said = f"for all {count}" + ("; their files differ" if unlike else "") if count > 1 else ""
        try:
            self.voxel_size.value()
        except UserError as error:
            said = f"⚠ {error.why}"
        self.size_row.say(said if typed else "")
        self.size_row.offer("As in the file" if typed else "", "Take what each file says")

    def _say_checks(self) -> None:
        fills = self._fills()
        for index, one in enumerate(self.candidates):
            poor = one.label in fills and fills[one.label].poor
            own = " · own window" if one.label in self.batch.own else ""
            self.which.setItemText(index, f"{one.name}{' ⚠' if poor else ''}{own}")
        try:
            coming = self.batch.described(self.settings())
        except UserError:
            coming = []
        lines = [
            *remarks.on_fills(self.candidates, fills, self.checks.link),
            *remarks.on_axes(self.batch, self.axis.value()[0], self.checks.link),
            *remarks.on_differences(self._volumes, coming),
            *remarks.on_progress(self.batch),
        ]
        self.checks.setText("<br>".join(lines))
        self.checks.setVisible(bool(lines))

    def _fills(self) -> dict[str, Fill]:
        try:
            return self.batch.fills(self._common)
        except UserError:  # said beside the window
            return {}

    def _show_reading_fields(self) -> None:
        """Show how files are read only where one of them needs to be told, and say how many that is."""
        labels = {field.name: field.label for field in ReadOptions.fields()}
        for name in READING:
            users = sum(name in one.reading for one in self.candidates)
            self.more.set_field_visible(name, users > 0)
            self.more.set_field_label(name, labels[name] + (f", for all {users}" if users > 1 else ""))


def _explain(panel: QWidget) -> None:
    """Give each label the tooltip of its field in `AddSettings`."""
    tips = {field.label: field.tooltip for field in AddSettings.fields()}
    for label in panel.findChildren(QLabel):
        if label.text() in tips:
            label.setToolTip(f"<p>{tips[label.text()]}</p>")
