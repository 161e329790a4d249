"""The upper half of the Pre-train stage: what to train on what, and what that will need."""

from __future__ import annotations

from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.pretext import TASKS, settings_for
from napari_sortingloss.settings import Settings
from napari_sortingloss.widgets import words
from napari_sortingloss.widgets.background import Background
from napari_sortingloss.widgets.fields import calm_wheel
from napari_sortingloss.widgets.forms import Form
from napari_sortingloss.widgets.split import Split, SplitDialog, adapt, propose

HERE, DETACHED = "here", "detached"


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
    """

    changed = Signal()
    task_changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._study: Any = None
        self._names: tuple[str, ...] = ()
        self._chosen = False
        self.split = Split()
        self.task = QComboBox()
        for name, entry in TASKS.items():
            self.task.addItem(entry.title, name)
        self.task.setAccessibleName("Task")
        self.task.currentIndexChanged.connect(lambda *_: self._on_task())
        self.volumes = QLabel()
        self.edit_button = QPushButton("&Edit…")
        self.edit_button.setProperty("small", True)
        self.edit_button.setToolTip("Choose the volumes to train on and those kept out for validation")
        self.edit_button.clicked.connect(lambda *_: self.edit_split())
        self.where = QComboBox()
        self.where.addItem("inside napari", HERE)
        self.where.addItem("a process of its own", DETACHED)
        self.where.setToolTip(
            "<p>A run inside napari leaves one processor core to the viewer and ends with napari (it can be resumed). "
            "A process of its own takes all cores and goes on when napari is closed.</p>"
        )
        self.where.setAccessibleName("Run")
        for box in (self.task, self.where):
            calm_wheel(box)
        self.needs = QLabel()
        self.needs.setWordWrap(True)
        self.needs.setProperty("muted", True)
        self.problem = ""
        self._rows = QFormLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setHorizontalSpacing(8)
        self._rows.setVerticalSpacing(4)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._rows.addRow("Task", self.task)
        volumes = QHBoxLayout()
        volumes.addWidget(self.volumes, 1)
        volumes.addWidget(self.edit_button)
        self._below = QFormLayout()
        self._below.setContentsMargins(0, 0, 0, 0)
        self._below.setHorizontalSpacing(8)
        self._below.setVerticalSpacing(4)
        self._below.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._below.addRow("Volumes", volumes)
        self._below.addRow("Run", self.where)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addLayout(self._rows)
        self._layout.addLayout(self._below)
        self._layout.addWidget(self.needs)
        self.form: Form
        self._place_form()
        self.where.currentIndexChanged.connect(lambda *_: self._tell())
        self._show_split()

    @property
    def task_name(self) -> str:
        """The task chosen."""
        return str(self.task.currentData())

    @property
    def detached(self) -> bool:
        """Whether to run in a process of its own."""
        return bool(self.where.currentData() == DETACHED)

    def settings(self) -> Any:
        """Return the settings of a run.

        Raises
        ------
        BadSetting
            If a value does not fit.
        """
        return self.form.value(volumes=self.split.train, validate=self.split.validate)

    def error(self) -> UserError | None:
        """Return what is wrong with the settings, or None."""
        return self.form.error(volumes=self.split.train, validate=self.split.validate)

    def show_settings(self, task: str, settings: Settings) -> None:
        """Show the settings of an earlier run, so that the next one can begin with them."""
        index = self.task.findData(task)
        if index >= 0:
            self.task.setCurrentIndex(index)
            self.form.set_value(settings)

    def set_study(self, study: Any) -> None:
        """Take the volumes of another study."""
        self._study, self._names, self._chosen = study, (), False
        self.split = Split()

    def set_volumes(self, names: tuple[str, ...]) -> None:
        """Take the volumes there are now: a choice the person made stays, otherwise one is proposed."""
        if names == self._names:
            return
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

    def estimate(self) -> None:
        """Work out in the background what a run would need, and say it."""
        error = self.error()
        study, split = self._study, self.split
        if error is not None:
            self._say(str(error), str(error))
            return
        if study is None or not split.train:
            self._say("", "")
            return
        settings, detached = self.settings(), self.detached

        def work() -> Any:
            from napari_sortingloss.training.devices import estimate
            from napari_sortingloss.widgets.training_actions import leave_a_core

            wanted = settings if detached else leave_a_core(settings)
            return estimate(wanted, [study.volume(name) for name in split.train])

        self._background.run(work, self._take_estimate, self._no_estimate, topic="estimate")

    def _take_estimate(self, found: Any) -> None:
        time = words.duration(found.seconds)
        time = time if time.startswith("about") else f"about {time}"
        guess = "" if found.measured else ", not measured here yet"
        text = (
            f"needs {words.size(found.memory_bytes)} of memory, {words.size(found.disk_bytes)} on disk, "
            f"{time} on {found.device}{guess}"
        )
        self._say(f"⚠ {found.problem}" if found.problem else text, "")

    def _no_estimate(self, error: BaseException) -> None:
        self._say(str(error), str(error))

    def _say(self, text: str, problem: str) -> None:
        changed = problem != self.problem
        self.problem = problem
        self.needs.setText(text)
        self.needs.setVisible(bool(text))
        if changed:
            self.changed.emit()

    def _on_task(self) -> None:
        self._place_form()
        self.task_changed.emit()
        self._tell()

    def _place_form(self) -> None:
        old = getattr(self, "form", None)
        self.form = Form(settings_for(self.task_name))
        self.form.changed.connect(self._tell)
        self.task.setToolTip(f"<p>{TASKS[self.task_name].help}</p>")
        if old is None:
            self._layout.insertWidget(1, self.form)
        else:
            self._layout.replaceWidget(old, self.form)
            old.hide()
            old.deleteLater()

    def _show_split(self) -> None:
        self.volumes.setText(self.split.said() if self._names else "none yet")
        self.volumes.setToolTip(
            f"<p>train: {', '.join(self.split.train) or 'none'}<br>validate: {', '.join(self.split.validate) or 'none'}</p>"
        )

    def _tell(self) -> None:
        self.estimate()
        self.changed.emit()
