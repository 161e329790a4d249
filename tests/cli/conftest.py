"""A study on disk and a way to run commands in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sortingloss.cli import main
from napari_sortingloss.study import Study


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        status = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return call


@pytest.fixture
def scan(tmp_path: Path, make_volume: Callable[..., np.ndarray]) -> Path:
    """A raw volume with a known window, as .npy."""
    path = tmp_path / "scan.npy"
    np.save(path, make_volume(dtype="uint16"))
    return path


@pytest.fixture
def study(study_dir: Path, scan: Path, run: Callable[..., Ran]) -> Path:
    """A study with one volume named ``scan``."""
    Study.create(study_dir)
    done = run("add", study_dir, scan, "--voxel-size", 0.4, 0.25, 0.3, "--unit", "mm", "--json")
    assert done.status == 0, done.err
    return study_dir
