"""The one training loop, a job like any other: it trains whatever a task describes and knows no particular one."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from enum import IntFlag
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import Event, Notice, Progress, Result, Split, State
from napari_sortingloss.training import failures
from napari_sortingloss.training.computer.devices import pick_device
from napari_sortingloss.training.computer.machine import choose_machine
from napari_sortingloss.training.computer.pace import SAVE_SECONDS, Laps
from napari_sortingloss.training.computer.place import Place
from napari_sortingloss.training.computer.processes import Workers, World, own_place, own_places, part
from napari_sortingloss.training.computer.speeds import known_pace, remember_pace
from napari_sortingloss.training.curves import main_curve
from napari_sortingloss.training.loop import checkpoints
from napari_sortingloss.training.loop.engine import Engine
from napari_sortingloss.training.loop.feed import Feed
from napari_sortingloss.training.loop.interrupts import deaf, unbroken
from napari_sortingloss.training.loop.meters import Every, Sums
from napari_sortingloss.training.loop.reporter import Reporter
from napari_sortingloss.training.loop.saving import Keeper, begin_anew_or_again
from napari_sortingloss.training.task import PretextTask, StepOutput

if TYPE_CHECKING:
    from napari_sortingloss.study import RunWriter, Study, Volume

REVIEW_EVERY = 20
"""Steps between two calls of `PretextTask.review`."""

PAUSE_SECONDS = 0.2
"""How often a paused run looks whether it may go on."""


class _Order(IntFlag):
    """What the first process decides before a step, for all processes."""

    GO_ON = 0
    STOP = 1
    PAUSE = 2
    REPORT = 4
    SAVE = 8
    LEAVE = 16


def fit(
    task: PretextTask[Any],
    study: Study,
    writer: RunWriter | None,
    train: Sequence[Volume],
    validation: Sequence[Volume] = (),
    *,
    resume: bool = False,
    place: Place | None = None,
) -> Generator[Event]:
    """Train a task: a job that reports as it goes and can be closed, paused, stopped, killed and resumed.

    Parameters
    ----------
    task : PretextTask
        What to train; its settings say how long and on what device. The caller has let it `check` the volumes.
    study : Study
        The study of the volumes.
    writer : RunWriter or None
        The run to write to, held by the caller. None in every process but the first (rank 0).
    train, validation : sequence of Volume
        The volumes to learn from, and those to measure on.
    resume : bool
        Whether to go on from the run's last checkpoint.
    place : Place, optional
        Where this process stands among several; found by itself under ``torchrun`` and ``srun``. With
        ``settings.devices > 1`` and nothing of the kind, this process starts the others.

    Yields
    ------
    Event
        `StateChanged` first and, unless the job was closed or failed, `Result` last; nothing but in the first
        process.

    Raises
    ------
    UserError
        If something stands in the way that a person can mend; the run's state is ``failed`` then.
    """
    place = place or Place.of_this_process()
    run = _Fit(task, study, writer, train, validation, resume, place).run()
    try:
        for event in run:
            if place.rank == 0:
                yield event
    finally:
        run.close()


class _Fit:
    def __init__(
        self,
        task: PretextTask[Any],
        study: Study,
        writer: RunWriter | None,
        train: Sequence[Volume],
        validation: Sequence[Volume],
        resume: bool,
        place: Place,
    ) -> None:
        self.task, self.study, self.writer = task, study, writer
        self.train, self.validation = train, validation
        self.resume, self.place = resume, place
        self.settings = task.settings
        self.keeper = Keeper(writer.run.path if writer else None, main_curve(task.curves), task.whole_model)
        self.step = 0
        self.before = (0.0, 0)  # seconds and slices of earlier sessions
        self.measured_on = self.settings.measured_on() if validation else 0
        self.began = time.monotonic()
        expected = known_pace(self.settings, pick_device(self.settings), train) if writer else None
        self.report = Reporter(writer, self.settings.steps, Laps(self.settings, self.measured_on, expected))
        self.save_due = Every(SAVE_SECONDS, at_once=False)
        self.begun = False  # the run's state says that it is running
        self.whole = False  # what is in memory is the state after `step` steps
        self.paused = False
        self.training = False  # all processes are between two steps, waiting for an order
        self.leaving = False  # nothing is measured any more
        self.workers: Workers | None = None

    def run(self) -> Generator[Event]:
        with ExitStack() as self.stack:
            try:
                yield from self._begin()
                outcome = yield from self._train()
                yield from self._end(*outcome)
            except GeneratorExit:
                self._leave(*self._ended("the run was closed"))
                raise
            except KeyboardInterrupt:
                self._leave(*self._ended("the run was interrupted"))
                raise
            except Exception as error:
                told = self._explained(error)
                self._leave("failed", str(told))
                if told is error:
                    raise
                raise told from error

    def _begin(self) -> Generator[Event]:
        found = begin_anew_or_again(self.writer, self.resume, self.settings.steps)
        if found is not None:
            self.step = found.step
        self.begun = True
        yield self.report.state("running", self.step)
        yield self.report.progress(0, "getting ready")
        if self.place.size == 1 and self.settings.devices > 1:
            yield from self._start_workers()
        if self.place.rank > 0:
            self.stack.enter_context(deaf())
        self.task.prepare(self.study, self.train, self.validation, resume=self.resume)
        self.machine = choose_machine(self.settings, self.place.local_size)
        self.stack.callback(part)
        self.engine = Engine(self.task, self.machine, self.place)
        self.stack.callback(self.engine.close)
        self.world = World(self.place)
        found = self.world.share(found)
        if found is not None:
            self.step = self.keeper.saved = found.step
            self.keeper.best, self.before = found.best, (found.seconds, found.slices)
            self.report.figures, self.report.measured = dict(found.metrics), dict(found.validation)
            self.engine.load(found)
        del found
        self.spec = self.task.input_spec(self.train)
        self._feed()
        self.stack.callback(lambda: self.feed.close())
        self.whole = True
        yield self.report.tell(Notice(message=self.machine.text))

    def _start_workers(self) -> Iterator[Event]:
        first, *others = own_places(self.settings.devices)
        kind = type(self.task)
        order = {
            "study": str(self.study.path),
            "task": f"{kind.__module__}:{kind.__qualname__}",
            "settings": self.settings.to_json(),
            "train": [v.name for v in self.train],
            "validation": [v.name for v in self.validation],
        }
        self.workers = Workers([{**order, **other} for other in others])
        self.stack.callback(self.workers.close)
        for _ in self.workers.wait_ready():
            yield self.report.progress(self.step, "starting processes")
        self.place = own_place(**first)

    def _train(self) -> Generator[Event, None, tuple[State, str]]:
        alone = self.world.size == 1
        self.training = True
        self.report.clock.start()
        self.report.laps.start()
        self.prepared = time.monotonic() - self.began
        try:
            while self.settings.endless or self.step < self.settings.steps:
                with nullcontext() if alone else unbroken():
                    order = _Order(self.world.agree(self._decide()))
                    if order & _Order.STOP:
                        self.training, self.leaving = False, bool(order & _Order.LEAVE)
                        return self._ended("")
                    events = self._pause() if order & _Order.PAUSE else self._turn(order)
                    if not alone:  # the others must never wait for whoever reads the events
                        events = iter(list(events))
                yield from events
        except KeyboardInterrupt:  # on a terminal this is how a run without an end is stopped
            if not (self.settings.endless and self.whole and self.step and alone):
                raise
            self.training = False
            return self._ended("")
        self.training = False
        return "finished", ""

    def _ended(self, why: str) -> tuple[State, str]:
        """Return what a run has come to that somebody has ended: one that has no end of its own is finished then."""
        if self.settings.endless and self.step:
            return "finished", f"{why or 'stopped by you'} after {self.step:,} steps"
        return "stopped", why

    def _end(self, outcome: State, message: str) -> Iterator[Event]:
        self.report.clock.stop()
        yield from self._save()
        last_steps = self.step % self.settings.validate_every
        if self.settings.endless and last_steps and not self.leaving:  # they count too
            yield from self._tell_training()
            yield from self._judge(measure=True, save=True)
            self.report.clock.stop()
        if self.writer is None:
            return
        speed = self.report.clock.slices / self.report.clock.seconds if self.report.clock.seconds > 0 else 0.0
        pace = self.report.laps.whole(self.prepared)
        if pace is not None:
            remember_pace(self.settings, pick_device(self.settings), self.train, pace)
        yield self.report.state(outcome, self.step, message)
        value = {
            "run": self.writer.run.id,
            "task": self.task.name,
            "state": outcome,
            "steps": self.step,
            "seconds": round(self.before[0] + self.report.clock.seconds, 3),
            "slices_per_second": round(speed, 2),
            "metrics": self.report.figures,
            "validation": self.report.measured,
            **self.task.achieved(),
        }
        yield self.report.tell(Result(value=value))

    def _leave(self, state: State, message: str) -> None:
        """Save what can be saved and write the last state; nothing can be yielded any more."""
        together = getattr(self, "world", None) is not None and self.world.size > 1
        if together and self.training and self.whole and state != "failed":
            self.world.agree(_Order.STOP | _Order.LEAVE)
            together = False  # the others follow the order and save too
        if self.whole and not together and self.step > self.keeper.saved:
            try:
                for _ in self._save():
                    pass
            except Exception as problem:
                message = f"{message} (and could not be saved: {problem})"
        if self.begun:
            with (
                suppress(UserError) if state == "failed" else nullcontext()
            ):  # the first problem is the one to tell
                self.report.state(state, self.step, message)

    def _explained(self, error: Exception) -> Exception:
        if failures.is_out_of_memory(error):
            return failures.out_of_memory()
        if self.workers is not None and not isinstance(error, UserError):
            return self.workers.problem(patience=5.0) or error
        return error

    def _decide(self) -> _Order:
        if self.writer is None:
            return _Order.GO_ON
        command = self.writer.command()
        if command != "run":
            return _Order.STOP if command == "stop" else _Order.PAUSE
        self.writer.heartbeat()
        order = _Order.REPORT if self.report.metrics_due.due() else _Order.GO_ON
        return order | _Order.SAVE if self.save_due.due() else order

    def _pause(self) -> Iterator[Event]:
        if not self.paused:
            self.paused = True
            self.report.clock.stop()
            yield from self._save()
            yield self.report.state("paused", self.step)
        if self.writer is not None:
            self.writer.heartbeat()
            time.sleep(PAUSE_SECONDS)
            self.report.laps.lap("pause")
            yield Progress(done=self.step, total=self.settings.steps, what="paused", unit="steps")

    def _turn(self, order: _Order) -> Iterator[Event]:
        if self.paused:
            self.paused = False
            self.report.clock.start()
            yield self.report.state("running", self.step)
        output = None
        try:
            count, batch = self.feed.next()
            with unbroken():
                self.whole = False
                output = self.engine.learn(batch)
                self.report.add(output.loss, output.metrics)
                self.step += 1
                notices = self.task.review(self.step) if self.step % REVIEW_EVERY == 0 else ()
                self.report.clock.step(count * self.world.size)
                self.report.laps.lap("step")
                self.whole = True
        except (RuntimeError, MemoryError) as error:
            if not failures.is_out_of_memory(error) or self.world.size > 1:
                raise
            self.whole = not self.engine.updating
            output = None
        if output is None:  # outside of the handler, which would keep the memory of the failed step
            yield from self._shrink()
            return
        for notice in notices:
            yield self.report.tell(notice)
        yield from self._look(order, output)

    def _shrink(self) -> Iterator[Event]:
        self.feed.close()
        self.engine.free()
        change = self.task.smaller()
        if change is None:
            raise failures.out_of_memory()
        self._feed()
        self.whole = True
        yield self.report.tell(
            Notice(message=f"The memory did not suffice; training {change}.", level="warning")
        )

    def _look(self, order: _Order, output: StepOutput) -> Iterator[Event]:
        """Report, measure and save after a step, where it is time."""
        settings = self.settings
        last = self.step == settings.steps
        measure = last or self.step % settings.validate_every == 0
        save = self.step % settings.checkpoint_every == 0 or bool(order & _Order.SAVE) or last
        if order & _Order.REPORT or (measure and self.validation) or save:
            yield from self._tell_training()
        yield from self.report.snapshot_if_due(self.step, output)
        yield from self.report.preview_if_due(
            self.step, lambda request: self.engine.preview(request, self.step)
        )
        yield from self.report.progress_if_due(self.step)
        yield from self._judge(measure=measure, save=save)

    def _tell_training(self) -> Iterator[Event]:
        self.whole = False  # until it is known that the loss is a number
        told = list(self.report.training(self.step, self.world))
        self.whole = True
        yield from told

    def _judge(self, *, measure: bool, save: bool) -> Iterator[Event]:
        """Measure and save, and keep what is the best so far."""
        best = False
        if measure and self.validation:
            yield from self._measure()
            best = self.keeper.is_better(self.report.measured)
        elif measure:
            yield from list(self._tables())
        if save and not self.validation:
            best = self.keeper.is_better(self.report.since_save())
        if save or best:
            yield from self._save(best=best)

    def _measure(self) -> Iterator[Event]:
        self.report.clock.stop()
        mine: list[Sums] = []
        for index in range(self.world.rank, len(self.validation), self.world.size):
            volume = self.validation[index]
            work = self.engine.measure(volume, index, self.step)
            while True:
                try:
                    next(work)
                except StopIteration as end:
                    mine.append({k: (float(v), 1) for k, v in end.value.items()})
                    break
                yield from self.report.progress_if_due(self.step, f"measuring on {volume.name}")
        parts = [part for parts in self.world.gather(mine) for part in parts]
        # All written before any is handed on: who reads may close the run in between.
        pooled = self.task.pooled([{k: total for k, (total, _) in one.items()} for one in parts])
        told = [self.report.validation(self.step, parts, pooled), *self._tables()]
        self.report.laps.lap("measure")
        self.report.clock.start()
        yield from told

    def _tables(self) -> Iterator[Event]:
        """Report what a task that classifies has taken for what."""
        splits: tuple[Split, ...] = ("train", "validation")
        for split in splits:
            parts = self.world.gather(self.task.take_matrix(split))
            yield from self.report.matrix(self.step, split, parts)

    def _save(self, *, best: bool = False) -> Iterator[Event]:
        if self.step == self.keeper.saved and not best:
            return
        tasks = self.world.gather(self.task.state_dict())
        found = checkpoints.Checkpoint(
            step=self.step,
            network=self.engine.network.state_dict(),
            optimizer=self.engine.optimizer.state_dict(),
            tasks=tasks,
            settings=self.settings.to_json(),
            best=self.keeper.best,
            seconds=self.before[0] + self.report.clock.now(),
            slices=self.before[1] + self.report.clock.slices,
            metrics=self.report.figures,
            validation=self.report.measured,
        )
        with unbroken():
            saved = self.keeper.save(self.engine, found, self.spec, best=best)
        self.report.laps.lap("save")
        self.save_due.restart()
        for event in saved:
            yield self.report.tell(event)

    def _feed(self) -> None:
        first, stop, rank = self.step, self.settings.steps or sys.maxsize, self.world.rank
        self.feed = Feed(self.task, self.train, self.machine, self.engine.device, rank, first, stop)
