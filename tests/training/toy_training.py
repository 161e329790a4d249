"""A task small enough for tests: tell where along the volume a slice comes from; no particular method of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import nn

from napari_sortingloss.errors import BadInput
from napari_sortingloss.events import Notice
from napari_sortingloss.settings import Setting
from napari_sortingloss.study import Study
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.training.loop.loop import fit
from napari_sortingloss.training.settings import TrainSettings
from napari_sortingloss.training.task import Batch, PretextTask, SnapshotData, StepOutput

TOY = {
    "size": 16,
    "precision": "32",
    "device": "cpu",
    "workers": 1,
    "checkpoint_every": 1000,
    "validate_every": 1000,
}


@dataclass(frozen=True)
class ToySettings(TrainSettings):
    task: ClassVar[str] = "toy"

    slices: Annotated[int, Setting("How many.", low=1)] = 4

    def curves(self):
        return (Curve("loss", "loss"), Curve("error", "error", "slices", chance=0.25, main=True))

    def slices_per_step(self) -> int:
        return self.slices


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout2d(0.3)

    def forward(self, x):
        return self.drop(torch.relu(self.norm(self.conv(x)))).mean((2, 3))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Linear(4, 1)

    def forward(self, slices):
        return self.head(self.encoder(slices[:, None].float() / 255))[:, 0]


class ToyTask(PretextTask[ToySettings]):
    name = "toy"
    title = "Toy"
    help = "For tests."
    settings_class = ToySettings

    def __init__(self, settings: ToySettings) -> None:
        super().__init__(settings)
        self.reviews = 0

    def check(self, volumes) -> None:
        for volume in volumes:
            if volume.n_slices < self.settings.slices:
                raise BadInput(
                    f"Cannot train on '{volume.name}'", "it has too few slices", "lower the number"
                )

    def make_batch(self, volumes, step, rng) -> Batch:
        volume = volumes[int(rng.integers(len(volumes)))]
        return self._batch(volume, rng.integers(volume.n_slices, size=self.settings.slices))

    def validation_batches(self, volume, rng) -> Iterator[Batch]:
        for _ in range(2):
            yield self._batch(volume, rng.integers(volume.n_slices, size=self.settings.slices))

    def _batch(self, volume, positions) -> Batch:
        slices = volume.read_slices(positions)[:, :16, :16].copy()
        where = (positions / volume.n_slices).astype(np.float32)
        return Batch({"slices": slices, "where": where}, len(positions), {"volume": volume.name})

    def build(self) -> nn.Module:
        return Network()

    def loss(self, network, batch) -> StepOutput:
        error = network(batch.tensors["slices"]) - batch.tensors["where"]

        def snapshot() -> SnapshotData:
            tiles = batch.tensors["slices"].cpu().numpy()
            return SnapshotData(tiles, tuple("abcd"), (True,) * 4, batch.info["volume"])

        return StepOutput(error.square().mean(), {"error": error.detach().abs().mean()}, snapshot)

    def review(self, step: int) -> Sequence[Notice]:
        self.reviews += 1
        return [Notice(message=f"review at {step}")]

    def state_dict(self) -> dict[str, Any]:
        return {"reviews": self.reviews}

    def load_state_dict(self, state) -> None:
        self.reviews = state["reviews"]


class OneDies(ToyTask):
    """Every process but the first, whose id is in FIRST, ends in the middle of the run."""

    def make_batch(self, volumes, step, rng) -> Batch:
        if step == 3 and os.getpid() != int(os.environ["FIRST"]):
            sys.stderr.write("the card fell off the bus\n")
            sys.stderr.flush()
            os._exit(3)
        return super().make_batch(volumes, step, rng)


class Trainer:
    """Runs toy trainings in one study and remembers the writers."""

    def __init__(self, study: Study, **settings: Any) -> None:
        self.study = study
        self.settings = ToySettings(**{**TOY, **settings})

    def job(self, task_class=ToyTask, validate: int = 0, **changes):
        """Return a new run and its job."""
        settings = self.settings.replace(**changes)
        writer = self.study.new_run("pretrain", "toy", settings.to_json())
        return writer.run, self._events(writer, task_class(settings), validate, False)

    def resume(self, run, task_class=ToyTask, validate: int = 0, **changes):
        """Return the job that goes on with a run."""
        from napari_sortingloss.study import RunWriter

        settings = ToySettings.from_json(run.settings).replace(**changes)
        return self._events(RunWriter.reopen(run), task_class(settings), validate, True)

    def _events(self, writer, task, validate, resume):
        volumes = self.study.select()
        train, held = volumes[: len(volumes) - validate], volumes[len(volumes) - validate :]
        with writer:
            yield from fit(task, self.study, writer, train, held, resume=resume)
