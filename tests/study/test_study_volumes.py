"""Volumes are chosen, changed, renamed and removed without copying or losing anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.study import Study, StudyError, VolumeRecord

Store = Callable[..., VolumeRecord]


def test_volumes_keep_the_order_in_which_they_came(study: Study, store: Store) -> None:
    for name in ("zebra", "fish", "ant"):
        store(name)
    assert list(Study.open(study.path).volumes) == ["zebra", "fish", "ant"]


def test_volumes_are_selected_by_name_and_pattern(study: Study, store: Store) -> None:
    for name in ("fish_1", "fish_2", "frog"):
        store(name)
    assert [v.name for v in study.select()] == ["fish_1", "fish_2", "frog"]
    assert [v.name for v in study.select(["frog", "fish_?", "fish_1"])] == ["fish_1", "fish_2", "frog"]
    assert study.select([]) == []


def test_an_unknown_volume_names_what_there_is(study: Study, store: Store) -> None:
    with pytest.raises(StudyError, match="the study has no volumes yet; add some first"):
        study.volume("fish")
    for number in range(10):
        store(f"fish_{number}", np.zeros((1, 2, 3), np.uint8))
    with pytest.raises(StudyError, match=r"Cannot find volume 'cat' .* fish_0, .*fish_7 and 2 more"):
        study.volume("cat")
    with pytest.raises(StudyError, match=r"Cannot find volume 'cat\*'"):
        study.select(["fish_1", "cat*"])


def test_flipping_the_direction_turns_the_order_and_moves_no_voxel(
    study: Study, store: Store, voxels: np.ndarray
) -> None:
    store()
    shards = {f: f.stat().st_mtime_ns for f in study.volume_path("fish").rglob("c/*/*/*")}
    before = study.volume("fish").read_slices([0, 5])
    assert study.update_volume("fish", direction="-").direction == "-"
    flipped = study.volume("fish")
    np.testing.assert_array_equal(flipped.read_slices([36, 31]), before)
    assert {f: f.stat().st_mtime_ns for f in study.volume_path("fish").rglob("c/*/*/*")} == shards


def test_another_axis_changes_what_a_slice_is(study: Study, store: Store, voxels: np.ndarray) -> None:
    store()
    study.update_volume("fish", axis="x", direction="-")
    volume = study.volume("fish")
    assert (volume.n_slices, volume.slice_shape) == (90, (37, 70))
    assert (volume.spacing, volume.slice_voxel_size) == (0.3, (0.4, 0.25))
    np.testing.assert_array_equal(volume.read_slices([0])[0], voxels[:, :, 89])


def test_a_new_voxel_size_reaches_the_stored_image(study: Study, store: Store) -> None:
    store()
    study.update_volume("fish", voxel_size=(4.0, 2.5, 3.0), unit="um")
    assert study.volumes["fish"].voxel_size == (4.0, 2.5, 3.0)
    attributes = zarr.open_group(study.volume_path("fish"), mode="r").attrs.asdict()
    multiscale = attributes["ome"]["multiscales"][0]
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == [4.0, 2.5, 3.0]
    assert {axis["unit"] for axis in multiscale["axes"]} == {"micrometer"}


def test_an_impossible_change_is_refused_and_changes_nothing(study: Study, store: Store) -> None:
    store()
    before = study.volumes["fish"]
    for changes in ({"axis": "w"}, {"direction": "0"}, {"voxel_size": (0.0, 1.0, 1.0)}):
        with pytest.raises(BadSetting):
            study.update_volume("fish", **changes)
    with pytest.raises(StudyError, match="Cannot find volume 'cat'"):
        study.update_volume("cat", axis="x")
    assert study.volumes == {"fish": before}


def test_a_removed_volume_is_gone_with_its_results(study: Study, store: Store) -> None:
    store()
    (study.path / "predictions" / "fish").mkdir(parents=True)
    study.remove_volume("fish")
    assert study.volumes == {}
    assert not list(study.path.rglob("*fish*"))


def test_a_painted_volume_is_not_removed(study: Study, store: Store, voxels: np.ndarray) -> None:
    store()
    painted = study.path / "annotations" / "fish"
    painted.mkdir(parents=True)
    (painted / "labels.raw").write_bytes(b"hours of work")
    with pytest.raises(StudyError, match="it has annotations"):
        study.remove_volume("fish")
    np.testing.assert_array_equal(study.volume("fish").read_slab(0, 37), voxels)


def test_a_volume_that_replaces_another_shows_its_own_voxels(
    study: Study, store: Store, voxels: np.ndarray
) -> None:
    store()
    study.volume("fish").read_slices([0])
    study.remove_volume("fish")
    store(array=255 - voxels)
    np.testing.assert_array_equal(study.volume("fish").read_slab(0, 37), 255 - voxels)


def test_a_renamed_volume_takes_everything_along(study: Study, store: Store, voxels: np.ndarray) -> None:
    store("fish", reference="fish")
    store("crop", parent="fish")
    for folder in ("annotations/fish", "references/fish.zarr", "localizations/fish", "predictions/fish"):
        (study.path / folder).mkdir(parents=True)
    study.rename_volume("fish", "medaka")
    assert list(study.volumes) == ["medaka", "crop"]
    assert study.volumes["crop"].parent == "medaka"
    assert study.volumes["medaka"].reference == "medaka"
    np.testing.assert_array_equal(study.volume("medaka").read_slab(0, 37), voxels)
    for folder in ("annotations/medaka", "references/medaka.zarr", "localizations/medaka"):
        assert (study.path / folder).is_dir()
    assert not list(study.path.glob("*/fish*"))


def test_a_volume_can_change_the_case_of_its_name(study: Study, store: Store) -> None:
    store("fish")
    assert study.rename_volume("fish", "Fish").name == "Fish"
    assert study.rename_volume("Fish", "Fish").name == "Fish"


def test_a_name_in_use_or_impossible_is_refused(study: Study, store: Store) -> None:
    store("fish")
    store("frog")
    with pytest.raises(StudyError, match="the study has a volume of that name"):
        study.rename_volume("fish", "FROG")
    with pytest.raises(BadSetting, match="names become folders"):
        study.rename_volume("fish", "a/b")
    assert list(study.volumes) == ["fish", "frog"]


def test_a_rename_cut_short_is_finished_when_the_study_opens(
    study: Study, store: Store, voxels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    store()
    (study.path / "predictions" / "fish").mkdir(parents=True)
    rename, calls = Path.rename, []

    def die_at_the_second(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        study.rename_volume("fish", "medaka")
    monkeypatch.undo()
    opened = Study.open(study.path)
    assert list(opened.volumes) == ["medaka"]
    np.testing.assert_array_equal(opened.volume("medaka").read_slab(0, 37), voxels)
    assert (study.path / "predictions" / "medaka").is_dir()
    assert "renaming" not in json.loads((study.path / "study.json").read_text())


def test_what_the_file_said_of_the_voxel_size_stays_known_for_crops_and_coarser_copies_too() -> None:
    file = {"format": "NIfTI", "voxel_size": [0.4, 0.25, 0.3], "unit": "mm"}
    record = VolumeRecord("fish", (24, 18, 30), (1.0, 1.0, 1.0), "", source=file, downsample=2)
    assert record.size_in_file == ((0.8, 0.5, 0.6), "mm")
    crop = record.replace(name="fish_crop", source={"format": "crop", "of": "fish", "source": file})
    assert crop.size_in_file == ((0.8, 0.5, 0.6), "mm")


@pytest.mark.parametrize(
    "source", [{}, {"voxel_size": None, "unit": ""}, {"voxel_size": "wide"}, {"source": {}}]
)
def test_where_the_file_said_nothing_there_is_nothing_to_go_back_to(source: dict[str, object]) -> None:
    assert VolumeRecord("fish", (24, 18, 30), source=source).size_in_file is None
