"""Finding volumes behind files and folders."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
import zarr

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats import SUFFIXES, ReadOptions, find_sources, open_source
from napari_sortingloss.formats.naming import reading_fields


@pytest.fixture
def collection(tmp_path, volume):
    """A folder as people have them: volumes of several kinds, a preview, notes, slices and more volumes below."""
    folder = tmp_path / "scans"
    (folder / "slices").mkdir(parents=True)
    (folder / "more").mkdir()
    for name in ("fish_10.nii.gz", "fish_2.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / name)
    tifffile.imwrite(folder / "fish_3.tif", volume, photometric="minisblack")
    tifffile.imwrite(folder / "preview.tif", volume[0])
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.nii").write_bytes(b"x")
    sitk.WriteImage(sitk.GetImageFromArray(volume), str(folder / "more" / "fish_4.mhd"))
    zarr.save(folder / "fish_5.zarr", volume)
    for i, image in enumerate(volume):
        tifffile.imwrite(folder / "slices" / f"{i}.tif", image)
    return folder


def test_a_folder_is_expanded_in_natural_order_with_its_subfolders(collection):
    found = [str(p.relative_to(collection)) for p in find_sources([collection])]
    assert sorted(found[:4]) == ["fish_10.nii.gz", "fish_2.nii.gz", "fish_3.tif", "fish_5.zarr"]
    assert found.index("fish_2.nii.gz") < found.index("fish_10.nii.gz")
    assert found[4:] == ["more/fish_4.mhd", "slices"]


def test_every_found_path_opens(collection, volume):
    for path in find_sources([collection]):
        with open_source(path) as source:
            assert sorted(source.shape) == sorted(volume.shape)


def test_files_and_folders_may_be_mixed_and_repeated(collection):
    one = collection / "fish_3.tif"
    assert find_sources([one, collection / "slices", one]) == [one, collection / "slices"]


def test_raw_files_of_a_folder_count_once_their_shape_is_given(tmp_path, volume):
    for name in ("a.raw", "b.raw"):
        (tmp_path / name).write_bytes(volume.tobytes())
    np.save(tmp_path / "c.npy", volume)
    assert [p.name for p in find_sources([tmp_path])] == ["c.npy"]
    options = ReadOptions(raw_shape=volume.shape, raw_dtype="uint16")
    assert sorted(p.name for p in find_sources([tmp_path], options)) == ["a.raw", "b.raw", "c.npy"]


def test_a_folder_with_one_volume_opens_as_that_volume(tmp_path, volume, read_all):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    np.save(tmp_path / "deep" / "er" / "fish.npy", volume)
    source = open_source(tmp_path)
    assert source.name == "fish"
    np.testing.assert_array_equal(read_all(source), volume)


def test_a_folder_of_several_volumes_cannot_be_opened_as_one(collection):
    with pytest.raises(BadInput, match=r"holds 4 volumes .*fish_2\.nii\.gz.*choose one"):
        open_source(collection)


def test_nothing_given_is_said(tmp_path):
    with pytest.raises(BadInput, match="no file or folder was given"):
        find_sources([])
    with pytest.raises(BadInput, match="does not exist"):
        find_sources([tmp_path / "nowhere"])


def test_content_decides_where_there_is_no_suffix(tmp_path, volume, read_all):
    tifffile.imwrite(tmp_path / "scan", volume, photometric="minisblack")
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "scan")), volume)


def test_suffixes_for_file_dialogs_cover_every_family():
    assert {".tif", ".nii.gz", ".dcm", ".nrrd", ".mhd", ".nxs", ".ome.zarr", ".raw", ".png", ".npy"} <= set(
        SUFFIXES
    )


def test_dicom_files_given_one_by_one_are_one_source_a_series(tmp_path, volume, write_dicom):
    paths = write_dicom(tmp_path, volume, number=1, prefix="a")
    paths += write_dicom(tmp_path, volume, number=2, prefix="b")
    assert find_sources(paths) == [paths[0], paths[len(volume)]]


def test_a_study_that_lies_beside_the_files_it_was_made_from_is_not_found(tmp_path):
    np.save(tmp_path / "scan.npy", np.zeros((3, 4, 5), np.uint8))
    copies = tmp_path / "study" / "volumes" / "scan.zarr"
    copies.mkdir(parents=True)
    (copies / "zarr.json").write_text("{}")
    assert len(find_sources([tmp_path])) == 2
    (tmp_path / "study" / "study.json").write_text("{}")
    assert find_sources([tmp_path]) == [tmp_path / "scan.npy"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("scan.nii.gz", ()),
        ("scan.npy", ()),
        ("scan.h5", ("dataset",)),
        ("scan.ome.tif", ("dataset",)),
        ("a-folder-of-dicom", ("dataset",)),
        ("scan.raw", ("raw_shape", "raw_dtype", "raw_offset", "raw_big_endian")),
    ],
)
def test_what_can_matter_for_reading_a_file_is_known_from_its_name(name, fields):
    assert reading_fields(Path(name)) == fields
