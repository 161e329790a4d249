"""Reading in slabs: one decoding pass, bounded memory, turned axes, temporary files that vanish."""

import gzip
import subprocess
import sys
import tracemalloc

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats import ReadOptions, blocks, open_source


def save_nifti(path, values, affine):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


LPS = np.diag([-0.5, -0.75, 2.5, 1])
UPSIDE_DOWN = np.diag([-0.5, -0.75, -2.5, 1])


def test_opening_the_room_loads_no_format_library():
    code = (
        "import sys, napari_sortingloss.formats\n"
        "heavy = {'torch', 'tifffile', 'nibabel', 'SimpleITK', 'pydicom', 'h5py', 'zarr', 'dask', 'imagecodecs'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_compressed_file_read_forward_is_decoded_once(tmp_path, numbered, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".nii.gz":
        save_nifti(path, numbered().transpose(2, 1, 0), LPS)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(numbered()), str(path), True)
    starts = []
    close = blocks.StreamBlock.close
    monkeypatch.setattr(blocks.StreamBlock, "close", lambda self: (starts.append(self._next), close(self)))
    with open_source(path) as source:
        assert source.sequential
        for z in range(source.shape[0]):
            np.testing.assert_array_equal(source.read(z, z + 1)[0], numbered()[z])
        assert starts == [0]  # opened once, never again
        np.testing.assert_array_equal(source.read(2, 4), numbered()[2:4])
        assert len(starts) == 2


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_reading_holds_only_a_slab_in_memory(tmp_path, suffix):
    values = np.zeros((256, 256, 320), np.uint8)
    values[::3] = 7
    save_nifti(tmp_path / f"a{suffix}", values, LPS)
    with open_source(tmp_path / f"a{suffix}") as source:
        source.read(0, 1)
        tracemalloc.start()
        for z in range(0, 320, 10):
            source.read(z, z + 10)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4e6 < values.nbytes / 4


@pytest.mark.parametrize("read_first", [False, True])
def test_a_compressed_upside_down_volume_goes_through_a_temporary_file(tmp_path, numbered, read_first):
    values = numbered("int16")
    save_nifti(tmp_path / "a.nii.gz", values.transpose(2, 1, 0), UPSIDE_DOWN)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_source(tmp_path / "a.nii.gz", ReadOptions(scratch=scratch)) as source:
        if not read_first:
            steps = list(source.prepare())
            assert steps[-1] == (9, 9)
            assert len(list(scratch.iterdir())) == 1
        np.testing.assert_array_equal(source.read(0, 3), values[::-1][:3])
        np.testing.assert_array_equal(source.read(5, 9), values[::-1][5:9])
    assert not list(scratch.iterdir())


def test_cancelling_the_unpacking_leaves_no_temporary_file(tmp_path, numbered, monkeypatch):
    monkeypatch.setattr(blocks, "_PIECE", 1000)
    save_nifti(tmp_path / "a.nii.gz", numbered().transpose(2, 1, 0), UPSIDE_DOWN)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_source(tmp_path / "a.nii.gz", ReadOptions(scratch=scratch)) as source:
        steps = source.prepare()
        next(steps)
        assert list(scratch.iterdir())
        steps.close()
        assert not list(scratch.iterdir())


@pytest.mark.parametrize("budget", [1, 1500, 10**6])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)])
def test_turned_axes_are_read_in_slabs_whatever_the_memory(
    tmp_path, numbered, read_all, monkeypatch, budget, order
):
    monkeypatch.setattr("napari_sortingloss.formats.stored.BUDGET", budget)
    monkeypatch.setattr(blocks, "_PIECE", max(budget, 100))
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, world in enumerate(order):
        affine[world, axis] = (0.5, 0.75, 2.5)[axis]
    values = numbered("int16")
    save_nifti(tmp_path / "a.nii", values, affine)
    expected = nibabel.as_closest_canonical(nibabel.load(tmp_path / "a.nii"))
    expected = np.asanyarray(expected.dataobj)[::-1, ::-1].transpose(2, 1, 0)
    for step in (1, 4, 20):
        np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.nii"), step), expected)


def test_a_file_that_shrinks_while_it_is_read_is_reported(tmp_path, numbered):
    np.save(tmp_path / "a.npy", numbered())
    with open_source(tmp_path / "a.npy") as source:
        source.read(0, 2)
        with (tmp_path / "a.npy").open("r+b") as file:
            file.truncate(1500)
        with pytest.raises(BadInput, match="cut off"):
            source.read(2, 9)


def test_several_gzip_members_are_one_stream(tmp_path, numbered, read_all):
    save_nifti(tmp_path / "a.nii", numbered().transpose(2, 1, 0), LPS)
    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:2000]) + gzip.compress(data[2000:]))
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "b.nii.gz")), numbered())


def test_a_damaged_chunk_is_reported_when_it_is_read(tmp_path, numbered):
    import zarr

    array = zarr.create_array(tmp_path / "a.zarr", shape=(9, 13, 17), chunks=(3, 13, 17), dtype="uint16")
    array[...] = numbered()
    chunk = next(p for p in sorted((tmp_path / "a.zarr" / "c" / "1").rglob("*")) if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:10])
    with open_source(tmp_path / "a.zarr") as source:
        source.read(0, 3)
        with pytest.raises(BadInput, match="damaged"):
            source.read(3, 6)
