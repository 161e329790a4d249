"""What a viewer shows is what is read from disk, no more."""

from __future__ import annotations

from collections.abc import Callable

import dask.array as da
import numpy as np
import pytest

from napari_sortingloss.disk.level import Level
from napari_sortingloss.study import LazyArray, Study, VolumeRecord


@pytest.fixture
def lazy(study: Study, store: Callable[..., VolumeRecord]) -> LazyArray:
    store()
    return study.volume("fish").pyramid()[0]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    box = Level.box

    def note(level: Level, start: tuple[int, int, int], stop: tuple[int, int, int]) -> np.ndarray:
        result = box(level, start, stop)
        found.append(result.shape)
        return result

    monkeypatch.setattr(Level, "box", note)
    return found


@pytest.mark.parametrize(
    "key",
    [
        5,
        -1,
        (slice(None), 7),
        (..., 9),
        (3, ..., slice(2, 8)),
        (slice(30, 5, -3), slice(None, None, 2), 4),
        (slice(4, 4), 1),
        (slice(None), slice(-20, None), slice(10, 60, 7)),
        (np.int64(3), np.uint8(4)),
        (1, 2, 3),
        ([1, 5, 3], 2),
        Ellipsis,
    ],
)
def test_a_lazy_array_is_cut_like_numpy(lazy: LazyArray, voxels: np.ndarray, key: object) -> None:
    expected = voxels[key]
    found = lazy[key]
    assert np.shape(found) == expected.shape
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_cutting_in_several_steps_reads_once_and_only_what_is_left(
    lazy: LazyArray, voxels: np.ndarray, reads: list[tuple[int, ...]]
) -> None:
    view = lazy[:, 10:60, 20:80][5][::2]
    assert (view.shape, view.ndim, view.size, len(view)) == ((25, 60), 2, 1500, 25)
    assert reads == []
    np.testing.assert_array_equal(np.asarray(view), voxels[5, 10:60:2, 20:80])
    assert reads == [(1, 49, 60)]


def test_an_index_outside_is_an_error(lazy: LazyArray) -> None:
    for key in (37, (0, 70), (0, 0, 0, 0), -38):
        with pytest.raises(IndexError):
            lazy[key]


def test_the_pyramid_serves_dask_where_it_is_wanted(lazy: LazyArray, voxels: np.ndarray) -> None:
    assert int(da.from_array(lazy, chunks=(16, 70, 45)).max(axis=0).sum().compute()) == int(
        voxels.max(axis=0).sum()
    )


def test_numbers_are_given_in_the_type_asked_for(lazy: LazyArray, voxels: np.ndarray) -> None:
    assert np.asarray(lazy[0], dtype=np.float32).dtype == np.float32
    assert np.mean(lazy[3:5]) == voxels[3:5].mean()
    with pytest.raises(ValueError, match="without a copy"):
        np.array(lazy, copy=False)


def test_napari_reads_only_the_slices_it_shows(
    lazy: LazyArray, study: Study, reads: list[tuple[int, ...]]
) -> None:
    components = pytest.importorskip("napari.components")
    viewer = components.ViewerModel()
    viewer.add_image(study.volume("fish").pyramid(), multiscale=True, contrast_limits=(0, 255))
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        viewer.dims.order = order
        viewer.dims.set_point(order[0], 20)
    assert reads
    assert all(min(shape) == 1 for shape in reads)
