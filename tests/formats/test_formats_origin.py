"""Where the first voxel lies, as other programs read it in what was written."""

import xml.etree.ElementTree as ElementTree

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
import zarr

from napari_sortingloss.formats import open_source, write_volume

SIZE = (2.5, 0.75, 0.5)
ORIGIN = (25.0, -3.0, 4.5)


def write(path, volume, *, size=SIZE, unit="um", origin=ORIGIN):
    return list(write_volume(path, volume.shape, volume.dtype, [volume], size, unit, origin=origin))


def planes(path):
    with tifffile.TiffFile(path) as tif:
        root = ElementTree.fromstring(tif.ome_metadata)
    return [p.attrib for p in root.iter("{http://www.openmicroscopy.org/Schemas/OME/2016-06}Plane")]


def test_itk_and_nibabel_find_the_origin_of_a_nifti(tmp_path, volume):
    write(tmp_path / "a.nii.gz", volume, unit="mm")
    image = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    assert image.GetOrigin() == pytest.approx(ORIGIN[::-1])  # both in LPS, x first
    assert image.GetSpacing() == pytest.approx(SIZE[::-1])
    assert image.GetDirection() == pytest.approx(np.eye(3).ravel())
    affine = nibabel.load(tmp_path / "a.nii.gz").affine
    np.testing.assert_allclose(affine[:3, 3], [-4.5, 3.0, 25.0])
    np.testing.assert_allclose(nibabel.load(tmp_path / "a.nii.gz").get_qform(), affine, atol=1e-6)


def test_a_nifti_in_nanometres_has_its_origin_in_micrometres(tmp_path, volume):
    write(tmp_path / "a.nii", volume, unit="nm", origin=(2500.0, 0.0, 1000.0))
    np.testing.assert_allclose(nibabel.load(tmp_path / "a.nii").affine[:3, 3], [-1.0, 0.0, 2.5])


def test_an_ome_zarr_has_a_translation_behind_its_scale(tmp_path, volume):
    write(tmp_path / "a.zarr", volume)
    multiscale = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]["multiscales"][0]
    assert multiscale["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": list(SIZE)},
        {"type": "translation", "translation": list(ORIGIN)},
    ]


def test_an_ome_tiff_has_the_place_of_every_plane(tmp_path, volume):
    write(tmp_path / "a.ome.tif", volume)
    found = planes(tmp_path / "a.ome.tif")
    assert [int(p["TheZ"]) for p in found] == list(range(len(volume)))
    assert [float(p["PositionZ"]) for p in found] == [25.0 + 2.5 * z for z in range(len(volume))]
    assert {(float(p["PositionY"]), float(p["PositionX"])) for p in found} == {(-3.0, 4.5)}
    assert {p[f"Position{axis}Unit"] for p in found for axis in "XYZ"} == {"µm"}


def test_an_ome_tiff_of_unknown_voxel_size_counts_voxels(tmp_path, volume):
    write(tmp_path / "a.tif", volume, unit="")
    first, second, *_ = planes(tmp_path / "a.tif")
    assert [float(first[f"Position{axis}"]) for axis in "ZYX"] == [10.0, -4.0, 9.0]
    assert float(second["PositionZ"]) == 11.0
    assert first["PositionXUnit"] == "pixel"
    write(tmp_path / "b.tif", volume, size=None, unit="", origin=(1.0, 2.0, 3.0))
    assert [float(planes(tmp_path / "b.tif")[0][f"Position{axis}"]) for axis in "ZYX"] == [1.0, 2.0, 3.0]


def test_a_converted_unit_converts_the_origin(tmp_path, volume):
    write(tmp_path / "a.zarr", volume, size=(0.25, 0.075, 0.05), unit="cm", origin=(2.5, -0.3, 0.45))
    multiscale = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]["multiscales"][0]
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    assert multiscale["axes"][0]["unit"] == "millimeter"
    assert scale["scale"] == pytest.approx(SIZE)
    assert translation["translation"] == pytest.approx(ORIGIN)


@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nrrd", ".zarr"])
def test_what_has_an_origin_reads_like_what_has_none(tmp_path, volume, read_all, suffix):
    write(tmp_path / f"a{suffix}", volume)
    source = open_source(tmp_path / f"a{suffix}")
    assert source.geometry.voxel_size == pytest.approx(SIZE)
    np.testing.assert_array_equal(read_all(source), volume)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_an_origin_of_zero_is_not_written(tmp_path, volume, suffix):
    write(tmp_path / f"a{suffix}", volume, origin=(0.0, 0.0, 0.0))
    write_plain = write_volume(tmp_path / f"b{suffix}", volume.shape, volume.dtype, [volume], SIZE, "um")
    list(write_plain)
    if suffix == ".tif":
        assert planes(tmp_path / "a.tif") == planes(tmp_path / "b.tif") == []
    else:
        one, two = ((tmp_path / f"{n}.zarr" / "zarr.json").read_text() for n in "ab")
        assert "translation" not in one
        assert one == two.replace('"b"', '"a"')
