"""A study of small volumes that have an order: a bright disc that grows and brightens along z."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter

SHAPE = (30, 26, 34)
VOXEL_SIZE = (0.4, 0.25, 0.3)


def growing_disc(shape=SHAPE, seed=0, upside_down=False):
    """A (z, y, x) volume whose disc grows from the first slice to the last, in another place and size every time."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    centre = rng.uniform(-0.15, 0.15, 2)
    radius = (0.15 + 0.3 * (z + 1)) * rng.uniform(0.9, 1.1)
    body = np.hypot(y - centre[0], x - centre[1]) < radius
    values = 20 + body * rng.uniform(120, 180) + rng.normal(0, 5, shape)
    return values.clip(0, 255).astype(np.uint8)[:: -1 if upside_down else 1]


def store(study, name, values, **record):
    about = {"voxel_size": VOXEL_SIZE, "unit": "mm", **record}
    with VolumeWriter(study, VolumeRecord(name=name, shape=values.shape, **about)) as writer:
        writer.write(0, values)
        writer.commit()


def fill(study, count, upside_down=(), shape=SHAPE):
    n, h, w = shape
    for i in range(count):
        values = growing_disc((n + i, h, w + i), seed=i, upside_down=i in upside_down)
        store(study, f"fish_{i}", values)
    return study


@pytest.fixture
def add_volume() -> Callable[..., None]:
    return store


@pytest.fixture
def make_study(study_dir) -> Callable[..., Study]:
    """Make a study of `count` volumes fish_0, fish_1, …; those in `upside_down` are stored the other way round."""

    def make(count: int = 3, upside_down: tuple[int, ...] = (), shape=SHAPE) -> Study:
        return fill(Study.create(study_dir), count, upside_down, shape)

    return make


@pytest.fixture(scope="module")
def six_fish(tmp_path_factory) -> Study:
    """A study of six volumes for a whole file of tests, of which fish_2 and fish_5 are stored upside down."""
    return fill(Study.create(tmp_path_factory.mktemp("fish") / "study"), 6, upside_down=(2, 5))
