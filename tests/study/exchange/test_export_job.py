"""Exporting a volume: what other programs read in the file, and what cannot be asked for."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput, BadSetting, OutOfSpace, StudyError
from napari_sortingloss.events import Progress, Result
from napari_sortingloss.formats import array_source, open_source
from napari_sortingloss.study import Study, Volume
from napari_sortingloss.study.exchange import export as exporting
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.study.exchange.export import ExportSettings, export

SHAPE = (13, 22, 17)
VOXEL_SIZE = (0.4, 0.25, 0.3)


@pytest.fixture
def data(make_volume) -> np.ndarray:
    return make_volume(SHAPE)


@pytest.fixture
def study(study_dir, data) -> Study:
    made = Study.create(study_dir)
    list(add(made, AddSettings(window="0:255"), [array_source(data, "fish", VOXEL_SIZE, "mm")]))
    return made


@pytest.fixture
def thin_slabs(monkeypatch):
    monkeypatch.setattr(exporting, "slab_height", lambda *_, **__: 3)
    monkeypatch.setattr(exporting, "_EVERY", 0.0)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("fish.tif", "OME-TIFF"),
        ("fish.ome.tif", "OME-TIFF"),
        ("fish.nii", "NIfTI"),
        ("fish.nii.gz", "NIfTI"),
        ("fish.zarr", "OME-Zarr"),
        ("fish.ome.zarr", "OME-Zarr"),
    ],
)
def test_every_format_holds_the_voxels_and_their_size(study, tmp_path, data, thin_slabs, name, format):
    events = list(export(study, ExportSettings(volume="fish", to=tmp_path / name)))
    assert isinstance(events[-1], Result)
    assert events[-1].value == {
        "path": str(tmp_path / name),
        "volume": "fish",
        "format": format,
        "shape": list(SHAPE),
        "voxel_size": list(VOXEL_SIZE),
        "unit": "mm",
    }
    with open_source(tmp_path / name) as source:
        assert source.geometry.voxel_size == pytest.approx(VOXEL_SIZE)
        assert source.geometry.unit == "mm"
        assert (source.read(0, SHAPE[0]) == data).all()


def test_a_nifti_lies_in_the_frame_of_the_patient(study, tmp_path, data):
    import nibabel

    list(export(study, ExportSettings(volume="fish", to=tmp_path / "fish.nii")))
    image = nibabel.load(tmp_path / "fish.nii")
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert (np.asarray(image.dataobj).transpose(2, 1, 0) == data).all()


def test_progress_counts_slices(study, tmp_path, thin_slabs):
    events = list(export(study, ExportSettings(volume="fish", to=tmp_path / "fish.tif")))
    progress = [e for e in events if isinstance(e, Progress)]
    assert [e.done for e in progress] == [0, 3, 6, 9, 12, 13]
    assert {e.total for e in progress} == {13}


@pytest.mark.parametrize("name", ["fish.tif", "fish.nii.gz", "fish.zarr"])
def test_cancelling_leaves_no_partial_file(study, tmp_path, thin_slabs, name):
    (tmp_path / "out").mkdir()
    job = export(study, ExportSettings(volume="fish", to=tmp_path / "out" / name))
    assert next(e for e in job if e.done == 6)
    job.close()
    assert not list((tmp_path / "out").iterdir())


def test_an_existing_file_is_replaced_only_when_asked_and_only_when_the_new_one_is_complete(
    study, tmp_path, data, thin_slabs
):
    target = tmp_path / "fish.tif"
    target.write_bytes(b"precious")
    with pytest.raises(BadInput, match="it exists already"):
        list(export(study, ExportSettings(volume="fish", to=target)))
    settings = ExportSettings(volume="fish", to=target, overwrite=True)
    job = export(study, settings)
    assert next(e for e in job if e.done == 6)
    job.close()
    assert target.read_bytes() == b"precious"
    list(export(study, settings))
    with open_source(target) as source:
        assert (source.read(0, SHAPE[0]) == data).all()


def test_the_studys_own_folder_is_no_place_for_an_export(study):
    with pytest.raises(
        BadSetting, match=r"Cannot write 'fish\.tif': it would lie inside the study's own folder"
    ):
        list(export(study, ExportSettings(volume="fish", to=study.path / "volumes" / ".." / "fish.tif")))


def test_the_folder_of_the_target_must_exist(study, tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        list(export(study, ExportSettings(volume="fish", to=tmp_path / "nowhere" / "fish.tif")))


def test_an_unknown_suffix_or_volume_is_refused(study, tmp_path):
    with pytest.raises(BadInput, match=r"files ending in '\.png' cannot be written"):
        list(export(study, ExportSettings(volume="fish", to=tmp_path / "fish.png")))
    with pytest.raises(StudyError, match="Cannot find volume 'cat'"):
        list(export(study, ExportSettings(volume="cat", to=tmp_path / "cat.tif")))


def test_a_disk_that_fills_up_is_said_and_nothing_is_left(study, tmp_path, monkeypatch, thin_slabs):
    from napari_sortingloss.formats.writers import sinks

    plain_write = sinks.TiffSink.write
    written = []

    def write(self, slab):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(len(slab))
        plain_write(self, slab)

    monkeypatch.setattr(sinks.TiffSink, "write", write)
    (tmp_path / "out").mkdir()
    with pytest.raises(OutOfSpace, match="the disk is full"):
        list(export(study, ExportSettings(volume="fish", to=tmp_path / "out" / "fish.tif")))
    assert not list((tmp_path / "out").iterdir())


def test_only_a_slab_at_a_time_is_read(study, tmp_path, monkeypatch, thin_slabs):
    read = []
    plain_read = Volume.read_slab
    monkeypatch.setattr(Volume, "read_slab", lambda self, a, b: read.append((a, b)) or plain_read(self, a, b))
    list(export(study, ExportSettings(volume="fish", to=tmp_path / "fish.nii")))
    assert read == [(0, 3), (3, 6), (6, 9), (9, 12), (12, 13)]
