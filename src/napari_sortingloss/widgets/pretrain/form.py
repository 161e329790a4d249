"""The upper half of the Pre-train stage: what to train on what, and what that will need."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.networks import ENCODERS
from napari_sortingloss.pretext import TASKS, settings_for
from napari_sortingloss.settings import Field
from napari_sortingloss.widgets.runs.estimate_line import Needs, Wanted
from napari_sortingloss.widgets.runs.run_fields import RunName, WhereToRun
from napari_sortingloss.widgets.runs.split import (
    Split,
    SplitDialog,
    adapt,
    propose,
    split_from_json,
    split_to_json,
)
from napari_sortingloss.widgets.runs.training_jobs import leave_a_core
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.fields import (
    FieldEdit,
    calm_wheel,
    changed_values,
    edit_for,
    narrow,
    show_values,
)
from napari_sortingloss.widgets.toolkit.forms import Form
from napari_sortingloss.widgets.toolkit.pair_grid import PairGrid
from napari_sortingloss.widgets.toolkit.shortcuts import Button

KIND = "pretrain"


class PretrainForm(QWidget):
    """Task, settings, volumes, and where to run.

    Parameters
    ----------
    background : Background
        Runs the estimate.

    Attributes
    ----------
    changed : psygnal.Signal
        Anything was changed.
    task_changed : psygnal.Signal
        Another task was chosen, and with it other curves.
    asked : bool
        Whether a person chose the number of steps, so that it counts for a finished run too.
    """

    changed = Signal()
    task_changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._study: Any = None
        self._names: tuple[str, ...] = ()
        self._chosen = False
        self._wish: Any = (
            None  # the volumes that were chosen when the study was last open, until it is known which it has
        )
        self._of_tasks: dict[str, Any] = {}  # what was chosen for the tasks that are not shown
        self._quiet = False
        self.asked = False  # a person chose the number of steps
        self.split = Split()
        self.task = QComboBox()
        for name, entry in TASKS.items():
            self.task.addItem(entry.title, name)
        self.task.setAccessibleName("Task")
        self.task.currentIndexChanged.connect(lambda *_: self._on_task())
        self.volumes = QLabel()
        self.volumes.setMinimumWidth(40)
        self.volumes.setWordWrap(True)
        self.edit_button = Button("&Edit…", "pretrain.volumes")
        self.edit_button.setProperty("small", True)
        self.edit_button.setToolTip("Choose the volumes to train on and those kept out for validation")
        self.edit_button.clicked.connect(lambda *_: self.edit_split())
        self.where = WhereToRun("inside napari", "own process, outlives napari")
        self.run_name = RunName()
        calm_wheel(narrow(self.task))
        self.where.changed.connect(self._tell)
        self.run_name.changed.connect(self._tell)
        self.needs = Needs(background)
        self.needs.changed.connect(self.changed.emit)
        self._volumes_row = QWidget()
        row = QHBoxLayout(self._volumes_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.volumes, 1)
        row.addWidget(self.edit_button)
        self._grid = PairGrid()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnStretch(3, 1)
        self._labels: list[QLabel] = []
        self.edits: dict[str, FieldEdit] = {}
        self.form: Form | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addLayout(self._grid)
        self._layout.addWidget(self.needs)
        self._place_fields()
        self._show_split()

    @property
    def task_name(self) -> str:
        """The task chosen."""
        return str(self.task.currentData())

    @property
    def detached(self) -> bool:
        """Whether to run in a process of its own."""
        return self.where.detached

    @property
    def problem(self) -> str:
        """What speaks against starting; empty when nothing does."""
        return self.needs.problem

    def settings(self) -> Any:
        """Return the settings of a run.

        Raises
        ------
        BadSetting
            If a value does not fit.
        """
        assert self.form is not None
        return self.form.value(**self._given())

    def error(self) -> UserError | None:
        """Return what is wrong with the settings, or None."""
        assert self.form is not None
        return self.form.error(**self._given()) or self.run_name.error()

    def show_settings(self, task: str, values: Mapping[str, Any]) -> None:
        """Show the settings of an earlier run, so that the next one can begin with them.

        Parameters
        ----------
        task : str
        values : mapping
            As in the run's ``settings.json``; volumes that are gone are left out.

        Raises
        ------
        BadSetting
            If this version cannot use them.
        """
        settings = settings_for(task).from_json(values)
        self.task.setCurrentIndex(self.task.findData(task))
        assert self.form is not None
        self._quiet = True
        try:
            for name, edit in self.edits.items():
                edit.set_value(getattr(settings, name))
            self.form.set_value(settings)
        finally:
            self._quiet = False
        self.asked = True
        train = tuple(n for n in self._names if n in settings.volumes)
        self.set_split(
            Split(train, tuple(n for n in self._names if n in settings.validate and n not in train))
        )

    def set_value(self, **values: Any) -> None:
        """Set single settings by name."""
        assert self.form is not None
        for name, value in values.items():
            (self.edits.get(name) or self.form.edits[name]).set_value(value)

    def remembered(self) -> dict[str, Any]:
        """Return what a person has chosen, JSON-ready."""
        split = split_to_json(self.split, self._names) if self._chosen else self._wish
        return {
            "task": self.task_name,
            "settings": {**self._of_tasks, self.task_name: self._changed()},
            "asked": self.asked,
            "split": split,
            "where": self.where.currentData(),
        }

    def recall(self, values: Mapping[str, Any]) -> None:
        """Show what `remembered` returned when this study was last open; what does not fit any more is forgotten."""
        kept, task = values.get("settings"), values.get("task")
        self._of_tasks = {t: v for t, v in kept.items() if t in TASKS} if isinstance(kept, Mapping) else {}
        self._quiet = True
        try:
            known = isinstance(task, str) and task in TASKS
            self.task.setCurrentIndex(self.task.findData(task) if known else 0)
            self._show_task()
            self.where.choose(values.get("where"))
            self.run_name.clear()
        finally:
            self._quiet = False
        self.asked = values.get("asked") is True
        self._wish, self._chosen = values.get("split"), False
        names, self._names = self._names, ()
        self.set_volumes(names)
        self.task_changed.emit()
        self._tell()

    def set_study(self, study: Any) -> None:
        """Take the volumes of another study."""
        self._study, self._names, self._chosen, self._wish = study, (), False, None
        self.split = Split()

    def set_volumes(self, names: tuple[str, ...]) -> None:
        """Take the volumes there are now: a choice the person made stays, otherwise one is proposed."""
        if names == self._names:
            return
        wished = None if self._chosen else split_from_json(self._wish, names)
        if wished is not None:
            self.split, self._chosen = wished, True
        else:
            self.split = adapt(self.split, names, self._names) if self._chosen else propose(names)
        self._names = names
        self._show_split()
        self._tell()

    def set_split(self, split: Split) -> None:
        """Choose which volumes to train on and which to validate on."""
        self.split, self._chosen = split, True
        self._show_split()
        self._tell()

    def edit_split(self) -> None:
        """Ask for the volumes."""
        dialog = SplitDialog(self._names, self.split, self)
        if dialog.exec():
            self.set_split(dialog.split())
        dialog.deleteLater()

    def estimate(self) -> None:
        """Say what a run would need, worked out in the background."""
        error = self.error()
        if error is not None or self._study is None or not self.split.train:
            self.needs.ask(None, str(error or ""))
            return
        settings = self.settings() if self.detached else leave_a_core(self.settings())
        train, measured_on = self.split.train, len(self.split.validate)
        self.needs.ask(Wanted(self._study, KIND, settings, train, measured_on, self.detached))

    def _given(self) -> dict[str, Any]:
        values = {name: edit.value() for name, edit in self.edits.items()}
        return {**values, "volumes": self.split.train, "validate": self.split.validate}

    def _changed(self) -> dict[str, Any]:
        """Return the settings that are not the defaults of the task."""
        assert self.form is not None
        return changed_values({**self.form.edits, **self.edits}, settings_for(self._shown).fields())

    def _on_task(self) -> None:
        if self._quiet:
            return
        self._of_tasks[self._shown] = self._changed()
        self._show_task()
        self.task_changed.emit()
        self._tell()

    def _show_task(self) -> None:
        """Build the fields of the task, with what was chosen for it before."""
        quiet, self._quiet = self._quiet, True
        self._place_fields()
        assert self.form is not None
        fields = settings_for(self.task_name).fields()
        show_values({**self.form.edits, **self.edits}, fields, self._of_tasks.pop(self.task_name, {}))
        self._quiet = quiet

    def _on_steps(self) -> None:
        if not self._quiet:
            self.asked = True
            self._tell()

    def _place_fields(self) -> None:
        """Build the rows anew: what matters in one grid, numbers two in a row, the rest under *More*."""
        self._shown = self.task_name
        chosen = settings_for(self._shown)
        for old in (*self._labels, *(edit.widget for edit in self.edits.values())):
            self._grid.removeWidget(old)
            old.hide()  # at once; it is deleted only when the window next has time
            old.deleteLater()
        self._labels = []
        fields = {f.name: f for f in chosen.fields() if not (f.about.more or f.about.hidden)}
        self.edits = {name: edit_for(field) for name, field in fields.items()}
        numbers = [name for name, field in fields.items() if field.type in (int, float) and not field.choices]
        row = self._row(0, "Task", self.task, TASKS[self.task_name].help)
        for name in fields:
            if name not in numbers:
                row = self._row(row, fields[name].label, self._fitted(fields[name]), fields[name].tooltip)
        row = self._row(row, "Volumes", self._volumes_row, "")
        for i, name in enumerate(numbers):
            column, alone = 2 * (i % 2), i % 2 == 0 and i == len(numbers) - 1
            field = fields[name]
            self._cell(row, column, field.label, self._fitted(field), field.tooltip, 3 if alone else 1)
            row += i % 2 or alone
        row = self._row(row, "Run", self.where, "")
        self._row(row, "Name", self.run_name, "")
        self._place_more(Form(chosen, exclude=self.edits))
        order = [
            self.task,
            *(self.edits[name].widget for name in fields if name not in numbers),
            self.edit_button,
        ]
        order += [*(self.edits[name].widget for name in numbers), self.where, self.run_name]
        for before, after in pairwise(order):
            QWidget.setTabOrder(before, after)

    def _place_more(self, form: Form) -> None:
        form.changed.connect(self._tell)
        if self.form is None:
            self._layout.insertWidget(1, form)
        else:
            self._layout.replaceWidget(self.form, form)
            self.form.hide()
            self.form.deleteLater()
        self.form = form

    def _fitted(self, field: Field) -> QWidget:
        """Return the input of a field, with its default."""
        edit = self.edits[field.name]
        edit.set_value(field.default)
        edit.changed.connect(self._on_steps if field.name == "steps" else self._tell)
        if field.name == "steps":
            edit.preset.connect(self._on_steps)
            edit.say_time = self.needs.time_of
        if field.name == "encoder" and isinstance(edit.widget, QComboBox):
            titles = {info.name: info.title for info in ENCODERS}
            for i in range(edit.widget.count()):
                name = str(edit.widget.itemData(i))
                edit.widget.setItemText(i, titles.get(name, name))
        return edit.widget

    def _row(self, row: int, label: str, widget: QWidget, about: str) -> int:
        self._cell(row, 0, label, widget, about, 3)
        return row + 1

    def _cell(self, row: int, column: int, text: str, widget: QWidget, about: str, span: int) -> None:
        label = QLabel(text)
        label.setBuddy(widget)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        if about:
            label.setToolTip(f"<p>{about}</p>")
            widget.setToolTip(f"<p>{about}</p>")
        if not widget.accessibleName():
            widget.setAccessibleName(text)
        self._labels.append(label)
        self._grid.addWidget(label, row, column)
        self._grid.addWidget(widget, row, column + 1, 1, span)

    def _show_split(self) -> None:
        self.volumes.setText(self.split.said() if self._names else "none yet")
        train, validate = (", ".join(names) or "none" for names in (self.split.train, self.split.validate))
        self.volumes.setToolTip(f"<p>train: {train}<br>validate: {validate}</p>")

    def _tell(self) -> None:
        if not self._quiet:
            self.estimate()
            self.changed.emit()
