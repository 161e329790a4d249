"""Reference labels: which file belongs to which volume, and what the study keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_sortingloss.disk.downsample import block_majority
from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.events import Notice
from napari_sortingloss.formats import open_source
from napari_sortingloss.study import Study
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.study.volumes.references import match_references

SHAPE = (13, 22, 17)
VOXEL_SIZE = (0.4, 0.25, 0.3)


@pytest.fixture
def study(study_dir) -> Study:
    return Study.create(study_dir)


@pytest.fixture
def labels() -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data[2:9, 4:15, 3:11] = 1
    data[5:7, 8:12, 5:8] = 2
    return data


def run(study: Study, *paths: Path, **settings):
    return list(add(study, AddSettings(paths=paths, **settings)))


def save(path: Path, data: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    np.save(path, data)
    return path


def stored(study: Study, name: str, level: int = 0) -> np.ndarray:
    return zarr.open_array(study.path / "references" / f"{name}.zarr" / str(level), mode="r")[:]


@pytest.mark.parametrize(
    ("stem", "volume"),
    [
        ("A_J", "A_J"),
        ("a_j", "A_J"),
        ("A_J_labels", "A_J"),
        ("A_J-seg", "A_J"),
        ("a_j.GT", "A_J"),
        ("mask_A_J", "A_J"),
        ("fish 1 segmentation", "fish 1"),
    ],
)
def test_a_label_file_is_found_by_its_name(stem, volume):
    assert match_references(["other", stem], [volume]) == {volume: 1}


@pytest.mark.parametrize("stem", ["A_J_2", "A_JX", "BA_J", "A_J_raw", "A_J_2_labels", "labels"])
def test_a_file_of_another_name_is_left_alone(stem):
    assert match_references([stem], ["A_J"]) == {}


def test_the_same_name_counts_more_than_one_with_a_word():
    assert match_references(["A_J_labels", "A_J"], ["A_J"]) == {"A_J": 1}


def test_two_files_that_fit_equally_well_are_refused():
    with pytest.raises(BadInput, match="both 'A_J_labels' and 'A_J_mask' fit its name"):
        match_references(["A_J_labels", "A_J_mask"], ["A_J"])


def test_a_label_file_is_stored_on_the_volumes_voxels(study, tmp_path, make_volume, labels):
    path = save(tmp_path / "fish.npy", make_volume(SHAPE))
    run(study, path, reference=save(tmp_path / "any.npy", labels), voxel_size=VOXEL_SIZE)
    assert study.volumes["fish"].reference == "fish"
    got = stored(study, "fish")
    assert got.dtype == np.uint8
    assert (got == labels).all()


def test_it_is_an_ome_zarr_label_image_that_says_its_size_and_its_volume(
    study, tmp_path, make_volume, labels
):
    labels[0, 0, 0] = 200
    path = save(tmp_path / "fish.npy", make_volume((80, 70, 90)))
    big = np.zeros((80, 70, 90), np.int32)
    big[:13, :22, :17] = labels
    run(study, path, reference=save(tmp_path / "any.npy", big), voxel_size=VOXEL_SIZE)
    metadata = json.loads((study.path / "references" / "fish.zarr" / "zarr.json").read_text())
    ome = metadata["attributes"]["ome"]
    assert ome["version"] == "0.5"
    assert ome["image-label"] == {"source": {"image": "../../volumes/fish.zarr"}}
    (image,) = ome["multiscales"]
    assert image["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": list(VOXEL_SIZE)}]
    assert image["datasets"][1]["coordinateTransformations"] == [{"type": "scale", "scale": [0.8, 0.5, 0.6]}]
    assert (stored(study, "fish", 1) == big[::2, ::2, ::2]).all()
    source = open_source(study.path / "references" / "fish.zarr")
    assert source.shape == (80, 70, 90)


def test_labels_above_255_take_16_bit(study, tmp_path, make_volume, labels):
    wide = labels.astype(np.float32) * 300
    run(study, save(tmp_path / "fish.npy", make_volume(SHAPE)), reference=save(tmp_path / "any.npy", wide))
    got = stored(study, "fish")
    assert got.dtype == np.uint16
    assert (got == wide).all()


def test_labels_are_downsampled_with_the_volume_by_majority(study, tmp_path, make_volume, labels):
    path = save(tmp_path / "fish.npy", make_volume(SHAPE))
    run(study, path, reference=save(tmp_path / "any.npy", labels), downsample=2)
    assert stored(study, "fish").shape == study.volumes["fish"].shape == (7, 11, 9)
    assert (stored(study, "fish") == block_majority(labels, 2)).all()


def test_labels_come_into_the_same_frame_as_the_volume(study, tmp_path, make_volume, labels):
    import nibabel

    data = make_volume(SHAPE)
    lps = np.diag([-VOXEL_SIZE[2], -VOXEL_SIZE[1], VOXEL_SIZE[0], 1.0])
    nibabel.Nifti1Image(data.transpose(2, 1, 0), lps).to_filename(tmp_path / "fish.nii.gz")
    # the same labels, stored from right to left and slices last to first
    turned = np.diag([VOXEL_SIZE[2], -VOXEL_SIZE[1], -VOXEL_SIZE[0], 1.0])
    nibabel.Nifti1Image(labels[::-1, :, ::-1].transpose(2, 1, 0), turned).to_filename(tmp_path / "l.nii.gz")
    run(study, tmp_path / "fish.nii.gz", reference=tmp_path / "l.nii.gz")
    assert (stored(study, "fish") == labels).all()


def test_a_folder_of_labels_is_matched_by_name_and_gaps_are_told(study, tmp_path, make_volume, labels):
    for name in ("a", "b", "c"):
        save(tmp_path / "volumes" / f"{name}.npy", make_volume(SHAPE))
    save(tmp_path / "labels" / "a.npy", labels)
    save(tmp_path / "labels" / "C_mask.npy", labels)
    events = run(study, tmp_path / "volumes", reference=tmp_path / "labels")
    assert [r.reference for r in study.volumes.values()] == ["a", None, "c"]
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "2 of 3 volumes have reference labels; without: b."
    ]


def test_a_folder_of_which_no_file_fits_is_refused_before_anything_is_read(
    study, tmp_path, make_volume, labels
):
    save(tmp_path / "labels" / "x.npy", labels)
    with pytest.raises(BadInput, match="none of its 1 files is named like 'fish'"):
        run(study, save(tmp_path / "fish.npy", make_volume(SHAPE)), reference=tmp_path / "labels")
    assert not study.volumes


def test_one_label_file_is_not_for_several_volumes(study, tmp_path, make_volume, labels):
    for name in ("a", "b"):
        save(tmp_path / "volumes" / f"{name}.npy", make_volume(SHAPE))
    with pytest.raises(BadSetting, match="it is one file and there are 2 volumes"):
        run(study, tmp_path / "volumes", reference=save(tmp_path / "any.npy", labels))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda a: a[:-1],
            r"it has 12 x 22 x 17 voxels \(z, y, x\) and the volume 13 x 22 x 17; give labels drawn on",
        ),
        (lambda a: a.transpose(1, 0, 2), "it has 22 x 13 x 17 voxels"),
        (lambda a: a + 0.5, "its voxels are not whole numbers"),
        (lambda a: a.astype(np.float32) * np.nan, "its voxels are not whole numbers"),
        (lambda a: a.astype(np.int16) - 1, "it has the label -1; give labels from 0 to 65535"),
        (lambda a: a.astype(np.int32) * 70000, "it has the label 140000; give labels from 0 to 65535"),
    ],
)
def test_labels_that_do_not_fit_are_refused_and_the_volume_is_not_added(
    study, tmp_path, make_volume, labels, spoil, sentence
):
    with pytest.raises(BadInput, match=sentence):
        run(
            study,
            save(tmp_path / "fish.npy", make_volume(SHAPE)),
            reference=save(tmp_path / "any.npy", np.ascontiguousarray(spoil(labels))),
        )
    assert not study.volumes
    assert not list((study.path / "references").glob("*"))
    assert not list((study.path / "volumes").glob("*"))


def test_a_volume_that_fails_takes_its_labels_with_it(study, tmp_path, labels):
    with pytest.raises(BadInput, match="nothing to learn"):
        run(
            study,
            save(tmp_path / "fish.npy", np.ones(SHAPE, np.uint8)),
            reference=save(tmp_path / "any.npy", labels),
            window="0:5",
        )
    assert not list((study.path / "references").glob("*"))


def test_labels_that_an_interrupted_import_left_are_replaced(study, tmp_path, make_volume, labels):
    old = study.path / "references" / "fish.zarr"
    old.mkdir(parents=True)
    (old / "junk").write_text("half")
    run(study, save(tmp_path / "fish.npy", make_volume(SHAPE)), reference=save(tmp_path / "any.npy", labels))
    assert not (old / "junk").exists()
    assert (stored(study, "fish") == labels).all()
