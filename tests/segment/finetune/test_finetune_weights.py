"""Which of the weights of a pre-training run a fine-tuning run begins with."""

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from napari_sortingloss.pretext.jobs.pretrain import pretrain
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.segment.finetune.job import finetune
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.training.loop.checkpoints import load_checkpoint

KEY = "stem.conv.weight"


@pytest.fixture
def pretrained(annotated_study, tiny):
    """A pre-training run whose exported, best encoder is twice its last one."""
    about = {name: tiny[name] for name in ("size", "workers", "threads", "device", "precision")}
    run = annotated_study.run(
        list(pretrain(annotated_study, SortingSettings(**about, steps=1, slices=4)))[-1].value["run"]
    )
    path = run.path / "encoder.safetensors"
    with safe_open(path, "pt") as file:
        about = file.metadata()
    last = safetensors.torch.load(path.read_bytes())
    best = {key: 2 * value for key, value in last.items()}
    path.write_bytes(safetensors.torch.save(best, about))
    return run.id, last[KEY], best[KEY]


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_run_begins_with_the_weights_that_are_asked_for(annotated_study, pretrained, tiny, which):
    run, last, best = pretrained
    settings = FinetuneSettings(**{**tiny, "init": run, "init_weights": which, "steps": 1, "freeze": 100})
    found = list(finetune(annotated_study, settings))[-1].value["run"]
    begun = load_checkpoint(annotated_study.run(found).path).network[f"encoder.{KEY}"]
    torch.testing.assert_close(begun, best if which == "best" else last)
