"""Folders of slices as volumes."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_sortingloss.formats import find_sources, open_source


def write_pictures(folder, volume, suffix):
    folder.mkdir()
    encode = {".png": imagecodecs.png_encode, ".bmp": imagecodecs.bmp_encode}
    encode[".jpg"] = lambda image: imagecodecs.jpeg8_encode(image, level=100)
    for i, image in enumerate(volume):
        (folder / f"slice_{i + 1}{suffix}").write_bytes(encode[suffix](np.ascontiguousarray(image)))


@pytest.fixture
def long_volume(numbered):
    return numbered("uint8", (12, 13, 17))


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_pictures_are_read_in_natural_order(tmp_path, long_volume, read_all, suffix):
    write_pictures(tmp_path / "fish", long_volume, suffix)
    source = open_source(tmp_path / "fish")
    assert source.name == "fish"
    np.testing.assert_array_equal(read_all(source), long_volume)


def test_jpeg_slices_are_read(tmp_path, read_all):
    volume = np.repeat(np.arange(0, 240, 20, dtype=np.uint8), 13 * 17).reshape(12, 13, 17)
    write_pictures(tmp_path / "fish", volume, ".jpg")
    np.testing.assert_allclose(read_all(open_source(tmp_path / "fish")), volume, atol=2)


def test_sixteen_bit_png_keeps_its_depth(tmp_path, volume, read_all):
    write_pictures(tmp_path / "fish", volume, ".png")
    source = open_source(tmp_path / "fish")
    assert source.dtype == np.uint16
    np.testing.assert_array_equal(read_all(source), volume)


def test_grey_stored_as_rgb_is_grey(tmp_path, long_volume, read_all):
    write_pictures(tmp_path / "fish", np.repeat(long_volume[..., None], 3, axis=-1), ".png")
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "fish")), long_volume)


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_tiff_slices_are_read_in_natural_order_with_their_pixel_size(
    tmp_path, numbered, read_all, compression
):
    expected = numbered("uint16", (12, 13, 17))
    (tmp_path / "fish").mkdir()
    for i, image in enumerate(expected):
        tifffile.imwrite(
            tmp_path / "fish" / f"s{i}.tif",
            image,
            compression=compression,
            byteorder=">",
            resolution=(1e4 / 30, 1e4 / 25),
            resolutionunit="CENTIMETER",
        )
    source = open_source(tmp_path / "fish")
    assert source.format == "TIFF slices"
    assert source.geometry.voxel_size == pytest.approx((0.025, 0.025, 0.03), rel=1e-3)
    np.testing.assert_array_equal(read_all(source, step=5), expected)


def test_hidden_and_foreign_files_are_skipped(tmp_path, long_volume, read_all):
    write_pictures(tmp_path / "fish", long_volume, ".png")
    for junk in (".DS_Store", "Thumbs.db", "notes.txt", "._slice_3.png"):
        (tmp_path / "fish" / junk).write_bytes(b"junk")
    np.testing.assert_array_equal(read_all(open_source(tmp_path / "fish")), long_volume)


def test_slices_given_one_by_one_stand_for_their_folder(tmp_path, long_volume):
    write_pictures(tmp_path / "fish", long_volume, ".png")
    assert find_sources(sorted((tmp_path / "fish").iterdir())) == [tmp_path / "fish"]
