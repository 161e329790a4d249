"""The upper part of the Segment stage: what to begin with, which network, on which slices, and what that will need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.errors import UserError
from napari_sortingloss.networks import ENCODERS, SEGMENTERS
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.widgets.annotated import Annotated
from napari_sortingloss.widgets.predicted import Predicted
from napari_sortingloss.widgets.runs.estimate_line import Needs, Wanted
from napari_sortingloss.widgets.runs.run_fields import RunName, WhereToRun
from napari_sortingloss.widgets.runs.split import Split, SplitDialog, adapt, split_from_json, split_to_json
from napari_sortingloss.widgets.runs.training_jobs import leave_a_core
from napari_sortingloss.widgets.segment.learn_also import LearnAlso
from napari_sortingloss.widgets.segment.slices import about_slices, measured_on, said_slices
from napari_sortingloss.widgets.segment.start_from import StartFrom
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.fields import FieldEdit, changed_values, edit_for, show_values
from napari_sortingloss.widgets.toolkit.forms import Form
from napari_sortingloss.widgets.toolkit.pair_grid import PairGrid
from napari_sortingloss.widgets.toolkit.shortcuts import Button

KIND = "finetune"

OWN = ("init", "encoder", "network", "steps", "volumes", "validate")
"""Settings that are not folded under *More*."""

TITLES = {
    "encoder": {info.name: info.title for info in ENCODERS},
    "network": {info.name: info.title for info in SEGMENTERS},
}


class SegmentForm(QWidget):
    """Start from, network, steps, annotated slices, where to run; the rest under *More*.

    Parameters
    ----------
    background : Background
        Runs the estimate.

    Attributes
    ----------
    changed : psygnal.Signal
        Anything was changed.
    asked : bool
        Whether a person chose the number of steps, so that it counts for a finished run too.
    """

    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._study: Any = None
        self._annotated: Annotated = {}
        self._split: Split | None = None  # None: all annotated volumes, some of their slices held back
        self._wish: Any = (
            None  # the volumes that were chosen when the study was last open, until they are known
        )
        self._quiet = False
        self.asked = False
        self.start = StartFrom()
        self.learn_also = LearnAlso()
        self.learn_also.changed.connect(self._tell)
        fields = {field.name: field for field in FinetuneSettings.fields()}
        self.edits: dict[str, FieldEdit] = {}
        for name in ("encoder", "network", "steps"):
            edit = self.edits[name] = edit_for(fields[name])
            edit.set_value(fields[name].default)
            if isinstance(edit.widget, QComboBox):
                for i in range(edit.widget.count()):
                    known = str(edit.widget.itemData(i))
                    edit.widget.setItemText(i, TITLES[name].get(known, known))
                edit.widget.setMinimumWidth(108)
            if isinstance(edit.input, QAbstractSpinBox):  # two in a row of 350 px: no room for − and +
                edit.input.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
                edit.input.setMinimumWidth(64)  # it would make room for the largest number there is
            edit.changed.connect(self._on_steps if name == "steps" else self._tell)
        self._tips = {name: f"<p>{fields[name].tooltip}</p>" for name in self.edits}
        self.slices = QLabel()
        self.slices.setWordWrap(True)
        self.slices.setMinimumWidth(40)
        self.edit_button = Button("&Edit…", "segment.slices")
        self.edit_button.setProperty("small", True)
        self.edit_button.setToolTip("Choose the volumes whose slices to train on, and those to measure on")
        self.edit_button.clicked.connect(lambda *_: self.edit_split())
        self.where = WhereToRun("in napari", "own process")
        self.run_name = RunName()
        self.where.changed.connect(self._tell)
        self.run_name.changed.connect(self._tell)
        self.needs = Needs(background)
        self.needs.changed.connect(self.changed.emit)
        self.edits["steps"].preset.connect(self._on_steps)
        self.edits["steps"].say_time = self.needs.time_of
        self.more = Form(FinetuneSettings, exclude=OWN)
        self.more.changed.connect(self._tell)
        self._tips["decoder_norm"] = self.more.edits["decoder_norm"].widget.toolTip()
        self._lay_out()
        self.start.changed.connect(self._on_start)
        self._on_start()

    def _lay_out(self) -> None:
        grid = PairGrid()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 5)  # "DeepLabV3+" is longer than any number of steps
        grid.setColumnStretch(3, 4)
        self._cell(grid, 0, 0, "Start from", self.start, 3)
        grid.addWidget(self.learn_also, 1, 0, 1, 4)
        self._cell(grid, 2, 0, "Network", self.edits["network"].widget)
        self._cell(grid, 2, 2, "Steps", self.edits["steps"].widget)
        self._cell(grid, 3, 0, "Encoder", self.edits["encoder"].widget)
        self._cell(grid, 3, 2, "Run", self.where)
        self._cell(grid, 4, 0, "Name", self.run_name, 3)
        self.where.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        row = QHBoxLayout()
        row.addWidget(self.slices, 1)
        row.addWidget(self.edit_button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(grid)
        layout.addLayout(row)
        layout.addWidget(self.more)
        layout.addWidget(self.needs)

    # ------------------------------------------------------------------------------------------------ value in, value out
    @property
    def detached(self) -> bool:
        """Whether to run in a process of its own."""
        return self.where.detached

    @property
    def problem(self) -> str:
        """What speaks against starting; empty when nothing does."""
        return self.needs.problem

    def settings(self) -> FinetuneSettings:
        """Return the settings of a run.

        Raises
        ------
        BadSetting
            If a value does not fit.
        """
        found: FinetuneSettings = self.more.value(**self._given())
        return found

    def error(self) -> UserError | None:
        """Return what is wrong with the settings, or None."""
        return self.more.error(**self._given()) or self.run_name.error()

    def _given(self) -> dict[str, Any]:
        split = self._split or Split()
        values = {name: edit.value() for name, edit in self.edits.items()}
        return {
            **values,
            "init": self.start.run,
            "also_from": self.learn_also.run,
            "volumes": split.train,
            "validate": split.validate,
        }

    def set_value(self, **values: Any) -> None:
        """Set single settings by name."""
        for name, value in values.items():
            (self.edits.get(name) or self.more.edits[name]).set_value(value)

    def show_settings(self, values: Mapping[str, Any]) -> None:
        """Show the settings of an earlier run, so that the next one can begin with them.

        Raises
        ------
        BadSetting
            If this version cannot use them.
        """
        settings = FinetuneSettings.from_json(values)
        self._quiet = True
        try:
            self.start.choose(settings.init)
            for name, edit in self.edits.items():
                edit.set_value(getattr(settings, name))
            settled = {f.name: f.default for f in FinetuneSettings.fields() if f.about.hidden}
            self.more.set_value(settings.replace(**settled))  # what that run settled is settled anew
        finally:
            self._quiet = False
        self.asked = True
        self._on_start()
        self.learn_also.choose(settings.also_from)
        known = tuple(self._annotated)
        train = tuple(name for name in known if name in settings.volumes)
        validate = tuple(name for name in known if name in settings.validate)
        self._split = Split(train, validate) if train or validate else None
        self._tell()

    def remembered(self) -> dict[str, Any]:
        """Return what a person has chosen, JSON-ready."""
        split = None if self._split is None else split_to_json(self._split, tuple(self._annotated))
        return {
            "start": self.start.wish,
            "also_from": self.learn_also.wish,
            "settings": changed_values(self._all_edits(), FinetuneSettings.fields()),
            "asked": self.asked,
            "split": split or self._wish,
            "where": self.where.currentData(),
        }

    def recall(self, values: Mapping[str, Any]) -> None:
        """Show what `remembered` returned when this study was last open; what does not fit any more is forgotten."""
        start, also_from = values.get("start"), values.get("also_from")
        self._quiet = True
        try:
            show_values(self._all_edits(), FinetuneSettings.fields(), values.get("settings"))
            self.start.choose(start if isinstance(start, str) else "")
            self.where.choose(values.get("where"))
            self.run_name.clear()
        finally:
            self._quiet = False
        self.asked = values.get("asked") is True
        self._wish, self._split = values.get("split"), None
        self._on_start()
        self.learn_also.choose(also_from if isinstance(also_from, str) else "")
        self.set_annotated(self._annotated)

    def _all_edits(self) -> dict[str, FieldEdit]:
        return {**self.more.edits, **self.edits}

    # ------------------------------------------------------------------------------------------- following the study
    def set_study(self, study: Any) -> None:
        """Begin anew, for another study."""
        self._study, self._split, self._wish = study, None, None
        self.start.forget()
        self.set_annotated({})

    def set_runs(self, infos: Sequence[RunInfo]) -> None:
        """Take the runs there are, the newest first."""
        self.start.set_runs(infos)
        self.run_name.set_runs(infos)

    def set_predicted(self, predicted: Predicted) -> None:
        """Take what has been predicted now."""
        self.learn_also.set_predicted(predicted)

    def set_annotated(self, annotated: Annotated) -> None:
        """Take what is annotated now."""
        known = tuple(self._annotated)
        self._annotated = annotated
        if self._split is not None:
            self._split = adapt(self._split, tuple(annotated), known)
        elif self._wish is not None and annotated:
            self._split, self._wish = split_from_json(self._wish, tuple(annotated)), None
        self._say_slices()
        self._tell()

    def edit_split(self) -> None:
        """Ask for the volumes."""
        names = tuple(self._annotated)
        dialog = SplitDialog(names, self._split or Split(names), self)
        if dialog.exec():
            self.set_split(dialog.split())
        dialog.deleteLater()

    def set_split(self, split: Split) -> None:
        """Choose on which annotated volumes to train and on which to measure."""
        self._split, self._wish = None if split == Split(tuple(self._annotated)) else split, None
        self._say_slices()
        self._tell()

    def estimate(self) -> None:
        """Say what a run would need, worked out in the background."""
        error, names = self.error(), tuple(self._annotated)
        if error is not None or self._study is None or not names:
            self.needs.ask(None, str(error or ""))
            return
        settings: Any = self.settings() if self.detached else leave_a_core(self.settings())
        measured = measured_on(self._annotated, self._split, settings.held_back)
        train = settings.volumes or names
        self.needs.ask(Wanted(self._study, KIND, settings, train, measured, self.detached))

    def _on_steps(self) -> None:
        if not self._quiet:
            self.asked = True
            self._tell()

    # ------------------------------------------------------------------------------------------------------ showing it
    def _say_slices(self) -> None:
        share = float(self.more.edits["held_back"].value())
        self.slices.setText(said_slices(self._annotated, self._split, share))
        self.slices.setToolTip("\n".join(about_slices(self._annotated)))
        self.edit_button.setVisible(len(self._annotated) > 1)

    def _on_start(self) -> None:
        """A run brings its encoder along, and one of fine-tuning its network too."""
        if self._quiet:
            return
        info, on = self.start.info, self.start.trains_on
        self.learn_also.set_run(self.start.run if on else "")
        self._quiet = True
        try:
            for name, brought in (("encoder", info is not None), ("network", on), ("decoder_norm", on)):
                edit = self.edits.get(name) or self.more.edits[name]
                edit.widget.setEnabled(not brought)
                edit.widget.setToolTip(f"It comes with {self.start.run}" if brought else self._tips[name])
                value = info.settings.get(name) if brought and info is not None else None
                if value is not None and edit.value() != value:
                    with suppress(UserError):  # a newer program's encoder: the job says so
                        edit.set_value(value)
        finally:
            self._quiet = False
        self._tell()

    def _tell(self) -> None:
        if not self._quiet:
            self._say_slices()
            self.estimate()
            self.changed.emit()

    def _cell(
        self, grid: QGridLayout, row: int, column: int, text: str, widget: QWidget, span: int = 1
    ) -> None:
        label = QLabel(text)
        label.setBuddy(widget)
        name = text.lower()
        if name in self._tips:
            label.setToolTip(self._tips[name])
            widget.setToolTip(self._tips[name])
        widget.setAccessibleName(text)
        grid.addWidget(label, row, column)
        grid.addWidget(widget, row, column + 1, 1, span)
