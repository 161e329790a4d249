"""The Pre-train stage: start a run, watch it learn to order slices, pause, stop and resume it, compare it with others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QMessageBox, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import StateChanged
from napari_sortingloss.pretext import TASKS, settings_for
from napari_sortingloss.widgets import layers
from napari_sortingloss.widgets import training_actions as actions
from napari_sortingloss.widgets.detached import DetachedProcess
from napari_sortingloss.widgets.jobs import Job
from napari_sortingloss.widgets.pretrain_form import PretrainForm
from napari_sortingloss.widgets.run_panel import RunPanel
from napari_sortingloss.widgets.run_table import GOING_ON
from napari_sortingloss.widgets.run_watch import RunHistory
from napari_sortingloss.widgets.shortcuts import keys_of
from napari_sortingloss.widgets.stage import Stage, allow, set_property
from napari_sortingloss.widgets.theme import Colors

NO_STUDY = "Pre-training teaches a network the anatomy of your volumes without any labels.\n\nOpen a study with volumes first."
NO_VOLUMES = "This study has no volumes yet. Add some in the Study stage: a handful is enough to begin with."

KIND = "pretrain"


class PretrainWidget(Stage):
    """The Pre-train dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    title = "Pre-train"
    key = "pretrain"
    own_jobs: ClassVar[tuple[str, ...]] = (KIND,)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.form = PretrainForm(self.background)
        self.panel = RunPanel(self.background)
        self._filler = QWidget()
        QVBoxLayout(self._filler).addStretch(1)
        for widget in (self.hint, self.form, self.panel):
            self.body.addWidget(widget)
        self.body.addWidget(self._filler, 1)
        self.resume_button = self.add_button("&Go on", self.resume_shown)
        self.order_button = self.add_button("&Order slices", self.order_shown)
        self.pause_button = self.add_button("Pa&use", self.pause)
        self.start_button = self.add_button("&Start", self.start_or_stop, primary=True)
        self._process: DetachedProcess | None = None
        self._known: frozenset[str] = frozenset()  # the runs there were when a run was started
        self._waiting = False  # for the run that was started to appear
        self._asked = ""  # the command given to the active run and not yet obeyed
        self._watched_state = ""
        self._notices = 0
        self._connect()
        self.panel.apply_theme(self.colors)
        self._on_task()
        self._on_study(self.session.study)

    def _connect(self) -> None:
        session = self.session
        self.follow(session.study_changed, self._on_study)
        self.follow(session.volumes_changed, self._on_volumes)
        self.follow(session.runs_changed, self._on_runs)
        self.follow(session.current_volume_changed, self._on_current)
        self.follow(session.jobs.changed, self._update_buttons)
        self.follow(self.form.changed, self._update_buttons)
        self.follow(self.form.task_changed, self._on_task)
        self.follow(self.panel.run_changed, self._on_run)
        self.follow(self.panel.history_changed, self._on_history)
        self.follow(self.panel.watcher.failed, self.bar.show_error)
        table, order = self.panel.table, self.panel.order
        self.follow(table.resume_requested, self.resume)
        self.follow(table.order_requested, self.order)
        self.follow(table.delete_requested, self.delete)
        self.follow(order.volume_chosen, session.set_current_volume)
        self.follow(order.slice_chosen, self.show_slice)
        self.follow(order.flip_requested, self.flip)
        self.bind("pretrain.start", self.start_button.click)
        self.bind("pretrain.pause", self.pause_button.click)

    # ------------------------------------------------------------------------------------------------ starting
    def start_or_stop(self) -> None:
        """The primary button."""
        if self._busy():
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        """Start a new run with the settings of the form."""
        study = self.session.study
        error = self.form.error()
        if error is not None:
            self.bar.show_error(error)
        if study is None or error is not None:
            return
        settings = self.form.settings()
        self._expect()
        if self.form.detached:
            command = actions.command_line(study.path, self.form.task_name, settings)
            try:
                self._process = DetachedProcess(command, actions.log_file(study.path), self)
            except UserError as problem:
                self._waiting = False
                self.bar.show_error(problem)
                return
            self.follow(self._process.failed, self._on_process_failed)
            self.follow(self._process.finished, self._on_ended)
        else:
            title = f"Pre-training with {TASKS[self.form.task_name].title}"
            self._watch(self.session.jobs.submit(title, actions.train_job(study, settings), KIND))
        self._update_buttons()

    def resume_shown(self) -> None:
        """Go on with the run in view."""
        if self.panel.run is not None:
            self.resume(self.panel.run.id)

    def resume(self, run: str) -> None:
        """Go on with a run from its last checkpoint, to more steps if the form asks for more."""
        study = self.session.study
        if study is None:
            return
        self._expect()
        self.panel.show_run(run)
        steps = int(getattr(self.form.settings(), "steps", 0)) if self.form.error() is None else 0
        job = self.session.jobs.submit(f"Going on with {run}", actions.resume_job(study, run, steps), KIND)
        self._watch(job)
        self._update_buttons()

    def _expect(self) -> None:
        """Note that a run is about to appear or to come back to life."""
        self.bar.clear()
        self._known = frozenset(info.id for info in self.session.runs)
        self._waiting, self._asked, self._notices = True, "", 0

    def _watch(self, job: Job) -> None:
        self.follow(job.signals.event, self._on_event)
        self.follow(job.signals.failed, self.bar.show_error)
        self.follow(job.signals.ended, self._on_ended)

    # ------------------------------------------------------------------------------------------------ steering
    def pause(self) -> None:
        """Pause the run that goes on, or let it go on."""
        active = self.panel.active
        if active is not None:
            self._ask("resume" if active.state == "paused" else "pause")

    def stop(self) -> None:
        """Stop the run that goes on; it writes a checkpoint and can be resumed."""
        if self.panel.active is not None and not self._waiting:
            self._ask("stop")
            return
        job = self.session.jobs.find(KIND)
        if job is not None:
            job.cancel()

    def _ask(self, command: actions.Command) -> None:
        study, active = self.session.study, self.panel.active
        if study is None or active is None:
            return
        self._asked = command

        def failed(error: BaseException) -> None:
            self._asked = ""
            self.bar.show_error(error)
            self.session.refresh()

        self.background.run(
            lambda: actions.steer(study, active.id, command), lambda _: self.session.refresh(), failed
        )
        self._update_buttons()

    def delete(self, run: str) -> None:
        """Ask, then delete a run with its checkpoints."""
        study = self.session.study
        question = f"Delete the run '{run}' with its weights and curves? This cannot be undone."
        if study is None or not self._confirm(question):
            return
        self.background.run(lambda: study.run(run).delete(), lambda _: self.session.refresh())

    def _confirm(self, question: str) -> bool:
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.Cancel
        return QMessageBox.question(self, "SortingLoss", question, yes | no, no) == yes

    # ------------------------------------------------------------------------------------------------ order
    def order_shown(self) -> None:
        """Order the slices of all volumes with the run in view."""
        if self.panel.run is not None:
            self.order(self.panel.run.id)

    def order(self, run: str, volumes: tuple[str, ...] = ()) -> None:
        """Predict the position of every slice of volumes (all when none is named)."""
        study = self.session.study
        if study is None:
            return
        self.bar.clear()
        self.panel.show_run(run)
        job = self.session.jobs.submit("Ordering the slices", actions.order_job(study, run, volumes), "order")
        self.follow(job.signals.failed, self.bar.show_error)
        self.follow(job.signals.finished, self._on_ordered)
        self._update_buttons()

    def flip(self, name: str) -> None:
        """Turn a volume's direction round and order it again."""
        study, shown = self.session.study, self.panel.run
        if study is None or shown is None:
            return

        def done(_: Any) -> None:
            self.session.refresh()
            self.order(shown.id, (name,))

        self.background.run(lambda: actions.turn_round(study, name), done)

    def show_slice(self, name: str, position: int) -> None:
        """Show a slice of a volume in the viewer."""
        study, viewer = self.session.study, self.session.viewer
        if study is None or viewer is None:
            return
        self.session.set_current_volume(name)

        def done(plan: layers.LayerPlan) -> None:
            record = self.session.volumes.get(name)
            if record is None:
                return
            layer = layers.find(viewer, plan.mark) or layers.show(viewer, [plan])[0]
            layers.step_along(viewer, record.axis)
            axis = "zyx".index(record.axis)
            index = position if record.direction == "+" else record.shape[axis] - 1 - position
            where = layer.translate[-3:][axis] + index * layer.scale[-3:][axis]
            viewer.dims.set_point(axis, float(where))

        self.background.run(lambda: layers.plan(study.volume(name)), done, topic="slice")

    def _read_order(self) -> None:
        study, run = self.session.study, self.panel.run
        if study is None or run is None:
            return
        self.background.run(
            lambda: actions.applying_order(study, run.id), self._take_order, topic="read order"
        )

    def _take_order(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.panel.order.set_order(entries)
        self.panel.order.show_volume(self.session.current_volume)

    def _on_ordered(self, result: dict[str, Any]) -> None:
        self.session.refresh()
        self._read_order()
        self.panel.tabs.setCurrentWidget(self.panel.order)
        flipped = [v["name"] for v in result.get("volumes", []) if v["flipped"]]
        if flipped:
            names = ", ".join(flipped)
            self.panel.order.show_volume(flipped[0])
            self.bar.show_message(
                "warning",
                f"Stored upside down, it seems: {names}. Flip turns the direction round without copying a voxel.",
                "Show in Study ▸",
                lambda: self.go_to("Study"),
            )
        else:
            self.bar.show_message("success", "All slices are ordered; no volume looks upside down.")

    # ------------------------------------------------------------------------------------ following the session
    def _on_study(self, study: Any) -> None:
        self.bar.clear()
        self._process, self._waiting, self._asked, self._watched_state = None, False, "", ""
        self.form.set_study(study)
        self.panel.forget()
        self._on_volumes()
        self._on_runs()

    def _on_volumes(self) -> None:
        self.form.set_volumes(tuple(self.session.volumes))
        empty = not self.session.volumes
        self.hint.setText(NO_STUDY if self.session.study is None else NO_VOLUMES)
        self.hint.setVisible(empty)
        self.form.setVisible(not empty)
        self.panel.setVisible(not empty)
        self._filler.setVisible(empty)
        self._read_order()
        self._update_buttons()

    def _on_runs(self) -> None:
        runs = [info for info in self.session.runs if info.kind == KIND]
        self.panel.set_runs(runs)
        new = [info for info in runs if info.id not in self._known]
        if self._waiting and new:
            self._waiting = False
            self.panel.show_run(new[0].id)
        elif self._waiting and self.panel.active is not None:
            self._waiting = False  # a resumed run is alive again
        active = self.panel.active
        state = active.state if active is not None else ""
        obeyed = {"pause": "paused", "resume": "running", "stop": ""}
        if self._asked and state == obeyed[self._asked]:
            self._asked = ""
        self._follow_state()
        self._update_buttons()

    def _on_current(self, name: str | None) -> None:
        self.panel.order.show_volume(name)

    def _on_task(self) -> None:
        self.panel.set_idle_curves(settings_for(self.form.task_name)().curves())

    def _on_run(self, run: str) -> None:
        shown = self.panel.run
        self._watched_state = shown.state if shown is not None else ""
        self._notices = 0
        self._read_order()
        self._update_buttons()

    def _on_event(self, event: object) -> None:
        if isinstance(event, StateChanged):
            self.session.refresh()

    def _on_ended(self, *_: object) -> None:
        self._waiting = False
        self.session.refresh()
        self._update_buttons()

    def _on_process_failed(self, error: UserError) -> None:
        self.bar.show_error(error)
        self._on_ended()

    def _on_history(self, history: RunHistory) -> None:
        going_on = self.panel.run is not None and self.panel.run.state in GOING_ON
        warnings = [n for n in history.notices if n.level == "warning"]
        if going_on and len(warnings) > self._notices and self.bar.level != "error":
            self.bar.show_message("warning", warnings[-1].message)
        self._notices = len(warnings)

    def _follow_state(self) -> None:
        """Say what the run in view has come to, once, and what to do next."""
        shown = self.panel.run
        before, now = self._watched_state, shown.state if shown is not None else ""
        self._watched_state = now
        if shown is None or before not in GOING_ON or now in GOING_ON:
            return
        if now == "finished":
            self.bar.show_message("success", _achieved(shown.summary), "Order slices ▸", self.order_shown)
        elif now == "interrupted":
            self.bar.show_message(
                "warning",
                "The run was cut off: its process is gone. Nothing is lost but the work since the last checkpoint.",
                "Go on ▸",
                self.resume_shown,
            )

    # ------------------------------------------------------------------------------------------------ buttons
    def _busy(self) -> bool:
        """Whether a run is going on, or about to."""
        starting = self._process is not None and self._process.running and self._waiting
        return starting or self.panel.active is not None or self.session.jobs.find(KIND) is not None

    def _update_buttons(self) -> None:
        busy, active, shown = self._busy(), self.panel.active, self.panel.run
        stopping = self._asked == "stop"
        keys = keys_of("pretrain.start")
        self.start_button.setText("Stopping…" if busy and stopping else "&Stop" if busy else "&Start")
        set_property(self.start_button, "stop", busy)
        why = ""
        if busy:
            why = "It writes a checkpoint and stops" if stopping else ""
        elif not self.session.volumes:
            why = "Add volumes to the study first"
        elif self.form.problem:
            why = self.form.problem
        tip = "Stop; a checkpoint is written and the run can go on later" if busy else "Start a new run"
        allow(self.start_button, why, f"{tip} ({keys})")
        self.pause_button.setVisible(busy)
        paused = active is not None and active.state == "paused"
        self.pause_button.setText("Go on" if paused else "Pa&use")
        wait = "" if active is not None and not self._waiting else "It has not begun yet"
        wait = wait or ("Just a moment: it finishes its step" if self._asked else "")
        allow(self.pause_button, wait, f"Pause or go on ({keys_of('pretrain.pause')})")
        resumable = not busy and shown is not None
        self.resume_button.setVisible(resumable)
        self.order_button.setVisible(resumable)
        if shown is not None:
            allow(self.resume_button, "", _resume_tip(shown.id, shown.state))
            ordering = self.session.jobs.find("order") is not None
            none_yet = "It has no weights yet" if not shown.summary.get("step") else ""
            allow(
                self.order_button,
                none_yet or ("It is being done" if ordering else ""),
                f"Predict the position of every slice of all volumes with {shown.id}",
            )

    def apply_theme(self, colors: Colors) -> None:
        """Restyle, the plots too."""
        super().apply_theme(colors)
        if hasattr(self, "panel"):
            self.panel.apply_theme(colors)


def _resume_tip(run: str, state: str) -> str:
    if state == "finished":
        return f"Train {run} further: set Steps above to more than it had"
    return f"Go on with {run} from its last checkpoint"


def _achieved(summary: Mapping[str, Any]) -> str:
    """Say what a finished run reached, with the level of chance beside it."""
    for split, on in (("validation", "on unseen volumes"), ("train", "on the training volumes")):
        values = summary.get(split) or {}
        if "mean_displacement" in values:
            random = values.get("random_displacement")
            beside = f", random {random:.2f}" if random is not None else ""
            return f"Finished: mean displacement {values['mean_displacement']:.2f} slices {on}{beside}."
    return "Finished."
