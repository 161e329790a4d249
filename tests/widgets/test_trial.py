"""Three real steps in a process of their own: what they take, that they leave nothing, and that they end with who asked."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from segmenting import paint

from napari_sortingloss.errors import OutOfMemory, UserError
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.study import Study
from napari_sortingloss.widgets.runs import trial
from napari_sortingloss.widgets.runs.trial import Trial

TINY = {"size": 32, "workers": 1, "threads": 1, "precision": "32", "augment": "none"}


def files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_three_steps_are_timed_and_leave_nothing_behind(study):
    before = files(study.path)
    settings: Any = settings_for("sorting")(slices=4, validate=("fish_b",), **TINY)
    pace = Trial(study.path, "pretrain", settings, 0).run()
    assert pace is not None
    assert 0 < pace.step < 30
    assert pace.measure > 0
    assert pace.libraries > 0
    assert files(study.path) == before


def test_so_are_those_of_fine_tuning_with_the_slices_that_are_held_back(study):
    paint(study)
    before = files(study.path)
    settings = FinetuneSettings(batch=2, **TINY)
    pace = trial._measured(study.path, "finetune", "segmentation", settings.to_json())
    assert 0 < pace.step < 30
    assert pace.measure > 0
    assert files(study.path) == before


def test_what_would_keep_a_run_from_beginning_is_said(study, capsys, monkeypatch):
    monkeypatch.setattr(trial, "_end_with_the_other", lambda: None)
    monkeypatch.setattr(trial, "import_module", lambda name: None)
    trial.main(str(study.path), "finetune", "segmentation", json.dumps(FinetuneSettings(**TINY).to_json()))
    with pytest.raises(UserError, match="no slice is annotated"):
        trial._understood(capsys.readouterr().out)


def test_nothing_is_started_without_the_memory_for_it(study, monkeypatch):
    monkeypatch.setattr(trial.subprocess, "Popen", lambda *a, **k: pytest.fail("it was started"))
    with pytest.raises(OutOfMemory, match="GB are free now"):
        Trial(study.path, "pretrain", settings_for("sorting")(), 2**60).run()


def test_a_cancelled_trial_ends_its_process_at_once(study):
    one = Trial(study.path, "pretrain", settings_for("sorting")(**TINY), 0)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(one.run()))
    thread.start()
    until = time.monotonic() + 20
    while one._process is None and time.monotonic() < until:
        time.sleep(0.01)
    assert one._process is not None
    pid = one._process.pid
    one.cancel()
    thread.join(20)
    assert found == [None]
    assert not psutil.pid_exists(pid)
    assert Trial(study.path, "pretrain", settings_for("sorting")(**TINY), 0).cancelled is False


def test_a_trial_that_was_cancelled_before_it_began_starts_nothing(study, monkeypatch):
    monkeypatch.setattr(trial.subprocess, "Popen", lambda *a, **k: pytest.fail("it was started"))
    one = Trial(study.path, "pretrain", settings_for("sorting")(), 0)
    one.cancel()
    assert one.run() is None


def test_a_process_that_dies_is_said_not_met_with_an_exception(study, monkeypatch):
    monkeypatch.setattr(trial, "sys", type("", (), {"executable": "/bin/false", "platform": "linux"}))
    if not Path("/bin/false").exists():
        pytest.skip("no /bin/false here")
    with pytest.raises(UserError, match="ended early"):
        Trial(study.path, "pretrain", settings_for("sorting")(), 0).run()


def test_it_ends_with_the_program_that_started_it_however_that_ends(tmp_path):
    Study.create(tmp_path / "empty")
    order = [str(tmp_path / "empty"), "pretrain", "sorting", "{}"]
    asleep = "import time; time.sleep(60)"
    code = f"import sys; from napari_sortingloss.widgets.runs import trial; trial._measured = lambda *_: exec({asleep!r}); trial.main(*sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", code, *order], stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert process.stdin is not None
    process.stdin.close()  # what the system does when whoever held it is killed
    assert process.wait(20) == 1
