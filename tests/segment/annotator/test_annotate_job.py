"""The simulated annotator: which slices it copies, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from scoring import add_volume, labels

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.segment import reference_labels
from napari_sortingloss.segment.annotator.simulated import AnnotateSettings, annotate, at_random, evenly
from napari_sortingloss.segment.reference_labels import open_reference
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.annotations.reading import IGNORE, Annotations
from napari_sortingloss.study.classes import BACKGROUND, add_class, read_classes, remove_class

SHAPE = (30, 22, 26)


@pytest.fixture
def study(study_dir) -> Study:
    return Study.create(study_dir)


def truth():
    return labels(SHAPE)


def work(study, *volumes, **settings):
    """The chosen (volume, index), the notices, and the result's value."""
    events = list(annotate(study, AnnotateSettings(from_reference=True, volumes=volumes, **settings)))
    assert isinstance(events[-1], Result)
    value = events[-1].value
    notices = [event.message for event in events if isinstance(event, Notice)]
    return [(one["volume"], one["index"]) for one in value["slices"]], notices, value


@pytest.mark.parametrize("axis", ["z", "y", "x"])
@pytest.mark.parametrize("direction", ["+", "-"])
def test_the_slices_hold_the_reference_and_are_complete(study, axis, direction):
    add_volume(study, "a", truth(), truth(), axis=axis, direction=direction)
    chosen, notices, value = work(study, slices=3)
    annotations = Annotations(study, "a")
    assert len(set(chosen)) == 3
    for name, index in chosen:
        assert name == "a"
        assert annotations.status(axis, index) == "complete"
        expected = np.take(truth(), index, "zyx".index(axis))
        assert np.array_equal(annotations.read_slice(axis, index), expected)
        assert expected.any()
    assert len(annotations.slices()) == 3
    assert {(one["axis"], one["copied"]) for one in value["slices"]} == {(axis, True)}
    assert notices == []


def test_classes_are_made_from_the_labels_where_they_are_missing(study):
    add_class(study, "brain", value=7)
    add_class(study, "Label 3", value=12)
    add_volume(study, "a", truth(), truth())
    _, _, value = work(study, slices=1)
    assert [(c.value, c.name) for c in read_classes(study)] == [
        (7, "brain"),
        (12, "Label 3"),
        (3, "label 3 (2)"),
    ]
    assert value["classes"] == [{"value": 3, "name": "label 3 (2)"}]
    assert work(study, slices=2)[2]["classes"] == []


def test_a_class_that_was_removed_is_not_made_again(study):
    for value in (3, 7):
        add_class(study, f"class {value}", value=value)
    remove_class(study, 7)
    add_volume(study, "a", truth(), truth())
    (chosen,), notices, _ = work(study, slices=1)
    assert [c.value for c in read_classes(study)] == [3]
    assert notices == [
        "a: label 7 belongs to the class 'class 7', which was removed; it is copied, and counts as unknown."
    ]
    target = Annotations(study, "a").target("z", chosen[1], [3])
    assert (target[truth()[chosen[1]] == 7] == IGNORE).all()


@pytest.mark.parametrize("strategy", ["even", "random"])
def test_more_slices_with_the_same_seed_contain_fewer(study, strategy):
    add_volume(study, "a", truth(), truth(), axis="x")
    sets = []
    for count in (1, 2, 4, 7):
        chosen, _, value = work(study, slices=count, strategy=strategy, seed=5)
        sets.append(set(chosen))
        assert sum(one["copied"] for one in value["slices"]) == count - (len(sets[-2]) if sets[1:] else 0)
    assert sets[0] < sets[1] < sets[2] < sets[3]


@pytest.mark.parametrize("pick", [evenly, at_random])
def test_other_seeds_give_other_slices_and_the_same_seed_the_same(pick):
    found = [tuple(sorted(pick(80, 4, np.random.default_rng(seed)).tolist())) for seed in (1, 1, 2, 3, 4)]
    assert found[0] == found[1]
    assert len(set(found)) > 2


@pytest.mark.parametrize("count", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("seed", range(4))
def test_evenly_leaves_no_large_gap(count, seed):
    found = np.sort(evenly(200, count, np.random.default_rng(seed)))
    edges = np.diff([-1, *found, 200]) / (200 / count)
    assert edges[1:-1].max() < 1.8
    assert edges[1:-1].min() > 0.3
    assert max(edges[0], edges[-1]) < 1.3


def test_all_slices_are_drawn_once_where_more_are_asked_for_than_there_are():
    for n, count in ((1, 1), (1, 5), (2, 2), (7, 7), (7, 30)):
        assert sorted(evenly(n, count, np.random.default_rng(0))) == list(range(n))
        assert sorted(at_random(n, count, np.random.default_rng(0))) == list(range(n))


def test_a_fraction_is_of_the_slices_with_labels(study):
    add_volume(study, "a", truth(), truth())
    labelled = int((truth() != 0).any(axis=(1, 2)).sum())
    assert labelled < 30
    assert len(work(study, fraction=0.25)[0]) == round(0.25 * labelled)
    assert len(work(study, fraction=1.0)[0]) == labelled
    assert len(work(study, fraction=0.001)[0]) == 1
    chosen, notices, _ = work(study, slices=40)
    assert len(chosen) == labelled
    assert f"a: only {labelled} slices have labels; 40 were asked for." in notices


def test_each_volume_gets_its_own_slices_whichever_others_are_chosen(study):
    for name in ("a", "b", "c"):
        add_volume(study, name, truth(), truth())
    add_volume(study, "d", truth())
    both, _, _ = work(study, "b", "c", slices=3, strategy="random")
    alone, _, _ = work(study, "c", slices=3, strategy="random")
    assert [one for one in both if one[0] == "c"] == alone
    assert [i for n, i in both if n == "b"] != [i for n, i in alone]
    everywhere, _, _ = work(study, slices=3, strategy="random")
    assert {name for name, _ in everywhere} == {"a", "b", "c"}


def test_slices_annotated_by_hand_are_left_as_they_are(study):
    add_volume(study, "a", truth(), truth())
    planned = [index for _, index in work(study, slices=3, seed=1)[0]]
    other = study.path.parent / "other"
    study = Study.create(other)
    add_volume(study, "a", truth(), truth())
    mine = np.zeros(SHAPE[1:], np.uint8)
    mine[3, 4] = 3
    with AnnotationEditor(study, "a") as editor:
        editor.put_slice("z", planned[1], mine, status="partial")
    chosen, notices, value = work(study, slices=3, seed=1)
    assert [index for _, index in chosen] == planned
    assert [one["copied"] for one in value["slices"]] == [True, False, True]
    assert notices == [f"a: slice {planned[1]} was annotated before and stays as it is."]
    annotations = Annotations(study, "a")
    assert annotations.status("z", planned[1]) == "partial"
    assert np.array_equal(annotations.read_slice("z", planned[1]), mine)


def test_voxels_painted_on_slices_that_cross_are_not_painted_over(study):
    add_volume(study, "a", truth(), truth())
    mine = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    mine[:, 10:14] = BACKGROUND
    with AnnotationEditor(study, "a") as editor:
        editor.put_slice("y", 11, mine, status="partial")
    ((_, index),), _, _ = work(study, slices=1)
    found = Annotations(study, "a").read_slice("z", index)
    expected = truth()[index].copy()
    assert (expected[11, 10:14] != 0).any()
    expected[11, 10:14] = BACKGROUND
    assert np.array_equal(found, expected)


def test_a_closed_job_keeps_the_slices_that_are_done(study):
    add_volume(study, "a", truth(), truth())
    job = annotate(study, AnnotateSettings(from_reference=True, slices=4))
    for event in job:
        if isinstance(event, Progress) and event.done == 2:
            assert event.total == 4
            break
    job.close()
    assert len(Annotations(study, "a").slices()) == 2


def test_what_the_annotator_did_can_be_undone_slice_by_slice(study):
    add_volume(study, "a", truth(), truth())
    work(study, slices=2)
    with AnnotationEditor(study, "a") as editor:
        assert editor.undo().what == "copied from the reference"
        assert len(editor.annotations.slices()) == 1


def test_a_run_can_suggest_the_slices(study, monkeypatch):
    asked = []

    def suggest(study, settings):
        asked.append((settings.run, settings.count, settings.volumes))
        yield Progress(done=1, total=2, unit="slices")
        yield Notice(message="not sure")
        found = [{"volume": "a", "axis": "z", "index": i, "reason": "far", "score": 1.0} for i in (20, 9)]
        yield Result(value={"slices": found})

    monkeypatch.setattr("napari_sortingloss.segment.suggest.job.suggest", suggest)
    add_volume(study, "a", truth(), truth())
    chosen, notices, _ = work(study, slices=2, strategy="suggested", run="segmentation-1")
    assert asked == [("segmentation-1", 2, ("a",))]
    assert chosen == [("a", 9), ("a", 20)]
    assert notices == ["not sure"]


def test_labels_above_254_are_refused(study):
    add_volume(study, "a", truth(), np.where(truth() == 7, 255, 3).astype(np.uint8))
    with pytest.raises(BadInput, match="its reference has the label 255, and classes go up to 254"):
        work(study, slices=1)
    assert read_classes(study) == ()


def test_a_volume_without_reference_or_with_an_empty_one_says_so(study):
    with pytest.raises(BadInput, match="none has reference labels"):
        work(study, slices=1)
    add_volume(study, "a", truth())
    add_volume(study, "b", truth(), np.zeros(SHAPE, np.uint8))
    with pytest.raises(BadInput, match="Cannot annotate 'a': 'a' has no reference labels"):
        work(study, "a", slices=1)
    with pytest.raises(BadInput, match="Cannot annotate 'b': its reference labels are empty"):
        work(study, "b", slices=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"from_reference": False, "slices": 1}, "it is not said where the labels come from"),
        ({}, "nothing says how many slices; give either 'slices' or 'fraction'"),
        ({"slices": 2, "fraction": 0.1}, "slices and fraction are both given"),
        ({"slices": 2, "strategy": "suggested"}, "nothing says which run suggests the slices"),
        ({"slices": 2, "run": "x"}, "the strategy 'even' asks no run"),
    ],
)
def test_settings_that_do_not_say_enough_are_refused(study, settings, said):
    add_volume(study, "a", truth(), truth())
    with pytest.raises(BadSetting, match=said):
        list(annotate(study, AnnotateSettings(**{"from_reference": True, **settings})))


def test_a_volume_that_is_being_painted_is_left_alone(study):
    add_volume(study, "a", truth(), truth())
    with AnnotationEditor(study, "a"), pytest.raises(StudyError):
        work(study, slices=1)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_slices_are_read_in_bounded_portions(study, axis, monkeypatch):
    volume = add_volume(study, "a", truth(), truth())
    monkeypatch.setattr(reference_labels, "SLAB_VOXELS", 4 * 22 * 26)
    monkeypatch.setattr(reference_labels, "SLICES_VOXELS", 2 * 30 * 26)
    reference = open_reference(volume, "Cannot test")
    across = "zyx".index(axis)
    found = list(reference.each_slice(axis, [3, 4, 15, 20, 2]))
    assert [index for index, _ in found] == [3, 4, 15, 20, 2]
    assert all(np.array_equal(image, np.take(truth(), index, across)) for index, image in found)
    *_, (done, contents) = reference.contents(axis)
    others = tuple(a for a in range(3) if a != across)
    assert done == 1
    assert np.array_equal(contents.labelled, (truth() != 0).any(axis=others))
    assert contents.values == [3, 7]


def test_damaged_reference_labels_are_one_sentence(study):
    add_volume(study, "a", truth(), truth())
    (study.path / "references" / "a.zarr" / "0" / "zarr.json").unlink()
    with pytest.raises(StudyError, match=r"'references/a.zarr' is missing or damaged; put it back"):
        work(study, slices=1)
