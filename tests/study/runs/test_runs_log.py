"""The log of a run is whole lines only, can be followed while it grows, and survives crashes and resumption."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.errors import OutOfSpace, UserError
from napari_sortingloss.events import Metrics, Notice, Progress, Result, Saved, Snapshot, StateChanged
from napari_sortingloss.study import RunWriter, Study
from napari_sortingloss.study.runs.event_log import EventLog


@pytest.fixture
def writer(study: Study) -> RunWriter:
    with study.new_run("pretrain", "sorting", {"steps": 100}) as held:
        yield held


def loss(step: int, value: float = 1.0) -> Metrics:
    return Metrics(step=step, values={"loss": value})


def steps(events: list) -> list[int]:
    return [event.step for event in events if isinstance(event, Metrics)]


def test_events_come_back_as_they_went_in(writer: RunWriter) -> None:
    sent = [
        StateChanged(state="running", message="begin ü"),
        Metrics(step=1, values={"loss": np.float32(0.5), "n": np.int64(3)}, split="validation"),
        Snapshot(step=1, picture="a.png", tiles=2, captions=("1", "2"), correct=(True, False), title="t"),
        Saved(step=1, file="last", best=True),
        Progress(done=1, total=2, seconds_left=None),
        Result(value={"run": "x", "metrics": {"loss": 0.5}}),
    ]
    for event in sent:
        writer.append(event)
    found = writer.run.events()
    assert [type(e) for e in found] == [type(e) for e in sent]
    assert found[1] == sent[1].replace(values={"loss": 0.5, "n": 3.0})
    assert [found[i] for i in (0, 2, 3, 4, 5)] == [sent[i] for i in (0, 2, 3, 4, 5)]


def test_numbers_that_json_cannot_hold_stay_valid_json(writer: RunWriter) -> None:
    writer.append(Metrics(step=1, values={"loss": math.nan, "top": math.inf}))
    line = (writer.path / "events.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail)["values"] == {"loss": None, "top": None}
    assert math.isnan(writer.run.events()[0].values["loss"])


def test_each_event_is_one_write_of_one_line(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = os.write
    monkeypatch.setattr(
        os, "write", lambda handle, data: (written.append(bytes(data)), write(handle, data))[1]
    )
    writer.append(Notice(message="two\nlines"))
    assert len(written) == 1
    assert written[0].count(b"\n") == 1


def test_a_follower_sees_each_event_once(writer: RunWriter) -> None:
    log = writer.run.follow()
    assert log.read_new() == []
    writer.append(loss(1))
    assert steps(log.read_new()) == [1]
    assert log.read_new() == []
    writer.append(loss(2))
    writer.append(loss(3))
    assert steps(log.read_new()) == [2, 3]
    assert (log.resets, log.skipped) == (0, 0)


def test_a_half_written_line_comes_when_it_is_whole(writer: RunWriter) -> None:
    writer.append(loss(1))
    line = (writer.path / "events.jsonl").read_bytes()
    log = writer.run.follow()
    with (writer.path / "events.jsonl").open("ab") as file:
        file.write(line[:20])
        file.flush()
        assert steps(log.read_new()) == [1]
        assert log.read_new() == []
        file.write(line[20:])
    assert steps(log.read_new()) == [1]


def test_lines_that_are_no_events_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [
        b'{"kind":"metrics","step":1,"values":{"loss":1},"time":0}',
        b"garbage",
        b"[1]",
        b"{}",
        b'{"kind":"metrics","step":2}',
        b'{"kind":"metrics","step":null,"values":{}}',
        b'{"kind":"metrics","step":1,"values":7}',
        b"\xff\xfe",
        b"",
        b'{"kind":"from the future","x":1}',
        b'{"kind":"metrics","step":3,"values":{},"new field":1}',
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    log = EventLog(path)
    found = log.read_new()
    assert steps(found) == [1, 3]
    assert [e.message for e in found if isinstance(e, Notice)] == ["(event 'from the future')"]
    assert log.skipped == 7


def test_a_missing_log_is_an_empty_one(tmp_path: Path) -> None:
    assert EventLog(tmp_path / "none.jsonl").read_new() == []


def test_rewinding_leaves_one_continuous_curve(writer: RunWriter) -> None:
    for step in range(1, 11):
        writer.append(loss(step))
        writer.append(Snapshot(step=step, picture=f"{step}.png", tiles=1))
        writer.append(Saved(step=step, file="last"))
        writer.append(Progress(done=step, total=10, unit="steps"))
    writer.append(Notice(message="kept"))
    log = writer.run.follow()
    assert len(log.read_new()) == 41
    writer.rewind(6)
    again = log.read_new()
    assert log.resets == 1
    assert max(steps(again)) == 6
    assert [e.message for e in again if isinstance(e, Notice)] == ["kept"]
    assert not [e for e in again if isinstance(e, Saved | Snapshot) and e.step > 6]
    for step in range(7, 13):
        writer.append(loss(step, 2.0))
    assert steps(log.read_new()) == list(range(7, 13))
    assert steps(writer.run.events()) == list(range(1, 13))
    assert writer.run.summary()["step"] == 12


def test_rewinding_drops_an_earlier_result(writer: RunWriter) -> None:
    writer.append(loss(3))
    writer.append(Result(value={"steps": 3}))
    assert writer.run.result() == {"steps": 3}
    writer.rewind(3)
    assert writer.run.result() is None
    assert steps(writer.run.events()) == [3]


def test_rewinding_behind_the_end_changes_nothing(writer: RunWriter) -> None:
    writer.append(loss(3))
    before = (writer.path / "events.jsonl").stat()
    log = writer.run.follow()
    log.read_new()
    writer.rewind(3)
    assert (writer.path / "events.jsonl").stat() == before
    assert (log.read_new(), log.resets) == ([], 0)


def test_rewinding_on_a_full_disk_keeps_the_log(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2, 3):
        writer.append(loss(step))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace):
        writer.rewind(1)
    monkeypatch.undo()
    writer.append(loss(4))
    assert steps(writer.run.events()) == [1, 2, 3, 4]


def test_a_follower_notices_a_log_that_was_cut_short_or_replaced_in_place(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = b'{"kind":"metrics","step":%d,"values":{"loss":1},"time":0}\n'
    path.write_bytes(line % 1 + line % 2 + line % 3)
    log = EventLog(path)
    log.read_new()
    path.write_bytes(line % 1)
    assert (steps(log.read_new()), log.resets) == ([1], 1)
    path.write_bytes(line % 5 + line % 6)
    assert (steps(log.read_new()), log.resets) == ([5, 6], 2)
    path.unlink()
    assert (log.read_new(), log.resets) == ([], 3)
    path.write_bytes(line % 1)
    assert (steps(log.read_new()), log.resets) == ([1], 3)


def test_a_half_line_that_a_crash_left_is_cut_off_by_the_next_writer(study: Study) -> None:
    with study.new_run("pretrain", "sorting", {}) as writer:
        writer.append(loss(1))
    file = writer.path / "events.jsonl"
    with file.open("ab") as half:
        half.write(b'{"kind":"metrics","st' + b"x" * 9000)
    with RunWriter.reopen(writer.run) as again:
        again.append(loss(2))
    log = writer.run.follow()
    assert (steps(log.read_new()), log.skipped) == ([1, 2], 0)


@pytest.mark.parametrize("fraction", [0, 0.5])
def test_a_full_disk_leaves_whole_lines(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch, fraction: float
) -> None:
    writer.append(loss(1))
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if not fraction:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[: int(len(data) * fraction)])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutOfSpace, match="the disk is full"):
        writer.append(loss(2))
    monkeypatch.undo()
    writer.append(loss(3))
    log = writer.run.follow()
    assert (steps(log.read_new()), log.skipped) == ([1, 3], 0)


def test_a_closed_writer_writes_no_more(study: Study) -> None:
    writer = study.new_run("pretrain", "sorting", {})
    writer.close()
    writer.close()
    with pytest.raises(UserError, match="Cannot write run"):
        writer.append(loss(1))
