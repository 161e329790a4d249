"""A task that another package adds to the registry is on the command line, in every word about its runs, and in ``list``."""

from __future__ import annotations

import pytest

from napari_sortingloss.pretext import TASKS

SMALL = (
    "--task",
    "brightness",
    "--size",
    32,
    "--steps",
    2,
    "--together",
    2,
    "--device",
    "cpu",
    "--workers",
    1,
)


@pytest.fixture(autouse=True)
def brightness(monkeypatch):
    from outside_task import ENTRY

    monkeypatch.setitem(TASKS, "brightness", ENTRY)


def test_its_options_are_those_of_pretrain(run):
    shown = run("pretrain", "--task", "brightness", "--help").out
    assert "--together" in shown
    assert "brightness" in run("pretrain", "--help").out


def test_its_run_is_judged_by_its_main_curve_in_list(run, study):
    trained = run("pretrain", study, *SMALL)
    assert trained.status == 0, trained.err
    assert "Next: napari-sortingloss order" not in trained.out
    listed = run("list", study)
    assert "brightness error" in listed.out
    assert "(random 12.50)" in listed.out


@pytest.mark.parametrize(
    ("job", "instead"),
    [("order", "a run of the task 'sorting'"), ("localize", "a run of the task 'sorting' or 'rotation'")],
)
def test_what_it_has_not_learnt_is_refused_and_the_tasks_that_have_are_named(run, study, job, instead):
    run("pretrain", study, *SMALL)
    refused = run(job, study, "--run", "brightness")
    assert refused.status != 0
    assert "it trained the task 'brightness'" in refused.err
    assert instead in refused.err


def test_its_encoder_is_what_fine_tuning_begins_with(run, study):
    from napari_sortingloss.segment.finetune.initial_weights import settle_beginning
    from napari_sortingloss.segment.settings import FinetuneSettings
    from napari_sortingloss.study import Study

    run("pretrain", study, *SMALL)
    settings, earlier, _ = settle_beginning(Study.open(study), FinetuneSettings(init="brightness"))
    assert settings.init.startswith("brightness-")
    assert earlier == {}


@pytest.mark.parametrize(
    ("change", "why"), [({"dims": (3,)}, "from blocks"), ({"transfers": ()}, "nothing of its network")]
)
def test_a_network_that_does_not_carry_over_to_slices_is_refused(run, study, monkeypatch, change, why):
    from dataclasses import replace

    from napari_sortingloss.errors import BadSetting
    from napari_sortingloss.segment.finetune.initial_weights import settle_beginning
    from napari_sortingloss.segment.settings import FinetuneSettings
    from napari_sortingloss.study import Study

    run("pretrain", study, *SMALL)
    monkeypatch.setitem(TASKS, "brightness", replace(TASKS["brightness"], **change))
    with pytest.raises(BadSetting, match=why):
        settle_beginning(Study.open(study), FinetuneSettings(init="brightness"))
