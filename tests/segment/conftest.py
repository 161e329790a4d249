"""A study of small volumes with a bright rod in a grey body, their references, and a few annotated slices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import zarr

from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import add_class

SHAPE = (24, 40, 52)
VOXEL_SIZE = (0.4, 0.25, 0.26)
TINY = {
    "size": 32,
    "batch": 4,
    "steps": 3,
    "workers": 1,
    "threads": 1,
    "device": "cpu",
    "precision": "32",
    "augment": "none",
}


def specimen(shape=SHAPE, seed=0):
    """Voxels and labels (1 rod, 2 body) of a specimen, uint8 (z, y, x)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = (y / 0.8) ** 2 + (x / 0.7) ** 2 < 1
    rod = (y - 0.3 * z) ** 2 + (x - 0.1) ** 2 < 0.09
    labels = np.where(rod, 1, np.where(body, 2, 0)).astype(np.uint8)
    values = np.array([15, 200, 90])[labels] + rng.normal(0, 6, shape)
    return values.clip(0, 255).astype(np.uint8), labels


def keep(study, name, values, **changes):
    about = {"voxel_size": VOXEL_SIZE, "unit": "mm", **changes}
    with VolumeWriter(study, VolumeRecord(name=name, shape=values.shape, **about)) as writer:
        writer.write(0, values)
        writer.commit()
    return study.volume(name)


def put_reference(study, name, labels):
    """Give a volume reference labels, as an import with ``--reference`` does."""
    group = zarr.create_group(study.path / "references" / f"{name}.zarr", zarr_format=3)
    array = group.create_array("0", shape=labels.shape, dtype=labels.dtype, dimension_names=["z", "y", "x"])
    array[...] = labels
    with study.transaction() as document:
        document["volumes"][name]["reference"] = name


def put_annotation(study, name, axis, index, labels, status="complete"):
    with AnnotationEditor(study, name) as editor:
        editor.put_slice(axis, index, labels, status=status)


@pytest.fixture
def make_specimen() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return specimen


@pytest.fixture
def store() -> Callable[..., object]:
    """Write voxels into a study as a volume of three different voxel sizes."""
    return keep


@pytest.fixture
def paint() -> Callable[..., None]:
    """Paint a slice: ``paint(study, name, axis, index, labels (h, w), status="complete")``."""
    return put_annotation


@pytest.fixture
def study(study_dir) -> Study:
    """Three specimens `a`, `b` and `c`, the second ordered backwards along y; the classes rod (1) and body (2)."""
    study = Study.create(study_dir)
    add_class(study, "rod")
    add_class(study, "body")
    for i, (name, about) in enumerate({"a": {}, "b": {"axis": "y", "direction": "-"}, "c": {}}.items()):
        keep(study, name, specimen((SHAPE[0] + i, SHAPE[1], SHAPE[2] - i), seed=i)[0], **about)
    return study


@pytest.fixture
def labels_of() -> Callable[[str], np.ndarray]:
    """The true labels of `a`, `b` or `c`."""

    def make(name: str) -> np.ndarray:
        i = "abc".index(name)
        return specimen((SHAPE[0] + i, SHAPE[1], SHAPE[2] - i), seed=i)[1]

    return make


@pytest.fixture
def annotated_study(study, labels_of, paint) -> Study:
    """That study with two complete slices across z in `a` and `b`."""
    for name in ("a", "b"):
        for index in (6, 15):
            paint(study, name, "z", index, labels_of(name)[index])
    return study


@pytest.fixture
def with_references(study, labels_of) -> Study:
    """That study with reference labels of all volumes."""
    for name in ("a", "b", "c"):
        put_reference(study, name, labels_of(name))
    return study


@pytest.fixture
def tiny() -> dict:
    """Settings of a training run of three steps on pieces of 32 pixels."""
    return dict(TINY)
