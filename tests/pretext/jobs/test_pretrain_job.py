"""Pre-training as a job: which volumes it takes, what it refuses, how it goes on; with the real ResNet-18, tiny."""

from __future__ import annotations

import json

import pytest

from napari_sortingloss.errors import BadInput, BadSetting, OutOfSpace, StudyError
from napari_sortingloss.events import Notice, Result, Saved, Snapshot, StateChanged
from napari_sortingloss.networks.weights import load_encoder
from napari_sortingloss.pretext import TASKS, settings_for, task_class
from napari_sortingloss.pretext.jobs.pretrain import choose_volumes, pretrain
from napari_sortingloss.study import Study

Settings = settings_for("sorting")


@pytest.fixture
def settings():
    return Settings(size=32, slices=4, steps=6, precision="32", device="cpu", workers=1)


@pytest.fixture
def study(make_study):
    return make_study(4)


def names(volumes):
    return [volume.name for volume in volumes]


def test_a_run_trains_measures_exports_and_can_be_trained_on(study, settings):
    events = list(pretrain(study, settings.replace(validate=("fish_3",))))
    first, value = events[0], events[-1].value
    assert isinstance(first, StateChanged)
    run = study.run(first.run)
    assert run.settings["volumes"] == ["fish_0", "fish_1", "fish_2"]
    assert run.settings["validate"] == ["fish_3"]
    assert {"run", "steps", "seconds", "slices_per_second", "metrics", "validation"} <= set(value)
    for figures in (value["metrics"], value["validation"]):
        assert {"loss", "mean_displacement", "random_displacement", "pairwise_accuracy"} <= set(figures)
        assert figures["random_displacement"] == pytest.approx((4**2 - 1) / (3 * 4))
    json.dumps(value)
    assert any(isinstance(e, Snapshot) for e in events)
    encoder, spec = load_encoder(run.path / "encoder.safetensors")
    assert (encoder.name, spec.size, spec.axis, spec.dropout) == ("resnet18", 32, "z", 0.1)
    assert set(spec.windows) == {"fish_0", "fish_1", "fish_2"}

    with pytest.raises(BadSetting, match="it has done all its 6 steps"):
        list(pretrain(study, resume=run.id, changes={"steps": 3}))
    assert (
        study.run(run.id).settings["steps"]
        == json.loads((run.path / "settings.json").read_text())["settings"]["steps"]
        == 6
    )
    with pytest.raises(BadSetting, match="it has done all its 6 steps"):
        list(pretrain(study, resume=run.id))
    again = list(pretrain(study, resume=run.id, changes={"steps": 9}))
    assert (again[0].run, again[0].step) == (run.id, 6)
    assert again[-1].value["steps"] == 9
    assert study.run(run.id).settings["steps"] == 9
    assert Study.open(study.path).run(run.id).state() == "finished"


def test_ten_steps_of_the_real_network_are_four_and_six_more(study, settings):
    from napari_sortingloss.training.loop.checkpoints import load_checkpoint

    settings = settings.replace(steps=10, checkpoint_every=4)
    straight = list(pretrain(study, settings))[-1].value["run"]
    job = pretrain(study, settings)
    broken = next(job).run
    assert next(event for event in job if isinstance(event, Saved)).step == 4
    job.close()
    assert load_checkpoint(study.run(broken).path).step == 4
    list(pretrain(study, resume=broken))
    one, two = (load_checkpoint(study.run(run).path).network for run in (straight, broken))
    assert all((one[key] == two[key]).all() for key in one)


def test_all_volumes_are_trained_on_unless_some_are_kept_out(study, settings):
    train, validation = choose_volumes(study, settings)
    assert (len(train), validation) == (4, [])
    train, validation = choose_volumes(study, settings.replace(validate=("fish_[23]",)))
    assert (names(train), names(validation)) == (["fish_0", "fish_1"], ["fish_2", "fish_3"])


def test_patterns_choose_volumes_and_validation_wins(study, settings):
    chosen = settings.replace(volumes=("fish_*",), validate=("fish_1",))
    train, _ = choose_volumes(study, chosen)
    assert names(train) == ["fish_0", "fish_2", "fish_3"]


def test_a_volume_named_for_both_is_refused(study, settings):
    both = settings.replace(volumes=("fish_0", "fish_1"), validate=("fish_1",))
    with pytest.raises(BadInput, match="'fish_1' is named both to train on and to validate on"):
        list(pretrain(study, both))
    assert study.runs() == []


def test_with_nothing_left_to_train_on_it_says_so(study, settings):
    with pytest.raises(BadInput, match="all volumes are kept out for validation; validate on fewer"):
        list(pretrain(study, settings.replace(validate=("*",))))


def test_an_empty_study_asks_for_volumes(study_dir, settings):
    with pytest.raises(BadInput, match="the study has no volumes; add volumes first"):
        list(pretrain(Study.create(study_dir), settings))


@pytest.mark.parametrize("field", ["volumes", "validate"])
def test_an_unknown_volume_is_named(study, settings, field):
    with pytest.raises(StudyError, match="salmon"):
        list(pretrain(study, settings.replace(**{field: ("salmon",)})))
    assert study.runs() == []


def test_a_volume_the_task_cannot_use_leaves_no_run_behind(study, settings, add_volume):
    import numpy as np

    add_volume(study, "flat", np.zeros((1, 8, 9), np.uint8))
    with pytest.raises(BadInput, match="flat"):
        list(pretrain(study, settings))
    assert study.runs() == []


def test_volumes_ordered_along_different_axes_are_remarked_on(study, settings):
    study.update_volume("fish_2", axis="y")
    job = pretrain(study, settings)
    events = [next(job) for _ in range(2)]
    job.close()
    assert isinstance(events[1], Notice)
    assert "y (1, e.g. fish_2), z (3, e.g. fish_0)" in events[1].message


def test_a_full_disk_is_said_before_the_run_begins(study, settings, monkeypatch):
    monkeypatch.setattr(Study, "free_bytes", lambda self: 10_000_000)
    with pytest.raises(OutOfSpace, match=r"the checkpoints need .* MB, but 10 MB are free"):
        list(pretrain(study, settings))
    assert study.runs() == []


def test_an_unknown_run_cannot_be_resumed(study):
    with pytest.raises(StudyError):
        list(pretrain(study, resume="sorting-010101-000000"))


def test_what_makes_it_another_run_cannot_change_half_way(study, settings):
    run = study.new_run("pretrain", "sorting", settings.to_json())
    run.close()
    with pytest.raises(BadSetting, match="its size is 32 and cannot become 64 half-way; start a new run"):
        list(pretrain(study, resume=run.run.id, changes={"size": 64}))


def test_another_programs_kind_of_run_cannot_be_resumed(study):
    run = study.new_run("finetune", "segmentation", {})
    run.close()
    with pytest.raises(BadInput, match="it is no pre-training but 'finetune'"):
        list(pretrain(study, resume=run.run.id))


def test_settings_given_with_a_run_count_where_they_differ(study, settings):
    run = list(pretrain(study, settings.replace(steps=2)))[-1].value["run"]
    events = list(pretrain(study, settings.replace(steps=3), resume=run))
    assert isinstance(events[-1], Result)
    assert events[-1].value["steps"] == 3


def test_every_task_of_the_registry_loads_and_has_one_main_curve():
    from napari_sortingloss.training.curves import main_curve

    for name in TASKS:
        settings = settings_for(name)
        assert settings.task == name
        assert task_class(name).settings_class is settings
        main_curve(settings().curves())


def test_an_unknown_task_names_those_there_are():
    with pytest.raises(BadSetting, match="there is no such task; choose sorting"):
        settings_for("shuffling")
