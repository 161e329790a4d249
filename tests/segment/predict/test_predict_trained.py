"""A run that was really fine-tuned predicts, is scored, and goes on where it was cut short."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.segment.evaluate.job import EvaluateSettings, evaluate
from napari_sortingloss.segment.finetune.job import finetune
from napari_sortingloss.segment.predict.job import PredictSettings, predict, predict_slice
from napari_sortingloss.segment.segmenter import load_segmenter
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.predictions.reading import find_prediction

QUICK = {"device": "cpu", "threads": 1}


@pytest.fixture
def run(annotated_study, tiny):
    return list(finetune(annotated_study, FinetuneSettings(**tiny)))[-1].value["run"]


def result(job):
    events = list(job)
    assert isinstance(events[-1], Result)
    return events[-1].value


def test_a_run_predicts_all_volumes_and_is_scored(annotated_study, with_references, labels_of, run):
    study = with_references
    found = result(predict(study, PredictSettings(run=run, uncertainty=True, **QUICK)))
    assert [(v["name"], v["axes"]) for v in found["volumes"]] == [("a", "z"), ("b", "y"), ("c", "z")]
    with load_segmenter(study.run(run), **QUICK) as segmenter:
        for name, axis, index in (("a", "z", 11), ("b", "y", 17)):
            labels, entropy = predict_slice(segmenter, study.volume(name), axis, index)
            prediction = find_prediction(study, name, run)
            assert np.array_equal(prediction.read_slice(axis, index), labels)
            difference = prediction.uncertainty_slice(axis, index).astype(int) - entropy
            assert np.abs(difference).max() <= 1  # batches of another size round otherwise
    scores = result(evaluate(study, EvaluateSettings(run=run)))
    assert list(scores["classes"]) == ["rod", "body"]
    for volume in scores["volumes"]:
        truth = labels_of(volume["name"])
        said = find_prediction(study, volume["name"], run).read_box(tuple((0, n) for n in truth.shape))
        for value, name in ((1, "rod"), (2, "body")):
            both = ((truth == value) & (said == value)).sum()
            either = ((truth == value) | (said == value)).sum()
            assert volume["iou"][name] == pytest.approx(both / either)
    unseen = result(evaluate(study, EvaluateSettings(run=run, unseen_only=True, surfaces=False)))
    assert [v["left_out"] for v in unseen["volumes"]] == [2, 2, 0]


def test_every_pose_that_was_trained_is_looked_at_and_the_result_is_another(annotated_study, run):
    study = annotated_study
    result(predict(study, PredictSettings(run=run, volumes=("a",), **QUICK)))
    found = result(predict(study, PredictSettings(run=run, volumes=("a",), every_pose=True, **QUICK)))
    assert found["volumes"][0]["kept"] is False
    prediction = find_prediction(study, "a", run)
    assert prediction.settings["every_pose"] is True
    with load_segmenter(study.run(run), every_pose=True, **QUICK) as segmenter:
        assert len(segmenter.poses) == 4
        labels, _ = predict_slice(segmenter, study.volume("a"), "z", 11)
    assert np.array_equal(prediction.read_slice("z", 11), labels)


def test_a_run_trained_on_slices_as_stored_says_that_it_has_one_pose(annotated_study, tiny):
    settings = FinetuneSettings(**{**tiny, "pose": "as stored"})
    run = list(finetune(annotated_study, settings))[-1].value["run"]
    asked = PredictSettings(run=run, volumes=("a",), every_pose=True, **QUICK)
    said = [event.message for event in predict(annotated_study, asked) if isinstance(event, Notice)]
    assert said == [f"'{run}' was trained on slices as they are stored: it looks at them in that pose alone."]


def test_a_run_that_learnt_across_another_axis_too_says_that_both_can_be_averaged(annotated_study, tiny):
    with AnnotationEditor(annotated_study, "a") as editor:
        shape = annotated_study.volume("a").shape
        editor.put_slice("x", 9, np.ones(shape[:2], np.uint8), what="test", status="complete")
    run = list(finetune(annotated_study, FinetuneSettings(**{**tiny, "held_back": 0.0})))[-1].value["run"]

    def said(axes):
        asked = PredictSettings(run=run, volumes=("c",), axes=axes, **QUICK)
        return [event.message for event in predict(annotated_study, asked) if isinstance(event, Notice)]

    (notice,) = said("")
    learnt = {key.split(" ")[1] for key in annotated_study.run(run).settings["learnt"]}
    axes = "".join(axis for axis in "zyx" if axis in learnt)
    assert "x" in axes
    assert f"learnt from slices across {' and '.join(axes)}: to average over them (axes {axes})" in notice
    assert said("zyx") == []


def test_three_axes_are_resumed_after_they_were_closed(annotated_study, run):
    study = annotated_study
    settings = PredictSettings(run=run, volumes=("a",), axes="zyx", **QUICK)
    job = predict(study, settings)
    for event in job:
        if isinstance(event, Progress) and event.done > 100:
            break
    job.close()
    found = result(predict(study, settings))
    assert found["volumes"][0]["kept"] is False
    assert find_prediction(study, "a", run).axes == "zyx"
