"""Exporting labels: the right values, names, size and place in every format, whoever made them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK
import zarr

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.formats import open_source
from napari_sortingloss.study import CropSettings, Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import LabelClass, add_class, remove_class, update_class
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.exchange import export as exporting
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.study.exchange.export import ExportSettings, export
from napari_sortingloss.study.predictions.reading import PredictionWriter

SHAPE = (37, 70, 90)
SIZES = (0.4, 0.25, 0.3)
BOX = ((3, 30), (5, 60), (10, 88))
SKULL, BRAIN = LabelClass(3, "skull", "#e69f00"), LabelClass(7, "brain", "#56b4e9")
FORMATS = ["a.ome.tif", "a.nii", "a.nii.gz", "a.nrrd", "a.seg.nrrd", "a.ome.zarr"]


@pytest.fixture
def labels() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    found = np.where((y - 30) ** 2 + (x - 50) ** 2 < (10 + z) ** 2, 3, 0)
    found[(y - 30) ** 2 + (x - 48) ** 2 < 80 + z] = 7
    return found.astype(np.uint8)


@pytest.fixture
def fish(study, store, labels) -> str:
    store("fish")
    predict(study, "fish", labels)
    return "fish"


def predict(study: Study, name: str, labels: np.ndarray, run: str = "seg-1") -> None:
    with PredictionWriter(
        study, name, run, step=40, classes=(SKULL, BRAIN), axes="z", settings={}, uncertainty=False
    ) as writer:
        writer.write(0, len(labels), labels)
        writer.commit()


def run(study, target, volume="fish", what="labels", **more) -> dict:
    return list(export(study, ExportSettings(volume=volume, to=target, what=what, **more)))[-1].value


def read(path) -> np.ndarray:
    with open_source(path) as source:
        return source.read(0, source.shape[0])


def names(found) -> list[tuple[int, str, str]]:
    return [(one["value"], one["name"], one["color"]) for one in found]


@pytest.mark.parametrize("name", FORMATS)
def test_a_prediction_is_read_back_with_its_voxel_size_from_every_format(study, fish, labels, tmp_path, name):
    value = run(study, tmp_path / name)
    with open_source(tmp_path / name) as source:
        assert source.dtype == np.uint8
        assert source.geometry.voxel_size == pytest.approx(SIZES)
        assert source.geometry.unit == "mm"
        np.testing.assert_array_equal(source.read(0, SHAPE[0]), labels)
    assert (value["run"], value["step"], value["source"], value["frame"]) == (
        "seg-1",
        40,
        "prediction",
        "own",
    )
    assert names(value["classes"]) == [
        (0, "background", "#000000"),
        (3, "skull", "#e69f00"),
        (7, "brain", "#56b4e9"),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_the_names_and_colours_are_in_the_file_or_beside_it(study, fish, tmp_path, name):
    value = run(study, tmp_path / name)
    there = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("a"))
    if "zarr" in name:
        ome = zarr.open_group(tmp_path / name, mode="r").attrs["ome"]
        assert ome["image-label"]["properties"][2] == {"label-value": 7, "name": "brain"}
        assert ome["image-label"]["colors"][2] == {"label-value": 7, "rgba": [86, 180, 233, 255]}
    elif "nrrd" in name:
        assert SimpleITK.ReadImage(str(tmp_path / name)).GetMetaData("Segment1_Name") == "brain"
    else:
        assert there == sorted([name, "a.labels.json", "a.labels.txt"])
        assert value["beside"] == [str(tmp_path / "a.labels.json"), str(tmp_path / "a.labels.txt")]
        document = json.loads((tmp_path / "a.labels.json").read_text())
        assert names(document["labels"])[2] == (7, "brain", "#56b4e9")
        assert (document["file"], document["run"]) == (name, "seg-1")
        assert '"brain"' in (tmp_path / "a.labels.txt").read_text()
        return
    assert there == [name]
    assert value["beside"] == []


def test_names_that_changed_since_are_the_new_ones_and_removed_classes_keep_theirs(study, fish, tmp_path):
    add_class(study, "bone", value=3, color="#112233")
    add_class(study, "grey matter", value=7)
    update_class(study, 3, name="hard bone")
    remove_class(study, 7)
    value = run(study, tmp_path / "a.nrrd")
    assert names(value["classes"])[1] == (3, "hard bone", "#112233")
    assert value["classes"][2]["name"] == "grey matter"


def test_some_classes_can_be_chosen_by_name_or_value(study, fish, labels, tmp_path):
    run(study, tmp_path / "a.nii", classes=("BRAIN",))
    np.testing.assert_array_equal(read(tmp_path / "a.nii"), labels * (labels == 7))
    run(study, tmp_path / "b.nii", classes=("3", "brain"))
    np.testing.assert_array_equal(read(tmp_path / "b.nii"), labels)
    with pytest.raises(
        BadSetting, match=r"the class 'tail'.* no such class; choose of 3 \(skull\), 7 \(brain\)"
    ):
        run(study, tmp_path / "c.nii", classes=("skull", "tail"))


def test_one_of_several_runs_can_be_chosen(study, fish, labels, tmp_path):
    predict(study, fish, labels * 0 + 3, run="other-2")
    run(study, tmp_path / "a.nii", run="oth")
    assert (read(tmp_path / "a.nii") == 3).all()
    with pytest.raises(StudyError, match="by 'third': it was predicted by other-2, seg-1"):
        run(study, tmp_path / "b.nii", run="third")


def test_compressed_blocks_are_read_once(study, fish, labels, tmp_path, monkeypatch):
    from napari_sortingloss.disk.label_shards import SlabsLevel

    monkeypatch.setattr("napari_sortingloss.study.exchange.export_labels._SLAB_BYTES", 4 * 70 * 90)
    read_boxes = []
    plain = SlabsLevel.box
    monkeypatch.setattr(
        SlabsLevel, "box", lambda self, a, b: read_boxes.append((a[0], b[0])) or plain(self, a, b)
    )
    run(study, tmp_path / "a.nii")
    assert read_boxes == [(0, 37)]
    np.testing.assert_array_equal(read(tmp_path / "a.nii"), labels)


# ------------------------------------------------------------------------------------------------------------ frames
@pytest.fixture
def cut(study, store, found_at, labels) -> str:
    store("fish")
    found_at("fish", BOX)
    list(crop(study, CropSettings(volumes=("fish",))))
    name = next(n for n in study.volumes if n != "fish")
    predict(study, name, labels[tuple(slice(*span) for span in BOX)])
    return name


@pytest.mark.parametrize("name", FORMATS)
def test_the_labels_of_a_crop_come_back_in_the_frame_of_the_original(study, cut, labels, tmp_path, name):
    inside = tuple(slice(*span) for span in BOX)
    expected = np.zeros_like(labels)
    expected[inside] = labels[inside]
    value = run(study, tmp_path / name, cut, frame="original")
    assert (value["shape"], value["frame"]) == (list(SHAPE), "original")
    np.testing.assert_array_equal(read(tmp_path / name), expected)


def test_in_its_own_frame_a_crop_lies_where_it_was_cut_from(study, cut, labels, tmp_path):
    run(study, tmp_path / "own.nrrd", cut)
    run(study, tmp_path / "whole.nrrd", cut, frame="original")
    own, whole = (SimpleITK.ReadImage(str(tmp_path / f"{n}.nrrd")) for n in ("own", "whole"))
    place = [low * size for (low, _), size in zip(BOX, SIZES, strict=True)]
    assert own.GetOrigin() == pytest.approx(place[::-1])
    assert whole.GetOrigin() == (0.0, 0.0, 0.0)
    assert whole.TransformPhysicalPointToIndex(own.TransformIndexToPhysicalPoint((0, 0, 0))) == (10, 5, 3)


def test_an_original_that_is_gone_has_no_frame(study, cut, tmp_path):
    study.remove_volume("fish")
    with pytest.raises(
        StudyError, match="the original is not in the study any more; export them in the crop's own"
    ):
        run(study, tmp_path / "a.nii", cut, frame="original")


# ------------------------------------------------------------------------------------- annotations and the reference
@pytest.fixture
def painted(study, store) -> str:
    store("fish")
    for found in (SKULL, BRAIN):
        add_class(study, found.name, value=found.value, color=found.color)
    with AnnotationEditor(study, "fish") as editor:
        first = np.zeros(SHAPE[1:], np.uint8)
        first[10:20, 30:50] = 3
        editor.put_slice("z", 5, first, what="test", status="complete")
        second = np.zeros(SHAPE[1:], np.uint8)
        second[10:20, 30:50], second[0:5] = 7, 255
        editor.put_slice("z", 9, second, what="test", status="partial")
    return "fish"


def test_what_was_painted_is_background_elsewhere(study, painted, tmp_path):
    value = run(study, tmp_path / "a.nii.gz", source="annotations")
    found = read(tmp_path / "a.nii.gz")
    assert (found[5, 10:20, 30:50] == 3).all()
    assert (found[9, 10:20, 30:50] == 7).all()
    assert np.count_nonzero(found) == 400
    said = [{"axis": "z", "index": 5, "status": "complete"}, {"axis": "z", "index": 9, "status": "partial"}]
    assert value["slices"] == said
    assert json.loads((tmp_path / "a.labels.json").read_text())["slices"] == said


def test_the_unknown_can_be_told_from_the_background(study, painted, tmp_path):
    value = run(study, tmp_path / "a.seg.nrrd", source="annotations", unpainted="unknown")
    found = read(tmp_path / "a.seg.nrrd")
    assert [n["name"] for n in value["classes"]] == ["unknown", "skull", "brain", "background"]
    assert (found[5] == 255).sum() == 70 * 90 - 200
    assert (found[9] == 255).sum() == 5 * 90
    assert set(np.unique(found[9])) == {0, 7, 255}
    assert not found[[i for i in range(37) if i not in (5, 9)]].any()
    assert json.loads((tmp_path / "a.labels.json").read_text())["slices"][0]["status"] == "complete"


def test_what_was_painted_with_a_removed_class_is_unknown(study, painted, tmp_path):
    remove_class(study, 7)
    run(study, tmp_path / "a.nii", source="annotations", unpainted="unknown")
    assert set(np.unique(read(tmp_path / "a.nii")[9])) == {0, 255}


def test_a_reference_is_exported_with_the_names_of_the_studys_classes(
    study_dir, make_volume, labels, tmp_path
):
    study = Study.create(study_dir)
    reference = labels.astype(np.uint16)
    reference[0, 0, 0] = 1000
    np.save(tmp_path / "fish.npy", make_volume(SHAPE))
    np.save(tmp_path / "labels.npy", reference)
    settings = AddSettings(
        paths=(tmp_path / "fish.npy",), reference=tmp_path / "labels.npy", voxel_size=SIZES
    )
    list(add(study, settings))
    add_class(study, "skull", value=3, color="#e69f00")
    value = run(study, tmp_path / "a.nrrd", source="reference")
    np.testing.assert_array_equal(read(tmp_path / "a.nrrd"), reference)
    assert [(n["value"], n["name"]) for n in value["classes"]] == [
        (0, "background"), (3, "skull"), (7, "label 7"), (1000, "label 1000")
    ]  # fmt: skip
    run(study, tmp_path / "b.nrrd", source="reference", classes=("label 1000",))
    assert np.count_nonzero(read(tmp_path / "b.nrrd")) == 1


# ----------------------------------------------------------------------------------------------------------- refusals
def test_what_is_not_there_cannot_be_exported(study, store, tmp_path):
    store("fish")
    for source, why in (
        ("prediction", "no run has predicted it yet; predict it first"),
        ("annotations", "nothing has been painted on it; annotate some slices first"),
        ("reference", "it has none; add the volume with one"),
    ):
        with pytest.raises(StudyError, match=why):
            run(study, tmp_path / "a.nii", source=source)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            {"what": "volume", "source": "reference"},
            "option 'source'.*the volume; leave it out or choose labels or mesh",
        ),
        ({"what": "volume", "run": "seg-1"}, "option 'run'"),
        ({"what": "mesh", "frame": "original"}, "option 'frame'"),
        ({"what": "volume", "classes": ("skull",)}, "option 'classes'"),
        ({"what": "labels", "smooth": 3}, "option 'smooth'"),
        (
            {"source": "annotations", "run": "seg-1"},
            r"option 'run'.*its annotations; .*prediction \(option 'source'\)",
        ),
        ({"unpainted": "unknown"}, "option 'unpainted'.*labels of its prediction"),
    ],
)
def test_options_that_say_nothing_are_refused(study, fish, tmp_path, more, why):
    with pytest.raises(BadSetting, match=why):
        run(study, tmp_path / "a.nii", **more)


def test_a_file_beside_is_replaced_only_when_asked(study, fish, tmp_path):
    (tmp_path / "a.labels.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"Cannot write 'a\.labels\.txt': it exists already"):
        run(study, tmp_path / "a.nii")
    assert not (tmp_path / "a.nii").exists()
    run(study, tmp_path / "a.nii", overwrite=True)
    assert "skull" in (tmp_path / "a.labels.txt").read_text()


def test_cancelling_leaves_no_file(study, fish, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sortingloss.study.exchange.export_labels._SLAB_BYTES", 4 * 70 * 90)
    monkeypatch.setattr(exporting, "_EVERY", 0.0)
    (tmp_path / "out").mkdir()
    job = export(study, ExportSettings(volume="fish", to=tmp_path / "out" / "a.nii.gz", what="labels"))
    assert next(e for e in job if e.done == 8)
    job.close()
    assert not list((tmp_path / "out").iterdir())


def test_volumes_and_crops_become_nrrd_too(study, store, found_at, voxels, tmp_path):
    store("fish")
    found_at("fish", BOX)
    assert run(study, tmp_path / "a.nrrd", what="volume")["format"] == "NRRD"
    np.testing.assert_array_equal(read(tmp_path / "a.nrrd"), voxels)
    run(study, tmp_path / "b.nrrd", what="crop")
    np.testing.assert_array_equal(read(tmp_path / "b.nrrd"), voxels[tuple(slice(*span) for span in BOX)])
    origin = SimpleITK.ReadImage(str(tmp_path / "b.nrrd")).GetOrigin()
    assert origin == pytest.approx([low * size for (low, _), size in zip(BOX, SIZES, strict=True)][::-1])
