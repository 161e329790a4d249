"""The run in view with its curves and pictures, and all other runs of its kind: what the training stages have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_sortingloss import wording
from napari_sortingloss.errors import UserError
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.widgets.runs.batch_strip import BatchStrip
from napari_sortingloss.widgets.runs.confusion import ConfusionRow
from napari_sortingloss.widgets.runs.curves import Compared, CurveRow
from napari_sortingloss.widgets.runs.run_table import GOING_ON, SIGNS, RunTable, given
from napari_sortingloss.widgets.runs.run_watch import RunHistory, RunWatcher
from napari_sortingloss.widgets.runs.run_words import best_run
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.lifetime import follow
from napari_sortingloss.widgets.toolkit.theme import Colors


class RunStatus(QWidget):
    """One line that says how far the run in view is, over a progress bar while it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 0, 2, 0)
        layout.setSpacing(3)
        layout.addWidget(self.text)
        layout.addWidget(self.progress)
        self.say(None, RunHistory())

    def wait(self, text: str) -> None:
        """Say what is waited for, with a bar that only moves."""
        self.text.setText(text)
        self.progress.setRange(0, 0)
        self.progress.show()
        self.show()

    def say(self, info: RunInfo | None, history: RunHistory) -> None:
        """Say how far a run is."""
        self.setVisible(info is not None)
        progress = history.progress
        going_on = info is not None and info.state in GOING_ON
        self.progress.setVisible(going_on and progress is not None)
        if info is None:
            return
        self.setToolTip(f"{info.title}\n{given(info.settings)}")
        if progress is not None:
            self.progress.setRange(0, progress.total)  # without an end it only moves
            self.progress.setValue(min(progress.done, progress.total))
        if info.state == "running" and progress is not None:
            of = f"/{progress.total:,}" if progress.total else ""
            parts = [f"step {progress.done:,}{of}", progress.what]
            if progress.seconds_left is not None:
                parts.append(f"{wording.duration(progress.seconds_left)} left")
            self.text.setText(" · ".join(part for part in parts if part))
            return
        step, steps = info.summary.get("step", 0), info.summary.get("steps", 0)
        said = history.state.message if history.state is not None else ""
        sign, of = SIGNS.get(info.state, info.state), f" of {steps:,}" if steps else ""
        if info.state == "finished":
            text = (
                f"{sign} after all {steps:,} steps" if steps else f"{sign}: {said or f'after {step:,} steps'}"
            )
        else:
            text = f"{sign} at step {step:,}{of}" + (f" · {said}" if said and info.state == "failed" else "")
        self.text.setText(text)


class RunView(QWidget):
    """Shows one run while it goes on, or as it was, and lets others be compared with it.

    A subclass says which figures of a run are drawn (`figures_of`).

    Parameters
    ----------
    background : Background

    Attributes
    ----------
    run_changed : psygnal.Signal
        ``run_changed(id)``: another run is in view; an empty string for none.
    history_changed : psygnal.Signal
        ``history_changed(RunHistory)``.
    wished : psygnal.Signal
        A person chose what is in view: see `remembered`.
    status : RunStatus
        Not laid out here: the stage puts it where it never scrolls away.
    column : QVBoxLayout
        What is shown, from the curves down to the table of runs.
    """

    run_changed = Signal(str)
    history_changed = Signal(object)
    wished = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._runs: dict[str, RunInfo] = {}
        self._wish = ""  # the run that a person looked at last
        self._ticks: list[
            str
        ] = []  # runs that were ticked when the study was last open, until they are there
        self._idle_curves: tuple[Curve, ...] = ()
        self._others: dict[str, RunWatcher] = {}
        self._curves_of: dict[str, tuple[Curve, ...]] = {}
        self.watcher = RunWatcher(background, self)
        self.status = RunStatus()
        self.curves = CurveRow()
        self.strip_title = QLabel()
        self.strip_title.setWordWrap(True)
        self.strip_title.setProperty("muted", True)
        self.strip = BatchStrip()
        self.confusion = ConfusionRow()
        self.table = self.make_table()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(4)
        for widget in (self.curves, self.strip_title, self.strip, self.confusion, self.table):
            self.column.addWidget(widget)
        follow(self, self.watcher.changed, self._on_history)
        follow(self, self.table.chosen, self.show_run)
        follow(self, self.table.compared, self._on_ticked)

    def make_table(self) -> RunTable:
        """Return the table of runs; a stage that does more with its runs has one of its own."""
        return RunTable()

    def figures_of(self, info: RunInfo) -> tuple[Curve, ...]:
        """Return the figures worth drawing of a run.

        Raises
        ------
        UserError
            If this version cannot read the run's settings.
        """
        raise NotImplementedError

    @property
    def run(self) -> RunInfo | None:
        """The run in view, as the study folder last showed it."""
        path = self.watcher.path
        return self._runs.get(path.name) if path is not None else None

    @property
    def active(self) -> RunInfo | None:
        """The run that is going on, wherever it trains; the one in view if several are."""
        going_on = [info for info in self._runs.values() if info.state in GOING_ON]
        shown = self.run
        return shown if shown in going_on else next(iter(going_on), None)

    def set_runs(self, runs: Sequence[RunInfo]) -> None:
        """Take the runs there are now."""
        self._runs = {info.id: info for info in runs}
        self.table.set_runs(runs)
        shown = self.watcher.path
        if shown is not None and shown.name not in self._runs:
            self.watcher.watch(None)
            self.run_gone()
        if self.watcher.path is None and runs:
            self._show(self._first(runs))
        elif self.watcher.path is not None:
            self.table.select(self.watcher.path.name)
        self._tick_again()
        gone = set(self._others) - set(self._runs)
        for run_id in gone:
            self._drop(run_id)
        if gone:
            self._draw()
        self._arrange()
        self.status.say(self.run, self.watcher.history)

    def _first(self, runs: Sequence[RunInfo]) -> str:
        """Return what to show first: what goes on, what a person looked at last, or the best there is."""
        going_on = next((info.id for info in runs if info.state in GOING_ON), "")
        return going_on or (self._wish if self._wish in self._runs else best_run(runs))

    def show_run(self, run_id: str) -> None:
        """Bring a run into view, and again when the study is opened anew."""
        self.wish(run_id)
        self._show(run_id)

    def wish(self, run_id: str) -> None:
        """Bring a run into view when the study is opened anew."""
        if run_id in self._runs and run_id != self._wish:
            self._wish = run_id
            self.wished.emit()

    def remembered(self) -> dict[str, Any]:
        """Return what a person has chosen to see, JSON-ready."""
        return {"run": self._wish, "ticks": [*self.table.ticked(), *self._ticks]}

    def recall(self, values: Mapping[str, Any]) -> None:
        """Show what `remembered` returned when this study was last open."""
        run, ticks = values.get("run"), values.get("ticks")
        self._wish = run if isinstance(run, str) else ""
        self._ticks = [one for one in ticks if isinstance(one, str)] if isinstance(ticks, list) else []
        self._tick_again()
        if self.run is not None:
            self._show(self._first(list(self._runs.values())))

    def _tick_again(self) -> None:
        for run_id in [one for one in self._ticks if one in self._runs]:
            self._ticks.remove(run_id)
            self.table.tick(run_id)
        if self._runs:  # what is not there by now is gone
            self._ticks.clear()

    def _on_ticked(self) -> None:
        self._on_compared()
        self.wished.emit()

    def _show(self, run_id: str) -> None:
        info = self._runs.get(run_id)
        if info is None:
            return
        self.table.select(run_id)
        self.run_gone()
        self.watcher.watch(info.path)
        self._on_compared()
        self.run_changed.emit(run_id)
        self._arrange()

    def forget(self) -> None:
        """Another study was opened: nothing of the old one stays in view."""
        self._curves_of.clear()
        for run_id in list(self._others):
            self._drop(run_id)
        self.run_gone()
        self.watcher.watch(None)
        self._wish, self._ticks = "", []
        self.set_runs(())
        self.show_training()

    def run_gone(self) -> None:
        """Another run, or none, is about to be in view: a subclass lets go of what it shows of the one before."""

    def show_training(self) -> None:
        """Bring the curves to the front, where anything could be in front of them."""

    def set_idle_curves(self, curves: tuple[Curve, ...]) -> None:
        """Say which figures are drawn while no run is in view."""
        self._idle_curves = curves
        self._arrange()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle the plots."""
        for part in (self.curves, self.strip, self.confusion, self.table):
            part.apply_theme(colors)

    def _on_history(self, history: RunHistory) -> None:
        self._draw()
        self.strip.set_snapshot(history.snapshot, history.picture)
        self.confusion.set_matrices(history.matrices)
        self.status.say(self.run, history)
        self._arrange()
        self.history_changed.emit(history)

    def _on_compared(self) -> None:
        shown = self.watcher.path
        wanted = [r for r in self.table.ticked() if shown is None or r != shown.name]
        for run_id in set(self._others) - set(wanted):
            self._drop(run_id)
        for run_id in wanted:
            if run_id not in self._others:
                # Each with a queue of its own: calls of one topic overtake each other.
                watcher = RunWatcher(Background(self), self)
                self._others[run_id] = watcher
                follow(self, watcher.changed, self._draw_others)
                watcher.watch(self._runs[run_id].path)
        self._draw()

    def _draw_others(self, _: RunHistory) -> None:
        self._draw()

    def compared(self) -> list[Compared]:
        """Return what is drawn behind the curves of the run in view: the runs that are ticked."""
        return [
            Compared(self._runs[run_id].title, self.table.colour_of(run_id), self._others[run_id].history)
            for run_id in self.table.ticked()
            if run_id in self._others and run_id in self._runs
        ]

    def _draw(self) -> None:
        self.curves.set_history(self.watcher.history, self.compared())

    def _drop(self, run_id: str) -> None:
        watcher = self._others.pop(run_id)
        watcher.watch(None)
        watcher.deleteLater()

    @property
    def training_shown(self) -> bool:
        """Whether the curves are in front."""
        return True

    def _arrange(self) -> None:
        self.curves.set_curves(self._curves())
        training = self.training_shown
        self.curves.setVisible(training)
        self.strip_title.setText(self.strip.title)
        for part in (self.strip_title, self.strip):
            part.setVisible(training and self.strip.tiles > 0)
        self.confusion.setVisible(training and not self.confusion.empty)
        self.table.setVisible(bool(self._runs))

    def _curves(self) -> tuple[Curve, ...]:
        """Return the figures of the run in view; a run whose settings cannot be read shows its loss."""
        info = self.run
        if info is None:
            return self._idle_curves
        if info.id not in self._curves_of:
            try:
                self._curves_of[info.id] = self.figures_of(info)
            except UserError:
                self._curves_of[info.id] = (Curve("loss", "loss", main=True),)
        return self._curves_of[info.id]
