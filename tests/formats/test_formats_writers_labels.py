"""NRRD files and what they, OME-Zarr and the files beside them say about labels."""

import json

import numpy as np
import pytest
import SimpleITK
import zarr

from napari_sortingloss.formats import open_source, write_volume
from napari_sortingloss.formats.label_names import BACKGROUND, LabelName, itk_snap_text, labels_json
from napari_sortingloss.formats.writers.write import NAMING

SIZE = (2.5, 0.75, 0.5)
ORIGIN = (25.0, -3.0, 4.5)
NAMES = (BACKGROUND, LabelName(3, "skull", "#e69f00"), LabelName(7, 'so-called "brain"', "#56b4e9"))


def write(path, volume, *, unit="mm", labels=(), size=SIZE):
    slabs = (volume[a : a + 4] for a in range(0, len(volume), 4))
    return list(
        write_volume(path, volume.shape, volume.dtype, slabs, size, unit, origin=ORIGIN, labels=labels)
    )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64"])
def test_itk_reads_an_nrrd_with_its_place(tmp_path, numbered, dtype):
    expected = numbered(dtype)
    write(tmp_path / "a.nrrd", expected)
    image = SimpleITK.ReadImage(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), expected)
    assert image.GetSpacing() == pytest.approx(SIZE[::-1])
    assert image.GetOrigin() == pytest.approx(ORIGIN[::-1])
    assert image.GetDirection() == pytest.approx(np.eye(3).ravel())


@pytest.mark.parametrize("unit", ["mm", "um", "nm"])
def test_an_nrrd_keeps_its_unit(tmp_path, volume, unit):
    write(tmp_path / "a.nrrd", volume, unit=unit)
    with open_source(tmp_path / "a.nrrd") as source:
        assert (source.geometry.unit, source.geometry.voxel_size) == (unit, pytest.approx(SIZE))


def test_the_same_volume_gives_the_same_nrrd(tmp_path, volume):
    for name in ("a.nrrd", "b.nrrd"):
        write(tmp_path / name, volume)
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


def test_an_nrrd_names_its_segments_as_3d_slicer_does(tmp_path, volume, read_all):
    labels = (volume % 3 * 3).astype(np.uint8)
    write(tmp_path / "fish.seg.nrrd", labels, labels=NAMES)
    image = SimpleITK.ReadImage(str(tmp_path / "fish.seg.nrrd"))
    assert image.GetMetaData("Segment0_Name") == "skull"
    assert image.GetMetaData("Segment0_LabelValue") == "3"
    assert image.GetMetaData("Segment0_Color") == "0.901961 0.623529 0"
    z, y, x = labels.shape
    assert image.GetMetaData("Segment0_Extent") == f"0 {x - 1} 0 {y - 1} 0 {z - 1}"
    assert image.GetMetaData("Segment1_Name") == 'so-called "brain"'
    assert not image.HasMetaDataKey("Segment2_Name")
    source = open_source(tmp_path / "fish.seg.nrrd")
    assert source.name == "fish"
    np.testing.assert_array_equal(read_all(source), labels)


def test_an_ome_zarr_of_labels_has_names_and_colours_and_one_of_grey_values_none(tmp_path, volume):
    write(tmp_path / "a.zarr", volume, labels=NAMES)
    write(tmp_path / "b.zarr", volume)
    found = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]["image-label"]
    assert found == {
        "colors": [
            {"label-value": 0, "rgba": [0, 0, 0, 0]},
            {"label-value": 3, "rgba": [230, 159, 0, 255]},
            {"label-value": 7, "rgba": [86, 180, 233, 255]},
        ],
        "properties": [
            {"label-value": 0, "name": "background"},
            {"label-value": 3, "name": "skull"},
            {"label-value": 7, "name": 'so-called "brain"'},
        ],
    }
    assert "image-label" not in zarr.open_group(tmp_path / "b.zarr", mode="r").attrs["ome"]


def test_the_files_beside_say_the_same():
    document = json.loads(labels_json(NAMES, {"source": "prediction"}))
    assert document["labels"][1] == {"value": 3, "name": "skull", "color": "#e69f00"}
    assert document["source"] == "prediction"
    lines = [line for line in itk_snap_text(NAMES).decode().splitlines() if not line.startswith("#")]
    assert lines[0].split()[:7] == ["0", "0", "0", "0", "0", "0", "0"]
    assert lines[1].split() == ["3", "230", "159", "0", "1", "1", "1", '"skull"']
    assert lines[2].endswith("\"so-called 'brain'\"")


def test_only_some_formats_have_a_place_for_names():
    assert set(NAMING) == {".nrrd", ".seg.nrrd", ".zarr", ".ome.zarr"}
