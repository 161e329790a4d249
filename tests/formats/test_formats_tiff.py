"""TIFF in its many kinds: voxels, voxel sizes and streaming."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats import ReadOptions, open_source

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_number_type_comes_out_in_native_byte_order(tmp_path, numbered, read_all, dtype, byteorder):
    expected = numbered(dtype)
    tifffile.imwrite(tmp_path / "a.tif", expected, byteorder=byteorder, photometric="minisblack")
    source = open_source(tmp_path / "a.tif")
    assert source.dtype == np.dtype(dtype)
    assert source.dtype.isnative
    np.testing.assert_array_equal(read_all(source), expected)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"bigtiff": True},
        {"compression": "zlib"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "deflate"},
        {"rowsperstrip": 3},
        {"metadata": None},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"volumetric": True, "tile": (16, 16, 16), "metadata": {"axes": "ZYX"}},
    ],
    ids=str,
)
def test_every_layout_gives_the_same_voxels(tmp_path, volume, read_all, how):
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack", **how)
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.tif")), volume)


def test_pages_written_one_by_one_are_a_volume(tmp_path, volume, read_all):
    with tifffile.TiffWriter(tmp_path / "a.tiff") as tif:
        for page in volume:
            tif.write(page, contiguous=False, metadata=None)
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.tiff"), step=2), volume)


def test_bool_pages_come_out_as_bool(tmp_path, numbered, read_all):
    expected = numbered("bool")
    tifffile.imwrite(tmp_path / "a.tif", expected, photometric="minisblack")
    voxels = read_all(open_source(tmp_path / "a.tif"))
    assert voxels.dtype == bool
    np.testing.assert_array_equal(voxels, expected)


@pytest.mark.parametrize(
    ("unit", "expected"), [("µm", "um"), ("μm", "um"), ("mm", "mm"), ("nm", "nm")], ids=ascii
)
def test_ome_physical_sizes_are_read_per_axis(tmp_path, volume, unit, expected):
    about = {"axes": "ZYX", "PhysicalSizeZ": 2.5, "PhysicalSizeY": 0.75, "PhysicalSizeX": 0.5}
    about |= {f"PhysicalSize{axis}Unit": unit for axis in "ZYX"}
    tifffile.imwrite(tmp_path / "a.ome.tif", volume, ome=True, metadata=about)
    with open_source(tmp_path / "a.ome.tif") as source:
        assert source.name == "a"
        assert source.format == "OME-TIFF"
        assert source.geometry.voxel_size == (2.5, 0.75, 0.5)
        assert source.geometry.unit == expected


def test_ome_sizes_in_different_units_are_brought_to_one(tmp_path, volume):
    about = {"axes": "ZYX", "PhysicalSizeZ": 0.01, "PhysicalSizeY": 4, "PhysicalSizeX": 3}
    about |= {"PhysicalSizeZUnit": "mm", "PhysicalSizeYUnit": "µm", "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", volume, ome=True, metadata=about)
    with open_source(tmp_path / "a.ome.tif") as source:
        assert source.geometry.unit == "mm"
        assert source.geometry.voxel_size == pytest.approx((0.01, 0.004, 0.003))


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m"])
def test_imagej_spacing_and_unit_are_read(tmp_path, volume, unit):
    tifffile.imwrite(
        tmp_path / "a.tif",
        volume,
        imagej=True,
        resolution=(1 / 0.5, 1 / 0.75),
        metadata={"axes": "ZYX", "spacing": 2.5, "unit": unit},
    )
    with open_source(tmp_path / "a.tif") as source:
        assert source.format == "ImageJ TIFF"
        assert source.geometry.voxel_size == pytest.approx((2.5, 0.75, 0.5))
        assert source.geometry.unit == "um"


def test_a_stack_that_counts_time_points_only_is_read_as_slices(tmp_path, volume, read_all):
    tifffile.imwrite(tmp_path / "a.tif", volume, imagej=True, metadata={"axes": "TYX"})
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.tif")), volume)


def test_plausible_resolution_tags_give_the_pixel_size(tmp_path, volume):
    tifffile.imwrite(
        tmp_path / "a.tif",
        volume,
        resolution=(1e4 / 30, 1e4 / 25),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    with open_source(tmp_path / "a.tif") as source:
        assert source.geometry.unit == "mm"
        assert source.geometry.voxel_size == pytest.approx((0.025, 0.025, 0.03), rel=1e-3)
        assert "slices" in source.metadata["voxel_size_note"]


@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_screen_resolutions_are_no_voxel_sizes(tmp_path, volume, dpi):
    tifffile.imwrite(tmp_path / "a.tif", volume, resolution=(dpi, dpi), resolutionunit="INCH", metadata=None)
    with open_source(tmp_path / "a.tif") as source:
        assert source.geometry.voxel_size is None


def test_axes_of_length_one_are_dropped(tmp_path, volume, read_all):
    tifffile.imwrite(tmp_path / "a.tif", volume[None, :, None], imagej=True, metadata={"axes": "TZCYX"})
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.tif")), volume)


def test_a_pyramid_gives_its_first_level(tmp_path, volume, read_all):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(volume, subifds=1, metadata={"axes": "ZYX"})
        tif.write(volume[:, ::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "a.ome.tif")), volume)


def test_one_of_several_volumes_can_be_chosen(tmp_path, volume, read_all):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(volume, photometric="minisblack")
        tif.write(volume[:, :5] + 1, photometric="minisblack")
    source = open_source(tmp_path / "a.tif", ReadOptions(dataset="1"))
    np.testing.assert_array_equal(read_all(source), volume[:, :5] + 1)


def test_pages_written_one_at_a_time_are_the_slices_of_one_volume(tmp_path: Path) -> None:
    slices = np.random.default_rng(3).integers(0, 999, (7, 12, 15)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for image in slices:
            writer.write(image)
    with open_source(tmp_path / "pages.tif") as source:
        np.testing.assert_array_equal(source.read(0, 7), slices)


def test_pages_written_one_at_a_time_with_different_sizes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for height in (12, 12, 13):
            writer.write(np.zeros((height, 15), np.uint16))
    with pytest.raises(BadInput, match="differ in size"):
        open_source(tmp_path / "pages.tif")
