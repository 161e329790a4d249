"""A stored volume is a valid OME-Zarr image, reads back exactly in every direction, and appears whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_sortingloss.disk.level import Level
from napari_sortingloss.disk.mapped_shards import MAPS, MapCache, copy_slices
from napari_sortingloss.disk.pyramid import halve, level_shapes
from napari_sortingloss.disk.shard_layout import Layout
from napari_sortingloss.errors import BadInput, BadSetting, OutOfSpace
from napari_sortingloss.study import Study, StudyError, VolumeRecord, VolumeWriter
from napari_sortingloss.study.volumes import writer as store_module
from napari_sortingloss.study.volumes.writer import LevelWriter

Store = Callable[..., VolumeRecord]


def write_level(
    folder: Path, array: np.ndarray, block: tuple[int, int, int], shard_bytes: int, step: int
) -> Level:
    writer = LevelWriter(folder, Layout.choose(array.shape, block, shard_bytes))
    for z in range(0, len(array), step):
        writer.write(array[z : z + step])
    writer.close()
    return Level(folder, "")


@pytest.fixture(
    params=[
        ((5, 70, 90), 10**9),  # whole planes, one file
        ((5, 70, 90), 70_000),  # whole planes, several files
        ((16, 32, 32), 10**9),  # blocks that do not fit the sides
        ((16, 32, 32), 3 * 16 * 32 * 32),  # and several files along every axis
        ((8, 24, 90), 50_000),
        ((64, 64, 64), 10**9),
        ((1, 1, 1), 10**9),
    ],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def level(request: pytest.FixtureRequest, tmp_path: Path, voxels: np.ndarray) -> Level:
    block, shard_bytes = request.param
    array = voxels[:9, :12, :11] if block == (1, 1, 1) else voxels
    return write_level(tmp_path / "level", array, block, shard_bytes, step=7)


def test_every_layout_reads_back_what_was_written(level: Level, voxels: np.ndarray) -> None:
    z, y, x = level.shape
    array = voxels[:z, :y, :x]
    np.testing.assert_array_equal(level.zarr[...], array)
    np.testing.assert_array_equal(level.box((0, 0, 0), level.shape), array)
    np.testing.assert_array_equal(level.box((2, 5, 3), (8, 11, 10)), array[2:8, 5:11, 3:10])
    for axis in range(3):
        indices = [level.shape[axis] - 1, 0, 3, 3, 8]
        found = level.read_slices(axis, indices)
        np.testing.assert_array_equal(found, np.moveaxis(array.take(indices, axis), axis, 0))
        assert found.flags.c_contiguous


def test_no_file_is_larger_than_asked_and_all_bytes_are_accounted_for() -> None:
    for shape in ((2000, 2000, 2000), (600, 800, 801), (4000, 4000, 5000), (7, 30_000, 20_000)):
        for layout in (Layout.of_planes(shape), Layout.of_cubes(shape)):
            sizes = [layout.data_bytes(key) for key in layout.grid()]
            assert max(sizes) <= 256 * 2**20
            assert math.prod(shape) <= sum(sizes) < 1.1 * math.prod(shape)
    assert math.prod(Layout.of_planes((2000, 2000, 2000)).shards) < 50


def test_a_missing_file_means_zeros(tmp_path: Path, voxels: np.ndarray) -> None:
    level = write_level(tmp_path / "level", voxels, (16, 32, 32), 3 * 16 * 32 * 32, step=37)
    (tmp_path / "level" / "c" / "0" / "1" / "0").unlink()
    expected = level.zarr[...]
    assert (expected == 0).mean() > 0.05
    for axis in range(3):
        found = level.read_slices(axis, range(level.shape[axis]))
        np.testing.assert_array_equal(np.moveaxis(found, 0, axis), expected)
    np.testing.assert_array_equal(level.box((0, 0, 0), level.shape), expected)


def test_a_shard_that_was_cut_short_is_refused(study: Study, store: Store) -> None:
    store()
    file = next(study.volume_path("fish").glob("0/c/*/*/*"))
    for size in (file.stat().st_size // 2, 3):
        os.truncate(file, size)
        MAPS.forget(study.path)
        with pytest.raises(StudyError, match="damaged or incomplete; remove the volume"):
            study.volume("fish").read_slices([0])
        with pytest.raises(StudyError, match="damaged or incomplete"):
            study.volume("fish").read_slab(0, 3)


@pytest.mark.parametrize("file", ["zarr.json", "0/zarr.json"])
@pytest.mark.parametrize("content", ["", "{}", '{"shape": [1, 2]}', '{"attributes": {"ome": {}}}'])
def test_damaged_metadata_is_said_in_a_sentence(study: Study, store: Store, file: str, content: str) -> None:
    store()
    (study.volume_path("fish") / file).write_text(content)
    with pytest.raises(StudyError, match=r"Cannot read .*fish.*; remove the volume|put it back"):
        study.volume("fish").read_slices([0])


def test_a_volume_of_another_size_than_the_study_says_is_refused(study: Study, store: Store) -> None:
    store()
    with study.transaction() as document:
        document["volumes"]["fish"]["shape"] = [37, 70, 91]
    with pytest.raises(StudyError, match="damaged or incomplete"):
        study.volume("fish").read_slices([0])


def test_voxels_that_another_program_wrote_are_read_too(
    study: Study, store: Store, voxels: np.ndarray
) -> None:
    store()
    path = study.volume_path("fish")
    changed = voxels // 2
    zarr.open_array(path / "0", mode="r+")[...] = changed  # zarr-python puts the blocks in another order
    MAPS.forget(path)
    np.testing.assert_array_equal(
        study.volume("fish").read_slices([3, 1], "y"), changed[:, [3, 1]].swapaxes(0, 1)
    )
    np.testing.assert_array_equal(study.volume("fish").read_slab(3, 9), changed[3:9])


def test_an_image_of_another_layout_is_read_too(study: Study, store: Store, voxels: np.ndarray) -> None:
    store()
    path = study.volume_path("fish") / "0"
    zarr.create_array(path, data=voxels, chunks=(10, 20, 30), overwrite=True)
    np.testing.assert_array_equal(study.volume("fish").read_slices([3, 1]), voxels[[3, 1]])


def test_slices_come_in_the_three_orientations(study: Study, store: Store, voxels: np.ndarray) -> None:
    store()
    volume = study.volume("fish")
    assert volume.read_slices([4, 2], "z").shape == (2, 70, 90)
    np.testing.assert_array_equal(volume.read_slices([4, 2], "z"), voxels[[4, 2]])
    np.testing.assert_array_equal(volume.read_slices([4, 2], "y"), voxels[:, [4, 2]].transpose(1, 0, 2))
    np.testing.assert_array_equal(volume.read_slices([4, 2], "x"), voxels[:, :, [4, 2]].transpose(2, 0, 1))


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_positions_count_in_the_ordering_direction(
    study: Study, store: Store, voxels: np.ndarray, axis: str
) -> None:
    store(axis=axis, direction="-")
    volume = study.volume("fish")
    n = volume.n_slices
    along = np.moveaxis(voxels, "zyx".index(axis), 0)
    np.testing.assert_array_equal(volume.read_slices([0, 5]), along[[n - 1, n - 6]])
    np.testing.assert_array_equal(volume.read_slices([0, 5], axis), along[[n - 1, n - 6]])
    assert [volume.index_of(p) for p in (0, n - 1)] == [n - 1, 0]
    other = "zyx"["zyx".index(axis) - 1]  # the other axes have no direction
    np.testing.assert_array_equal(
        volume.read_slices([0, 5], other), np.moveaxis(voxels, "zyx".index(other), 0)[[0, 5]]
    )


def test_reading_no_slices_gives_none(study: Study, store: Store) -> None:
    store()
    assert study.volume("fish").read_slices([]).shape == (0, 70, 90)
    assert study.volume("fish").read_slab(4, 4).shape == (0, 70, 90)


def test_slices_outside_the_volume_are_refused(study: Study, store: Store) -> None:
    store()
    volume = study.volume("fish")
    with pytest.raises(BadSetting, match="there is no slice 37; choose slices from 0 to 36 along z"):
        volume.read_slices([0, 37])
    with pytest.raises(BadSetting, match="there is no slice -1"):
        volume.read_slices([-1], "x")
    with pytest.raises(BadSetting, match="'t' is not an axis"):
        volume.read_slices([0], "t")
    with pytest.raises(BadSetting, match="there is no slab from 30 to 38"):
        volume.read_slab(30, 38)


def test_many_threads_read_at_once_with_few_files_open(tmp_path: Path, voxels: np.ndarray) -> None:
    level = write_level(tmp_path / "level", voxels, (4, 16, 16), 4000, step=37)
    layout, maps, wrong = level.layout, MapCache(limit=3), []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(15):
            axis = int(rng.integers(3))
            index = int(rng.integers(voxels.shape[axis]))
            out = np.empty((1, *np.delete(voxels.shape, axis)), np.uint8)
            copy_slices(out, tmp_path / "level", "", layout, axis, [index], maps)
            if not np.array_equal(out[0], voxels.take(index, axis)):
                wrong.append((axis, index))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(maps) <= 3


def test_the_attributes_are_ome_zarr_0_5_with_units_and_provenance(study: Study, store: Store) -> None:
    store(source={"path": "fish.tif", "format": "OME-TIFF"}, window=(100.0, 900.0))
    group = zarr.open_group(study.volume_path("fish"), mode="r")
    ome = group.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert multiscale["axes"] == [{"name": n, "type": "space", "unit": "millimeter"} for n in "zyx"]
    assert [d["path"] for d in multiscale["datasets"]] == ["0", "1"]
    full, half = (d["coordinateTransformations"] for d in multiscale["datasets"])
    assert full == [{"type": "scale", "scale": [0.4, 0.25, 0.3]}]
    assert half[0] == {"type": "scale", "scale": [0.8, 0.5, 0.6]}
    assert half[1] == {"type": "translation", "translation": pytest.approx([0.2, 0.125, 0.15])}
    assert group["0"].metadata.dimension_names == ("z", "y", "x")
    assert str(group["0"].dtype) == "uint8"
    provenance = group.attrs["napari-sortingloss"]
    assert provenance["source"] == {"path": "fish.tif", "format": "OME-TIFF"}
    assert provenance["window"] == [100.0, 900.0]
    assert study.volume("fish").provenance == provenance


def test_levels_are_halved_by_averaging_until_they_are_small(study: Study, store: Store) -> None:
    ramp = np.broadcast_to(np.arange(131, dtype=np.uint8), (41, 70, 131))
    store("ramp", np.ascontiguousarray(ramp))
    levels = [level[...] for level in study.volume("ramp").levels()]
    assert [level.shape for level in levels] == [(41, 70, 131), (21, 35, 66), (21, 18, 33)]
    assert levels[1][0, 0, :3].tolist() == [1, 3, 5]  # 0.5, 2.5 and 4.5, rounded up
    assert levels[1][20, 34, 65] == 130  # at an odd end the last voxel stands alone
    assert abs(int(levels[2][10, 9, 16]) - 66) <= 1


@pytest.mark.parametrize(
    "axes", [(True, True, True), (False, True, True), (True, False, True), (False, False, True)]
)
def test_halving_is_the_rounded_mean(voxels: np.ndarray, axes: tuple[bool, bool, bool]) -> None:
    array = voxels[:6, :8, :10]
    blocks = [2 if halved else 1 for halved in axes]
    shape = [n for size, b in zip(array.shape, blocks, strict=True) for n in (size // b, b)]
    mean = array.reshape(shape).mean(axis=(1, 3, 5))
    np.testing.assert_array_equal(halve(array, axes), np.floor(mean + 0.5).astype(np.uint8))


@pytest.mark.parametrize("step", [1, 7, 37])
def test_the_pyramid_does_not_depend_on_how_the_slabs_come(
    study: Study, voxels: np.ndarray, step: int
) -> None:
    array = np.tile(voxels, (4, 1, 1))[:133]
    with VolumeWriter(study, VolumeRecord("fish", array.shape)) as writer:
        for z in range(0, len(array), step):
            writer.write(z, array[z : z + step])
        writer.commit()
    levels = [level[...] for level in study.volume("fish").levels()]
    expected = array
    for shape, found in zip(level_shapes(array.shape)[1:], levels[1:], strict=True):
        halved = tuple(a < b for a, b in zip(shape, expected.shape, strict=True))
        expected = halve(expected, halved)
        np.testing.assert_array_equal(found, expected)


def test_few_slices_stay_all_visible_in_the_pyramid() -> None:
    assert level_shapes((20, 500, 400)) == [(20, 500, 400), (20, 250, 200), (20, 125, 100), (20, 63, 50)]


def test_level_scales_are_physical_and_centre_the_levels(study: Study, store: Store) -> None:
    store()
    scales = study.volume("fish").level_scales
    assert scales[0] == ((0.4, 0.25, 0.3), (0.0, 0.0, 0.0))
    assert scales[1][0] == (0.8, 0.5, 0.6)
    assert scales[1][1] == pytest.approx((0.2, 0.125, 0.15))


def test_slabs_out_of_order_or_of_another_kind_are_refused(study: Study, voxels: np.ndarray) -> None:
    with VolumeWriter(study, VolumeRecord("fish", voxels.shape)) as writer:
        writer.write(0, voxels[:10])
        for z0, slab in (
            (9, voxels[9:12]),
            (11, voxels[11:12]),
            (10, voxels[10:12, :-1]),
            (10, voxels[10:12].astype(np.uint16)),
            (10, np.concatenate([voxels, voxels])),
        ):
            with pytest.raises(BadInput, match="does not follow slice 10"):
                writer.write(z0, slab)
        with pytest.raises(BadInput, match="only 10 of 37 slices came"):
            writer.commit()
    assert study.volumes == {}


def test_nothing_is_visible_before_the_commit_and_nothing_is_left_after_an_abort(
    study: Study, voxels: np.ndarray
) -> None:
    with VolumeWriter(study, VolumeRecord("fish", voxels.shape)) as writer:
        writer.write(0, voxels)
        assert Study.open(study.path).volumes == {}
        assert not study.volume_path("fish").exists()
    assert list((study.path / "volumes").iterdir()) == []
    writer.abort()


def test_a_full_disk_is_said_and_leaves_nothing(
    study: Study, voxels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sentence = "Cannot write volume 'fish': the disk is full; free some space"
    with VolumeWriter(study, VolumeRecord("fish", voxels.shape)) as writer:
        monkeypatch.setattr(store_module, "_write_at", full)
        with pytest.raises(OutOfSpace, match=sentence):
            writer.write(0, voxels)
    assert list((study.path / "volumes").iterdir()) == []


def test_a_name_in_use_is_refused_at_the_start_and_at_the_end(
    study: Study, store: Store, voxels: np.ndarray
) -> None:
    with VolumeWriter(study, VolumeRecord("fish", voxels.shape)) as late:
        late.write(0, voxels)
        store("fish", voxels[:5])
        with pytest.raises(StudyError, match="the study has a volume of that name"):
            late.commit()
    with pytest.raises(StudyError, match="the study has a volume of that name"):
        VolumeWriter(study, VolumeRecord("fish", voxels.shape))
    assert study.volumes["fish"].shape == (5, 70, 90)
    assert [p.name for p in (study.path / "volumes").iterdir()] == ["fish.zarr"]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 2), (129, 1, 1), (2, 65, 64)])
def test_odd_little_volumes_are_stored_too(study: Study, shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with VolumeWriter(study, VolumeRecord("odd", shape)) as writer:
        writer.write(0, array)
        writer.commit()
    volume = study.volume("odd")
    np.testing.assert_array_equal(volume.read_slab(0, shape[0]), array)
    for axis in "zyx":
        np.testing.assert_array_equal(volume.read_slices([0], axis)[0], array.take(0, "zyx".index(axis)))
    assert [level.shape for level in volume.levels()] == level_shapes(shape)


def test_provenance_that_json_cannot_hold_is_made_plain(study: Study, store: Store) -> None:
    record = store(source={"metadata": {"nan": float("nan"), "array": np.arange(3)}})
    held = json.loads((study.path / "study.json").read_text())["volumes"]["fish"]
    assert held["source"]["metadata"] == {"nan": None, "array": [0, 1, 2]}
    assert record.name == "fish"
