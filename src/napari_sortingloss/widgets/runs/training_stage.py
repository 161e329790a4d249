"""What the stages that train have in common: start, pause, stop and go on, wherever the run trains, and say how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from qtpy.QtWidgets import QPushButton

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.runs.run_actions import RunActions
from napari_sortingloss.widgets.runs.run_table import GOING_ON
from napari_sortingloss.widgets.runs.run_view import RunView
from napari_sortingloss.widgets.runs.run_watch import RunHistory
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.stage import Stage, allow, set_property
from napari_sortingloss.widgets.toolkit.shortcuts import keys_of
from napari_sortingloss.widgets.toolkit.theme import Colors

INTERRUPTED = "{} was cut off in the middle. Nothing is lost but the work since its last checkpoint."


class TrainingForm(Protocol):
    """What a stage that trains asks of its form."""

    changed: Any
    asked: bool
    edits: Any
    needs: Any
    run_name: Any
    problem: str

    def settings(self) -> Any:
        """Return the settings of a run."""

    def error(self) -> UserError | None:
        """Return what is wrong with them, or None."""

    def remembered(self) -> dict[str, Any]:
        """Return what a person has chosen, JSON-ready."""

    def recall(self, values: dict[str, Any]) -> None:
        """Show what `remembered` returned."""

    @property
    def detached(self) -> bool:
        """Whether to run in a process of its own."""


class TrainingStage(Stage):
    """A stage with a form, a run in view, and buttons that start, pause, stop and resume runs of one kind.

    A subclass makes `runs`, `form` and `panel`, adds its buttons with `add_training_buttons` (its own go between), and
    says why a run cannot be started (`why_not_start`) and what to do after one has finished (`say_finished`).

    Attributes
    ----------
    begin : str
        What the primary button says when nothing goes on.
    end : str
        What it says while a run goes on.
    runs : RunActions
    form : TrainingForm
    panel : RunView
    """

    begin: ClassVar[str] = "Start"
    end: ClassVar[str] = "Stop"
    runs: RunActions
    form: Any
    panel: RunView

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer)
        self._opened = False  # a study was opened and its runs have not been looked at
        self._remembering = False  # what the form and the panel show is what a person chose
        self._before = ""  # the state of the run in view when it was last looked at
        self._notices = 0

    def add_training_buttons(self, *others: tuple[str, Any, str]) -> list[QPushButton]:
        """Add the buttons at the bottom, the stage's own (text, action, key) among them; return its own."""
        frame = self.frame
        frame.insertWidget(frame.indexOf(self.strip), self.panel.status)  # does not scroll away
        self.resume_button = self.add_button("&Go on", self.resume_shown, key=f"{self.key}.go_on")
        own = [self.add_button(text, action, key=key) for text, action, key in others]
        self.pause_button = self.add_button("Pa&use", self.runs.pause, key=f"{self.key}.pause")
        self.start_button = self.add_button(self.begin, self.start_or_stop, primary=True)
        return own

    def follow_training(self) -> None:
        """Follow the jobs, the form and the run in view."""
        self.follow(self.session.runs_changed, self._on_runs)
        self.follow(self.session.jobs.changed, self.update_buttons)
        self.follow(self.session.memory_changed, self.recall)
        self.follow(self.form.changed, self.update_buttons)
        self.follow(self.form.changed, self.remember)
        self.follow(self.panel.wished, self.remember)
        self.follow(self.panel.run_changed, self._on_run)
        self.follow(self.panel.history_changed, self._on_history)
        self.follow(self.panel.watcher.failed, self.bar.show_error)
        self.follow(self.panel.table.resume_requested, self.runs.resume)
        self.follow(self.panel.table.settings_requested, self.use_settings)
        self.follow(self.panel.table.delete_requested, self.runs.delete)
        self.follow(self.panel.table.renamed, self.runs.rename)
        self.runs.adopt()

    # ------------------------------------------------------------------------------------------- what a stage says
    def why_not_start(self) -> str:
        """Return why a run cannot be started; empty if it can."""
        raise NotImplementedError

    def say_finished(self, run: RunInfo) -> None:
        """Say that the run in view has finished, how good it is and what to do next."""
        raise NotImplementedError

    def show_settings(self, info: RunInfo) -> None:
        """Show the settings of an earlier run in the form.

        Raises
        ------
        BadSetting
            If this version cannot use them.
        """
        raise NotImplementedError

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

    def use_settings(self, run: str) -> None:
        """Begin the next run with the settings of an earlier one."""
        info = next((info for info in self.session.runs if info.id == run), None)
        if info is None:
            return
        try:
            self.show_settings(info)
        except UserError as error:
            self.bar.show_error(error)

    def steps_to(self, info: RunInfo) -> int:
        """Return to how many steps *Go on* trains a run, 0 for no end: its own, unless it has done those and more are asked for."""
        had, asked = int(info.summary.get("steps") or 0), self.form.edits["steps"].value()
        if info.state != "finished" or not self.form.asked:
            return had
        return 0 if not had or not asked else max(had, int(asked))

    def hidden_kinds(self) -> tuple[str, ...]:
        """Return the kinds of jobs whose progress the stage itself shows now.

        A run that loads its libraries, or trains in a study that is no longer open, is a job like any other.
        """
        return (self.runs.kind,) if self.panel.active is not None else ()

    def update_buttons(self) -> None:
        """Let each button say what it does now, or why it cannot, and the lines above them what is going on."""
        busy, active, shown = self.runs.busy, self.panel.active, self.panel.run
        self.form.needs.set_busy(busy or self.session.jobs.running is not None)
        self.strip.hide_kinds(self.hidden_kinds())
        if self.runs.starting_process:
            self.panel.status.wait("starting a process of its own…")
        stopping = busy and self.runs.asked == "stop"
        self.start_button.setText("Stopping…" if stopping else self.end if busy else self.begin)
        set_property(self.start_button, "stop", busy)
        which = active.title if active is not None else "it"
        why, tip = "", f"Stop {which}; it writes a checkpoint and can go on later"
        if stopping:
            why = "It finishes its step, writes a checkpoint and stops"
        elif not busy:
            why = self.why_not_start() or self.form.problem
            tip = "Start a new run"
        allow(self.start_button, why, f"{tip} ({keys_of('any.primary')})")
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
        allow(self.pause_button, wait, f"{tip} ({keys_of(f'{self.key}.pause')})")
        self.resume_button.setVisible(not busy and shown is not None)
        if shown is not None:
            self._update_resume(shown)

    def _update_resume(self, shown: RunInfo) -> None:
        steps, to = shown.summary.get("steps", 0), self.steps_to(shown)
        why, until = "", f"to step {to:,}" if to else "until you stop it"
        if shown.state == "finished" and steps and 0 < to <= steps:
            why = f"It has done all its {steps:,} steps; to train it further, set Steps to how many it is to have"
        more = shown.state == "finished" and not why
        self.resume_button.setText(f"&Go on to {to:,}" if more and to else "&Go on")
        keys = keys_of(f"{self.key}.go_on")
        allow(self.resume_button, why, f"Go on with {shown.title} from its last checkpoint, {until} ({keys})")

    # ------------------------------------------------------------------------------------ following the session
    def remember(self, *_: object) -> None:
        """Keep what a person has chosen, so that it comes back with the study."""
        if self._remembering:
            chosen = {"form": self.form.remembered(), **self.panel.remembered(), **self.own_choices()}
            self.session.remember(self.key, chosen)

    def recall(self) -> None:
        """Show what was chosen when this study was last open."""
        chosen = self.session.chosen(self.key)
        form = chosen.get("form")
        self._remembering = False
        self.form.recall(form if isinstance(form, dict) else {})
        self.panel.recall(chosen)
        self.recall_own_choices(chosen)
        self._remembering = True

    def own_choices(self) -> dict[str, Any]:
        """Return what else a person has chosen, JSON-ready; for a subclass with more than a form and runs."""
        return {}

    def recall_own_choices(self, chosen: Mapping[str, Any]) -> None:
        """Show what `own_choices` returned, as far as it is there."""

    def forget_runs(self, study: Any) -> None:
        """Another study was opened: nothing of the old one stays in view."""
        self._remembering = False
        self.runs.forget()
        self._before, self._opened = "", study is not None
        self.panel.forget()

    def _on_runs(self) -> None:
        runs = [info for info in self.session.runs if info.kind == self.runs.kind]
        self.form.run_name.set_runs(self.session.runs)
        self.panel.set_runs(runs)
        self.runs.note(runs)
        self._follow_state()
        self.update_buttons()

    def _on_run(self, run: str) -> None:
        shown = self.panel.run
        self._before = shown.state if shown is not None else ""
        self._notices = 0
        self.update_buttons()

    def _on_history(self, history: RunHistory) -> None:
        """Pass on what the run in view warns of."""
        going_on = self.panel.run is not None and self.panel.run.state in GOING_ON
        warnings = [n for n in history.notices if n.level == "warning"]
        if going_on and len(warnings) > self._notices:
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
        if ended:
            self.run_ended(shown)
        if ended and shown.state == "finished":
            self.say_finished(shown)
        elif shown.state == "interrupted" and (ended or opened):
            self.bar.show_message("warning", INTERRUPTED.format(shown.title), "Go on ▸", self.resume_shown)

    def run_ended(self, run: RunInfo) -> None:
        """The run in view is going on no more, however it ended; for a subclass to follow."""

    def apply_theme(self, colors: Colors) -> None:
        """Restyle, the plots too."""
        super().apply_theme(colors)
        if hasattr(self, "panel"):
            self.panel.apply_theme(colors)
