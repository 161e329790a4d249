"""HDF5, NeXus, OME-Zarr, raw, .npy and open arrays."""

import dask.array
import h5py
import numpy as np
import pytest
import zarr

from napari_sortingloss.formats import ReadOptions, array_source, open_source

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "bool")


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".nxs", ".nx"])
def test_the_only_3d_dataset_is_found(tmp_path, volume, read_all, suffix):
    with h5py.File(tmp_path / f"a{suffix}", "w") as file:
        file["entry/scan/data"] = volume
        file["entry/angles"] = np.arange(5.0)
        file["entry/flat"] = np.zeros((4, 5))
        file["title"] = "fish"
    source = open_source(tmp_path / f"a{suffix}")
    assert source.metadata["dataset"] == "/entry/scan/data"
    np.testing.assert_array_equal(read_all(source), volume)


def test_a_dataset_can_be_chosen_by_its_path_or_its_group(tmp_path, volume, read_all):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw/data"] = volume
        file["labels/data"] = volume + 1
    for wanted in ("labels/data", "/labels"):
        source = open_source(tmp_path / "a.h5", ReadOptions(dataset=wanted))
        np.testing.assert_array_equal(read_all(source), volume + 1)


def test_nexus_default_and_signal_are_followed_with_their_axes(tmp_path, volume, read_all):
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs["NX_class"], entry.attrs["default"] = "NXentry", "result"
        data = entry.create_group("result")
        data.attrs["NX_class"], data.attrs["signal"] = "NXdata", "density"
        data.attrs["axes"] = ["z", "y", "x"]
        data["density"] = volume
        data["errors"] = volume * 2
        for name, n, step in zip("zyx", volume.shape, (2.5, 0.75, 0.5), strict=True):
            data[name] = np.arange(n) * step * 1e-6
            data[name].attrs["units"] = "m"
    source = open_source(tmp_path / "a.nxs")
    assert source.format == "NeXus"
    assert source.metadata["dataset"] == "/entry/result/density"
    assert source.geometry.unit == "um"
    assert source.geometry.voxel_size == pytest.approx((2.5, 0.75, 0.5))
    np.testing.assert_array_equal(read_all(source), volume)


def test_the_older_nexus_signal_attribute_is_followed(tmp_path, volume, read_all):
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        entry = file.create_group("entry1")
        entry.attrs["NX_class"] = "NXentry"
        entry["instrument/dark"] = volume * 3
        entry["tomo/data"] = volume
        entry["tomo"].attrs["NX_class"] = "NXdata"
        entry["tomo/data"].attrs["signal"] = 1
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.nxs")), volume)


def test_element_size_attributes_give_the_voxel_size(tmp_path, volume):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = volume
        file["data"].attrs["element_size_um"] = (2.5, 0.75, 0.5)
    with open_source(tmp_path / "a.h5") as source:
        assert source.geometry.voxel_size == (2.5, 0.75, 0.5)
        assert source.geometry.unit == "um"


def test_chunked_and_compressed_hdf5_is_read_across_chunks(tmp_path, volume, read_all):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=volume.astype(">u2"), chunks=(4, 5, 6), compression="gzip")
    for step in (1, 3, 7, 9):
        source = open_source(tmp_path / "a.h5")
        assert source.together == 4
        assert source.dtype.isnative
        np.testing.assert_array_equal(read_all(source, step), volume)


def ome_zarr(path, values, version, axes, scale, units):
    multiscale = {
        "axes": [
            {
                "name": a,
                "type": "space" if a in "zyx" else "channel",
                **({"unit": units} if a in "zyx" else {}),
            }
            for a in axes
        ],
        "datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    if version == "0.4":
        about, kind = {"multiscales": [{**multiscale, "version": "0.4"}]}, 2
    else:
        about, kind = {"ome": {"version": "0.5", "multiscales": [multiscale]}}, 3
    group = zarr.create_group(path, zarr_format=kind, attributes=about)
    array = group.create_array("s0", shape=values.shape, chunks=(4,) * values.ndim, dtype=values.dtype)
    array[...] = values


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ome_zarr_is_read_with_scale_and_unit(tmp_path, numbered, read_all, version, dtype):
    expected = numbered(dtype)
    ome_zarr(tmp_path / "fish.ome.zarr", expected, version, "zyx", [2.5, 0.75, 0.5], "micrometer")
    source = open_source(tmp_path / "fish.ome.zarr")
    assert source.name == "fish"
    assert source.format == f"OME-Zarr {version}"
    assert source.geometry.voxel_size == (2.5, 0.75, 0.5)
    assert source.geometry.unit == "um"
    np.testing.assert_array_equal(read_all(source, step=5), expected)


def test_single_time_points_and_channels_of_ome_zarr_are_dropped(tmp_path, volume, read_all):
    ome_zarr(tmp_path / "a.zarr", volume[None, None], "0.4", "tczyx", [1, 1, 2.5, 0.75, 0.5], "millimeter")
    source = open_source(tmp_path / "a.zarr")
    assert source.geometry.voxel_size == (2.5, 0.75, 0.5)
    np.testing.assert_array_equal(read_all(source), volume)


def test_ome_zarr_axes_in_another_order_are_turned(tmp_path, volume, read_all):
    ome_zarr(tmp_path / "a.zarr", volume.transpose(2, 0, 1), "0.5", "xzy", [0.5, 2.5, 0.75], "millimeter")
    source = open_source(tmp_path / "a.zarr")
    assert source.geometry.voxel_size == (2.5, 0.75, 0.5)
    np.testing.assert_array_equal(read_all(source), volume)


def test_a_folder_of_one_bioformats_image_is_entered(tmp_path, volume, read_all):
    zarr.create_group(tmp_path / "a.zarr", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    ome_zarr(tmp_path / "a.zarr" / "0", volume, "0.4", "zyx", [2.5, 0.75, 0.5], "micrometer")
    source = open_source(tmp_path / "a.zarr")
    assert source.geometry.unit == "um"
    np.testing.assert_array_equal(read_all(source), volume)


@pytest.mark.parametrize("kind", [2, 3])
def test_a_plain_zarr_array_is_a_volume(tmp_path, volume, read_all, kind):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=volume.shape, chunks=(4, 4, 4), dtype="uint16", zarr_format=kind
    )
    array[...] = volume
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.zarr")), volume)
    np.testing.assert_array_equal(
        read_all(open_source(tmp_path / "a.zarr" / ("zarr.json" if kind == 3 else ".zarray"))), volume
    )


@pytest.mark.parametrize("dtype", DTYPES[:-1])
@pytest.mark.parametrize("big", [False, True])
def test_raw_voxels_are_read_with_shape_type_offset_and_byte_order(tmp_path, numbered, read_all, dtype, big):
    expected = numbered(dtype)
    stored = expected.astype(expected.dtype.newbyteorder(">" if big else "<"))
    (tmp_path / "a.vol").write_bytes(b"header!" + stored.tobytes())
    options = ReadOptions(raw_shape=expected.shape, raw_dtype=dtype, raw_offset=7, raw_big_endian=big)
    source = open_source(tmp_path / "a.vol", options)
    assert source.dtype.isnative
    np.testing.assert_array_equal(read_all(source), expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [*DTYPES, ">u2", ">f4"])
def test_npy_files_are_read_without_loading_them(tmp_path, numbered, read_all, dtype, order):
    expected = numbered(np.dtype(dtype).newbyteorder("=").name).astype(dtype)
    np.save(tmp_path / "a.npy", np.asarray(expected, order=order))
    source = open_source(tmp_path / "a.npy")
    assert source.dtype.isnative
    np.testing.assert_array_equal(read_all(source), expected)


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "memmap", "nested"])
def test_arrays_of_any_kind_are_sources(tmp_path, volume, read_all, kind):
    arrays = {"numpy": volume, "dask": dask.array.from_array(volume, chunks=(4, 5, 6))}
    arrays["zarr"] = zarr.array(volume, chunks=(4, 5, 6))
    arrays["memmap"] = np.memmap(tmp_path / "m", "uint16", "w+", shape=volume.shape)
    arrays["memmap"][:] = volume
    arrays["nested"] = volume[None, :, None]
    source = array_source(arrays[kind], "layer", (2.5, 0.75, 0.5), "µm")
    assert source.name == "layer"
    assert source.path is None
    assert source.geometry.unit == "um"
    np.testing.assert_array_equal(read_all(source), volume)
    np.testing.assert_array_equal(source.read(2, 8), volume[2:8])


def test_half_floats_become_floats(volume, read_all):
    source = array_source((volume % 100).astype(np.float16), "layer")
    assert source.dtype == np.float32
    np.testing.assert_array_equal(read_all(source), volume % 100)


def test_reading_outside_the_volume_is_an_error_of_the_caller(volume):
    with pytest.raises(IndexError):
        array_source(volume, "layer").read(5, 100)
