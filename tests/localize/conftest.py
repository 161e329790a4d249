"""A study whose volumes, runs and voxel sizes are as small as they can be, trained once and copied for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter

SHAPE = (30, 26, 34)
VOXEL_SIZE = (0.4, 0.25, 0.3)
TINY = {
    "size": 32,
    "steps": 2,
    "workers": 1,
    "threads": 1,
    "device": "cpu",
    "precision": "32",
    "augment": "none",
}


def body(shape, middle, radii):
    """Return which voxels lie in an ellipsoid."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    at = [(i - m) / r for i, m, r in zip((z, y, x), middle, radii, strict=True)]
    return at[0] ** 2 + at[1] ** 2 + at[2] ** 2 <= 1


def fish(shape=SHAPE, seed=0):
    """A specimen that gets brighter along z, in water with noise."""
    rng = np.random.default_rng(seed)
    inside = body(shape, [0.5 * n for n in shape], [0.3 * n for n in shape])
    values = 20 + inside * np.linspace(80, 160, shape[0])[:, None, None] + rng.normal(0, 4, shape)
    return values.clip(0, 255).astype(np.uint8)


def keep(study, name, values, **changes):
    about = {"voxel_size": VOXEL_SIZE, "unit": "mm", **changes}
    with VolumeWriter(study, VolumeRecord(name=name, shape=values.shape, **about)) as writer:
        writer.write(0, values)
        writer.commit()
    return study.volume(name)


def returned(job):
    """All events of a generator, and what it returns."""
    events = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as end:
            return events, end.value


@pytest.fixture
def ellipsoid() -> Callable[..., np.ndarray]:
    return body


@pytest.fixture
def make_fish() -> Callable[..., np.ndarray]:
    return fish


@pytest.fixture
def store() -> Callable[..., object]:
    """Write voxels into a study as a volume of three different voxel sizes."""
    return keep


@pytest.fixture
def run_through() -> Callable[..., tuple[list, object]]:
    return returned


@pytest.fixture(scope="session")
def runs_made(tmp_path_factory) -> SimpleNamespace:
    """A study of two volumes, one of which is ordered backwards along y, and three runs of two steps each."""
    from napari_sortingloss.pretext.jobs.pretrain import pretrain
    from napari_sortingloss.pretext.rotation.settings import RotationSettings
    from napari_sortingloss.pretext.sorting.settings import SortingSettings

    study = Study.create(tmp_path_factory.mktemp("localize") / "study")
    keep(study, "fish_a", fish())
    keep(study, "fish_b", fish((31, 28, 36), seed=1), axis="y", direction="-")
    with_dropout = SortingSettings(**TINY, slices=6, dropout=0.2)
    settings = {
        "sorting": with_dropout,
        "plain": with_dropout.replace(dropout=0.0),
        "rotation": RotationSettings(**TINY, pairs=3, together=2),
    }
    runs = {name: list(pretrain(study, s))[-1].value["run"] for name, s in settings.items()}
    return SimpleNamespace(path=study.path, **runs)


@pytest.fixture
def runs(runs_made) -> SimpleNamespace:
    """The ids of the runs: `sorting` with dropout, `plain` without, `rotation`."""
    return runs_made


@pytest.fixture
def study(runs_made, tmp_path: Path) -> Study:
    """A copy of that study; the weights, which nobody changes, are not copied."""
    path = tmp_path / "study"
    shutil.copytree(runs_made.path, path, ignore=shutil.ignore_patterns("runs"))
    shutil.copytree(runs_made.path / "runs", path / "runs", copy_function=os.link)
    return Study.open(path)


@pytest.fixture
def ask(study, runs) -> Callable[..., tuple[dict, list]]:
    """Localise with few slices and passes where nothing else is said; the result's value and all events."""
    from napari_sortingloss.events import Result
    from napari_sortingloss.localize import LocalizeSettings
    from napari_sortingloss.localize.job import localize

    def work(*volumes, run=runs.sorting, **settings):
        quick = {"threads": 1, "device": "cpu", "every": 4}
        if run != runs.rotation:
            quick["passes"] = 2
        events = list(localize(study, LocalizeSettings(run=run, volumes=volumes, **{**quick, **settings})))
        assert isinstance(events[-1], Result)
        return events[-1].value, events

    return work
