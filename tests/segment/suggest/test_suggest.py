"""The job that suggests slices: what it keeps, what it reads again, and what it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_sortingloss.errors import BadInput, BadSetting, StudyError
from napari_sortingloss.events import Progress, Result
from napari_sortingloss.segment.suggest import slice_readers
from napari_sortingloss.segment.suggest.job import (
    SuggestSettings,
    rank_again,
    read_suggestions,
    same_anatomy,
    suggest,
)
from napari_sortingloss.segment.suggest.slice_features import (
    features_path,
    read_features,
    sampled_positions,
)
from napari_sortingloss.segment.suggest.slice_readers import mean_entropy


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Runs trained before, by task: all studies of this module have the same voxels."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def train(study, tiny, shelf):
    """Put a run of a pretext task, trained for two steps, into the study; return its id."""
    from napari_sortingloss.pretext import settings_for
    from napari_sortingloss.pretext.jobs.pretrain import pretrain

    def work(task="sorting"):
        for path in shelf.glob(f"{task}-*"):
            shutil.copytree(path, study.path / "runs" / path.name)
            return path.name
        own = {"slices": 6} if task == "sorting" else {"pairs": 3, "together": 2}
        common = {name: value for name, value in tiny.items() if name != "batch"}
        settings = settings_for(task)(**{**common, "steps": 2, **own})
        run = list(pretrain(study, settings))[-1].value["run"]
        shutil.copytree(study.path / "runs" / run, shelf / run)
        return run

    return work


@pytest.fixture
def ask(study):
    def work(run, **settings):
        given = {"threads": 1, "device": "cpu", "count": 4, **settings}
        events = list(suggest(study, SuggestSettings(run=run, **given)))
        assert isinstance(events[-1], Result)
        return events[-1].value, events

    return work


@pytest.mark.parametrize("task", ["sorting", "rotation"])
def test_a_pretraining_run_suggests_slices_with_reasons(study, train, ask, task):
    value, events = ask(train(task))
    assert len(value["slices"]) == 4
    for one in value["slices"]:
        volume = study.volume(one["volume"])
        assert one["axis"] == volume.axis
        assert volume.index_of(one["position"]) == one["index"]
        assert 0 <= one["score"] <= 1
        assert one["reason"]
    progress = [event for event in events if isinstance(event, Progress) and event.total]
    assert progress[-1].done == progress[-1].total


def test_the_list_is_kept_in_the_run(study, train, ask):
    run = train()
    value, _ = ask(run)
    kept = read_suggestions(study.run(run))
    assert [one.to_json() for one in kept] == value["slices"]


def test_a_run_never_asked_has_no_list_and_a_damaged_list_is_none(study, train):
    run = study.run(train())
    assert read_suggestions(run) is None
    (run.path / "suggestions.json").write_text('{"slices": [{"volume": "a"}]}')
    assert read_suggestions(run) is None


def test_the_second_call_loads_no_network(train, ask, monkeypatch):
    run = train()
    first, _ = ask(run)
    monkeypatch.setattr(slice_readers, "open_seer", None)
    again, _ = ask(run)
    assert again == first


def test_a_list_for_annotated_volumes_leaves_out_what_is_annotated(study, train, ask, paint, labels_of):
    run = train()
    first, _ = ask(run, count=1)
    one = first["slices"][0]
    across = "zyx".index(one["axis"])
    paint(
        study, one["volume"], one["axis"], one["index"], labels_of(one["volume"]).take(one["index"], across)
    )
    after, _ = ask(run)
    near = [s for s in after["slices"] if s["volume"] == one["volume"]]
    assert all(abs(s["index"] - one["index"]) > 3 for s in near)
    assert [
        s.to_json() for s in rank_again(study, study.run(run), SuggestSettings(run=run, count=4))
    ] == after["slices"]


def test_slices_annotated_across_another_axis_do_not_count(study, train, ask, paint, labels_of):
    run = train()
    before, _ = ask(run)
    paint(study, "a", "x", 11, labels_of("a")[:, :, 11])
    after, _ = ask(run)
    assert after["slices"] == before["slices"]


def test_only_the_wanted_volumes_are_looked_at_and_suggested(study, train, ask):
    run = train()
    value, _ = ask(run, volumes=("b",))
    assert {one["volume"] for one in value["slices"]} == {"b"}
    assert not features_path(study.run(run), "a").exists()


def test_flipping_a_volume_makes_what_is_kept_out_of_date(study, train, ask):
    run = study.run(train())
    ask(run.id)
    assert read_features(run, study.volume("a")) is not None
    study.update_volume("a", direction="-")
    assert read_features(run, study.volume("a")) is None
    value, _ = ask(run.id, volumes=("a",))
    assert all(one["index"] == study.volume("a").n_slices - 1 - one["position"] for one in value["slices"])


def test_what_other_weights_saw_is_looked_at_again(study, train, ask):
    run = study.run(train())
    ask(run.id, weights="last")
    volume = study.volume("a")
    assert read_features(run, volume, "last") is not None
    weights = run.path / "last.pt"
    weights.write_bytes(weights.read_bytes() + b" ")  # as after further training
    assert read_features(run, volume, "last") is None
    assert read_features(run, volume) is not None


def test_damaged_features_are_looked_at_again(study, train, ask):
    run = study.run(train())
    first, _ = ask(run.id)
    path = features_path(run, "a")
    path.write_bytes(path.read_bytes()[:200])
    again, _ = ask(run.id)
    assert again["slices"] == first["slices"]


def test_a_cancelled_job_keeps_the_volumes_it_has_seen(study, train):
    run = study.run(train())
    job = suggest(study, SuggestSettings(run=run.id, threads=1, device="cpu"))
    while not features_path(run, "a").exists():
        next(job)
    job.close()
    assert read_features(run, study.volume("a")) is not None
    assert read_suggestions(run) is None


def test_a_fine_tuning_run_knows_its_doubt_and_the_order_it_started_from(annotated_study, train, ask, tiny):
    from napari_sortingloss.segment.finetune.job import finetune
    from napari_sortingloss.segment.settings import FinetuneSettings

    study, sorting = annotated_study, train()
    settings = FinetuneSettings(**{**tiny, "held_back": 0.0, "init": sorting})
    run = study.run(list(finetune(study, settings))[-1].value["run"])
    assert slice_readers.sorting_run_behind(study, run).id == sorting
    value, _ = ask(run.id)
    assert value["slices"]
    features = read_features(run, study.volume("c"))
    assert ((features.doubt > 0) & (features.doubt <= 1)).all()
    ask(sorting)
    order = read_features(study.run(sorting), study.volume("c"))
    np.testing.assert_allclose(features.anatomy, order.anatomy, rtol=1e-4)


def test_a_run_from_scratch_takes_true_positions(annotated_study, ask, tiny):
    from napari_sortingloss.segment.finetune.job import finetune
    from napari_sortingloss.segment.settings import FinetuneSettings

    study = annotated_study
    run = study.run(list(finetune(study, FinetuneSettings(**{**tiny, "held_back": 0.0})))[-1].value["run"])
    ask(run.id)
    features = read_features(run, study.volume("b"))
    np.testing.assert_allclose(features.anatomy, (features.positions + 0.5) / features.slices, rtol=1e-6)


def test_the_same_anatomy_needs_no_network(study, train, ask, monkeypatch):
    run = train()
    ask(run)
    monkeypatch.setattr(slice_readers, "open_seer", None)
    found = same_anatomy(study, run, "a", 12)
    assert {one["volume"] for one in found} == {"b", "c"}
    for one in found:
        assert one["index"] == study.volume(one["volume"]).index_of(one["position"])


def test_the_same_anatomy_of_a_volume_never_looked_at_says_what_to_do(study, train):
    with pytest.raises(StudyError, match="ask it for suggestions first"):
        same_anatomy(study, train(), "a", 3)


def test_a_run_without_weights_is_one_sentence(study):
    with study.new_run("pretrain", "sorting", {}) as writer:
        run = writer.run.id
    with pytest.raises(BadInput, match="none yet"):
        list(suggest(study, SuggestSettings(run=run)))


def test_a_run_that_sees_no_slices_is_one_sentence(study):
    with study.new_run("other", "knitting", {}) as writer:
        run = writer.run.id
    with pytest.raises(BadSetting, match="it trained 'knitting'"):
        list(suggest(study, SuggestSettings(run=run)))


def test_something_must_count(study, train):
    nothing = {"spread": 0.0, "novelty": 0.0, "doubt": 0.0, "turn": 0.0}
    with pytest.raises(BadSetting, match="none of the reasons counts"):
        list(suggest(study, SuggestSettings(run=train(), **nothing)))


def test_long_volumes_are_looked_at_evenly(study):
    class Long:
        n_slices = 1000

    positions = sampled_positions(Long(), "pretrain")
    assert len(positions) <= 96
    assert set(np.diff(positions)) == {11}
    assert positions[0] <= 5
    assert positions[-1] >= 994


def test_entropy_is_a_share_of_the_largest_possible():
    sure = torch.tensor([1.0, 0.0, 0.0])
    even = torch.full((3,), 1 / 3)
    probabilities = torch.stack([sure, even])[:, :, None, None].expand(2, 3, 4, 5)
    np.testing.assert_allclose(mean_entropy(probabilities).numpy(), [0.0, 1.0], atol=1e-6)


def test_the_module_that_a_window_imports_loads_no_torch():
    code = "import sys, napari_sortingloss.segment.suggest.job; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
