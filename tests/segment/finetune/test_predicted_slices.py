"""Learning from what an earlier run was sure of: which slices, which voxels of them, and what is said beforehand."""

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.events import Notice
from napari_sortingloss.segment.finetune.dataset import AnnotatedSlices, Pieces
from napari_sortingloss.segment.finetune.job import finetune
from napari_sortingloss.segment.finetune.plan import SliceKey, plan_again, plan_run
from napari_sortingloss.segment.finetune.predicted_slices import PredictedSlices, channels, entropy_limit
from napari_sortingloss.segment.finetune.task import SegmentationTask
from napari_sortingloss.segment.predict.job import PredictSettings, predict
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.slices import IGNORE
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.slices.loader import step_rng
from napari_sortingloss.study.classes import LabelClass, add_class
from napari_sortingloss.study.predictions.reading import PredictionWriter, remove_prediction

CLASSES = (LabelClass(1, "rod", "#e69f00", ""), LabelClass(2, "body", "#56b4e9", ""))


@pytest.fixture
def teacher(annotated_study) -> str:
    """The id of a fine-tuning run."""
    with annotated_study.new_run("finetune", "segmentation", FinetuneSettings().to_json()) as run:
        return run.run.id


@pytest.fixture
def say(annotated_study, teacher, labels_of):
    """Write a prediction: the truth, unsure in the upper half of z, unless it is said otherwise."""

    def write(name, labels=None, unsure=None, axes="zyx", classes=CLASSES, uncertainty=True):
        labels = labels_of(name) if labels is None else labels
        if unsure is None:
            unsure = np.zeros_like(labels)
            unsure[len(labels) // 2 :] = 255
        with PredictionWriter(
            annotated_study,
            name,
            teacher,
            step=1,
            classes=classes,
            axes=axes,
            settings={},
            uncertainty=uncertainty,
        ) as writer:
            across = "zyx".index(axes[0])
            for start, stop in writer.missing:
                box = [slice(None)] * 3
                box[across] = slice(start, stop)
                writer.write(start, stop, labels[tuple(box)], unsure[tuple(box)] if uncertainty else None)
            return writer.commit()

    return write


def slices(study, teacher, names, values=(1, 2), sure=0.7, background=0.7, without=()):
    return PredictedSlices(study, teacher, names, values, 0.0, sure, background, without)


# ------------------------------------------------------------------------------------------------------ which voxels
def test_even_odds_of_two_classes_are_as_unsure_as_can_be():
    assert entropy_limit(0.5, 2) == 255


def test_surer_means_less_entropy():
    limits = [entropy_limit(sure, 8) for sure in (0.5, 0.6, 0.7, 0.9, 0.99)]
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) == 5


def test_what_is_sure_is_known_and_the_rest_is_not(annotated_study, teacher, say, labels_of):
    say("c")
    found = slices(annotated_study, teacher, ["c"])
    across_x = found.native(SliceKey("c", "x", 25))
    half, truth = len(across_x.target) // 2, labels_of("c")[:, :, 25]
    np.testing.assert_array_equal(across_x.target[:half], truth[:half])
    assert (across_x.target[half:] == IGNORE).all()


def test_background_can_have_to_be_surer_than_a_class(annotated_study, teacher, say, labels_of):
    entropy = entropy_limit(0.8, 3)
    say("c", unsure=np.full((26, 40, 50), entropy, np.uint8))
    target = slices(annotated_study, teacher, ["c"], background=0.9).native(SliceKey("c", "z", 9)).target
    truth = labels_of("c")[9]
    np.testing.assert_array_equal(target, np.where(truth == 0, IGNORE, truth))


@pytest.mark.parametrize("again", [False, True])
def test_labels_that_went_while_they_were_learnt_from_do_not_teach_background(
    annotated_study, teacher, say, again
):
    say("c")
    found = slices(annotated_study, teacher, ["c"])
    found.native(SliceKey("c", "z", 9))
    remove_prediction(annotated_study, "c", teacher)
    if again:
        say("c")
    with pytest.raises(StudyError, match="removed, or predicted anew"):
        found.native(SliceKey("c", "z", 10))


def test_the_picture_of_a_predicted_slice_is_the_volume(annotated_study, teacher, say):
    say("c")
    key = SliceKey("c", "y", 20)
    seen = slices(annotated_study, teacher, ["c"]).native(key).image
    np.testing.assert_array_equal(seen, annotated_study.volume("c").read_slices([20], axis="y")[0])


def test_a_class_that_is_not_told_apart_any_more_is_unknown(say):
    table = channels(say("c"), [2])
    assert (table[0], table[1], table[2]) == (0, IGNORE, 1)


def test_background_may_be_a_class_that_the_earlier_run_did_not_know(say):
    table = channels(say("c"), [1, 2, 3])
    assert (table[0], table[1], table[2]) == (IGNORE, 1, 2)


# ------------------------------------------------------------------------------------------------------ which slices
def test_slices_across_the_predicted_axes_that_show_a_class_are_learnt_from(annotated_study, teacher, say):
    labels = np.zeros((26, 40, 50), np.uint8)
    labels[4:8, 10:20, 30:33] = 1
    say("c", labels)
    found = slices(annotated_study, teacher, ["c"]).keys
    assert {(key.axis, key.index) for key in found} == {
        *(("z", i) for i in range(4, 8)),
        *(("y", i) for i in range(10, 20)),
        *(("x", i) for i in range(30, 33)),
    }


def test_a_volume_predicted_along_one_axis_teaches_about_that_one(annotated_study, teacher, say):
    say("c", axes="y")
    assert {key.axis for key in slices(annotated_study, teacher, ["c"]).keys} == {"y"}


def test_painted_slices_are_not_learnt_from_a_second_time(annotated_study, teacher, say):
    say("a")
    painted = [SliceKey("a", "z", 6), SliceKey("a", "z", 15)]
    found = set(slices(annotated_study, teacher, ["a"], without=painted).keys)
    assert SliceKey("a", "z", 7) in found
    assert not found & set(painted)


def test_no_more_slices_than_the_memory_keeps(annotated_study, teacher, say, monkeypatch):
    from napari_sortingloss.segment.finetune import predicted_slices

    say("c")
    every = slices(annotated_study, teacher, ["c"]).keys
    monkeypatch.setattr(predicted_slices, "CACHE_BYTES", 40_000)
    found = slices(annotated_study, teacher, ["c"])
    assert set(found.keys) < set(every)
    assert sum(2 * np.prod(found.shape(key)) for key in found.keys) <= 44_000
    assert {key.axis for key in found.keys} == {"z", "y", "x"}


# ------------------------------------------------------------------------------------------------------------ pieces
@pytest.fixture
def pieces(annotated_study, teacher, say):
    say("c", unsure=np.zeros((26, 40, 50), np.uint8))
    painted = AnnotatedSlices(
        annotated_study, [SliceKey(v, "z", i) for v in "ab" for i in (6, 15)], [1, 2], 0.0
    )
    predicted = slices(annotated_study, teacher, ["c"])

    def make(batch, share):
        return Pieces(painted, batch, 32, 0.5, Augmenter("none"), "as stored", 3, predicted, share)

    return make


@pytest.mark.parametrize(("batch", "share"), [(4, 0.5), (3, 0.5), (1, 0.5), (8, 0.25), (5, 0.9)])
def test_painted_and_predicted_slices_have_their_shares(pieces, batch, share):
    chosen = [key for step in range(40) for key in pieces(batch, share).chosen(step)]
    assert len([key for key in chosen if key.volume != "c"]) == int(40 * batch * share)


def test_half_of_a_batch_has_both_kinds(pieces):
    first = pieces(8, 0.5).chosen(2)[:4]
    assert len([key for key in first if key.volume == "c"]) == 2


def test_a_batch_shows_what_was_painted_and_what_was_predicted(pieces):
    images, targets = pieces(4, 0.5).draw(1, step_rng(3, 1, 0))
    assert images.shape == targets.shape == (4, 32, 32)
    kinds = [key.volume == "c" for key in pieces(4, 0.5).chosen(1)]
    assert kinds.count(True) == 2
    for image, target in zip(images, targets, strict=True):
        known = target != IGNORE
        assert ((image > 150) == (target == 1))[known].mean() > 0.97


def test_a_slice_of_which_nothing_is_sure_can_be_drawn(annotated_study, teacher, say):
    say("c", unsure=np.full((26, 40, 50), 255, np.uint8))
    unsure = slices(annotated_study, teacher, ["c"])
    painted = AnnotatedSlices(annotated_study, [SliceKey("a", "z", 6)], [1, 2], 0.0)
    drawn = Pieces(painted, 4, 16, 1.0, Augmenter("none"), "turned", 0, unsure, 0.5)
    targets = drawn.draw(0, step_rng(0, 0, 0))[1]
    assert sorted((t == IGNORE).all() for t in targets) == [False, False, True, True]


# -------------------------------------------------------------------------------------------------- what is settled
def test_all_volumes_that_it_predicted_are_learnt_from(annotated_study, teacher, say):
    say("a")
    say("c")
    plan = plan_run(annotated_study, FinetuneSettings(also_from=teacher[:-2]))
    assert plan.settings.also_from == teacher
    assert plan.settings.predicted == ("a", "c")


def test_volumes_that_are_measured_on_are_not_learnt_from(annotated_study, teacher, say):
    for name in "abc":
        say(name)
    plan = plan_run(annotated_study, FinetuneSettings(also_from=teacher, validate=("b",)))
    assert plan.settings.predicted == ("a", "c")


def test_without_predictions_there_is_nothing_to_learn_from_too(annotated_study, teacher):
    with pytest.raises(BadInput, match="predicted none of the volumes"):
        plan_run(annotated_study, FinetuneSettings(also_from=teacher))


def test_a_prediction_without_uncertainty_cannot_teach(annotated_study, teacher, say):
    say("c", uncertainty=False)
    with pytest.raises(BadInput, match="says nowhere how sure it was"):
        plan_run(annotated_study, FinetuneSettings(also_from=teacher))


def test_volumes_predicted_without_uncertainty_are_named(annotated_study, teacher, say):
    say("a")
    say("c", uncertainty=False)
    plan = plan_run(annotated_study, FinetuneSettings(also_from=teacher))
    assert plan.settings.predicted == ("a",)
    assert any("not learnt from: c." in notice.message for notice in plan.notices)


def test_a_class_new_to_the_earlier_run_is_said(annotated_study, teacher, say, labels_of, paint):
    say("c")
    new = add_class(annotated_study, "tooth")
    labels = labels_of("a")[9].copy()
    labels[:3, :3] = new.value
    paint(annotated_study, "a", "z", 9, labels)
    plan = plan_run(annotated_study, FinetuneSettings(also_from=teacher))
    assert any(f"Unknown to '{teacher}': tooth." in notice.message for notice in plan.notices)


def test_a_run_of_another_study_is_not_found(annotated_study):
    with pytest.raises(StudyError, match="no run"):
        plan_run(annotated_study, FinetuneSettings(also_from="segmentation-999999"))


def test_a_prediction_that_went_leaves_nothing_to_go_on_with(annotated_study, teacher, say):
    say("c")
    settings = plan_run(annotated_study, FinetuneSettings(also_from=teacher)).settings
    assert plan_again(annotated_study, settings).settings.predicted == ("c",)
    remove_prediction(annotated_study, "c", teacher)
    with pytest.raises(StudyError, match="no run has predicted it yet"):
        plan_again(annotated_study, settings)


@pytest.mark.parametrize(("name", "value"), [("sure", 0.4), ("sure", 1.0), ("painted_pieces", 0.0)])
def test_shares_that_make_no_sense_are_refused(name, value):
    with pytest.raises(BadSetting):
        FinetuneSettings(**{name: value})


# ----------------------------------------------------------------------------------------------------------- the job
def test_a_run_learns_from_what_another_predicted_and_goes_on(annotated_study, tiny):
    settings = FinetuneSettings(**tiny, held_back=0.0)
    first = list(finetune(annotated_study, settings))[-1].value["run"]
    list(
        predict(
            annotated_study,
            PredictSettings(run=first, volumes=("c",), axes="zyx", uncertainty=True, device="cpu", threads=1),
        )
    )
    events = list(finetune(annotated_study, settings.replace(init=first, also_from=first, sure=0.5)))
    run = annotated_study.run(events[-1].value["run"])
    assert events[-1].value["state"] == "finished"
    assert (run.settings["also_from"], run.settings["predicted"]) == (first, ["c"])
    again = list(finetune(annotated_study, resume=run.id, changes={"steps": 5}))
    assert again[-1].value["steps"] == 5


def test_predictions_that_show_no_class_are_refused(annotated_study, teacher, say, tiny):
    say("c", np.zeros((26, 40, 50), np.uint8))
    runs = {run.id for run in annotated_study.runs()}
    with pytest.raises(BadInput, match="found none of the classes"):
        list(finetune(annotated_study, FinetuneSettings(**tiny, also_from=teacher)))
    assert {run.id for run in annotated_study.runs()} == runs  # none was begun


def test_what_was_predicted_reaches_the_batches(annotated_study, teacher, say, tiny):
    say("c", unsure=np.zeros((26, 40, 50), np.uint8))
    plan = plan_run(
        annotated_study, FinetuneSettings(**{**tiny, "batch": 2}, also_from=teacher, held_back=0.0)
    )
    task = SegmentationTask(plan.settings)
    task.prepare(annotated_study, plan.train, plan.validation, resume=False)
    alone = SegmentationTask(plan.settings.replace(predicted=()))
    alone.prepare(annotated_study, plan.train, plan.validation, resume=False)
    both, painted = (t.make_batch(plan.train, 0, step_rng(0, 0, 0)).arrays["slices"] for t in (task, alone))
    assert both.shape == painted.shape
    assert (both != painted).any()


def test_the_notice_of_what_is_not_learnt_reaches_the_person(annotated_study, teacher, say, tiny):
    say("a")
    say("c", uncertainty=False)
    events = list(finetune(annotated_study, FinetuneSettings(**tiny, also_from=teacher)))
    assert any(isinstance(e, Notice) and "not learnt from: c" in e.message for e in events)
