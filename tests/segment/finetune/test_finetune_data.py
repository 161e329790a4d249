"""What a run learns is settled from the annotations: slices, classes, pixel size, and the pieces of a batch."""

from collections import Counter

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput, StudyError
from napari_sortingloss.segment.finetune.dataset import AnnotatedSlices, Pieces
from napari_sortingloss.segment.finetune.plan import SliceKey, plan_again, plan_run
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.slices import IGNORE
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.slices.loader import step_rng
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import BACKGROUND, add_class, remove_class


@pytest.fixture
def many(study, labels_of, paint):
    """Six complete slices in `a` and four in `b`."""
    for name, indices in {"a": range(2, 20, 3), "b": range(3, 19, 4)}.items():
        for index in indices:
            paint(study, name, "z", index, labels_of(name)[index])
    return study


def keys(texts):
    return [SliceKey.parse(text) for text in texts]


def test_a_key_survives_being_written():
    key = SliceKey("fish one", "y", 12)
    assert SliceKey.parse(str(key)) == key


def test_slices_are_held_back_evenly_and_never_learnt_from(many):
    plan = plan_run(many, FinetuneSettings(held_back=0.3))
    kept, learnt = plan.settings.kept, plan.settings.learnt
    assert len(kept) == 3
    assert len(learnt) == 7
    assert not set(kept) & set(learnt)
    assert {key.volume for key in keys(kept)} == {"a", "b"}
    assert [v.name for v in plan.validation] == ["a", "b"]
    assert plan_run(many, FinetuneSettings(held_back=0.3)).settings == plan.settings


def test_few_slices_are_all_learnt_from_and_that_is_said(annotated_study):
    plan = plan_run(annotated_study, FinetuneSettings(held_back=0.5))
    assert plan.settings.kept == ()
    assert len(plan.settings.learnt) == 4
    assert any("none is held back" in notice.message for notice in plan.notices)


def test_the_last_slice_of_a_class_is_never_held_back(many, labels_of, paint):
    rare = add_class(many, "rare")
    labels = labels_of("a")[11].copy()
    labels[:4, :4] = rare.value
    paint(many, "a", "z", 11, labels)
    for share in (0.2, 0.5, 0.9):
        plan = plan_run(many, FinetuneSettings(held_back=share))
        assert "a z 11" in plan.settings.learnt
        assert len(plan.settings.kept) > 0


def test_named_volumes_are_only_measured_on(many):
    plan = plan_run(many, FinetuneSettings(validate=("b",)))
    assert {key.volume for key in keys(plan.settings.learnt)} == {"a"}
    assert {key.volume for key in keys(plan.settings.kept)} == {"b"}
    assert (len(plan.settings.learnt), len(plan.settings.kept)) == (6, 4)
    with pytest.raises(BadInput, match=r"validate on \(c\) has an annotated slice"):
        plan_run(many, FinetuneSettings(validate=("c",)))


def test_what_was_held_back_stays_so_and_new_slices_join(many, labels_of, paint):
    before = plan_run(many, FinetuneSettings(held_back=0.2)).settings
    for index in (4, 9, 13, 21, 22):
        paint(many, "c", "z", index, labels_of("c")[index])
    again = plan_again(many, before).settings
    assert set(before.kept) <= set(again.kept)
    assert len(again.kept) == 3  # a fifth of 15
    assert not set(again.kept) & set(before.learnt)
    assert set(before.learnt) <= set(again.learnt)


def test_only_classes_that_are_painted_are_learnt(many):
    add_class(many, "never")
    plan = plan_run(many, FinetuneSettings())
    assert [c.name for c in plan.settings.label_classes()] == ["rod", "body"]
    assert [c.value for c in plan.settings.label_classes()] == [1, 2]
    assert any("never" in notice.message for notice in plan.notices)
    assert [c.metric for c in plan.settings.curves()] == ["loss", "mean_iou", "iou rod", "iou body"]


def test_nothing_annotated_is_said(study):
    with pytest.raises(BadInput, match="no slice is annotated"):
        plan_run(study, FinetuneSettings())


def test_one_class_alone_has_nothing_to_be_told_from(study, paint):
    labels = np.zeros((40, 52), np.uint8)
    labels[10:20] = 1
    paint(study, "a", "z", 3, labels, status="partial")
    with pytest.raises(BadInput, match="only 'rod' is painted"):
        plan_run(study, FinetuneSettings())
    labels[0] = BACKGROUND
    paint(study, "a", "z", 3, labels, status="partial")
    plan = plan_run(study, FinetuneSettings())
    assert len(plan.settings.learnt) == 1
    assert not any("background" in notice.message for notice in plan.notices)


def test_two_classes_without_any_background_are_learnt_with_a_warning(study, paint):
    labels = np.zeros((40, 52), np.uint8)
    labels[10:20], labels[30:] = 1, 2
    paint(study, "a", "z", 3, labels, status="partial")
    notices = plan_run(study, FinetuneSettings()).notices
    assert any(n.level == "warning" and "No background is known" in n.message for n in notices)


def test_an_empty_complete_slice_alone_shows_no_class(study, paint):
    paint(study, "a", "z", 3, np.zeros((40, 52), np.uint8))
    with pytest.raises(BadInput, match="no class is painted"):
        plan_run(study, FinetuneSettings())


def test_labels_of_another_shape_are_said(annotated_study):
    path = annotated_study.path / "annotations" / "a" / "labels.npy"
    np.save(path, np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(StudyError, match="'a'"):
        plan_run(annotated_study, FinetuneSettings())


def test_classes_that_came_and_went_since_a_run_began_are_named(many):
    settings = plan_run(many, FinetuneSettings()).settings
    remove_class(many, 2)
    add_class(many, "tail")
    plan = plan_again(many, settings)
    text = " ".join(notice.message for notice in plan.notices)
    assert "still told apart by it: body" in text
    assert "unknown to it: tail" in text
    assert [c.name for c in plan.settings.label_classes()] == ["rod", "body"]


def test_a_class_that_was_removed_is_unknown_to_a_new_run(many):
    remove_class(many, 2)
    settings = plan_run(many, FinetuneSettings()).settings
    assert [c.name for c in settings.label_classes()] == ["rod"]
    data = AnnotatedSlices(many, keys(settings.learnt), [1], 0.0)
    assert set(np.unique(data[data.keys[0]].target)) == {0, 1, IGNORE}


def test_volumes_of_different_voxels_share_the_finest(study, store, make_specimen, paint):
    values, labels = make_specimen(seed=7)
    store(study, "coarse", values, voxel_size=(0.4, 0.5, 0.52))
    for name in ("a", "coarse"):
        paint(study, name, "z", 6, labels[6])
    settings = plan_run(study, FinetuneSettings()).settings
    assert settings.pixel_size == pytest.approx(0.25)
    data = AnnotatedSlices(study, keys(settings.learnt), [1, 2], 0.25)
    assert data.shape(SliceKey("coarse", "z", 6)) == (80, 108)
    assert data[SliceKey("coarse", "z", 6)].target.shape == (80, 108)


def test_slices_across_any_axis_come_with_their_voxels(study, labels_of, paint):
    paint(study, "b", "y", 9, labels_of("b")[:, 9])
    data = AnnotatedSlices(study, [SliceKey("b", "y", 9)], [1, 2], 0.0)
    example = data[SliceKey("b", "y", 9)]
    np.testing.assert_array_equal(example.target, labels_of("b")[:, 9])
    bright = example.image > 150  # `b` is ordered against y: an index is not a position
    assert (bright == (example.target == 1)).mean() > 0.99


def test_painting_during_a_run_does_not_reach_it(annotated_study, paint, labels_of):
    data = AnnotatedSlices(annotated_study, [SliceKey("a", "z", 6)], [1, 2], 0.0)
    with AnnotationEditor(annotated_study, "a") as editor:
        editor.put_slice("z", 6, np.ones((40, 52), np.uint8), status="complete")
    np.testing.assert_array_equal(data.native(SliceKey("a", "z", 6)).target, labels_of("a")[6])


@pytest.fixture
def pieces(many):
    settings = plan_run(many, FinetuneSettings(held_back=0.0)).settings
    data = AnnotatedSlices(many, keys(settings.learnt), [1, 2], 0.0)

    def make(size=32, around=0.5, batch=4, augment="none", pose="as stored"):
        return Pieces(data, batch, size, around, Augmenter(augment), pose, seed=3)

    return make


def test_every_slice_is_seen_equally_often(pieces):
    drawn = pieces(batch=4)
    seen = Counter(key for step in range(25) for key in drawn.chosen(step))
    assert len(seen) == 10
    assert set(seen.values()) == {10}


def test_a_batch_depends_on_its_step_and_generator_alone(pieces):
    first, second = pieces(augment="normal"), pieces(augment="normal")
    for step in (5, 0, 5):
        one, other = (p.draw(step, step_rng(3, step, 0)) for p in (first, second))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.draw(1, step_rng(3, 1, 0))[0], first.draw(2, step_rng(3, 2, 0))[0])


def test_in_a_pose_a_slice_looks_different_each_time_and_its_labels_follow(pieces):
    drawn = pieces(size=64, pose="turned and mirrored")
    key = drawn.chosen(0)[0]
    steps = [step for step in range(12) if key in drawn.chosen(step)]
    seen = []
    for step in steps:
        images, targets = drawn.draw(step, step_rng(3, step, 0))
        here = drawn.chosen(step).index(key)
        inside = targets[here] != IGNORE
        assert ((images[here] > 150) == (targets[here] == 1))[inside].mean() > 0.97
        seen.append(images[here])
    assert len(seen) > 3
    assert all((a != b).any() for i, a in enumerate(seen) for b in seen[i + 1 :])


def test_pieces_are_no_larger_than_the_slices_need(pieces):
    assert pieces(size=256).shape == (64, 64)
    images, targets = pieces(size=256).draw(0, step_rng(3, 0, 0))
    assert images.shape == targets.shape == (4, 64, 64)
    assert ((targets == IGNORE).sum((1, 2)) > 0).all()


def test_a_rare_class_is_seen_more_often_where_pieces_are_laid_around_classes(study, paint):
    labels = np.zeros((40, 52), np.uint8)
    labels[2:4, 2:4] = 1
    paint(study, "a", "z", 5, labels)
    data = AnnotatedSlices(study, [SliceKey("a", "z", 5)], [1], 0.0)

    def share(around):
        drawn = Pieces(data, 8, 16, around, Augmenter("none"), "as stored", seed=0)
        found = np.concatenate([drawn.draw(step, step_rng(0, step, 0))[1] for step in range(20)])
        return (found == 1).any((1, 2)).mean()

    assert share(1.0) > 0.95
    assert share(0.0) < 0.5


def test_pieces_of_a_partial_slice_show_something_known(study, paint):
    labels = np.zeros((40, 52), np.uint8)
    labels[30:33, 40:43], labels[30:33, 43:46] = 1, BACKGROUND
    paint(study, "a", "z", 5, labels, status="partial")
    data = AnnotatedSlices(study, [SliceKey("a", "z", 5)], [1], 0.0)
    drawn = Pieces(data, 8, 16, 0.0, Augmenter("none"), "as stored", seed=0)
    targets = np.concatenate([drawn.draw(step, step_rng(0, step, 0))[1] for step in range(10)])
    assert (targets != IGNORE).any((1, 2)).mean() > 0.9
