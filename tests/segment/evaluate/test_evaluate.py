"""Scores of predictions and of interpolation: what they say, what they leave out, what is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scoring import CLASSES, VOXEL_SIZE, add_volume

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.segment.evaluate.job import EvaluateSettings, evaluate, read_scores
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import BACKGROUND, add_class
from napari_sortingloss.study.predictions.reading import PredictionWriter

SHAPE = (20, 16, 24)
BLOCK = (slice(4, 10), slice(3, 11), slice(5, 17))


@pytest.fixture
def study(study_dir) -> Study:
    study = Study.create(study_dir)
    for one in CLASSES:
        add_class(study, one.name, value=one.value)
    return study


@pytest.fixture
def run(study):
    with study.new_run("finetune", "segmentation", {"learnt": ["a z 5"], "kept": ["a z 9"]}) as writer:
        return writer.run


def truth():
    """A block of bone with brain in its middle."""
    found = np.zeros(SHAPE, np.uint8)
    found[BLOCK] = 3
    found[6:8, 5:9, 8:14] = 7
    return found


def predicted(study, run, name, labels, axes="z"):
    with PredictionWriter(
        study, name, run.id, step=40, classes=CLASSES, axes=axes, settings={}, uncertainty=False
    ) as writer:
        for start, stop in writer.missing:
            cut = [slice(None)] * 3
            cut["zyx".index(axes[0])] = slice(start, stop)
            writer.write(start, stop, labels[tuple(cut)])
        writer.commit()


def work(study, *volumes, **settings):
    events = list(evaluate(study, EvaluateSettings(volumes=volumes, **settings)))
    assert isinstance(events[-1], Result)
    assert json.loads(json.dumps(events[-1].value, allow_nan=False))
    return events[-1].value, [event.message for event in events if isinstance(event, Notice)], events


def shifted(labels, by, axis):
    return np.roll(labels, by, axis)


def test_a_perfect_prediction_scores_one_everywhere(study, run):
    add_volume(study, "a", truth(), truth())
    predicted(study, run, "a", truth())
    value, notices, events = work(study, run=run.id)
    assert (value["mean_iou"], value["mean_dice"]) == (1.0, 1.0)
    assert value["classes"]["brain"] == {
        "iou": 1.0,
        "dice": 1.0,
        "surface_distance_mm": 0.0,
        "hausdorff95_mm": 0.0,
        "pooled_iou": 1.0,
        "pooled_dice": 1.0,
    }
    assert notices == []
    assert [e.done for e in events if isinstance(e, Progress)][-1] == 20


@pytest.mark.parametrize("axes", ["z", "x"])
def test_a_shifted_prediction_scores_its_overlap_and_its_shift(study, run, axes):
    """Bone and brain one slice further along z: 0.4 mm on the faces across z, nothing on the others."""
    add_volume(study, "a", truth(), truth())
    predicted(study, run, "a", shifted(truth(), 1, 0), axes)
    value, _, _ = work(study, run=run.id)
    (entry,) = value["volumes"]
    brain = np.count_nonzero(truth() == 7)
    overlap = np.count_nonzero((truth() == 7) & (shifted(truth(), 1, 0) == 7))
    assert entry["iou"]["brain"] == pytest.approx(overlap / (2 * brain - overlap))
    assert entry["dice"]["brain"] == pytest.approx(overlap / brain)
    assert entry["hausdorff95_mm"]["brain"] == pytest.approx(0.4)
    assert 0 < entry["surface_distance_mm"]["brain"] < 0.4
    assert value["mean_iou"] == pytest.approx((entry["iou"]["brain"] + entry["iou"]["bone"]) / 2)
    counts = np.array(value["confusion"]["counts"])
    assert value["confusion"]["labels"] == ["background", "bone", "brain"]
    assert counts.sum() == entry["voxels"] == truth().size
    assert counts[2].sum() == brain


def test_overall_figures_are_means_over_volumes_and_pooled_ones_are_said_to_be(study, run):
    add_volume(study, "a", truth(), truth())
    add_volume(study, "b", truth(), truth())
    predicted(study, run, "a", truth())
    nothing = np.where(truth() == 3, 3, 0).astype(np.uint8)  # no brain found
    predicted(study, run, "b", nothing)
    value, _, _ = work(study, run=run.id)
    assert value["classes"]["brain"]["iou"] == 0.5
    assert value["classes"]["brain"]["pooled_iou"] == 0.5
    assert value["classes"]["brain"]["surface_distance_mm"] == 0.0  # of the one volume that has a surface
    assert value["volumes"][1]["surface_distance_mm"]["brain"] is None
    assert value["mean_iou"] == pytest.approx((1 + 0.5) / 2)
    assert value["pooled"]["mean_iou"] == pytest.approx((0.5 + 1) / 2)


def test_a_class_in_neither_truth_nor_prediction_is_left_out(study, run):
    only_bone = np.where(truth() > 0, 3, 0).astype(np.uint8)
    add_volume(study, "a", only_bone, only_bone)
    predicted(study, run, "a", only_bone)
    value, notices, _ = work(study, run=run.id)
    assert value["mean_iou"] == 1.0
    assert value["volumes"][0]["iou"] == {"bone": 1.0, "brain": None}
    assert value["classes"]["brain"]["iou"] is None
    assert notices == []


def test_a_class_that_is_nowhere_true_is_doubted_aloud(study, run):
    add_volume(study, "a", truth(), np.where(truth() == 7, 0, truth()).astype(np.uint8))
    predicted(study, run, "a", truth())
    value, notices, _ = work(study, run=run.id)
    assert value["volumes"][0]["iou"]["brain"] == 0.0
    assert notices == ["The class 'brain' (7) is nowhere in what is compared with; it scores 0."]


def test_labels_of_the_reference_that_are_no_class_are_said(study, run):
    reference = truth().astype(np.uint16)
    reference[0, 0, :5] = 300
    add_volume(study, "a", truth(), reference)
    predicted(study, run, "a", truth())
    value, notices, _ = work(study, run=run.id)
    assert value["mean_iou"] == 1.0
    assert value["confusion"]["labels"][-1] == "other labels"
    assert value["confusion"]["counts"][-1] == [5, 0, 0, 0]
    assert notices == ["a: labels 300 are no class here; they count as background."]


def test_a_reference_that_numbers_other_things_is_refused(study, run):
    add_volume(study, "a", truth(), np.where(truth() > 0, 1, 0).astype(np.uint8))
    predicted(study, run, "a", truth())
    with pytest.raises(
        BadInput, match=r"its reference has the labels 1, and none of the classes bone \(3\), brain \(7\)"
    ):
        work(study, run=run.id)


def test_annotated_slices_can_be_left_out(study, run):
    """The prediction is right on the slices that were annotated and learnt from, and wrong elsewhere."""
    add_volume(study, "a", truth(), truth())
    wrong = np.zeros_like(truth())
    wrong[5], wrong[9] = truth()[5], truth()[9]
    wrong[:, 7] = truth()[:, 7]
    predicted(study, run, "a", wrong)
    with AnnotationEditor(study, "a") as editor:
        editor.put_slice("y", 7, np.ascontiguousarray(truth()[:, 7]), status="complete")
    flattered, _, _ = work(study, run=run.id)
    honest, _, _ = work(study, run=run.id, unseen_only=True)
    assert flattered["mean_iou"] > 0.1
    assert honest["mean_iou"] == 0.0
    assert honest["volumes"][0]["left_out"] == 3
    assert honest["volumes"][0]["voxels"] == 18 * 15 * 24
    assert read_scores(run)["a"]["unseen_only"] is True


def test_against_annotations_only_known_voxels_count(study, run):
    add_volume(study, "a", truth())
    said = truth()
    said[6, 0, 0] = 7  # wrong, on a complete slice
    said[12] = 7  # wrong, but nothing is known there
    predicted(study, run, "a", said)
    with AnnotationEditor(study, "a") as editor:
        editor.put_slice("z", 6, truth()[6], status="complete")
        partial = np.zeros(SHAPE[1:], np.uint8)
        partial[0, :3] = BACKGROUND
        partial[1, :2] = 3  # and missed
        editor.put_slice("z", 13, partial, status="partial")
    value, _, _ = work(study, run=run.id, against="annotations")
    counts = np.array(value["confusion"]["counts"])
    assert value["volumes"][0]["voxels"] == counts.sum() == 16 * 24 + 5
    assert counts[0, 2] == 1
    assert counts[1, 0] == 2
    assert value["volumes"][0]["surface_distance_mm"] == {"bone": None, "brain": None}
    assert read_scores(run, "annotations").keys() == {"a"}
    assert read_scores(run) == {}


def test_against_annotations_slices_learnt_from_can_be_left_out(study, run):
    add_volume(study, "a", truth())
    predicted(study, run, "a", truth())
    with AnnotationEditor(study, "a") as editor:
        editor.put_slice("z", 5, truth()[5], status="complete")
    with pytest.raises(BadInput, match="the run learnt from all its annotated slices"):
        work(study, run=run.id, against="annotations", unseen_only=True)
    with AnnotationEditor(study, "a") as editor:
        editor.put_slice("z", 9, truth()[9], status="complete")
    value, _, _ = work(study, run=run.id, against="annotations", unseen_only=True)
    assert value["volumes"][0]["voxels"] == 16 * 24


@pytest.mark.parametrize("axis", ["z", "y"])
def test_interpolation_between_complete_slices_is_a_baseline(study, axis):
    add_volume(study, "a", truth(), truth())
    across = "zyx".index(axis)
    with AnnotationEditor(study, "a") as editor:
        for index in (4, 9, 3):
            labels = np.ascontiguousarray(np.take(truth(), index, across))
            status = "partial" if index == 3 else "complete"
            editor.put_slice(axis, index, labels, status=status)
    value, _, _ = work(study, method="interpolation")
    assert value["run"] == ""
    assert value["file"] == ""
    everywhere = value["volumes"][0]
    assert 0.2 < everywhere["iou"]["bone"] < 0.9
    unseen, _, _ = work(study, method="interpolation", unseen_only=True)
    assert unseen["volumes"][0]["left_out"] == 2
    assert unseen["volumes"][0]["voxels"] == truth().size * (SHAPE[across] - 2) // SHAPE[across]
    assert unseen["volumes"][0]["iou"]["bone"] < everywhere["iou"]["bone"]


def test_scores_of_each_volume_are_kept_with_the_run(study, run):
    for name in "ab":
        add_volume(study, name, truth(), truth())
        predicted(study, run, name, truth())
    value, _, _ = work(study, "a", run=run.id)
    work(study, "b", run=run.id, surfaces=False)
    kept = read_scores(run)
    assert list(kept) == ["a", "b"]
    assert {key: kept["a"][key] for key in value["volumes"][0]} == value["volumes"][0]
    assert (kept["a"]["step"], kept["a"]["axes"], kept["a"]["unseen_only"]) == (40, "z", False)
    assert kept["b"]["surface_distance_mm"] == {"bone": None, "brain": None}
    (run.path / "scores.json").write_text("{ damaged")
    assert read_scores(run) == {}
    work(study, "a", run=run.id)
    assert list(read_scores(run)) == ["a"]


def test_voxels_without_a_unit_have_no_distances_in_mm(study, run):
    add_volume(study, "a", truth(), truth(), unit="")
    predicted(study, run, "a", truth())
    value, notices, _ = work(study, run=run.id)
    assert value["classes"]["bone"]["surface_distance_mm"] is None
    assert notices == ["a: the size of its voxels has no known unit, so surfaces are not measured in mm."]


def test_distances_of_voxels_in_micrometres_are_in_mm(study, run):
    add_volume(study, "a", truth(), truth(), unit="um", voxel_size=tuple(1000 * s for s in VOXEL_SIZE))
    predicted(study, run, "a", shifted(truth(), 1, 0))
    value, _, _ = work(study, run=run.id)
    assert value["classes"]["brain"]["hausdorff95_mm"] == pytest.approx(0.4)


def test_volumes_that_cannot_be_scored_are_left_out_unless_they_were_named(study, run):
    add_volume(study, "a", truth(), truth())
    add_volume(study, "b", truth(), truth())
    add_volume(study, "c", truth())
    predicted(study, run, "a", truth())
    predicted(study, run, "c", truth())
    value, notices, _ = work(study, run=run.id)
    assert [v["name"] for v in value["volumes"]] == ["a"]
    assert notices == [
        f"Not scored: b: the run '{run.id}' has not predicted 'b' yet; c: 'c' has no reference labels."
    ]
    with pytest.raises(
        BadInput, match=r"Cannot score 'b': the run .* has not predicted 'b' yet; predict it first"
    ):
        work(study, "b", run=run.id)
    with pytest.raises(
        BadInput, match="Cannot score 'c': 'c' has no reference labels; add it with its label file"
    ):
        work(study, "c", run=run.id)


def test_where_nothing_can_be_scored_the_reason_is_said(study, run):
    with pytest.raises(BadInput, match="it has none; add volumes first"):
        work(study, run=run.id)
    add_volume(study, "a", truth())
    with pytest.raises(BadInput, match=r"Cannot score 'a': the run .* has not predicted 'a' yet"):
        work(study, run=run.id)
    add_volume(study, "b", truth())
    with pytest.raises(
        BadInput, match=r"none can be; of 'b', for instance, the run .* has not predicted 'b' yet"
    ):
        work(study, run=run.id)


def test_a_reference_of_another_shape_is_refused(study, run):
    import shutil

    add_volume(study, "a", truth(), truth())
    add_volume(study, "b", truth()[:, 2:], truth()[:, 2:])
    predicted(study, run, "a", truth())
    folder = study.path / "references"
    shutil.rmtree(folder / "a.zarr")
    (folder / "b.zarr").rename(folder / "a.zarr")
    with pytest.raises(BadInput, match=r"the shape \(20, 14, 24\), the volume \(20, 16, 24\)"):
        work(study, "a", run=run.id)


def test_settings_that_do_not_go_together_are_refused(study, run):
    with study.new_run("pretrain", "sorting", {}) as writer:
        sorting = writer.run.id
    with pytest.raises(BadSetting, match="nothing says of which run"):
        work(study)
    with pytest.raises(BadSetting, match=r"Cannot score predictions with the run .* which knows no classes"):
        work(study, run=sorting)
    with pytest.raises(BadSetting, match="Cannot score interpolation and a run"):
        work(study, run=run.id, method="interpolation")
    with pytest.raises(BadSetting, match="Cannot score interpolation and annotations"):
        work(study, against="annotations", method="interpolation")
    add_volume(study, "a", truth(), truth())
    with pytest.raises(BadInput, match="Cannot score 'a': no slice of it is complete"):
        work(study, method="interpolation")
