"""The upper part of the Localize stage: which run looks for the specimen in which volumes, and how."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.localize.settings import LocalizeSettings
from napari_sortingloss.pretext import TASKS, locates_with
from napari_sortingloss.widgets.runs.run_table import figures, given
from napari_sortingloss.widgets.runs.run_words import best_run, entry
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.elided_combo import ElidedCombo
from napari_sortingloss.widgets.toolkit.fields import (
    FieldEdit,
    calm_wheel,
    changed_values,
    edit_for,
    show_values,
)
from napari_sortingloss.widgets.toolkit.forms import Form
from napari_sortingloss.widgets.toolkit.pair_grid import PairGrid
from napari_sortingloss.widgets.toolkit.volume_menu import VolumeMenu

GONE = "It is no longer in the study: its results can be checked and cropped, but it cannot look again"


class LocalizeForm(QWidget):
    """Run, volumes, recipe, and the rest under *More*.

    Attributes
    ----------
    changed : psygnal.Signal
        Anything was changed.
    run_changed : psygnal.Signal
        ``run_changed(id)``: another run was chosen, and with it other results.
    """

    changed = Signal()
    run_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._infos: dict[str, RunInfo] = {}
        self._wish = ""  # the run that a person chose
        self._results = ""  # the run that has found what there is to check
        self._quiet = False
        self.run = ElidedCombo()
        self.run.setAccessibleName("Run")
        self.run.setToolTip("<p>The pre-training run whose network looks for the specimen.</p>")
        self.run.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        calm_wheel(self.run)
        self.run.currentIndexChanged.connect(lambda *_: self._on_run())
        self.run.activated.connect(lambda *_: self.choose_run(self.run_id))
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.about.setProperty("muted", True)
        self.volumes = VolumeMenu()
        self.volumes.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.volumes.changed.connect(self._tell)
        fields = {f.name: f for f in LocalizeSettings.fields() if not (f.about.more or f.about.hidden)}
        self.edits: dict[str, FieldEdit] = {name: edit_for(field) for name, field in fields.items()}
        grid = PairGrid()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        _cell(grid, 0, 0, "Run", self.run, 3)
        grid.addWidget(self.about, 1, 0, 1, 4)
        _cell(grid, 2, 0, "Volumes", self.volumes, 3)
        for i, (name, field) in enumerate(fields.items()):
            edit = self.edits[name]
            edit.set_value(field.default)
            edit.changed.connect(self._tell)
            if isinstance(edit.widget, QAbstractSpinBox):  # two in a row of 360 px: no room for − and +
                edit.widget.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
                edit.widget.setMinimumWidth(64)
            label = _cell(grid, 3 + i // 2, 2 * (i % 2), field.label, edit.widget)
            for part in (label, edit.widget):
                part.setToolTip(f"<p>{field.tooltip}</p>")
            edit.widget.setAccessibleName(field.label)
        self.more = Form(LocalizeSettings, exclude={*self.edits, "run", "volumes"}, defaults={"run": "-"})
        self.more.changed.connect(self._tell)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(grid)
        layout.addWidget(self.more)
        self._on_run()

    @property
    def run_id(self) -> str:
        """The chosen run, or an empty string."""
        return str(self.run.currentData() or "")

    @property
    def has_runs(self) -> bool:
        """Whether there is a run to choose."""
        return self.run.count() > 0

    def settings(self) -> LocalizeSettings:
        """Return the settings of the job.

        Raises
        ------
        BadSetting
            If a value does not fit.
        """
        values = {name: edit.value() for name, edit in self.edits.items()}
        found: LocalizeSettings = self.more.value(**values, run=self.run_id, volumes=self.volumes.value())
        return found

    def problem(self) -> str:
        """Return why the job cannot be started with what is chosen; empty if it can."""
        if not self.run_id:
            return "Pre-train first: a run is needed"
        if self.run_id not in self._infos:
            return GONE
        if not self.volumes.value():
            return "Choose volumes first"
        try:
            settings = self.settings().resolved()
        except UserError as error:
            return str(error)
        info = self._infos[self.run_id]
        if (
            "variance" in str(settings.statistic)
            and locates_with(info.task) == "scores"
            and not _dropout(info)
        ):
            return (
                f"{info.title} was trained without dropout, and the variance needs it: choose another run, or "
                "'sensitivity' as statistic"
            )
        return ""

    def set_value(self, **values: Any) -> None:
        """Set single settings by name."""
        for name, value in values.items():
            (self.edits.get(name) or self.more.edits[name]).set_value(value)

    def set_runs(self, infos: Sequence[RunInfo], others: Collection[str] = ()) -> None:
        """Take the runs there are; the chosen one stays, otherwise that with results or else the best one is proposed.

        Parameters
        ----------
        infos : sequence of RunInfo
            Those of the study, the newest first.
        others : collection of str
            Runs that have found something and are gone.
        """
        usable = [info for info in infos if can_see(info)]
        self._infos = {info.id: info for info in usable}
        ids = [*self._infos, *sorted((run for run in others if run not in self._infos), reverse=True)]
        before = self.run_id
        self._quiet = True
        try:
            if ids != [self.run.itemData(i) for i in range(self.run.count())]:
                self.run.clear()
                for run in ids:
                    self.run.addItem("", run)
            self._show_wanted(best_run(usable))
        finally:
            self._quiet = False
        for i, run in enumerate(ids):
            self.run.setItemText(i, self._title(run))
        self._describe()
        if self.run_id != before:
            self.run_changed.emit(self.run_id)
            self._tell()

    def choose_run(self, run: str) -> None:
        """Choose a run, now or as soon as it is there; an empty string for the one that is proposed."""
        self._wish = run
        self._show_wanted()
        self._tell()

    def begin_with(self, run: str) -> None:
        """Propose a run that has found something to check, where a person has chosen none."""
        self._results = run
        self._show_wanted()

    def _show_wanted(self, best: str = "") -> None:
        wanted = (self.run.findData(run) for run in (self._wish, self._results, best) if run)
        index = next((index for index in wanted if index >= 0), self.run.currentIndex())
        self.run.setCurrentIndex(index if index >= 0 or not self.run.count() else 0)

    def remembered(self) -> dict[str, Any]:
        """Return what a person has chosen, JSON-ready."""
        settings = changed_values({**self.more.edits, **self.edits}, LocalizeSettings.fields())
        return {"run": self._wish, "volumes": self.volumes.wish, "settings": settings}

    def recall(self, values: Mapping[str, Any]) -> None:
        """Show what `remembered` returned when this study was last open; what does not fit any more is forgotten."""
        run, volumes = values.get("run"), values.get("volumes")
        self._quiet = True
        try:
            show_values({**self.more.edits, **self.edits}, LocalizeSettings.fields(), values.get("settings"))
        finally:
            self._quiet = False
        self.volumes.choose_when_there(volumes)
        self.choose_run(run if isinstance(run, str) else "")

    def forget(self) -> None:
        """Begin anew, for another study."""
        self._wish = self._results = ""
        self.volumes.forget()
        self.set_runs(())

    def _title(self, run: str) -> str:
        info = self._infos.get(run)
        if info is None:
            return f"{run} (gone)"
        return entry(info)

    def _describe(self) -> None:
        info = self._infos.get(self.run_id)
        if info is None:
            self.about.setText(GONE if self.run_id else "")
        else:
            task = TASKS[info.task].title if info.task in TASKS else info.task
            said, figure = given(info.settings), figures(info)[:1]
            self.about.setText(" · ".join((task, *figure)))
            parts = (info.id, f"{task}, {said}" if said else task, *figure)
            self.about.setToolTip("\n".join(part for part in parts if part))
        self.about.setVisible(bool(self.about.text()))

    def _on_run(self) -> None:
        if self._quiet:
            return
        self._describe()
        self.run_changed.emit(self.run_id)
        self._tell()

    def _tell(self) -> None:
        if not self._quiet:
            self.changed.emit()


def can_see(info: RunInfo) -> bool:
    """Return whether a run's network can be asked where the specimen is: it has weights, of a task that tells."""
    return info.kind == "pretrain" and locates_with(info.task) and bool(info.summary.get("step"))


def _dropout(info: RunInfo) -> float:
    try:
        return float(info.settings.get("dropout", 0.1))
    except (TypeError, ValueError):
        return 0.0


def _cell(grid: QGridLayout, row: int, column: int, text: str, widget: QWidget, span: int = 1) -> QLabel:
    label = QLabel(text)
    label.setBuddy(widget)
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    grid.addWidget(label, row, column)
    grid.addWidget(widget, row, column + 1, 1, span)
    return label
