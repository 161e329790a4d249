"""What a stage that trains does with runs: starts, steers, resumes and deletes them, wherever they train."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtWidgets import QMessageBox

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import StateChanged
from napari_sortingloss.pretext import TASKS
from napari_sortingloss.widgets.runs import training_jobs as actions
from napari_sortingloss.widgets.session.detached import DetachedProcess
from napari_sortingloss.widgets.session.jobs import Job, MakeJob
from napari_sortingloss.widgets.session.session import RunInfo

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sortingloss.study import Study
    from napari_sortingloss.widgets.runs.training_stage import TrainingStage

KIND = "pretrain"

OBEYED = {"pause": "paused", "resume": "running"}
"""The state a run is in once it has followed a command; after ``stop`` it is going on no more."""


class RunActions:
    """The verbs of the buttons at the bottom, and what they wait for; those of pre-training, unless a subclass says else.

    Parameters
    ----------
    stage : TrainingStage
        Held weakly; it owns this object.

    Attributes
    ----------
    kind : str
        The kind of the runs and of the jobs that train them.
    waiting : bool
        Whether a run was asked for that has not shown up yet.
    asked : str
        The command given to the active run and not yet obeyed; empty when there is none.
    """

    kind: ClassVar[str] = KIND

    def __init__(self, stage: TrainingStage) -> None:
        self._weak = weakref.ref(stage)
        self.waiting = False
        self.asked = ""
        self._known: frozenset[str] = frozenset()  # the runs there were when one was asked for
        self._expected = ""  # the run asked for, once its name is known, until it shows up
        self._process: DetachedProcess | None = None

    @property
    def _stage(self) -> TrainingStage:
        stage = self._weak()
        assert stage is not None
        return stage

    @property
    def busy(self) -> bool:
        """Whether a run is going on, or about to."""
        stage = self._stage
        if self.starting_process or stage.panel.active is not None:
            return True
        return stage.session.jobs.find(self.kind) is not None

    @property
    def starting_process(self) -> bool:
        """Whether a process of its own was started and its run has not shown up yet."""
        return self.waiting and self._process is not None and self._process.running

    # ------------------------------------------------------------------------------- how runs of this kind are made
    def new_job(self, study: Study, settings: Any, name: str) -> tuple[str, MakeJob]:
        """Return the title and the maker of the job of a new run."""
        return f"Pre-training with {TASKS[settings.task].title}", actions.train_job(study, settings, name)

    def new_command(self, study: Path, settings: Any) -> list[str]:
        """Return the command that does the same in a process of its own."""
        return actions.command_line(study, settings)

    def job_to_go_on(self, study: Study, run: str, steps: int) -> MakeJob:
        """Return what makes the job that goes on with a run."""
        return actions.resume_job(study, run, steps)

    def command_to_go_on(self, study: Path, run: str, steps: int) -> list[str]:
        """Return the command that does the same in a process of its own."""
        return actions.resume_line(study, run, steps, self.kind)

    # ------------------------------------------------------------------------------------------------------ the verbs
    def start(self) -> None:
        """Start a new run with the settings of the form."""
        stage, study = self._stage, self._stage.session.study
        error = stage.form.error()
        if error is not None:
            stage.bar.show_error(error, of=self.kind)
        if study is None or error is not None:
            return
        settings, name = stage.form.settings(), stage.form.run_name.value()
        self._expect()
        if stage.form.detached:
            named = ["--name", name] if name else []
            self._start_process([*self.new_command(study.path, settings), *named])
        else:
            title, make = self.new_job(study, settings, name)
            self._watch(stage.session.jobs.submit(title, make, self.kind))
        stage.panel.show_training()
        stage.update_buttons()

    def resume(self, run: str) -> None:
        """Go on with a run from its last checkpoint, here or in a process of its own, as the form says."""
        stage, study = self._stage, self._stage.session.study
        info = next((info for info in stage.session.runs if info.id == run), None)
        if study is None or info is None:
            return
        self._expect()
        stage.panel.show_run(run)
        steps = stage.steps_to(info)
        if stage.form.detached:
            self._start_process(self.command_to_go_on(study.path, run, steps))
        else:
            make = self.job_to_go_on(study, run, steps)
            self._watch(stage.session.jobs.submit(f"Going on with {info.title}", make, self.kind))
        stage.panel.show_training()
        stage.update_buttons()

    def pause(self) -> None:
        """Pause the run that goes on, or let it go on."""
        active = self._stage.panel.active
        if active is not None:
            self._ask("resume" if active.state == "paused" else "pause")

    def stop(self) -> None:
        """Stop the run that goes on; it writes a checkpoint and can be resumed."""
        stage = self._stage
        job = stage.session.jobs.find(self.kind)
        if stage.panel.active is not None and not self.waiting:
            self._ask("stop")
        elif job is not None:
            job.cancel()
        elif self._process is not None:
            self._process.stop()
        stage.update_buttons()

    def delete(self, run: str) -> None:
        """Ask, then delete a run with its checkpoints."""
        stage, study = self._stage, self._stage.session.study
        title = stage.session.run_title(run)
        question = f"Delete {title} with its weights and curves? This cannot be undone."
        if study is None or not self._confirm(question):
            return
        stage.background.run(lambda: study.run(run).delete(), lambda _: stage.session.refresh())

    def rename(self, run: str, name: str) -> None:
        """Give a run another name; an empty one takes its name away."""
        stage, study = self._stage, self._stage.session.study
        if study is None:
            return

        def failed(error: BaseException) -> None:
            stage.bar.show_error(error)
            stage.session.refresh()

        stage.background.run(lambda: study.name_run(run, name), lambda _: stage.session.refresh(), failed)

    def forget(self) -> None:
        """Another study was opened; what was begun in the old one goes on there."""
        self._process, self.waiting, self.asked, self._expected = None, False, "", ""

    def note(self, runs: Sequence[RunInfo]) -> None:
        """Take note of the runs there are now: the one asked for may have shown up, a command been obeyed."""
        stage, active = self._stage, self._stage.panel.active
        new = [info for info in runs if info.id not in self._known]
        if self.waiting and not self._expected and (new or active is not None):
            self._expected = new[0].id if new else active.id
        found = next((info for info in runs if info.id == self._expected), None)
        # A run looks interrupted until the one who made it holds it: a matter of milliseconds.
        if found is not None and (found.state != "interrupted" or not self.waiting):
            stage.panel.show_run(found.id)
            if found.name == stage.form.run_name.value():
                stage.form.run_name.clear()  # no other run can have it
            stage.expect_end()
            self.waiting, self._expected = False, ""
        if active is None or active.state == OBEYED.get(self.asked):
            self.asked = ""

    def _expect(self) -> None:
        stage = self._stage
        stage.bar.begin(self.kind)
        self._known = frozenset(info.id for info in stage.session.runs)
        self.waiting, self.asked, self._expected = True, "", ""

    def _start_process(self, command: list[str]) -> None:
        stage, study = self._stage, self._stage.session.study
        assert study is not None
        try:
            self._process = DetachedProcess(command, actions.log_file(study.path, self.kind), stage)
        except UserError as problem:
            self._on_failed(problem)
            return
        stage.follow(self._process.failed, self._on_failed)
        stage.follow(self._process.finished, self._on_ended)

    def adopt(self) -> None:
        """Follow the job that was begun before the panel was opened, if there is one."""
        job = self._stage.session.jobs.find(self.kind)
        if job is not None:
            self._watch(job)

    def _watch(self, job: Job) -> None:
        stage = self._stage
        stage.follow(job.signals.event, self._on_event)
        stage.follow(job.signals.failed, self._on_failed)
        stage.follow(job.signals.ended, self._on_ended)

    def _ask(self, command: actions.Command) -> None:
        stage, study, active = self._stage, self._stage.session.study, self._stage.panel.active
        if study is None or active is None:
            return
        self.asked = command

        def failed(error: BaseException) -> None:
            self.asked = ""
            stage.bar.show_error(error, of=self.kind)
            stage.session.refresh()
            stage.update_buttons()

        stage.background.run(
            lambda: actions.steer(study, active.id, command), lambda _: stage.session.refresh(), failed
        )
        stage.update_buttons()

    def _confirm(self, question: str) -> bool:
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.Cancel
        return QMessageBox.question(self._stage, "SortingLoss", question, yes | no, no) == yes

    def _on_event(self, event: object) -> None:
        if isinstance(event, StateChanged):
            if event.state == "running" and self.waiting:
                self._expected = event.run
            self._stage.session.refresh()

    def _on_failed(self, error: BaseException) -> None:
        self.waiting = False
        self._stage.bar.show_error(error, of=self.kind)
        self._on_ended()

    def _on_ended(self, *_: object) -> None:
        self.waiting = False
        self._stage.session.refresh()
        self._stage.update_buttons()
