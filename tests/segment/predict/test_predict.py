"""Prediction of whole volumes: what is written, in which order, and what stays when it is cut short."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scoring import CLASSES, SHAPE, GreySegmenter, add_volume, labels

from napari_sortingloss.errors import BadInput, BadSetting, OutOfMemory, OutOfSpace, StudyError
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.segment.predict import kept_axes, pipeline
from napari_sortingloss.segment.predict.job import (
    PredictSettings,
    predict,
    predict_slice,
    predict_volumes,
)
from napari_sortingloss.study import Study
from napari_sortingloss.study.classes import add_class, remove_class
from napari_sortingloss.study.predictions.reading import (
    PredictionWriter,
    find_prediction,
    growing_prediction,
    list_predictions,
)

RUN = "segmentation-1"
WHOLE = tuple((0, n) for n in SHAPE)


@pytest.fixture
def study(study_dir) -> Study:
    study = Study.create(study_dir)
    with study.new_run("finetune", "segmentation", {}) as run:
        run.run.path.rename(study.path / "runs" / RUN)
    for one in CLASSES:
        add_class(study, one.name, value=one.value)
    return study


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch):
    """Several pieces to a block and several batches to a piece, as large volumes have."""
    monkeypatch.setattr(pipeline, "READ_BYTES", 20 * SHAPE[1] * SHAPE[2])
    monkeypatch.setattr(pipeline, "MOST_SLICES", 7)


def work(study, *volumes, segmenter=None, **settings):
    """Events and the result's value."""
    segmenter = segmenter or GreySegmenter()
    chosen = study.select(volumes or None)
    events = list(predict_volumes(study, RUN, segmenter, chosen, PredictSettings(run=RUN, **settings)))
    assert isinstance(events[-1], Result)
    return events, events[-1].value


@pytest.mark.parametrize("axes", ["", "z", "y", "x", "zyx", "yx"])
@pytest.mark.parametrize("direction", ["+", "-"])
@pytest.mark.parametrize("kind", ["likeliest", "overlap"])
def test_every_voxel_gets_the_class_that_its_grey_value_says(study, axes, direction, kind):
    add_volume(study, "fish", axis="y", direction=direction)
    _, value = work(study, axes=axes, labels=kind)
    found = find_prediction(study, "fish", RUN)
    assert np.array_equal(found.read_box(WHOLE), labels())
    assert found.axes == (axes or "y")
    assert (found.step, found.classes, found.complete) == (40, CLASSES, True)
    (entry,) = value["volumes"]
    assert (entry["name"], entry["axes"], entry["path"]) == ("fish", axes or "y", str(found.path))
    assert entry["seconds"] > 0
    assert entry["voxels_per_second"] == pytest.approx(np.prod(SHAPE) / entry["seconds"])
    assert entry["kept"] is False


def test_the_network_is_told_the_size_of_the_voxels_it_sees(study):
    add_volume(study, "fish")
    segmenter = GreySegmenter()
    work(study, segmenter=segmenter, axes="zyx")
    assert segmenter.spacings == {((0.25, 0.3), "mm"), ((0.4, 0.3), "mm"), ((0.4, 0.25), "mm")}
    assert {shape[1:] for shape in segmenter.seen} == {(44, 52), (70, 52), (70, 44)}
    assert max(shape[0] for shape in segmenter.seen) == 7


def test_the_entropy_is_high_where_two_classes_are_as_probable(study):
    truth = labels()
    volume = add_volume(study, "fish", truth)
    work(study, uncertainty=True)
    found = find_prediction(study, "fish", RUN)
    entropy = found.uncertainty_box(WHOLE)
    assert entropy.max() == 0  # all greys are the very ones of a class
    said, unsure = predict_slice(GreySegmenter(), volume, "z", 35)
    assert np.array_equal(said, truth[35])
    assert not unsure.any()
    even = torch.full((1, 4, 3, 2), 0.25)
    assert (pipeline.to_labels(even, (3, 7, 9), entropy=True)[1] == 255).all()
    half = torch.tensor([0.5, 0.5, 0.0, 0.0]).reshape(1, 4, 1, 1)
    assert pipeline.to_labels(half, (3, 7, 9), entropy=True)[1].item() == round(255 / 2)


def test_several_axes_are_averaged_not_voted(study):
    """Along one axis a little for bone, along the two others a bit more for brain: brain, if only just."""

    class PerAxis(GreySegmenter):
        def probabilities(self, slices, spacing, unit):
            p = {(0.25, 0.3): (0.1, 0.5, 0.4), (0.4, 0.3): (0.1, 0.42, 0.48), (0.4, 0.25): (0.0, 0.45, 0.55)}
            n, h, w = slices.shape
            return torch.tensor(p[spacing]).reshape(1, 3, 1, 1).expand(n, 3, h, w).clone()

    add_volume(study, "fish")
    work(study, segmenter=PerAxis(), axes="zyx", uncertainty=True)
    found = find_prediction(study, "fish", RUN)
    assert (found.read_box(WHOLE) == 7).all()
    mean = np.array([0.2 / 3, 1.37 / 3, 1.43 / 3])
    expected = 255 * -(mean * np.log(mean)).sum() / np.log(3)
    assert np.abs(found.uncertainty_box(WHOLE).astype(float) - expected).max() <= 2


class BrainIsSeenAcrossOneAxis(GreySegmenter):
    """Where the bone is; the other axes are in doubt, and the mean says background, if only just."""

    def probabilities(self, slices, spacing, unit):
        found = super().probabilities(slices, spacing, unit)
        brain = torch.tensor({(0.25, 0.3): 0.45, (0.4, 0.3): 0.05, (0.4, 0.25): 0.85}[spacing])
        inside = found[:, 1] > 0.5
        found[:, 0][inside], found[:, 1][inside], found[:, 2][inside] = 1 - brain, 0.0, brain
        return found


def test_for_the_overlap_a_class_is_not_lost_to_background_where_axes_disagree(study):
    truth = labels()
    add_volume(study, "fish", truth)
    work(study, segmenter=BrainIsSeenAcrossOneAxis(), axes="zyx")
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(WHOLE), np.where(truth == 7, 7, 0))
    work(study, segmenter=BrainIsSeenAcrossOneAxis(), axes="zyx", labels="overlap")
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(WHOLE), np.where(truth, 7, 0))


def test_labels_for_the_overlap_replace_the_likeliest_at_every_level(study):
    truth = labels((150, 140, 130))
    add_volume(study, "fish", truth)
    work(study, segmenter=BrainIsSeenAcrossOneAxis(), axes="zyx", labels="overlap")
    levels = find_prediction(study, "fish", RUN).pyramid()
    assert len(levels) > 1
    smallest = np.asarray(levels[-1][:, :, :])
    step = [-(-n // m) for n, m in zip(truth.shape, smallest.shape, strict=True)]
    assert np.array_equal(smallest, np.where(truth, 7, 0)[:: step[0], :: step[1], :: step[2]])


def test_the_entropy_does_not_depend_on_which_labels_are_written(study):
    add_volume(study, "fish")
    found = {}
    for kind in ("likeliest", "overlap"):
        work(study, segmenter=BrainIsSeenAcrossOneAxis(), axes="zyx", labels=kind, uncertainty=True)
        found[kind] = find_prediction(study, "fish", RUN).uncertainty_box(WHOLE).astype(int)
    assert found["likeliest"].max() > 100
    assert np.abs(found["likeliest"] - found["overlap"]).max() <= 2


def test_progress_counts_slices_over_all_volumes_and_axes(study):
    add_volume(study, "a")
    add_volume(study, "b", labels((33, 40, 36)), axis="x")
    events, _ = work(study, axes="")
    progress = [event for event in events if isinstance(event, Progress)]
    assert {event.unit for event in progress} == {"slices"}
    assert {event.total for event in progress} == {70 + 36}
    done = [event.done for event in progress]
    assert done == sorted(done)
    assert done[-1] == 106
    assert progress[-1].seconds_left == 0
    events, _ = work(study, "a", axes="zyx", again=True)
    assert events[-2].total == sum(SHAPE)
    assert events[-2].done == sum(SHAPE)


def slices_done(study):
    return sum(stop - start for start, stop in growing_prediction(study, "fish", RUN).done)


def test_a_closed_job_keeps_what_it_did_and_the_next_goes_on(study):
    add_volume(study, "fish")
    settings = PredictSettings(run=RUN)
    job = predict_volumes(study, RUN, GreySegmenter(), study.select(), settings)
    for event in job:
        if isinstance(event, Progress) and event.done >= 64:
            break
    job.close()
    done = slices_done(study)
    assert 0 < done < 70
    assert not list_predictions(study)
    segmenter = GreySegmenter()
    events, value = work(study, segmenter=segmenter)
    assert sum(shape[0] for shape in segmenter.seen) == 70 - done
    assert [e.message for e in events if isinstance(e, Notice)] == [
        f"fish: {done} of 70 slices are there; going on."
    ]
    assert value["volumes"][0]["voxels_per_second"] * value["volumes"][0]["seconds"] == pytest.approx(
        (70 - done) * 44 * 52
    )
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(WHOLE), labels())


PREDICT = """
import sys
from scoring import GreySegmenter
from napari_sortingloss.events import Progress
from napari_sortingloss.segment.predict import pipeline
from napari_sortingloss.segment.predict.job import PredictSettings, predict_volumes
from napari_sortingloss.study import Study
path, run, read_bytes = sys.argv[1:]
pipeline.READ_BYTES, pipeline.MOST_SLICES = int(read_bytes), 7
study = Study.open(path)
for event in predict_volumes(study, run, GreySegmenter(), study.select(), PredictSettings(run=run)):
    if isinstance(event, Progress) and event.done >= 64:
        print("far", flush=True)
        sys.stdin.read()
"""
"""Predicts most of a volume and then waits to be killed."""


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9 on Windows")
def test_a_killed_prediction_goes_on_where_it_was_and_ends_as_if_nothing_had_happened(study):
    add_volume(study, "fish")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", PREDICT, str(study.path), RUN, str(pipeline.READ_BYTES)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"far\n"
        deadline = time.monotonic() + 60
        while not slices_done(study) and time.monotonic() < deadline:
            time.sleep(0.01)  # what is predicted is written behind
        process.kill()
    done = slices_done(study)
    assert 0 < done < 70
    segmenter = GreySegmenter()
    work(study, segmenter=segmenter)
    assert sum(shape[0] for shape in segmenter.seen) == 70 - done
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(WHOLE), labels())


def test_a_class_that_was_removed_since_is_predicted_and_said(study):
    add_volume(study, "fish")
    remove_class(study, 7)
    events, _ = work(study)
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "Removed since this run was trained, and predicted all the same: brain."
    ]
    found = find_prediction(study, "fish", RUN)
    assert found.classes == CLASSES
    assert np.array_equal(found.read_box(WHOLE), labels())


def test_other_weights_begin_anew(study):
    add_volume(study, "fish")
    job = predict_volumes(study, RUN, GreySegmenter(), study.select(), PredictSettings(run=RUN))
    while next(job).done < 64:
        pass
    job.close()
    segmenter = GreySegmenter()
    segmenter.step = 41
    work(study, segmenter=segmenter)
    assert sum(shape[0] for shape in segmenter.seen) == 70
    assert find_prediction(study, "fish", RUN).step == 41


def test_what_the_same_weights_predicted_stays_unless_asked_for_again(study):
    add_volume(study, "fish")
    work(study)
    segmenter = GreySegmenter()
    events, value = work(study, segmenter=segmenter)
    assert not segmenter.seen
    assert value["volumes"][0]["kept"] is True
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "fish: these weights have predicted it before; it stays (see 'again')."
    ]
    for settings in ({"again": True}, {"axes": "y"}, {"uncertainty": True}, {"labels": "overlap"}):
        segmenter = GreySegmenter()
        work(study, segmenter=segmenter, **settings)
        assert segmenter.seen


@pytest.mark.parametrize("axes", ["z", "zyx"])
def test_the_result_grows_around_the_slice_that_is_looked_at(study, axes, monkeypatch):
    add_volume(study, "fish", labels((150, 30, 28)))
    written = []
    write = PredictionWriter.write

    def note(self, start, stop, *rest):
        written.append((start, stop))
        write(self, start, stop, *rest)

    monkeypatch.setattr(PredictionWriter, "write", note)
    work(study, axes=axes, first=140)
    assert written == [(128, 150), (64, 128), (0, 64)]
    assert np.array_equal(
        find_prediction(study, "fish", RUN).read_box(((0, 150), (0, 30), (0, 28))), labels((150, 30, 28))
    )


def test_slices_that_do_not_fit_the_memory_together_are_seen_one_after_the_other(study):
    add_volume(study, "fish")
    segmenter = GreySegmenter(most=2)
    work(study, segmenter=segmenter)
    assert max(shape[0] for shape in segmenter.seen) == 1
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(WHOLE), labels())


def test_a_slice_that_does_not_fit_the_memory_is_one_sentence(study):
    add_volume(study, "fish")
    with pytest.raises(
        OutOfMemory, match=r"Cannot predict 'fish': a single slice needs more memory .*device cpu"
    ):
        work(study, segmenter=GreySegmenter(most=0))


def test_an_error_of_the_network_is_not_taken_for_lack_of_memory(study):
    class Broken(GreySegmenter):
        def probabilities(self, slices, spacing, unit):
            raise RuntimeError("a bug")

    add_volume(study, "fish")
    with pytest.raises(RuntimeError, match="a bug"):
        work(study, segmenter=Broken())


def test_a_full_disk_is_one_sentence_and_what_was_written_stays(study, monkeypatch):
    truth = labels((150, 30, 28))
    add_volume(study, "fish", truth)
    from napari_sortingloss.disk.label_shards import SlabsWriter

    write = SlabsWriter.write

    def full(self, first, *rest):
        if first == 64:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, first, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(SlabsWriter, "write", full)
        with pytest.raises(OutOfSpace, match="Cannot predict 'fish': the disk is full"):
            work(study)
    assert growing_prediction(study, "fish", RUN).done == [(0, 64)]
    segmenter = GreySegmenter()
    work(study, segmenter=segmenter)
    assert sum(shape[0] for shape in segmenter.seen) == 86
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(((0, 150), (0, 30), (0, 28))), truth)


def test_averaging_is_refused_before_it_begins_where_the_disk_is_too_small(study, monkeypatch):
    add_volume(study, "fish")
    usage = shutil.disk_usage(study.path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=66_000_000))
        segmenter = GreySegmenter()
        with pytest.raises(
            OutOfSpace,
            match=r"'fish': keeping what the network says needs 0.1 GB for a while and the disk has 0.1 GB",
        ):
            work(study, segmenter=segmenter, axes="zyx")
    assert not segmenter.seen
    work(study, axes="z")


def test_the_space_for_the_other_axes_is_taken_before_it_is_written(study, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    add_volume(study, "fish")
    monkeypatch.setattr(kept_axes.os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutOfSpace, match="Cannot predict 'fish': the disk is full"):
        work(study, axes="zyx")


@pytest.mark.parametrize("kind", ["likeliest", "overlap"])
@pytest.mark.parametrize("close_at", [30, 64, 117, 290, 330])
def test_what_was_said_across_other_axes_is_not_computed_again(study, close_at, kind):
    """150 slices across z, 70 across y and 110 across x, kept 64 at a time."""
    truth = labels((150, 70, 110))
    add_volume(study, "fish", truth)
    segmenter, uninterrupted = GreySegmenter(), GreySegmenter()
    settings = PredictSettings(run=RUN, axes="zyx", labels=kind)
    job = predict_volumes(study, RUN, segmenter, study.select(), settings)
    for event in job:
        if isinstance(event, Progress) and event.done >= close_at:
            break
    job.close()
    before = sum(shape[0] for shape in segmenter.seen)
    assert before == close_at or before < close_at + 7
    events, _ = work(study, segmenter=segmenter, axes="zyx", labels=kind)
    again = sum(shape[0] for shape in segmenter.seen) - 330
    assert 0 <= again <= 64
    progress = [event.done for event in events if isinstance(event, Progress)]
    assert progress == sorted(progress)
    assert progress[-1] == 330
    box = tuple((0, n) for n in truth.shape)
    found = find_prediction(study, "fish", RUN).read_box(box)
    work(study, segmenter=uninterrupted, axes="zyx", labels=kind, again=True)
    assert np.array_equal(found, find_prediction(study, "fish", RUN).read_box(box))
    assert np.array_equal(found, truth)
    assert not list((study.path / "predictions" / "fish").glob(".*.part"))


@pytest.mark.parametrize("doing", ["weighing the classes", "writing"])
def test_labels_for_the_overlap_that_were_cut_short_are_made_anew_without_the_network(study, doing):
    add_volume(study, "fish")
    settings = PredictSettings(run=RUN, axes="zyx", labels="overlap")
    segmenter = BrainIsSeenAcrossOneAxis()
    job = predict_volumes(study, RUN, segmenter, study.select(), settings)
    while not next(job).what.endswith(doing) or len(segmenter.seen) < sum(-(-n // 7) for n in SHAPE):
        pass
    job.close()
    segmenter = BrainIsSeenAcrossOneAxis()
    work(study, segmenter=segmenter, axes="zyx", labels="overlap")
    assert not segmenter.seen
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(WHOLE), np.where(labels(), 7, 0))


def test_labels_grow_while_what_is_needed_for_the_overlap_is_kept(study):
    truth = labels((150, 30, 28))
    add_volume(study, "fish", truth)
    settings = PredictSettings(run=RUN, labels="overlap")
    job = predict_volumes(study, RUN, GreySegmenter(), study.select(), settings)
    while next(job).done < 140:
        pass
    growing = growing_prediction(study, "fish", RUN)
    assert growing.done[0] == (0, 128)
    assert np.array_equal(growing.read_box(((0, 128), (0, 30), (0, 28))), truth[:128])
    job.close()


def test_a_damaged_record_of_the_other_axes_is_begun_anew(study):
    add_volume(study, "fish")
    job = predict_volumes(study, RUN, GreySegmenter(), study.select(), PredictSettings(run=RUN, axes="zyx"))
    while next(job).done < 90:
        pass
    job.close()
    (record,) = (study.path / "predictions" / "fish").glob(".*.part/axes.json")
    record.write_text("{")
    segmenter = GreySegmenter()
    work(study, segmenter=segmenter, axes="zyx")
    assert sum(shape[0] for shape in segmenter.seen) == sum(SHAPE)
    assert np.array_equal(find_prediction(study, "fish", RUN).read_box(WHOLE), labels())


def test_another_job_on_the_same_volume_is_refused(study):
    add_volume(study, "fish")
    job = predict_volumes(study, RUN, GreySegmenter(), study.select(), PredictSettings(run=RUN))
    next(job)
    with pytest.raises(StudyError, match="another program or job is predicting it"):
        work(study)
    job.close()


def test_a_run_that_does_not_segment_is_refused(study):
    with study.new_run("pretrain", "sorting", {}) as writer:
        sorting = writer.run.id
    add_volume(study, "fish")
    with pytest.raises(BadSetting, match="it trained the task 'sorting', which knows no classes"):
        list(predict(study, PredictSettings(run=sorting)))


def test_a_run_of_another_study_is_not_found(study):
    with pytest.raises(StudyError, match="Cannot find run 'segmentation-9'"):
        list(predict(study, PredictSettings(run="segmentation-9")))


def test_a_run_without_weights_says_so(study):
    add_volume(study, "fish")
    with study.new_run("finetune", "segmentation", {}) as writer:
        run = writer.run.id
    with pytest.raises(BadInput, match=f"Cannot use the weights of the run '{run}': it has none yet"):
        list(predict(study, PredictSettings(run=run)))


def test_a_study_without_volumes_says_so(study):
    with pytest.raises(BadInput, match="it has none; add volumes first"):
        list(predict(study, PredictSettings(run=RUN)))


def test_a_slice_to_begin_with_must_be_in_the_volume(study):
    add_volume(study, "fish", axis="x")
    with pytest.raises(
        BadSetting, match="Cannot begin to predict 'fish' at slice 60: it has 52 slices across x"
    ):
        list(predict(study, PredictSettings(run=RUN, first=60)))


def test_opening_the_settings_loads_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; import napari_sortingloss.segment.predict.job, napari_sortingloss.segment.evaluate.job, "
        "napari_sortingloss.segment.annotator.simulated; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
