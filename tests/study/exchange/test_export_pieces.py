"""Exporting the part in the box and the uncertainty: the right numbers, and where they lie."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK
import zarr

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.events import Progress
from napari_sortingloss.formats import open_source
from napari_sortingloss.study import CropSettings, Volume
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.exchange import export as exporting
from napari_sortingloss.study.exchange.export import ExportSettings, export
from napari_sortingloss.study.localizations.reading import localization_path, read_map

BOX = ((3, 30), (5, 60), (10, 88))
SIZES = (0.4, 0.25, 0.3)
RUN = "sorting-261121-093000"


@pytest.fixture
def fish(store, found_at) -> str:
    store("fish")
    found_at("fish", BOX)
    return "fish"


def run(study, target, volume="fish", **more) -> dict:
    return list(export(study, ExportSettings(volume=volume, to=target, **more)))[-1].value


def translation(path) -> list[float]:
    ome = zarr.open_group(path, mode="r").attrs["ome"]
    return ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][1]["translation"]


@pytest.mark.parametrize("name", ["a.ome.tif", "a.nii", "a.nii.gz", "a.ome.zarr"])
def test_the_part_in_the_box_is_written_in_every_format(study, fish, voxels, tmp_path, name):
    result = run(study, tmp_path / name, what="crop")
    assert {k: result[k] for k in ("volume", "shape", "voxel_size", "unit", "run", "box", "offset")} == {
        "volume": "fish",
        "shape": [27, 55, 78],
        "voxel_size": list(SIZES),
        "unit": "mm",
        "run": RUN,
        "box": [list(span) for span in BOX],
        "offset": [3, 5, 10],
    }
    with open_source(tmp_path / name) as source:
        assert source.geometry.voxel_size == pytest.approx(SIZES)
        np.testing.assert_array_equal(source.read(0, 27), voxels[3:30, 5:60, 10:88])
    assert list(study.volumes) == ["fish"]


def test_a_crop_lies_on_its_volume_in_other_programs(study, fish, tmp_path):
    for name, what in (("whole.nii", "volume"), ("part.nii", "crop")):
        run(study, tmp_path / name, what=what)
    whole, part = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("whole.nii", "part.nii"))
    assert whole.GetOrigin() == pytest.approx((0, 0, 0))
    assert part.GetOrigin() == pytest.approx((3.0, 1.25, 1.2))
    where = whole.TransformPhysicalPointToIndex(part.TransformIndexToPhysicalPoint((7, 8, 9)))
    assert where == (17, 13, 12)
    assert part[7, 8, 9] == whole[where]


def test_a_volume_that_was_cropped_says_where_it_lies_in_the_original(study, fish, tmp_path, found_at):
    list(crop(study, CropSettings(volumes=("fish",))))
    found_at("fish_crop", ((1, 20), (2, 30), (3, 40)))
    run(study, tmp_path / "a.zarr", volume="fish_crop")
    assert translation(tmp_path / "a.zarr") == pytest.approx([1.2, 1.25, 3.0])
    result = run(study, tmp_path / "b.zarr", volume="fish_crop", what="crop", margin=1)
    assert result["box"] == [[0, 21], [1, 31], [2, 41]]
    assert result["offset"] == [3, 6, 12]
    assert translation(tmp_path / "b.zarr") == pytest.approx([1.2, 1.5, 3.6])


@pytest.mark.parametrize("name", ["a.ome.tif", "a.nii.gz", "a.ome.zarr"])
def test_the_uncertainty_is_written_as_it_is_on_its_own_grid(study, fish, tmp_path, name):
    values, _ = read_map(study, "fish", RUN, "uncertainty")
    result = run(study, tmp_path / name, what="uncertainty")
    assert result["shape"] == list(values.shape)
    assert result["voxel_size"] == pytest.approx([0.8, 2.5, 3.75])
    assert result["run"] == RUN
    with open_source(tmp_path / name) as source:
        assert source.dtype == np.float32
        assert source.geometry.voxel_size == pytest.approx((0.8, 2.5, 3.75))
        np.testing.assert_array_equal(source.read(0, len(values)), values)


def test_the_uncertainty_lies_on_its_volume(study, fish, tmp_path, found_at):
    run(study, tmp_path / "a.zarr", what="uncertainty")
    assert translation(tmp_path / "a.zarr") == pytest.approx([0.2, 1.125, 1.725])
    run(study, tmp_path / "a.nii", what="uncertainty")
    affine = nibabel.load(tmp_path / "a.nii").affine
    np.testing.assert_allclose(affine[:3, 3], [-1.725, -1.125, 0.2], atol=1e-6)
    list(crop(study, CropSettings(volumes=("fish",))))
    found_at("fish_crop", ((1, 20), (2, 30), (3, 40)))
    run(study, tmp_path / "b.zarr", volume="fish_crop", what="uncertainty")
    assert translation(tmp_path / "b.zarr") == pytest.approx([1.2 + 0.2, 1.25 + 1.125, 3.0 + 1.725])


def test_only_the_box_is_read_slab_by_slab(study, fish, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "slab_height", lambda *_, **__: 10)
    monkeypatch.setattr(exporting, "_EVERY", 0.0)
    read = []
    plain = Volume.read_box
    monkeypatch.setattr(Volume, "read_box", lambda self, box: read.append(box) or plain(self, box))
    events = list(export(study, ExportSettings(volume="fish", to=tmp_path / "a.nii", what="crop")))
    assert read == [(span, *BOX[1:]) for span in ((3, 13), (13, 23), (23, 30))]
    assert [e.done for e in events if isinstance(e, Progress)] == [0, 10, 20, 27]


def test_the_run_may_be_named(study, fish, tmp_path, found_at):
    found_at("fish", ((0, 9), (0, 8), (0, 7)), run="rotation-1", created="2020-01-01T00:00:00+00:00")
    assert run(study, tmp_path / "a.nii", what="crop")["run"] == RUN
    assert run(study, tmp_path / "b.nii", what="crop", run="rot")["shape"] == [9, 8, 7]
    assert run(study, tmp_path / "c.nii", what="uncertainty", run="rot")["run"] == "rotation-1"


def test_what_has_not_been_localised_cannot_be_cut_or_mapped(study, store, tmp_path, found_at):
    store("fish")
    for what in ("crop", "uncertainty"):
        with pytest.raises(StudyError, match="it has not been localised yet; localise it first"):
            run(study, tmp_path / "a.nii", what=what)
    found_at("fish", NO_BOX)
    with pytest.raises(StudyError, match="found no specimen in it"):
        run(study, tmp_path / "a.nii", what="crop")
    assert run(study, tmp_path / "a.nii", what="uncertainty")["shape"] == [19, 7, 8]
    (localization_path(study, "fish", RUN) / "region.json").write_text("{")
    with pytest.raises(StudyError, match="damaged"):
        run(study, tmp_path / "b.nii", what="crop")


def test_options_that_say_nothing_about_what_is_written_are_refused(study, fish, tmp_path):
    with pytest.raises(BadSetting, match=r"Cannot use the option 'margin' for 'fish': .* the uncertainty"):
        run(study, tmp_path / "a.nii", what="uncertainty", margin=3)
    with pytest.raises(BadSetting, match="Cannot use the option 'run' for 'fish'"):
        run(study, tmp_path / "a.nii", run=RUN)
    with pytest.raises(BadSetting, match="it is too small"):
        run(study, tmp_path / "a.nii", what="crop", margin=-1)
