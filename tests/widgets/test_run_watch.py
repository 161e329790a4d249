"""Following a run through its events.jsonl: as it grows, half written, rewound and deleted."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from napari_sortingloss.events import Metrics, Notice, Progress, Snapshot
from napari_sortingloss.study.runs.event_log import encode
from napari_sortingloss.widgets.runs.run_watch import RunHistory, RunWatcher, smooth
from napari_sortingloss.widgets.toolkit.background import Background


def loss(step: int, value: float, split: Any = "train") -> Metrics:
    return Metrics(step=step, values={"loss": value}, split=split)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder / "events.jsonl"


@pytest.fixture
def watcher(keep, qapp) -> RunWatcher:
    from qtpy.QtWidgets import QWidget

    owner = keep(QWidget())
    made = RunWatcher(Background(owner), owner)
    made._timer.setInterval(20)
    return made


def write(path: Path, *events: Any) -> None:
    with path.open("ab") as file:
        file.write(b"".join(encode(event) for event in events))


def test_a_history_sorts_figures_by_split_and_keeps_the_last_of_the_rest():
    history = RunHistory()
    history.take([loss(1, 0.5), loss(2, 0.4), loss(2, 0.6, "validation")])
    history.take(
        [Progress(done=1, total=9), Progress(done=2, total=9), Notice(message="look", level="warning")]
    )
    assert history.train == {"loss": ([1, 2], [0.5, 0.4])}
    assert history.validation == {"loss": ([2], [0.6])}
    assert history.progress.done == 2
    assert [n.message for n in history.notices] == ["look"]


def test_new_lines_are_followed(watcher, log, qtbot):
    write(log, loss(1, 0.5))
    watcher.watch(log.parent)
    qtbot.waitUntil(lambda: "loss" in watcher.history.train)
    write(log, loss(2, 0.4), loss(3, 0.3))
    qtbot.waitUntil(lambda: watcher.history.train["loss"][0] == [1, 2, 3])


def test_a_half_written_line_comes_once_it_is_whole(watcher, log, qtbot):
    line = encode(loss(2, 0.4))
    write(log, loss(1, 0.5))
    with log.open("ab") as file:
        file.write(line[:20])
    watcher.watch(log.parent)
    qtbot.waitUntil(lambda: "loss" in watcher.history.train)
    qtbot.wait(60)
    assert watcher.history.train["loss"][0] == [1]
    with log.open("ab") as file:
        file.write(line[20:])
    qtbot.waitUntil(lambda: watcher.history.train["loss"][0] == [1, 2])


def test_what_lies_behind_the_checkpoint_of_a_resumed_run_is_forgotten(watcher, log, qtbot):
    write(log, *(loss(step, 1.0) for step in range(1, 8)))
    watcher.watch(log.parent)
    qtbot.waitUntil(lambda: "loss" in watcher.history.train)
    rewound = log.with_name("new")
    write(rewound, loss(1, 1.0), loss(2, 1.0))
    rewound.replace(log)
    qtbot.waitUntil(lambda: watcher.history.train["loss"][0] == [1, 2])


def test_the_picture_of_a_snapshot_comes_with_it(watcher, log, qtbot):
    (log.parent / "a.png").write_bytes(b"not read as an image here")
    write(log, Snapshot(step=1, picture="a.png", tiles=2))
    watcher.watch(log.parent)
    qtbot.waitUntil(lambda: watcher.history.snapshot is not None)
    assert watcher.history.picture == b"not read as an image here"


def test_a_run_without_events_yet_and_one_that_is_deleted_are_no_errors(watcher, log, qtbot):
    errors: list[Any] = []
    watcher.failed.connect(errors.append)
    watcher.watch(log.parent)
    qtbot.wait(60)
    write(log, loss(1, 0.5))
    qtbot.waitUntil(lambda: "loss" in watcher.history.train)
    shutil.rmtree(log.parent)
    qtbot.wait(80)
    assert errors == []


def test_another_run_begins_with_an_empty_history_and_late_answers_are_dropped(watcher, log, tmp_path, qtbot):
    write(log, loss(1, 0.5))
    watcher.watch(log.parent)
    other = tmp_path / "other"
    other.mkdir()
    watcher.watch(other)
    qtbot.wait(80)
    assert watcher.history.train == {}
    watcher.watch(None)
    assert watcher.path is None
    assert not watcher._timer.isActive()


def test_smoothing_averages_what_came_before_and_skips_what_is_no_number():
    assert smooth([]) == []
    assert smooth([1.0, 3.0], share=0.1) == [1.0, 3.0]
    assert smooth([1.0, 3.0, 5.0, math.nan], share=0.5) == [1.0, 2.0, 4.0, 5.0]
    assert math.isnan(smooth([math.nan, 1.0])[0])
