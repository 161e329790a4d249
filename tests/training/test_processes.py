"""Several processes train one run together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.events import Metrics, StateChanged
from napari_sortingloss.training.computer.place import Place
from napari_sortingloss.training.loop.checkpoints import load_checkpoint

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without torch.distributed"
)

TOGETHER = """
import json, sys
from pathlib import Path
from toy_training import Trainer
from napari_sortingloss.study import Study
study = Study.open(Path(sys.argv[1]))
trainer = Trainer(study, steps=12, devices=2, checkpoint_every=5, validate_every=6)
run, job = trainer.job(validate=1)
for event in job:
    if getattr(event, "step", 0) >= 8 and event.kind == "metrics":
        job.close()
        break
assert run.state() == "stopped", run.state()
for event in trainer.resume(run, validate=1):
    pass
"""

ONE_DIES = """
import os, sys
from pathlib import Path
os.environ["FIRST"] = str(os.getpid())
from toy_training import OneDies, Trainer
from napari_sortingloss.errors import UserError
from napari_sortingloss.study import Study
run, job = Trainer(Study.open(Path(sys.argv[1])), steps=12, devices=2).job(OneDies)
try:
    for event in job:
        pass
except UserError as error:
    print(error)
assert run.state() == "failed", run.state()
"""

WITHOUT_AN_END = """
import sys
from pathlib import Path
from toy_training import Trainer
from napari_sortingloss.study import Study
study = Study.open(Path(sys.argv[1]))
trainer = Trainer(study, steps=0, devices=2)
run, job = trainer.job(validate=1)
for event in job:
    if event.kind == "progress" and event.done >= 3:
        run.request("stop")
assert run.state() == "finished" and run.summary()["validation"], run.summary()
job = trainer.resume(run, validate=1)
for event in job:
    if event.kind == "progress" and event.done >= run.summary()["step"] + 3:
        job.close()
assert run.state() == "finished", run.state()
"""

UNDER_TORCHRUN = """
import sys
from pathlib import Path
from toy_training import Trainer, ToyTask
from napari_sortingloss.study import Study
from napari_sortingloss.training.loop.loop import fit
from napari_sortingloss.training.computer.place import Place
study = Study.open(Path(sys.argv[1]))
trainer = Trainer(study, steps=6)
first = Place.of_this_process().rank == 0
writer = study.new_run("pretrain", "toy", trainer.settings.to_json()) if first else None
events = list(fit(ToyTask(trainer.settings), study, writer, study.select()))
assert bool(events) == first
if writer:
    writer.close()
"""


@pytest.fixture
def environment():
    """The tests' folder on the path, and none of what torchrun sets."""
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def test_two_processes_train_one_run_stop_together_and_resume(study, environment):
    done = subprocess.run(
        [sys.executable, "-c", TOGETHER, str(study.path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (run,) = study.runs()
    found = load_checkpoint(run.path)
    assert run.state() == "finished"
    assert found.step == 12
    assert found.slices == 12 * 4 * 2  # both processes' batches
    assert found.tasks == [{"reviews": 0}, {"reviews": 0}]
    steps = [e.step for e in run.events() if isinstance(e, Metrics) and e.split == "train"]
    assert steps == sorted(set(steps))
    assert [e.state for e in run.events() if isinstance(e, StateChanged)] == [
        "running",
        "stopped",
        "running",
        "finished",
    ]


def test_two_processes_measure_once_more_when_a_run_without_an_end_is_stopped(study, environment):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_AN_END, str(study.path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (run,) = study.runs()
    assert load_checkpoint(run.path).step == run.summary()["step"] > 3


def test_when_one_process_dies_the_run_fails_with_its_last_words(study, environment):
    done = subprocess.run(
        [sys.executable, "-c", ONE_DIES, str(study.path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "A process of the run failed: the card fell off the bus; resume the run, or set devices to 1."
    )


def test_under_torchrun_only_the_first_process_writes_and_reports(study, environment, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(UNDER_TORCHRUN)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        str(script),
    ]
    done = subprocess.run(
        [*command, str(study.path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (run,) = study.runs()
    assert run.result()["steps"] == 6
    assert load_checkpoint(run.path).slices == 6 * 4 * 2


def test_a_process_of_torchrun_knows_its_place(monkeypatch):
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert Place.of_this_process() == Place(rank=3, size=4, local_size=2)


def test_a_process_of_srun_knows_its_place_but_an_interactive_shell_is_alone(monkeypatch):
    for name, value in {"SLURM_NTASKS": "8", "SLURM_PROCID": "5", "SLURM_NNODES": "2"}.items():
        monkeypatch.setenv(name, value)
    assert Place.of_this_process() == Place(rank=5, size=8, local_size=4)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert Place.of_this_process() == Place()


def test_a_device_that_is_not_there_is_named(trainer):
    if torch.cuda.is_available():
        pytest.skip("it is there")
    run, job = trainer.job(device="cuda")
    with pytest.raises(BadSetting, match=r"Cannot train on the device 'cuda': .*; choose auto or cpu"):
        list(job)
    assert run.state() == "failed"
