"""Labels from files: what they become, what they may overwrite, and what is refused."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import tifffile

from napari_sortingloss.errors import BadInput, OutOfSpace, StudyError
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.formats import array_source
from napari_sortingloss.study import Study, VolumeRecord
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import add_class, all_classes, read_classes, remove_class
from napari_sortingloss.study.exchange import import_labels as importing
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.study.exchange.import_labels import ImportLabelsSettings, import_labels, plan_import

DAB = ((6, 7), (11, 15), (10, 30))


@pytest.fixture
def labels(tmp_path):
    values = np.zeros((37, 70, 90), np.uint8)
    values[5:9, 10:20, 12:40] = 1
    values[8, 30:33, 5:8] = 7
    np.save(tmp_path / "labels.npy", values)
    return values


@pytest.fixture
def fish(study, store, labels, paint):
    """A volume of which one slice was painted on and another is complete."""
    store("fish")
    add_class(study, "bone")
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, DAB, 2)
        editor.set_status("z", 8, "complete")


@pytest.fixture
def bring(study, tmp_path):
    def job(**more):
        return import_labels(study, ImportLabelsSettings(volume="fish", path=tmp_path / "labels.npy", **more))

    return job


def known(study):
    return {(one.axis, one.index): one.status for one in Annotations(study, "fish").slices()}


def test_labels_become_classes_and_fill_what_is_not_painted(study, fish, labels, bring):
    before = np.array(Annotations(study, "fish").labels())
    *events, result = bring()
    notice = next(i for i, e in enumerate(events) if isinstance(e, Notice))
    assert "1,112 voxels" not in events[notice].message
    assert events[notice].level == "info"
    assert "'label 7'" in events[notice].message
    value = result.value
    under = (labels > 0) & (before == 0)
    assert value["painted"] == np.count_nonzero(under)
    assert value["kept"] == np.count_nonzero((labels > 0) & (before > 0))
    assert value["overwritten"] == 0
    assert value["slices"] == [5, 6, 7, 8]
    assert [(c["label"], c["value"], c["name"], c["new"]) for c in value["classes"]] == [
        (1, 1, "bone", False),
        (7, 7, "label 7", True),
    ]
    assert [c.name for c in read_classes(study)] == ["bone", "label 7"]
    np.testing.assert_array_equal(Annotations(study, "fish").labels(), np.where(under, labels, before))
    assert known(study) == {
        ("z", 5): "partial",
        ("z", 6): "partial",
        ("z", 7): "partial",
        ("z", 8): "complete",
    }
    assert events[-1].done == events[-1].total == 2 * 37


def test_what_would_be_overwritten_is_said_before_anything_changes(study, fish, labels, bring):
    before = np.array(Annotations(study, "fish").labels())
    job = bring(merge="replace", status="complete")
    for event in job:
        if isinstance(event, Notice):
            break
    assert event.level == "warning"
    assert "72 painted ones are overwritten" in event.message
    np.testing.assert_array_equal(Annotations(study, "fish").labels(), before)
    assert [c.name for c in read_classes(study)] == ["bone"]
    result = list(job)[-1]
    assert result.value["overwritten"] == 72
    np.testing.assert_array_equal(Annotations(study, "fish").labels(), np.where(labels, labels, before))
    assert set(known(study).values()) == {"complete"}


def test_only_empty_slices_can_be_asked_for(study, fish, labels, bring):
    before = np.array(Annotations(study, "fish").labels())
    result = list(bring(merge="only-empty"))[-1]
    assert result.value["slices"] == [5, 7]
    expected = before.copy()
    expected[[5, 7]] = labels[[5, 7]]
    np.testing.assert_array_equal(Annotations(study, "fish").labels(), expected)
    assert [c.name for c in read_classes(study)] == ["bone"]  # label 7 lies on a slice that is left alone


@pytest.mark.parametrize("axis", ["y", "x"])
def test_slices_are_those_across_the_ordering_axis(study, store, labels, bring, axis):
    store("fish", axis=axis)
    with AnnotationEditor(study, "fish") as editor:
        editor.set_status(axis, 15, "partial")
    result = list(bring(merge="only-empty", status="complete"))[-1]
    across = "zyx".index(axis)
    others = tuple(i for i in range(3) if i != across)
    with_labels = set(np.flatnonzero(labels.any(axis=others)).tolist())
    assert set(result.value["slices"]) == with_labels - {15}
    assert known(study) == {(axis, i): "partial" if i == 15 else "complete" for i in with_labels}
    assert not Annotations(study, "fish").read_slice(axis, 15).any()


def test_an_import_is_undone_as_one_step(study, fish, bring):
    before, slices = np.array(Annotations(study, "fish").labels()), known(study)
    list(bring(merge="replace", status="complete"))
    with AnnotationEditor(study, "fish") as editor:
        assert editor.undo_text == "import of labels.npy"
        editor.undo()
    np.testing.assert_array_equal(Annotations(study, "fish").labels(), before)
    assert known(study) == slices


def test_the_plan_changes_nothing(study, fish, tmp_path):
    stamp = Annotations(study, "fish").stamp
    plan = plan_import(
        study, ImportLabelsSettings(volume="fish", path=tmp_path / "labels.npy", merge="replace")
    )
    assert (plan.overwritten, plan.slices, plan.new) == (72, (5, 6, 7, 8), (7,))
    assert Annotations(study, "fish").stamp == stamp
    assert len(read_classes(study)) == 1


def test_an_open_editor_can_be_used(study, fish, labels, tmp_path):
    settings = ImportLabelsSettings(volume="fish", path=tmp_path / "labels.npy")
    with pytest.raises(StudyError, match="another program or window"), AnnotationEditor(study, "fish"):
        list(import_labels(study, settings))
    with AnnotationEditor(study, "fish") as editor:
        heard = []
        editor.changed.connect(heard.append)
        list(import_labels(study, settings, editor))
        assert len(heard) == 1
        assert editor.can_paint
        assert (editor.labels[8, 30:33, 5:8] == 7).all()


@pytest.mark.parametrize("moment", ["counting", "painting"])
def test_a_cancelled_import_leaves_the_annotations_as_they_were(study, fish, bring, monkeypatch, moment):
    monkeypatch.setattr(importing, "_SLAB_BYTES", 70 * 90)
    monkeypatch.setattr(importing, "_EVERY", 0.0)
    before, slices = np.array(Annotations(study, "fish").labels()), known(study)
    job = bring(merge="replace")
    for event in job:
        if isinstance(event, Progress) and moment in event.what and event.done % 37 > 7:
            break
    job.close()
    np.testing.assert_array_equal(Annotations(study, "fish").labels(), before)
    assert known(study) == slices
    with AnnotationEditor(study, "fish") as editor:
        assert "import" not in editor.undo_text
    assert isinstance(list(bring(merge="replace"))[-1], Result)


def test_a_disk_that_is_too_full_is_said_before_anything_changes(study, fish, bring, monkeypatch):
    job = bring()
    next(job)
    monkeypatch.setattr(Study, "free_bytes", lambda self: 1000)
    with pytest.raises(OutOfSpace):
        list(job)
    monkeypatch.undo()
    assert len(read_classes(study)) == 1


def test_a_class_that_was_removed_is_not_brought_back(study, fish, bring):
    add_class(study, "lens", value=7)
    remove_class(study, 7)
    result = list(bring())[-1]
    (new,) = [c for c in result.value["classes"] if c["new"]]
    assert (new["label"], new["name"]) == (7, "label 7")
    assert new["value"] not in {1, 7}
    assert {c.value for c in all_classes(study)} == {1, 7, new["value"]}
    again = list(bring(merge="replace"))[-1]  # a second file finds the class again
    assert again.value["painted"] == again.value["overwritten"] == 72
    assert len(all_classes(study)) == 3


def test_labels_are_read_in_any_format_and_frame(study, store, labels, tmp_path):
    store("fish")
    affine = np.diag([-0.3, -0.25, 0.4, 1.0])
    nibabel.save(nibabel.Nifti1Image(labels.T.copy(), affine), tmp_path / "labels.nii.gz")
    tifffile.imwrite(tmp_path / "labels.tif", labels.astype(np.uint16))
    for name in ("labels.nii.gz", "labels.tif"):
        list(import_labels(study, ImportLabelsSettings(volume="fish", path=tmp_path / name)))
        np.testing.assert_array_equal(Annotations(study, "fish").labels(), labels)
        with AnnotationEditor(study, "fish") as editor:
            editor.undo()


def test_labels_of_the_file_that_a_volume_was_downsampled_from_are_downsampled(study, make_volume, tmp_path):
    big = np.zeros((40, 30, 50), np.uint8)
    big[10:20, 4:14, 6:26] = 3
    np.save(tmp_path / "labels.npy", big)
    source = array_source(make_volume((40, 30, 50)), "fish", (0.4, 0.25, 0.3), "mm")
    list(add(study, AddSettings(downsample=2), [source]))
    expected = np.zeros((20, 15, 25), np.uint8)
    expected[5:10, 2:7, 3:13] = 3
    list(import_labels(study, ImportLabelsSettings(volume="fish", path=tmp_path / "labels.npy")))
    np.testing.assert_array_equal(Annotations(study, "fish").labels(), expected)
    np.save(tmp_path / "small.npy", expected)
    plan = plan_import(study, ImportLabelsSettings(volume="fish", path=tmp_path / "small.npy"))
    assert plan.painted == 0


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros((37, 90, 70), np.uint8), r"37 x 90 x 70 voxels \(z, y, x\) and the volume 37 x 70 x 90"),
        (
            np.arange(37 * 70 * 90, dtype=np.uint16).reshape(37, 70, 90) % 300,
            "more than 254 different labels",
        ),
        (np.full((37, 70, 90), -1, np.int16), "it has the label -1"),
        (np.full((37, 70, 90), 0.5, np.float32), "not whole numbers"),
    ],
)
def test_what_are_no_labels_of_the_volume_is_refused(study, fish, tmp_path, values, why):
    np.save(tmp_path / "wrong.npy", values)
    stamp = Annotations(study, "fish").stamp
    with pytest.raises(BadInput, match=why):
        list(import_labels(study, ImportLabelsSettings(volume="fish", path=tmp_path / "wrong.npy")))
    assert Annotations(study, "fish").stamp == stamp
    assert len(read_classes(study)) == 1


def test_more_labels_than_there_are_values_left_are_refused(study, fish, tmp_path):
    with study.transaction() as document:
        document["classes"] = [
            {"value": v, "name": f"c{v}", "color": "#000000", "key": "", "removed": True}
            for v in range(1, 254)
        ]
    with pytest.raises(BadInput, match="2 labels without a class and the study has room for 1"):
        plan_import(study, ImportLabelsSettings(volume="fish", path=tmp_path / "labels.npy"))


def test_a_volume_that_is_not_there_is_said_to_be(study, labels, tmp_path):
    with pytest.raises(StudyError, match="cod"):
        plan_import(study, ImportLabelsSettings(volume="cod", path=tmp_path / "labels.npy"))


def test_a_large_import_takes_little_memory(study, tmp_path):
    import tracemalloc

    shape = (60, 1000, 1000)
    with study.transaction() as document:
        document["volumes"]["fish"] = VolumeRecord("fish", shape).to_json()
    values = np.lib.format.open_memmap(tmp_path / "labels.npy", "w+", np.uint8, shape)
    values[::2] = 3
    del values
    tracemalloc.start()
    try:
        result = list(
            import_labels(study, ImportLabelsSettings(volume="fish", path=tmp_path / "labels.npy"))
        )[-1]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.value["painted"] == 30_000_000
    assert peak < 150 << 20
