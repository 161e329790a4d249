"""Fine-tuning as a job: begins, is measured, goes on, begins with other runs, and says what stands in its way."""

import json
import time

import numpy as np
import pytest
import torch

from napari_sortingloss.errors import BadInput, BadSetting, OutOfMemory, StudyError
from napari_sortingloss.events import Matrix, Metrics, Notice, Preview, Result, Saved, StateChanged
from napari_sortingloss.networks.weights import load_encoder, load_weights
from napari_sortingloss.pretext.jobs.pretrain import pretrain
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.segment.finetune.job import finetune
from napari_sortingloss.segment.finetune.task import SegmentationTask
from napari_sortingloss.segment.segmenter import load_segmenter
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.study.classes import add_class, remove_class
from napari_sortingloss.study.runs.live_preview import read_preview, request_preview
from napari_sortingloss.training.loop.checkpoints import load_checkpoint


@pytest.fixture
def settings(tiny) -> FinetuneSettings:
    return FinetuneSettings(**tiny)


@pytest.fixture
def pretrained(annotated_study):
    """The id of a pre-training run of one step."""
    about = {"size": 32, "steps": 1, "workers": 1, "threads": 1, "device": "cpu", "precision": "32"}
    return list(pretrain(annotated_study, SortingSettings(**about, slices=4)))[-1].value["run"]


def weights(study, run, which="last"):
    return load_checkpoint(study.run(run).path, which).network


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_a_run_is_begun_measured_and_kept(annotated_study, settings):
    events = list(finetune(annotated_study, settings.replace(validate=("b",))))
    value = events[-1].value
    assert isinstance(events[-1], Result)
    assert value["state"] == "finished"
    assert value["classes"] == ["rod", "body"]
    assert set(value["validation"]) <= {"loss", "mean_iou", "iou rod", "iou body"}
    assert 0 <= value["validation"]["mean_iou"] <= 1
    assert {"loss", "mean_iou"} <= set(value["metrics"])
    run = annotated_study.run(value["run"])
    assert (run.kind, run.task) == ("finetune", "segmentation")
    assert {"last.pt", "best.pt", "model.safetensors"} <= {path.name for path in run.path.iterdir()}
    tables = of_kind(events, Matrix)
    assert {table.split for table in tables} == {"train", "validation"}
    measured = next(table for table in tables if table.split == "validation")
    assert measured.labels == ("background", "rod", "body")
    assert np.sum(measured.counts) == 2 * 40 * 51  # both slices of b, every pixel of them
    assert FinetuneSettings.from_json(run.settings).label_classes()[1].name == "body"


def test_validation_pools_all_slices_before_it_divides(annotated_study, settings):
    task = SegmentationTask(settings.replace(classes=("1 #ff0000 rod", "2 #00ff00 body", "3 #0000ff tail")))
    empty = {f"{i},{j}": 0.0 for i in range(4) for j in range(4)}
    one = {**empty, "known": 10.0, "entropy": 5.0, "dice": 0.5, "slices": 1.0, "1,1": 1.0, "1,0": 9.0}
    two = {**empty, "known": 90.0, "entropy": 5.0, "dice": 0.1, "slices": 1.0, "1,1": 89.0, "0,2": 1.0}
    figures = task.pooled([one, two])
    assert figures["iou rod"] == pytest.approx(90 / 99)
    assert figures["iou body"] == 0.0  # said, but never true
    assert "iou tail" not in figures
    assert figures["mean_iou"] == pytest.approx(90 / 99 / 2)
    assert figures["loss"] == pytest.approx(10 / 100 + 0.6 / 2)
    assert task.pooled([]) == {}


def test_without_slices_held_back_the_figures_are_those_of_training(annotated_study, settings):
    events = list(finetune(annotated_study, settings))
    assert events[-1].value["validation"] == {}
    assert any("none is held back" in notice.message for notice in of_kind(events, Notice))
    assert any(saved.best for saved in of_kind(events, Saved))


@pytest.mark.parametrize("network", ["unet", "deeplabv3plus"])
def test_the_exported_model_says_what_its_channels_mean(annotated_study, settings, network):
    run = list(finetune(annotated_study, settings.replace(network=network, steps=1)))[-1].value["run"]
    path = annotated_study.run(run).path / "model.safetensors"
    state, spec = load_weights(path)
    assert spec.network == network
    assert list(spec.classes) == ["1", "2"]
    assert [name for name, _ in spec.classes.values()] == ["rod", "body"]
    assert state["head.weight"].shape[0] == 3
    encoder, _ = load_encoder(path)
    torch.testing.assert_close(encoder.stem.conv.weight, state["encoder.stem.conv.weight"])


@pytest.mark.parametrize(("take", "taken"), [("all", 5), ("stem-2", 3), ("stem", 1)])
def test_a_run_takes_over_the_parts_it_was_told_to(annotated_study, settings, pretrained, take, taken):
    chosen = settings.replace(init=pretrained, take=take, steps=1, freeze=1)
    events = list(finetune(annotated_study, chosen))
    before, after = weights(annotated_study, pretrained), weights(annotated_study, events[-1].value["run"])
    parts = ("stem", "stage1", "stage2", "stage3", "stage4")
    equal = [
        all(torch.equal(before[k], after[k]) for k in before if k.startswith(f"encoder.{part}."))
        for part in parts
    ]
    assert equal == [True] * taken + [False] * (5 - taken)  # frozen: not even a statistic has moved


def test_after_the_frozen_steps_everything_learns(annotated_study, settings, pretrained):
    chosen = settings.replace(init=pretrained, take="stem-2", freeze=1, steps=3, encoder_norm="frozen")
    run = list(finetune(annotated_study, chosen))[-1].value["run"]
    before, after = weights(annotated_study, pretrained), weights(annotated_study, run)
    assert not torch.equal(before["encoder.stem.conv.weight"], after["encoder.stem.conv.weight"])
    assert torch.equal(before["encoder.stem.norm.running_mean"], after["encoder.stem.norm.running_mean"])
    assert not torch.equal(
        before["encoder.stage4.0.bn1.running_mean"], after["encoder.stage4.0.bn1.running_mean"]
    )


def test_parts_taken_over_learn_at_their_own_rate(annotated_study, settings, pretrained):
    chosen = settings.replace(init=pretrained, encoder_rate=0.0, weight_decay=0.0, steps=2)
    run = list(finetune(annotated_study, chosen))[-1].value["run"]
    before, after = weights(annotated_study, pretrained), weights(annotated_study, run)
    assert torch.equal(before["encoder.stage2.0.conv1.weight"], after["encoder.stage2.0.conv1.weight"])
    assert not torch.equal(before["encoder.stem.norm.running_mean"], after["encoder.stem.norm.running_mean"])


def test_a_run_begins_with_all_of_an_earlier_one_but_the_classes_that_are_gone(
    annotated_study, settings, labels_of, paint
):
    first = list(finetune(annotated_study, settings))[-1].value["run"]
    remove_class(annotated_study, 1)
    tail = add_class(annotated_study, "tail")
    labels = labels_of("a")[10]
    paint(annotated_study, "a", "z", 10, np.where(labels == 1, tail.value, labels).astype(np.uint8))
    chosen = settings.replace(init=first, learning_rate=1e-8, weight_decay=0.0, steps=1)
    events = list(finetune(annotated_study, chosen))
    text = " ".join(notice.message for notice in of_kind(events, Notice))
    assert "Learnt from the beginning: tail; no longer told apart: rod." in text
    before, after = weights(annotated_study, first, "best"), weights(annotated_study, events[-1].value["run"])
    torch.testing.assert_close(after["head.weight"][[0, 1]], before["head.weight"][[0, 2]], atol=1e-6, rtol=0)
    same = "decoder.levels.0.0.conv.weight"
    torch.testing.assert_close(after[same], before[same], atol=1e-6, rtol=0)


def test_a_run_goes_on_with_what_was_painted_since(annotated_study, settings, labels_of, paint):
    run = list(finetune(annotated_study, settings.replace(steps=2)))[-1].value["run"]
    paint(annotated_study, "c", "z", 8, labels_of("c")[8])
    events = list(finetune(annotated_study, resume=run, changes={"steps": 4}))
    assert (events[-1].value["run"], events[-1].value["steps"]) == (run, 4)
    learnt = FinetuneSettings.from_json(annotated_study.run(run).settings).learnt
    assert "c z 8" in learnt
    assert len(learnt) == 5
    steps = [
        e.step for e in annotated_study.run(run).events() if isinstance(e, Metrics) and e.split == "train"
    ]
    assert steps == sorted(set(steps))
    with pytest.raises(BadSetting, match="cannot become"):
        list(finetune(annotated_study, resume=run, changes={"steps": 6, "batch": 2}))


def test_a_run_that_was_closed_goes_on_as_if_it_had_not(annotated_study, settings):
    chosen = settings.replace(steps=5, augment="normal", freeze=0)
    whole = list(finetune(annotated_study, chosen))[-1].value["run"]
    job = finetune(annotated_study, chosen)
    run = ""
    for event in job:
        if isinstance(event, StateChanged):
            run = event.run
        if isinstance(event, Metrics) and event.step == 2:
            job.close()
            break
    assert annotated_study.run(run).state() == "stopped"
    list(finetune(annotated_study, resume=run))
    one, other = weights(annotated_study, whole), weights(annotated_study, run)
    for key in one:
        torch.testing.assert_close(one[key], other[key], msg=key)


def test_the_slice_in_view_is_shown_while_a_run_trains(annotated_study, settings):
    job = finetune(annotated_study, settings.replace(steps=400))
    seen, run = [], None
    deadline = time.monotonic() + 60
    for event in job:
        if isinstance(event, StateChanged) and run is None:
            run = annotated_study.run(event.run)
        if isinstance(event, Preview):
            seen.append(event)
            if len(seen) == 1:
                request_preview(run, "c", "y", 11)
            else:
                break
        assert time.monotonic() < deadline
    job.close()
    first, second = seen
    assert (first.volume, first.axis, first.index) == ("a", "z", 6)
    assert (second.volume, second.axis, second.index) == ("c", "y", 11)
    picture = read_preview(run)
    assert picture.step == second.step
    assert picture.labels.shape == picture.confidence.shape == (26, 50)
    assert set(np.unique(picture.labels)) <= {0, 1, 2}
    assert picture.confidence.min() > 80  # of three probabilities the largest is at least a third


def test_a_preview_behind_the_checkpoint_goes_when_a_run_goes_on(annotated_study, settings):
    run = list(finetune(annotated_study, settings.replace(steps=1)))[-1].value["run"]
    folder = annotated_study.run(run).path
    with np.load(folder / "preview.npz") as found:
        content = dict(found)
    np.savez(folder / "preview.npz", **{**content, "step": 7})
    log = folder / "events.jsonl"
    line = {"kind": "preview", "step": 7, "file": "preview.npz", "volume": "a", "axis": "z", "index": 6}
    log.write_text(log.read_text() + json.dumps(line) + "\n")
    job = finetune(annotated_study, resume=run, changes={"steps": 2})
    next(job)
    assert not (folder / "preview.npz").exists()
    assert '"step": 7' not in log.read_text()
    job.close()


def test_memory_that_does_not_suffice_makes_the_batch_smaller(annotated_study, settings, monkeypatch):
    from napari_sortingloss.segment.finetune import task as module

    real = module.as_pictures

    def greedy(slices):
        if len(slices) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(slices)

    monkeypatch.setattr(module, "as_pictures", greedy)
    events = list(finetune(annotated_study, settings))
    text = " ".join(notice.message for notice in of_kind(events, Notice))
    assert "trains on 2 pieces at a time instead of 4" in text
    assert events[-1].value["steps"] == 3
    monkeypatch.setattr(module, "as_pictures", lambda slices: greedy(torch.zeros(9)))
    with pytest.raises(OutOfMemory, match="lower the size"):
        list(finetune(annotated_study, settings))


def test_two_slices_are_learnt_by_heart(study, settings, labels_of, paint):
    for index in (6, 15):
        paint(study, "a", "z", index, labels_of("a")[index])
    chosen = settings.replace(steps=70, size=64, batch=2, pixel_size=0.0)
    before = torch.get_num_threads()
    value = list(finetune(study, chosen))[-1].value
    assert torch.get_num_threads() == before
    with load_segmenter(study.run(value["run"]), device="cpu", threads=1) as segmenter:
        volume = study.volume("a")
        shown = volume.read_slices([6, 15])
        found = segmenter.predict(shown, volume.slice_voxel_size, volume.unit).argmax(1)
    truth = labels_of("a")[[6, 15]]
    for k in (1, 2):
        iou = ((found == k) & (truth == k)).sum() / ((found == k) | (truth == k)).sum()
        assert iou > 0.8


def test_nothing_annotated_begins_no_run(study, settings):
    with pytest.raises(BadInput, match="no slice is annotated"):
        list(finetune(study, settings))
    assert study.runs() == []


def test_runs_that_cannot_be_begun_with_are_named(annotated_study, settings, pretrained):
    with pytest.raises(StudyError, match="Cannot find run 'sorting-of-another-study'"):
        list(finetune(annotated_study, settings.replace(init="sorting-of-another-study")))
    with pytest.raises(BadSetting, match="trained ResNet-18, not ResNet-34"):
        list(finetune(annotated_study, settings.replace(init=pretrained, encoder="resnet34")))
    with pytest.raises(BadInput, match="is no fine-tuning"):
        list(finetune(annotated_study, resume=pretrained))
    (annotated_study.run(pretrained).path / "encoder.safetensors").unlink()
    with pytest.raises(BadInput, match="no weights yet"):
        list(finetune(annotated_study, settings.replace(init=pretrained)))


def test_the_encoder_of_the_run_begun_with_is_taken(annotated_study, settings, tiny):
    about = {k: tiny[k] for k in ("size", "workers", "threads", "device", "precision")}
    deep = SortingSettings(**about, steps=1, slices=3, encoder="resnet34")
    run = list(pretrain(annotated_study, deep))[-1].value["run"]
    events = list(finetune(annotated_study, settings.replace(init=run, steps=1)))
    assert any("ResNet-34" in notice.message for notice in of_kind(events, Notice))
    assert annotated_study.run(events[-1].value["run"]).settings["encoder"] == "resnet34"


def test_another_network_cannot_begin_with_a_fine_tuning_run(annotated_study, settings):
    run = list(finetune(annotated_study, settings.replace(steps=1)))[-1].value["run"]
    with pytest.raises(BadSetting, match="it trained U-Net"):
        list(finetune(annotated_study, settings.replace(init=run, network="deeplabv3plus")))


@pytest.mark.parametrize("events", [1, 2, 4, 9])
def test_a_run_can_be_closed_at_any_moment_and_goes_on(annotated_study, settings, events):
    job = finetune(annotated_study, settings.replace(validate=("b",), validate_every=1))
    for _ in range(events):
        next(job)
    job.close()
    (run,) = annotated_study.runs()
    assert run.state() == "stopped"
    again = [run.id] if (run.path / "last.pt").is_file() else []
    for begun in again:
        assert list(finetune(annotated_study, resume=begun))[-1].value["steps"] == 3
    assert again or events < 9


def test_annotations_that_went_during_a_pause_leave_nothing_to_go_on_with(annotated_study, settings, paint):
    run = list(finetune(annotated_study, settings.replace(steps=1)))[-1].value["run"]
    for name in ("a", "b"):
        for index in (6, 15):
            paint(annotated_study, name, "z", index, np.zeros((40, 52 - "ab".index(name)), np.uint8), "empty")
    with pytest.raises(BadInput, match="no slice is annotated"):
        list(finetune(annotated_study, resume=run, changes={"steps": 2}))
    assert annotated_study.run(run).state() == "finished"
