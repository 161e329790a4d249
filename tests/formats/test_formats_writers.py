"""Writing volumes: round trips, atomicity, refusals."""

import hashlib

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from napari_sortingloss.errors import BadInput, OutOfSpace
from napari_sortingloss.formats import WRITABLE, open_source, write_volume
from napari_sortingloss.formats.writers import sinks
from napari_sortingloss.formats.writers import write as writers

SIZE = (2.5, 0.75, 0.5)


def slabs(volume, step=4):
    return (volume[a : a + step] for a in range(0, len(volume), step))


def write(path, volume, unit="um", step=4, **more):
    return list(write_volume(path, volume.shape, volume.dtype, slabs(volume, step), SIZE, unit, **more))


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_what_is_written_is_read_back_with_its_voxel_size(tmp_path, numbered, read_all, suffix, dtype):
    expected = numbered(dtype)
    assert write(tmp_path / f"fish{suffix}", expected) == [4, 8, 9]
    source = open_source(tmp_path / f"fish{suffix}")
    assert source.dtype == np.dtype(dtype)
    assert source.geometry.unit == "um"
    assert source.geometry.voxel_size == pytest.approx(SIZE)
    assert source.name == "fish"
    np.testing.assert_array_equal(read_all(source), expected)


@pytest.mark.parametrize("unit", ["mm", "um", "nm", ""])
@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nrrd", ".zarr"])
def test_units_survive_or_are_converted(tmp_path, volume, suffix, unit):
    write(tmp_path / f"a{suffix}", volume, unit=unit)
    with open_source(tmp_path / f"a{suffix}") as source:
        found = source.geometry
    if suffix == ".nii" and unit == "nm":
        assert (found.unit, found.voxel_size) == ("um", pytest.approx((2.5e-3, 7.5e-4, 5e-4)))
    elif suffix in (".nii", ".nrrd") and unit == "":
        assert found.voxel_size == pytest.approx(SIZE)
    elif suffix == ".tif" and unit == "":
        assert found.voxel_size is None
    else:
        assert (found.unit, found.voxel_size) == (unit, pytest.approx(SIZE))


def test_other_programs_read_what_is_written(tmp_path, volume):
    for name in ("a.tif", "a.nii.gz", "a.zarr"):
        write(tmp_path / name, volume)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tif.asarray(), volume)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).transpose(2, 1, 0), volume)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert group.attrs["ome"]["version"] == "0.5"
    np.testing.assert_array_equal(group["0"][...], volume)


@pytest.mark.parametrize("step", [1, 5, 40, 200])
def test_zarr_rows_of_chunks_are_gathered_from_any_slabs(tmp_path, numbered, read_all, step):
    expected = numbered("uint8", (70, 5, 6))
    write(tmp_path / "a.zarr", expected, step=step)
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.zarr"), 70), expected)


def test_large_tiffs_are_bigtiff(tmp_path, volume, monkeypatch):
    monkeypatch.setattr(sinks, "_BIG", 1000)
    write(tmp_path / "a.tif", volume)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff


def test_long_axes_become_nifti_2(tmp_path, read_all):
    volume = np.arange(40000 * 2 * 3, dtype=np.uint32).reshape(2, 3, 40000).astype(np.uint8)
    write(tmp_path / "a.nii", volume)
    assert isinstance(nibabel.load(tmp_path / "a.nii"), nibabel.Nifti2Image)
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.nii")), volume)


def test_bool_is_written_as_zero_and_one(tmp_path, numbered, read_all):
    write(tmp_path / "a.tif", numbered("bool"))
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.tif")), numbered("bool").astype("uint8"))


@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nii.gz", ".nrrd", ".zarr"])
def test_a_cancelled_write_leaves_nothing(tmp_path, volume, suffix):
    steps = write_volume(tmp_path / f"a{suffix}", volume.shape, volume.dtype, slabs(volume), SIZE, "um")
    next(steps)
    assert [p.name.startswith(".a") for p in tmp_path.iterdir()] == [True]
    steps.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nii.gz", ".nrrd", ".zarr"])
def test_a_failed_write_leaves_the_old_file(tmp_path, volume, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, volume)

    def failing():
        yield volume[:4]
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        list(write_volume(path, volume.shape, volume.dtype, failing(), SIZE, "um", overwrite=True))
    assert list(tmp_path.iterdir()) == [path]
    with open_source(path) as source:
        np.testing.assert_array_equal(source.read(0, 9), volume)


@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nrrd", ".zarr"])
def test_an_existing_target_is_replaced_only_on_request(tmp_path, volume, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, volume)
    with pytest.raises(BadInput, match="exists already"):
        write(path, volume + 1)
    write(path, volume + 1, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    with open_source(path) as source:
        np.testing.assert_array_equal(source.read(0, 9), volume + 1)


def test_a_folder_that_is_no_zarr_is_never_overwritten(tmp_path, volume):
    (tmp_path / "a.tif").mkdir()
    (tmp_path / "a.tif" / "precious.txt").write_text("x")
    with pytest.raises(BadInput, match="in the way"):
        write(tmp_path / "a.tif", volume, overwrite=True)
    assert (tmp_path / "a.tif" / "precious.txt").exists()


@pytest.mark.parametrize(
    ("name", "dtype", "match"),
    [
        ("a.png", "uint8", r"'\.png' cannot be written; choose one of .*\.nii"),
        ("a.tif", "int64", "cannot hold voxels of type int64; convert"),
        ("a.nii", "complex64", "cannot hold voxels of type complex64; convert"),
        ("nowhere/a.tif", "uint8", "does not exist; make it"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(tmp_path, name, dtype, match):
    with pytest.raises(BadInput, match=match):
        write_volume(tmp_path / name, (4, 5, 6), dtype, iter(()), SIZE, "um")


def test_a_disk_that_would_become_full_is_said_before_writing(tmp_path, volume, monkeypatch):
    monkeypatch.setattr(writers.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(OutOfSpace, match="too little space"):
        write(tmp_path / "a.tif", volume)


def test_a_disk_that_becomes_full_is_said_and_leaves_nothing(tmp_path, volume, monkeypatch):
    def full(self, slab):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sinks.NiftiSink, "write", full)
    with pytest.raises(OutOfSpace, match="the disk is full"):
        write(tmp_path / "a.nii", volume)
    assert not list(tmp_path.iterdir())


def test_too_few_or_unfit_slabs_are_errors_of_the_caller(tmp_path, volume):
    for given in ([volume[:4]], [volume[:, :5]], [volume, volume]):
        with pytest.raises(ValueError, match=r"slab|slices"):
            list(write_volume(tmp_path / "a.nii", volume.shape, volume.dtype, given, SIZE, "um"))
    assert not list(tmp_path.iterdir())


def test_the_same_volume_gives_the_same_nifti(tmp_path, volume):
    sums = []
    for name in ("a.nii.gz", "b.nii.gz"):
        write(tmp_path / name, volume)
        sums.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert sums[0] == sums[1]
