"""Crops: the right voxels and labels in the right place, whatever the axis, and crops of crops."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sortingloss.boxes import NO_BOX, size_of, whole
from napari_sortingloss.errors import BadInput, StudyError
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.formats import array_source, open_source
from napari_sortingloss.study import CropSettings, Study
from napari_sortingloss.study.crops import job as cropping
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.study.localizations.reading import localization_path, update_localization
from napari_sortingloss.study.volumes.frames import box_in_parent, cut, paste

BOX = ((3, 30), (5, 60), (10, 88))
CUT = tuple(slice(*span) for span in BOX)


def run(study: Study, *names: str, **more) -> dict:
    return list(crop(study, CropSettings(volumes=names, **more)))[-1].value


def voxels_of(study: Study, name: str) -> np.ndarray:
    volume = study.volume(name)
    return volume.read_slab(0, volume.shape[0])


@pytest.mark.parametrize(("axis", "direction"), [("z", "+"), ("z", "-"), ("y", "+"), ("y", "-"), ("x", "-")])
def test_a_crop_holds_the_voxels_of_the_box_and_knows_its_place(
    study, store, found_at, voxels, axis, direction
):
    store("fish", axis=axis, direction=direction, window=(10.0, 200.0), source={"path": "/data/fish.tif"})
    found_at("fish", BOX)
    result = run(study, "fish")
    (made,) = result["volumes"]
    assert result["failed"] == []
    assert {k: made[k] for k in ("name", "parent", "shape", "offset", "box")} == {
        "name": "fish_crop",
        "parent": "fish",
        "shape": [27, 55, 78],
        "offset": [3, 5, 10],
        "box": [[3, 30], [5, 60], [10, 88]],
    }
    assert made["removed_fraction"] == pytest.approx(1 - 27 * 55 * 78 / (37 * 70 * 90))
    assert 27 * 55 * 78 <= made["bytes"] < 3 * 27 * 55 * 78
    assert made["seconds"] > 0
    fish, record = study.volumes["fish"], Study.open(study.path).volumes["fish_crop"]
    assert (record.axis, record.direction, record.window) == (axis, direction, (10.0, 200.0))
    assert (record.voxel_size, record.unit, record.downsample) == (fish.voxel_size, "mm", 1)
    assert (record.parent, record.offset) == ("fish", (3, 5, 10))
    np.testing.assert_array_equal(voxels_of(study, "fish_crop"), voxels[CUT])


def test_slices_of_a_crop_are_those_of_its_parent(study, store, found_at):
    for axis, direction, name in (("z", "-", "a"), ("y", "-", "b"), ("x", "+", "c")):
        store(name, axis=axis, direction=direction)
        found_at(name, BOX)
        run(study, name)
        parent, child = study.volume(name), study.volume(f"{name}_crop")
        place = "zyx".index(axis)
        positions = np.arange(child.n_slices)
        indices = [child.index_of(p) + BOX[place][0] for p in positions]
        theirs = parent.read_slices([parent.index_of(i) for i in indices])
        h, w = (s for i, s in enumerate(CUT) if i != place)
        np.testing.assert_array_equal(child.read_slices(positions), theirs[:, h, w])


def test_the_margin_ends_at_the_faces_of_the_volume(study, store, found_at, voxels):
    store("fish")
    found_at("fish", BOX)
    (made,) = run(study, "fish", margin=6)["volumes"]
    assert made["box"] == [[0, 36], [0, 66], [4, 90]]
    np.testing.assert_array_equal(voxels_of(study, "fish_crop"), voxels[0:36, 0:66, 4:90])


def test_a_crop_of_a_crop_adds_up(study, store, found_at, voxels):
    store("fish")
    found_at("fish", BOX)
    run(study, "fish")
    found_at("fish_crop", ((1, 20), (2, 30), (3, 40)))
    (made,) = run(study, "fish_crop")["volumes"]
    assert made["offset"] == [4, 7, 13]
    record = study.volumes["fish_crop_crop"]
    assert record.parent == "fish_crop"
    np.testing.assert_array_equal(voxels_of(study, record.name), voxels[4:23, 7:35, 13:50])
    assert box_in_parent(study, record, whole(record.shape)) == ((1, 20), (2, 30), (3, 40))


@st.composite
def boxes(draw, shape):
    spans = []
    for size in shape:
        low = draw(st.integers(0, size - 1))
        spans.append((low, draw(st.integers(low + 1, size))))
    return tuple(spans)


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_and_voxels_come_back_exactly_from_any_crop_and_crop_of_a_crop(study, store, found_at, data):
    name = study.free_name("fish")
    voxels = np.random.default_rng(7).integers(0, 256, (9, 13, 16), dtype=np.uint8)
    original = store(name, voxels)
    found_at(name, data.draw(boxes(original.shape)))
    (one,) = run(study, name)["volumes"]
    found_at(one["name"], data.draw(boxes(tuple(one["shape"]))))
    (two,) = run(study, one["name"])["volumes"]
    for made in (one, two):
        record = study.volumes[made["name"]]
        mine = voxels_of(study, record.name)
        np.testing.assert_array_equal(cut(voxels, record, original), mine)
        parent = study.volumes[record.parent]
        np.testing.assert_array_equal(cut(paste(mine, record, parent), record, parent), mine)
        assert box_in_parent(study, record, whole(record.shape)) == tuple(map(tuple, made["box"]))
    up = paste(paste(mine, record, parent), parent, original)
    np.testing.assert_array_equal(up, paste(mine, record, original))


def test_a_box_one_voxel_thick_can_be_cut(study, store, found_at, voxels):
    store("fish")
    found_at("fish", ((5, 6), (7, 8), (0, 90)))
    run(study, "fish")
    np.testing.assert_array_equal(voxels_of(study, "fish_crop"), voxels[5:6, 7:8])


def test_the_reference_labels_are_cut_too(study, make_volume, found_at):
    volume = make_volume((40, 30, 50))
    labels = (np.arange(volume.size) % 700).reshape(volume.shape).astype(np.uint16)
    _add_with_labels(study, volume, labels)
    box = ((0, 37), (4, 20), (11, 50))
    found_at("fish", box)
    run(study, "fish")
    assert study.volumes["fish_crop"].reference == "fish_crop"
    path = study.path / "references" / "fish_crop.zarr"
    np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[:], labels[0:37, 4:20, 11:50])
    with open_source(path) as source:
        assert source.geometry.voxel_size == pytest.approx((0.4, 0.25, 0.3))
    run(study, "fish")
    assert study.volumes["fish_crop-2"].reference == "fish_crop-2"
    study.remove_volume("fish")
    assert (path / "zarr.json").exists()


def _add_with_labels(study, volume, labels) -> None:
    np.save(study.path.parent / "labels.npy", labels)
    settings = AddSettings(window="0:255", reference=study.path.parent / "labels.npy")
    list(add(study, settings, [array_source(volume, "fish", (0.4, 0.25, 0.3), "mm")]))


def test_damaged_reference_labels_are_said_and_nothing_is_left(study, make_volume, found_at):
    volume = make_volume((12, 14, 16))
    _add_with_labels(study, volume, volume // 100)
    found_at("fish", ((0, 5), (0, 5), (0, 5)))
    (study.path / "references" / "fish.zarr" / "0" / "zarr.json").unlink()
    with pytest.raises(
        StudyError, match=r"Cannot crop 'fish': its reference labels .* are missing or damaged"
    ):
        run(study, "fish")
    assert list(study.volumes) == ["fish"]


def test_where_it_comes_from_is_written_into_the_crop(study, store, found_at):
    store("fish", source={"path": "/data/fish.tif", "format": "OME-TIFF"}, downsample=2)
    found_at("fish", BOX, status="accepted")
    run(study, "fish", margin=1)
    record = study.volumes["fish_crop"]
    assert record.source == {
        "format": "crop",
        "of": "fish",
        "box": [[2, 31], [4, 61], [9, 89]],
        "margin": 1,
        "run": "sorting-261121-093000",
        "accepted": True,
        "source": {"path": "/data/fish.tif", "format": "OME-TIFF"},
    }
    assert study.volume("fish_crop").provenance["offset"] == [2, 4, 9]
    assert study.volume("fish_crop").provenance["parent"] == "fish"


def test_nothing_is_overwritten(study, store, found_at):
    store("fish")
    found_at("fish", BOX)
    names = [run(study, "fish")["volumes"][0]["name"] for _ in range(3)]
    assert names == ["fish_crop", "fish_crop-2", "fish_crop-3"]


def test_classes_and_settings_of_the_study_stay(study, store, found_at):
    store("fish")
    found_at("fish", BOX)
    with study.transaction() as document:
        document["classes"] = [{"name": "eye"}]
        document["settings"] = {"theme": "dark"}
    run(study, "fish")
    assert (study.classes, study.settings) == ([{"name": "eye"}], {"theme": "dark"})


def test_the_accepted_box_is_cut_or_the_one_of_the_run_that_is_named(study, store, found_at):
    store("fish")
    found_at("fish", BOX, run="sorting-1", status="accepted")
    found_at("fish", ((0, 9), (0, 9), (0, 9)), run="rotation-2", created="2026-11-22T09:30:00+00:00")
    assert run(study, "fish")["volumes"][0]["box"] == [list(s) for s in BOX]
    assert run(study, "fish", run="rot")["volumes"][0]["box"] == [[0, 9]] * 3


def test_the_box_that_a_person_moved_is_cut(study, store, found_at):
    store("fish")
    found = found_at("fish", BOX)
    update_localization(study, "fish", found.run, box=((1, 5), (2, 9), (3, 12)))
    assert run(study, "fish")["volumes"][0]["shape"] == [4, 7, 9]


def test_progress_counts_the_slices_of_all_crops(study, store, found_at, monkeypatch):
    monkeypatch.setattr(cropping, "_EVERY", 0.0)
    monkeypatch.setattr(cropping, "slab_height", lambda *_, **__: 9)
    for name in ("a", "b"):
        store(name)
        found_at(name, BOX)
    events = list(crop(study, CropSettings(volumes=("a", "b"))))
    progress = [e for e in events if isinstance(e, Progress)]
    assert progress[-1].done == progress[-1].total == 54
    assert [e.done for e in progress] == sorted(e.done for e in progress)
    assert any("b (2 of 2): writing" in e.what for e in progress)
    assert isinstance(events[-1], Result)


def test_only_the_box_is_read_slab_by_slab(study, store, found_at, monkeypatch):
    from napari_sortingloss.study import Volume

    store("fish")
    found_at("fish", BOX)
    monkeypatch.setattr(cropping, "slab_height", lambda *_, **__: 10)
    read = []
    plain = Volume.read_box
    monkeypatch.setattr(Volume, "read_box", lambda self, box: read.append(box) or plain(self, box))
    run(study, "fish")
    assert read == [(span, *BOX[1:]) for span in ((3, 13), (13, 23), (23, 30))]


def test_a_box_as_large_as_the_volume_is_cut_with_a_word(study, store, found_at):
    store("fish")
    found_at("fish", whole((37, 70, 90)))
    events = list(crop(study, CropSettings(volumes=("fish",))))
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "fish: the box is the whole volume, so that nothing is cut off."
    ]
    assert events[-1].value["volumes"][0]["removed_fraction"] == 0.0


def test_volumes_that_cannot_be_cropped_are_named_and_the_others_are_cut(study, store, found_at):
    for name in ("a", "b", "c", "d"):
        store(name)
    found_at("b", NO_BOX)
    found_at("c", BOX, status="skipped")
    found_at("d", BOX)
    result = run(study, "a", "b", "c", "d")
    assert [v["name"] for v in result["volumes"]] == ["d_crop"]
    assert [f["volume"] for f in result["failed"]] == ["a", "b", "c"]
    whys = ("has not been localised yet", "found no specimen in it", "skipped in the review")
    assert all(why in f["error"] for why, f in zip(whys, result["failed"], strict=True))


def test_a_pattern_leaves_out_what_has_no_box_without_failing(study, store, found_at):
    for name in ("fish_1", "fish_2", "fish_3"):
        store(name)
    found_at("fish_2", BOX)
    found_at("fish_3", NO_BOX)
    events = list(crop(study, CropSettings(volumes=("fish_*",))))
    assert [v["name"] for v in events[-1].value["volumes"]] == ["fish_2_crop"]
    assert events[-1].value["failed"] == []
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "fish_1 is left out: it has not been localised yet.",
        "fish_3 is left out: run 'sorting-261121-093000' found no specimen in it.",
    ]
    with pytest.raises(StudyError, match="has not been localised yet"):
        run(study, "fish_1", "fish_1*")


def test_one_volume_that_cannot_be_cropped_is_an_error(study, store, found_at):
    store("fish")
    with pytest.raises(StudyError, match="it has not been localised yet; localise it first"):
        run(study, "fish")
    found_at("fish", NO_BOX)
    with pytest.raises(
        StudyError, match=r"Cannot crop 'fish': run 'sorting-.*' found no specimen in it; draw a box"
    ):
        run(study, "fish")
    with pytest.raises(StudyError, match="Cannot find volume 'cat'"):
        run(study, "cat")
    with pytest.raises(BadInput, match="no volume was named"):
        run(study)
    (localization_path(study, "fish", "sorting-261121-093000") / "region.json").write_text("{}")
    with pytest.raises(StudyError, match="damaged"):
        run(study, "fish")


def test_removing_the_parent_keeps_the_place_in_the_original(study, store, found_at):
    store("fish")
    found_at("fish", BOX)
    run(study, "fish")
    found_at("fish_crop", ((1, 20), (2, 30), (3, 40)))
    run(study, "fish_crop")
    study.remove_volume("fish_crop")
    record = study.volumes["fish_crop_crop"]
    assert (record.parent, record.offset) == ("fish", (4, 7, 13))
    assert box_in_parent(study, record, whole(record.shape)) == ((4, 23), (7, 35), (13, 50))
    study.remove_volume("fish")
    record = Study.open(study.path).volumes["fish_crop_crop"]
    assert (record.parent, record.offset) == (None, (4, 7, 13))
    assert record.source["of"] == "fish_crop"
    store("fish")
    assert study.volumes["fish_crop_crop"].parent is None


def test_renaming_the_parent_is_followed(study, store, found_at):
    store("fish")
    found_at("fish", BOX)
    run(study, "fish")
    study.rename_volume("fish", "cod")
    record = study.volumes["fish_crop"]
    assert record.parent == "cod"
    assert size_of(box_in_parent(study, record, whole(record.shape))) == record.shape


def test_the_size_of_a_voxel_is_one_for_the_whole_family_but_the_axis_each_ones_own(
    study, make_volume, store, found_at
):
    volume = make_volume((12, 14, 16))
    _add_with_labels(study, volume, volume // 100)
    store("cod")
    found_at("fish", ((1, 9), (2, 9), (3, 9)))
    run(study, "fish")
    after = study.update_volume("fish_crop", voxel_size=(2.0, 3.0, 4.0), unit="um", axis="x", direction="-")
    assert (after.name, after.axis, after.direction) == ("fish_crop", "x", "-")
    fish = study.volumes["fish"]
    assert (fish.voxel_size, fish.unit, fish.axis, fish.direction) == ((2.0, 3.0, 4.0), "um", "z", "+")
    assert study.volumes["cod"].voxel_size == (0.4, 0.25, 0.3)
    for folder in ("volumes", "references"):
        for name in ("fish", "fish_crop"):
            with open_source(study.path / folder / f"{name}.zarr") as source:
                assert source.geometry.voxel_size == (2.0, 3.0, 4.0)
                assert source.geometry.unit == "um"
