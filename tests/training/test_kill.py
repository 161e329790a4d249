"""``kill -9`` at any moment costs the work since the last checkpoint and nothing else."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_sortingloss.events import Metrics
from napari_sortingloss.study import Study
from napari_sortingloss.training.loop import reporter
from napari_sortingloss.training.loop.checkpoints import load_checkpoint

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no kill -9 on Windows")

EVERY = 25

TRAIN = f"""
import sys
from pathlib import Path
from toy_training import Trainer
from napari_sortingloss.study import Study
from napari_sortingloss.training.loop import reporter
from napari_sortingloss.training.loop import reporter
reporter.METRICS_SECONDS = reporter.LONG_RUN = 0.0
study = Study.open(Path(sys.argv[1]))
trainer = Trainer(study, steps=1_000_000, checkpoint_every={EVERY})
for _ in trainer.job()[1]:
    pass
"""

DIE_WHILE_SAVING = f"""
import os, signal
from napari_sortingloss.training.loop import checkpoints
whole = checkpoints._write
def half(document, file):
    if document["step"] < {3 * EVERY}:
        return whole(document, file)
    file.write(b"PK" + bytes(1000))
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
checkpoints._write = half
"""


def start(code: str, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)


def wait_for(condition, process, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the training ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def steps_seen(run):
    return max((e.step for e in run.events() if isinstance(e, Metrics)), default=0)


def test_death_in_the_middle_of_writing_a_checkpoint_leaves_the_one_before(study, trainer):
    process = start(DIE_WHILE_SAVING + TRAIN, str(study.path))
    assert process.wait(60) == -signal.SIGKILL
    (run,) = Study.open(study.path).runs()
    assert run.state() == "interrupted"
    assert list(run.path.glob(".last.pt.part-*"))
    assert load_checkpoint(run.path).step == 2 * EVERY
    events = list(trainer.resume(run, steps=3 * EVERY))
    assert (events[0].step, events[-1].value["steps"]) == (2 * EVERY, 3 * EVERY)
    assert not list(run.path.glob(".last.pt.part-*"))
    assert run.state() == "finished"


def test_death_at_any_moment_loses_at_most_the_steps_since_the_last_checkpoint(study, trainer, monkeypatch):
    process = start(TRAIN, str(study.path))
    wait_for(lambda: study.runs() and (study.runs()[0].path / "last.pt").exists(), process)
    time.sleep(random.uniform(0.05, 0.4))
    process.kill()
    process.wait()
    (run,) = Study.open(study.path).runs()
    assert run.state() == "interrupted"
    kept = load_checkpoint(run.path).step
    assert 0 < kept <= steps_seen(run) <= kept + EVERY
    monkeypatch.setattr(reporter, "METRICS_SECONDS", 0.0)
    monkeypatch.setattr(reporter, "LONG_RUN", 0.0)
    assert list(trainer.resume(run, steps=kept + 5))[-1].value["steps"] == kept + 5
    steps = [e.step for e in run.events() if isinstance(e, Metrics)]
    assert steps == list(range(1, kept + 6))
