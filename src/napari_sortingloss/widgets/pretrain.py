"""The Pre-train stage: start a run, watch it learn to order slices, pause, stop and resume it, compare it with others."""

from __future__ import annotations

from typing import Any, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton

from napari_sortingloss.errors import UserError
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.pretext.order import ORDERED_BY
from napari_sortingloss.widgets.order_actions import KIND as ORDER
from napari_sortingloss.widgets.order_actions import OrderActions
from napari_sortingloss.widgets.pretrain_form import PretrainForm
from napari_sortingloss.widgets.run_actions import KIND, RunActions
from napari_sortingloss.widgets.run_panel import RunPanel
from napari_sortingloss.widgets.run_table import GOING_ON, figures
from napari_sortingloss.widgets.run_watch import RunHistory
from napari_sortingloss.widgets.session import RunInfo
from napari_sortingloss.widgets.shortcuts import keys_of
from napari_sortingloss.widgets.stage import Stage, allow, set_property
from napari_sortingloss.widgets.theme import Colors

NO_STUDY = (
    "Pre-training teaches a network the anatomy of your volumes without a single label: it learns to put shuffled "
    "slices back into order.\n\nOpen a study with volumes first."
)
NO_VOLUMES = "This study has no volumes yet. A handful is enough to begin with."
INTERRUPTED = "{} was cut off in the middle. Nothing is lost but the work since its last checkpoint."

WORSE = 1.1
"""Unseen volumes that much worse than random are not just hard: the network has them the wrong way round."""


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
        self.runs = RunActions(self)
        self.orders = OrderActions(self)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.study_link = QPushButton("Go to Study ▸")
        self.study_link.clicked.connect(lambda *_: self.go_to("Study"))
        self.form = PretrainForm(self.background)
        self.panel = RunPanel(self.background)
        for widget in (self.hint, self.form, self.panel):
            self.body.addWidget(widget)
        self.body.addWidget(self.study_link, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addStretch(1)
        frame = self.layout()
        frame.insertWidget(frame.indexOf(self.strip), self.panel.status)  # does not scroll away
        self.resume_button = self.add_button("&Go on", self.resume_shown)
        self.order_button = self.add_button("&Order slices", self.order_shown)
        self.pause_button = self.add_button("Pa&use", self.runs.pause)
        self.start_button = self.add_button("&Start", self.start_or_stop, primary=True)
        self._opened = False  # a study was opened and its runs have not been looked at
        self._before = ""  # the state of the run in view when it was last looked at
        self._notices = 0
        self._connect()
        self.panel.apply_theme(self.colors)
        self._on_task()
        self._on_study(self.session.study)

    def _connect(self) -> None:
        session, panel = self.session, self.panel
        self.follow(session.study_changed, self._on_study)
        self.follow(session.volumes_changed, self._on_volumes)
        self.follow(session.runs_changed, self._on_runs)
        self.follow(session.current_volume_changed, panel.order.show_volume)
        self.follow(session.jobs.changed, self.update_buttons)
        self.follow(self.form.changed, self.update_buttons)
        self.follow(self.form.task_changed, self._on_task)
        self.follow(panel.run_changed, self._on_run)
        self.follow(panel.history_changed, self._on_history)
        self.follow(panel.watcher.failed, self.bar.show_error)
        self.follow(panel.table.resume_requested, self.runs.resume)
        self.follow(panel.table.order_requested, self.orders.order)
        self.follow(panel.table.settings_requested, self.use_settings)
        self.follow(panel.table.delete_requested, self.runs.delete)
        self.follow(panel.order.volume_chosen, session.set_current_volume)
        self.follow(panel.order.slice_chosen, self.orders.show_slice)
        self.follow(panel.order.flip_requested, self.orders.flip)
        self.bind("pretrain.start", self.start_button.click)
        self.bind("pretrain.pause", self.pause_button.click)

    # ------------------------------------------------------------------------------------------------ buttons
    def start_or_stop(self) -> None:
        """The primary button."""
        if self.runs.busy:
            self.runs.stop()
        else:
            self.runs.start()

    def resume_shown(self) -> None:
        """Go on with the run in view."""
        if self.panel.run is not None:
            self.runs.resume(self.panel.run.id)

    def order_shown(self) -> None:
        """Order the slices of all volumes with the run in view."""
        if self.panel.run is not None:
            self.orders.order(self.panel.run.id)

    def use_settings(self, run: str) -> None:
        """Begin the next run with the settings of an earlier one."""
        info = next((info for info in self.session.runs if info.id == run), None)
        if info is None:
            return
        try:
            self.form.show_settings(info.task, info.settings)
        except UserError as error:
            self.bar.show_error(error)

    def steps_to(self, info: RunInfo) -> int:
        """Return to how many steps *Go on* trains a run: its own, or what the form asks for once it has done those."""
        had = int(info.summary.get("steps") or 0)
        if info.state != "finished" or self.form.error() is not None:
            return had
        return max(had, int(self.form.settings().steps))

    def update_buttons(self) -> None:
        """Let each button say what it does now, or why it cannot, and the lines above them what is going on."""
        busy, active, shown = self.runs.busy, self.panel.active, self.panel.run
        # A run that loads its libraries, or trains in a study that is no longer open, is a job like any other.
        self.strip.hide_kinds(self.own_jobs if active is not None else ())
        if self.runs.starting_process:
            self.panel.status.wait("starting a process of its own…")
        stopping = busy and self.runs.asked == "stop"
        self.start_button.setText("Stopping…" if stopping else "&Stop" if busy else "&Start")
        set_property(self.start_button, "stop", busy)
        which = active.id if active is not None else "it"
        why, tip = "", f"Stop {which}; it writes a checkpoint and can go on later"
        if stopping:
            why = "It finishes its step, writes a checkpoint and stops"
        elif not busy:
            why = "" if self.session.volumes else "Add volumes to the study first"
            why, tip = why or self.form.problem, "Start a new run"
        allow(self.start_button, why, f"{tip} ({keys_of('pretrain.start')})")
        paused = active is not None and active.state == "paused"
        self.pause_button.setVisible(busy)
        self.pause_button.setText("Contin&ue" if paused else "Pa&use")
        wait = "It has not begun yet" if active is None or self.runs.waiting else ""
        wait = wait or ("Just a moment: it finishes its step" if self.runs.asked else "")
        tip = (
            f"Let {which} go on"
            if paused
            else f"Pause {which}; it keeps its memory and goes on at once when asked"
        )
        allow(self.pause_button, wait, f"{tip} ({keys_of('pretrain.pause')})")
        self.resume_button.setVisible(not busy and shown is not None)
        self.order_button.setVisible(not busy and shown is not None and shown.task == ORDERED_BY)
        if shown is not None:
            self._update_run_buttons(shown)

    def _update_run_buttons(self, shown: RunInfo) -> None:
        steps, to = shown.summary.get("steps", 0), self.steps_to(shown)
        why = ""
        if shown.state == "finished" and to <= steps:
            why = f"It has done all its {steps} steps: set Steps to more than that to train it further"
        allow(self.resume_button, why, f"Go on with {shown.id} from its last checkpoint, to step {to}")
        why = "" if shown.summary.get("step") else "It has no weights yet"
        if self.session.jobs.find(ORDER) is not None:
            why = "It is being done"
        allow(self.order_button, why, f"Predict the position of every slice of all volumes with {shown.id}")

    # ------------------------------------------------------------------------------------ following the session
    def _on_study(self, study: Any) -> None:
        self.bar.clear()
        self.runs.forget()
        self._before, self._opened = "", study is not None
        self.form.set_study(study)
        self.panel.forget()
        self._on_volumes()
        self._on_runs()

    def _on_volumes(self) -> None:
        self.form.set_volumes(tuple(self.session.volumes))
        empty = not self.session.volumes
        self.hint.setText(NO_STUDY if self.session.study is None else NO_VOLUMES)
        for widget in (self.hint, self.study_link):
            widget.setVisible(empty)
        self.form.setVisible(not empty)
        self.panel.setVisible(not empty)
        self.orders.read()
        self.update_buttons()

    def _on_runs(self) -> None:
        runs = [info for info in self.session.runs if info.kind == KIND]
        self.panel.set_runs(runs)
        self.runs.note(runs)
        self._follow_state()
        self.update_buttons()

    def _on_task(self) -> None:
        self.panel.set_idle_curves(settings_for(self.form.task_name)().curves())

    def _on_run(self, run: str) -> None:
        shown = self.panel.run
        self._before = shown.state if shown is not None else ""
        self._notices = 0
        self.orders.read()
        self.update_buttons()

    def _on_history(self, history: RunHistory) -> None:
        """Pass on what the run in view warns of."""
        going_on = self.panel.run is not None and self.panel.run.state in GOING_ON
        warnings = [n for n in history.notices if n.level == "warning"]
        if going_on and len(warnings) > self._notices and not self._has_error():
            self.bar.show_message("warning", warnings[-1].message)
        self._notices = len(warnings)

    def expect_end(self) -> None:
        """Speak of the run in view when it ends, even if it ends before it was ever seen going on."""
        self._before = "running"

    def _follow_state(self) -> None:
        """Say what the run in view has come to, once, and what to do next."""
        shown = self.panel.run
        if shown is None or self.runs.waiting:
            return
        before, self._before = self._before, shown.state
        opened, self._opened = self._opened, False
        ended = before in GOING_ON and shown.state not in GOING_ON
        if ended and shown.state == "finished":
            self._say_finished(shown)
        elif shown.state == "interrupted" and (ended or opened) and not self._has_error():
            self.bar.show_message("warning", INTERRUPTED.format(shown.id), "Go on ▸", self.resume_shown)

    def _has_error(self) -> bool:
        """Whether the bar shows an error, which nothing lesser may replace."""
        return bool(self.bar.text) and self.bar.level == "error"

    def _say_finished(self, run: RunInfo) -> None:
        said = figures(run.summary)
        text = f"{run.id} has finished" + (f": {said[0]}." if said else ".")
        unseen = run.summary.get("validation") or {}
        if unseen.get("mean_displacement", 0.0) > WORSE * unseen.get("random_displacement", float("inf")):
            text += " Worse than random: is one of them stored upside down? Order slices tells."
            self.bar.show_message("warning", text, "Order slices ▸", self.order_shown)
        elif run.task == ORDERED_BY:
            self.bar.show_message("success", text, "Order slices ▸", self.order_shown)
        else:
            self.bar.show_message("success", text)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle, the plots too."""
        super().apply_theme(colors)
        if hasattr(self, "panel"):
            self.panel.apply_theme(colors)
