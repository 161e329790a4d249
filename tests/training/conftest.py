"""A study of three small volumes, a trainer of toy runs, and a cache folder that is not the user's."""

from __future__ import annotations

import pytest
from toy_training import Trainer

from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path / "home")


@pytest.fixture
def study(study_dir, make_volume, voxel_size) -> Study:
    study = Study.create(study_dir)
    for i, name in enumerate(("A", "B", "C")):
        values = make_volume((24 + i, 18, 30), seed=i)
        about = {"voxel_size": voxel_size, "unit": "mm"}
        with VolumeWriter(study, VolumeRecord(name=name, shape=values.shape, **about)) as writer:
            writer.write(0, values)
            writer.commit()
    return study


@pytest.fixture
def trainer(study) -> Trainer:
    return Trainer(study, steps=12)
