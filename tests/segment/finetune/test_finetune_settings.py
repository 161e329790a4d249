"""What a form and a command line know of fine-tuning without torch."""

import subprocess
import sys

import pytest

from napari_sortingloss.errors import BadSetting, OutOfSpace
from napari_sortingloss.networks import encoder_info
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.segment.finetune.job import finetune
from napari_sortingloss.segment.settings import TAKEN, FinetuneSettings
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.training.computer.estimate import estimate
from napari_sortingloss.training.curves import main_curve
from napari_sortingloss.training.run_task import changed_settings

SKULL, BRAIN = LabelClass(3, "skull cap", "#e69f00"), LabelClass(7, "brain", "#56b4e9")


def test_settings_survive_json_with_their_classes():
    settings = FinetuneSettings(steps=7, init="sorting-1").with_classes([SKULL, BRAIN])
    again = FinetuneSettings.from_json(settings.to_json())
    assert again == settings
    assert again.label_classes() == (SKULL, BRAIN)


def test_the_mean_iou_decides_and_each_class_has_its_curve():
    curves = FinetuneSettings().with_classes([SKULL, BRAIN]).curves()
    assert main_curve(curves).metric == "mean_iou"
    assert not main_curve(curves).lower_is_better
    assert [c.title for c in curves] == ["loss", "mean IoU", "IoU skull cap", "IoU brain"]


def test_nothing_is_taken_over_from_scratch():
    assert FinetuneSettings(take="all").taken() == ()
    assert FinetuneSettings(init="sorting-1", take="stem-2").taken() == ("stem", "stage1", "stage2")
    assert {len(parts) for parts in TAKEN.values()} == {1, 2, 3, 4, 5}
    with pytest.raises(BadSetting):
        FinetuneSettings(take="stage4")


def test_the_estimate_counts_the_decoder():
    about = {"device": "cpu", "precision": "32", "steps": 100}
    whole = estimate(FinetuneSettings(**about, batch=6, size=256))
    alone = estimate(SortingSettings(**about, slices=6, size=256))
    activations = 6 * encoder_info("resnet18").activations_mib(256) * 2**20
    assert whole.memory_bytes > alone.memory_bytes + activations
    assert whole.disk_bytes > alone.disk_bytes
    assert estimate(FinetuneSettings(**about, batch=3, size=256)).memory_bytes < whole.memory_bytes


def test_a_resumed_run_keeps_what_it_settled():
    before = FinetuneSettings(steps=5, pixel_size=0.2, learnt=("a z 1",)).with_classes([SKULL])
    after = changed_settings("x", before, FinetuneSettings(steps=9), {}, ("pixel_size", "classes", "learnt"))
    assert after == before.replace(steps=9)
    with pytest.raises(BadSetting, match=r"pixel size is 0\.2 and cannot become 0\.3"):
        changed_settings(
            "x", before, FinetuneSettings(steps=5, pixel_size=0.3), {}, ("pixel_size", "classes")
        )


def test_a_disk_too_full_for_checkpoints_is_said_before_anything_is_begun(annotated_study, tiny, monkeypatch):
    monkeypatch.setattr(type(annotated_study), "free_bytes", lambda self: 10**6)
    with pytest.raises(OutOfSpace, match="Cannot fine-tune: the checkpoints need"):
        list(finetune(annotated_study, FinetuneSettings(**tiny)))
    assert annotated_study.runs() == []


def test_neither_the_settings_nor_the_job_load_torch():
    code = (
        "import sys; import napari_sortingloss.segment.settings, napari_sortingloss.segment.finetune.job, "
        "napari_sortingloss.study.runs.live_preview; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_field_of_view_is_not_silently_ignored():
    with pytest.raises(BadSetting, match="set the pixel size instead"):
        FinetuneSettings(field_of_view=20.0)
