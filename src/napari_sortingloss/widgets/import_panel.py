"""How chosen files become volumes: ordering axis with its slices, window with histogram, downsampling, voxel size."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.errors import UserError
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.units import Geometry
from napari_sortingloss.study.add_settings import AddSettings
from napari_sortingloss.study.window import parse_window
from napari_sortingloss.widgets import remarks, words
from napari_sortingloss.widgets.axis_edit import AxisEdit, VoxelSizeRow
from napari_sortingloss.widgets.background import Background
from napari_sortingloss.widgets.fields import WholeBox, calm_wheel
from napari_sortingloss.widgets.forms import Form
from napari_sortingloss.widgets.new_study import NewStudy
from napari_sortingloss.widgets.pictures import Row
from napari_sortingloss.widgets.previews import STRIP, Candidate, Look, look_strip
from napari_sortingloss.widgets.reading import READING
from napari_sortingloss.widgets.survey import Survey
from napari_sortingloss.widgets.theme import Colors
from napari_sortingloss.widgets.window_edit import DEFAULT, Histogram, WindowEdit

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.study.grey_values import Fill
    from napari_sortingloss.widgets.batch import Batch

OWN = ("paths", "axis", "direction", "window", "downsample", "voxel_size", "unit")
PICTURES = 66


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
        self._axis_chosen = False
        self._quiet = False
        self._colors: Colors | None = None
        self._make_parts()
        self._lay_out()
        self._connect()

    # ------------------------------------------------------------------------------------------------- building
    def _make_parts(self) -> None:
        self.title = QLabel()
        self.title.setProperty("heading", True)
        self.which = QComboBox()
        self.which.setToolTip("The volume that is shown below")
        self.which.setAccessibleName("Volume in the preview")
        self.which.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.which.setMinimumContentsLength(10)
        calm_wheel(self.which)
        self.about = _said(muted=True)
        self.new_study = NewStudy(self._background)
        self.axis = AxisEdit()
        self.proposal = _said(muted=True)
        self.strip = Row(STRIP, PICTURES)
        self.strip.setToolTip("Slices along the ordering axis, first to last, as they will be added")
        self.downsample = WholeBox()
        self.downsample.setRange(1, 64)
        self.downsample.setSuffix(" ×")
        self.downsample.setAccessibleName("Downsample")
        calm_wheel(self.downsample)
        self.window = WindowEdit()
        self.window_for = _said(muted=True)
        self.own = QCheckBox("own window for this file")
        self.own.setToolTip("<p>Let this file have a window of its own; the others keep the common one.</p>")
        self.histogram = Histogram()
        self.size_row = VoxelSizeRow()
        self.voxel_size = self.size_row.edit
        self.voxel_size.unit.clear()
        for unit, shown in ((None, "auto"), ("mm", "mm"), ("um", "µm"), ("nm", "nm")):
            self.voxel_size.unit.addItem(shown, unit)
        self.checks = _said()
        self.checks.setAccessibleName("What is worth a look before adding")
        self.more = Form(AddSettings, exclude=OWN)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addWidget(self.which, 1)
        window_row = QHBoxLayout()
        window_row.addWidget(self.window_for, 1)
        window_row.addWidget(self.own)
        order, window, size = QFormLayout(), QFormLayout(), QFormLayout()
        order.addRow("Ordering axis", self.axis)
        order.addRow(self.proposal)
        window.addRow("Downsample", self.downsample)
        window.addRow("Window", self.window)
        window.addRow(window_row)
        size.addRow("Voxel size", self.size_row)
        for form in (order, window, size):
            form.setContentsMargins(0, 0, 0, 0)
            form.setHorizontalSpacing(8)
            form.setVerticalSpacing(4)
        _explain(order, window, size)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(head)
        layout.addWidget(self.about)
        layout.addWidget(self.new_study)
        layout.addLayout(order)
        layout.addWidget(self.strip)
        layout.addLayout(window)
        layout.addWidget(self.histogram)
        layout.addLayout(size)
        layout.addWidget(self.checks)
        layout.addWidget(self.more)

    def _connect(self) -> None:
        self.which.currentIndexChanged.connect(lambda *_: self._show_current())
        self.axis.changed.connect(self._on_axis)
        self.proposal.linkActivated.connect(self._take_axis)
        self.downsample.valueChanged.connect(lambda *_: self._update())
        self.window.changed.connect(self._on_window)
        self.own.clicked.connect(self._on_own)
        self.histogram.dragged.connect(self.window.set_values)
        self.voxel_size.changed.connect(self._update)
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
        layers, own = [one for one in self.candidates if one.layer is not None], self.batch.own
        self.survey.begin_anew()
        self.batch.own = own
        self.add_candidates([*layers, *candidates])

    def forget(self) -> None:
        """Forget the files, and all that was chosen for them: the next ones begin with the defaults."""
        self.survey.begin_anew()
        self.survey.read_otherwise(ReadOptions())
        self._axis_chosen = False
        defaults = AddSettings()
        self._common = defaults.window
        self.axis.set_value(defaults.axis, defaults.direction)
        self.downsample.setValue(defaults.downsample)
        self.window.set_value(defaults.window)
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
        """Return how files are read."""
        return ReadOptions(**{name: self.more.edits[name].value() for name in READING})

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
        self._colors = colors
        self.histogram.apply_theme(colors)
        self._update()

    # ------------------------------------------------------------------------------------- following what is found
    def _on_look(self, candidate: Candidate) -> None:
        self._follow_proposal()
        current = self.current
        if current is not None and current.label == candidate.label:
            self._show_current()
        else:
            self._update()
            self.survey.go_on(current)

    def _follow_proposal(self) -> None:
        """Let the axis be the one that stands out, unless a person chose one."""
        proposal = self.batch.proposal()
        axis, direction = self.axis.value()
        if proposal is not None and not self._axis_chosen and proposal.axis != axis:
            self.axis.set_value(proposal.axis, direction)
            self._draw()

    # --------------------------------------------------------------------------------------- what a person changes
    def _on_axis(self) -> None:
        self._axis_chosen = True
        self._draw()
        self._update()

    def _take_axis(self, axis: str) -> None:
        self.axis.set_value(axis, self.axis.value()[1])
        self._on_axis()

    def _on_window(self) -> None:
        candidate = self.current
        if candidate is not None and candidate.label in self.batch.own:
            self.batch.own[candidate.label] = self.window.value()
        else:
            self._common = self.window.value()
        self._draw()
        self._update()

    def _on_own(self, on: bool) -> None:
        candidate = self.current
        if candidate is None:
            return
        if on:
            self.batch.own[candidate.label] = self.window.value()
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
            options = self.reading()
        except UserError:
            self._update()
            return
        if self.survey.read_otherwise(options):
            self._show_current()
        else:
            self._update()

    def _follow(self, link: str) -> None:
        """Go to a file that a remark names, or give those that a window does not suit percentiles of their own."""
        if link == "percentiles":
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
        if candidate is not None:
            self.window.show_value(self.batch.window_of(candidate, self._common))
            self.own.setChecked(candidate.label in self.batch.own)
            look = self.batch.looks.get(candidate.label)
            if look is not None:
                self.window.set_measured(*look.preview.greys.window(DEFAULT))
            self.voxel_size.set_hint(candidate.voxel_size)
        self._draw()
        self._update()
        self.survey.go_on(candidate)

    def _draw(self) -> None:
        """Draw histogram and slices of the current candidate."""
        candidate = self.current
        look = self.batch.looks.get(candidate.label) if candidate is not None else None
        if candidate is None or look is None:
            self.histogram.clear_data()
            broken = candidate is not None and candidate.label in self.batch.problems
            self.strip.clear("no preview" if broken else "reading…")
            return
        window = self._ends(candidate, look)
        self.histogram.set_data(look.preview.counts, look.preview.edges, *window)
        if not look.preview.voxels.size:
            self.strip.clear("reading…")
            return
        try:
            size = self.settings().geometry(_geometry(candidate))[0]
        except UserError:
            size = candidate.voxel_size or (1.0, 1.0, 1.0)
        self.strip.set_images(*look_strip(look, *self.axis.value(), window, size))

    def _ends(self, candidate: Candidate, look: Look) -> tuple[float, float]:
        """Return the window of a candidate in its intensities."""
        try:
            return look.preview.greys.window(self.batch.window_of(candidate, self._common))
        except UserError:
            return look.preview.greys.window(DEFAULT)

    def _update(self) -> None:
        """Say what holds for whom and what is worth a look; tell that something changed."""
        count = len(self.candidates)
        self.title.setText(f"Add {words.count(count, 'volume')}")
        self._say_about()
        self._say_proposal()
        self._say_for_whom(count)
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
        size = words.voxel_size(candidate.voxel_size, candidate.unit) if candidate.voxel_size else ""
        size = size or "⚠ the file gives no voxel size: type it below"
        parts = (words.voxels(candidate.shape), size, candidate.format, candidate.dtype)
        self.about.setText(escape(" · ".join(parts)))
        self.about.setToolTip("Voxels and their size are given as z × y × x")

    def _say_proposal(self) -> None:
        proposal, axis = self.batch.proposal(), self.axis.value()[0]
        if proposal is None:
            text = "" if self.batch.problems else "Looking which axis stands out…"
        elif not proposal.sure:
            text = "No axis stands out; most scanners stack slices along z."
        elif proposal.axis == axis:
            text = f"Proposed: {escape(proposal.reason)}."
        else:
            link = self._link(proposal.axis, f"Take {proposal.axis}")
            text = f"⚠ {proposal.axis} stands out: {escape(proposal.reason)}. {link}"
        self.proposal.setText(text)

    def _say_for_whom(self, count: int) -> None:
        candidate, own, several = self.current, self.batch.own, count > 1
        mine = candidate is not None and candidate.label in own
        text = (
            "for this file only"
            if mine
            else f"for all {count - len(own)} others"
            if own
            else f"for all {count}"
        )
        self.window_for.setToolTip(f"The others have {self._common}" if mine else "")
        try:
            parse_window(self.window.value())
        except UserError as error:
            text = f"⚠ {error.why}"
        self.window_for.setText(escape(text))
        self.window_for.setVisible(several or text.startswith("⚠"))
        self.own.setVisible(several)
        typed = not self.voxel_size.empty
        self.size_row.say(self._whom_the_size_is_for() if typed else "")
        self.size_row.offer("As in the file" if typed else "", "Take what each file says")

    def _whom_the_size_is_for(self) -> str:
        try:
            self.voxel_size.value()
        except UserError as error:
            return f"⚠ {error.why}"
        said = {(one.voxel_size, one.unit) for one in self.candidates}
        if len(self.candidates) < 2:
            return ""
        return f"for all {len(self.candidates)}" + ("; their files differ" if len(said) > 1 else "")

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
            *remarks.on_fills(self.candidates, fills, self._link),
            *remarks.on_axes(self.batch, self.axis.value()[0], self._link),
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

    def _link(self, where: str, text: str) -> str:
        color = self._colors.train if self._colors is not None else "palette(link)"
        return f'<a href="{escape(where)}" style="color: {color}">{escape(text)}</a>'


def _said(*, muted: bool = False) -> QLabel:
    """Return a label for a sentence that may hold links."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    if muted:
        label.setProperty("muted", True)
    return label


def _geometry(candidate: Candidate) -> Geometry:
    return Geometry(candidate.voxel_size, candidate.unit)


def _explain(*forms: QFormLayout) -> None:
    """Give each label the tooltip of its field in `AddSettings`."""
    tips = {field.label: field.tooltip for field in AddSettings.fields()}
    for form in forms:
        for row in range(form.rowCount()):
            item = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
            label = item.widget() if item is not None else None
            if isinstance(label, QLabel):
                label.setToolTip(f"<p>{tips.get(label.text(), '')}</p>")
