"""Checkpoints are whole or absent, and safe to open."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from napari_sortingloss.errors import BadInput, OutOfSpace
from napari_sortingloss.training.loop.checkpoints import (
    Checkpoint,
    best_or_last,
    keep_as_best,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
)


def checkpoint(step: int = 3) -> Checkpoint:
    return Checkpoint(
        step=step,
        network={"weight": torch.arange(6.0).reshape(2, 3) + step},
        optimizer={
            "state": {0: {"step": torch.tensor(3.0)}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}],
        },
        tasks=[{"seen": {"A": [1, 2]}}],
        settings={"size": 16, "volumes": ["A"]},
        best=0.5,
        seconds=1.5,
        slices=48,
        metrics={"loss": 0.25},
    )


def test_what_is_saved_comes_back(tmp_path):
    save_checkpoint(tmp_path, checkpoint())
    found = load_checkpoint(tmp_path)
    assert torch.equal(found.network["weight"], checkpoint().network["weight"])
    assert found.optimizer["param_groups"] == [{"lr": 1e-3, "betas": (0.9, 0.99)}]
    assert (found.step, found.best, found.seconds, found.slices) == (3, 0.5, 1.5, 48)
    assert found.tasks == [{"seen": {"A": [1, 2]}}]
    assert found.validation == {}


def test_nothing_but_the_checkpoint_is_left_in_the_folder(tmp_path):
    save_checkpoint(tmp_path, checkpoint())
    keep_as_best(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pt", "last.pt"]


def test_the_best_stays_when_the_last_moves_on(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    keep_as_best(tmp_path)
    save_checkpoint(tmp_path, checkpoint(2))
    assert load_checkpoint(tmp_path, "best").step == 1
    assert load_checkpoint(tmp_path, "last").step == 2
    assert best_or_last(tmp_path).step == 1


def test_a_disk_without_hard_links_keeps_the_best_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    save_checkpoint(tmp_path, checkpoint(1))
    keep_as_best(tmp_path)
    save_checkpoint(tmp_path, checkpoint(2))
    assert load_checkpoint(tmp_path, "best").step == 1


def test_without_a_best_the_last_one_is_taken(tmp_path):
    save_checkpoint(tmp_path, checkpoint(4))
    assert best_or_last(tmp_path).step == 4


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint(1))
    real_open = Path.open

    def open_on_full_disk(path, mode="r", *more):
        file = real_open(path, mode, *more)
        return FullDisk(file) if "w" in mode else file

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    with pytest.raises(OutOfSpace, match="the disk is full; free some space"):
        save_checkpoint(tmp_path, checkpoint(2))
    assert load_checkpoint(tmp_path).step == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


class FullDisk:
    """A file on a disk that has room for a few bytes only."""

    def __init__(self, file):
        self.file, self.room = file, 500

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def flush(self):
        self.file.flush()

    def fileno(self):
        return self.file.fileno()


def test_a_disk_that_fills_up_while_syncing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint(1))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace):
        save_checkpoint(tmp_path, checkpoint(2))
    assert load_checkpoint(tmp_path).step == 1


def test_half_written_files_are_ignored_and_cleared_away(tmp_path):
    save_checkpoint(tmp_path, checkpoint())
    (tmp_path / ".last.pt.part-123").write_bytes(b"half")
    assert load_checkpoint(tmp_path).step == 3
    remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_called_damaged(tmp_path, share):
    path = save_checkpoint(tmp_path, checkpoint())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BadInput, match=r"'last\.pt' is damaged"):
        load_checkpoint(tmp_path)


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("came-to-life"),))


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"version": 1, "step": Malicious()}, tmp_path / "last.pt")
    with pytest.raises(BadInput, match="damaged"):
        load_checkpoint(tmp_path)
    (tmp_path / "last.pt").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(BadInput, match="damaged"):
        load_checkpoint(tmp_path)
    assert not Path("came-to-life").exists()


def test_another_programs_file_is_not_a_checkpoint(tmp_path):
    torch.save([1, 2, 3], tmp_path / "last.pt")
    with pytest.raises(BadInput, match="not a checkpoint of this program"):
        load_checkpoint(tmp_path)


def test_a_newer_programs_checkpoint_asks_for_an_update(tmp_path):
    torch.save({"version": 99}, tmp_path / "last.pt")
    with pytest.raises(BadInput, match="update napari-sortingloss"):
        load_checkpoint(tmp_path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(BadInput, match="the run has none yet; start a new run"):
        load_checkpoint(tmp_path)
