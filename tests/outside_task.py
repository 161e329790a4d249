"""A self-supervised task as another package would bring it: guess the mean grey value of a slice. One class, one entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import nn

from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.pretext import TaskEntry
from napari_sortingloss.settings import Setting
from napari_sortingloss.slices.reader import load_slices
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.training.settings import TrainSettings
from napari_sortingloss.training.task import Batch, PretextTask, StepOutput

ENTRY = TaskEntry(
    title="Brightness",
    help="The network learns how bright a slice is.",
    task="outside_task:BrightnessTask",
    settings="outside_task:BrightnessSettings",
)


@dataclass(frozen=True)
class BrightnessSettings(TrainSettings):
    task: ClassVar[str] = "brightness"

    together: Annotated[int, Setting("How many slices are looked at together.", low=1, high=64)] = 3

    def curves(self):
        return (Curve("loss", "loss"), Curve("off", "brightness error", "%", chance=12.5, main=True))

    def slices_per_step(self) -> int:
        return self.together


class Network(nn.Module):
    def __init__(self, settings: BrightnessSettings) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, dropout=settings.dropout)
        self.head = nn.LazyLinear(1)
        self(torch.zeros(2, settings.size, settings.size))

    def forward(self, slices):
        return self.head(self.encoder(slices[:, None].float() / 255).mean(dim=(-2, -1)))[:, 0]


class BrightnessTask(PretextTask[BrightnessSettings]):
    name = BrightnessSettings.task
    title = ENTRY.title
    help = ENTRY.help
    settings_class = BrightnessSettings

    def check(self, volumes) -> None:
        """Anything will do."""

    def make_batch(self, volumes, step, rng) -> Batch:
        volume = volumes[int(rng.integers(len(volumes)))]
        slices = load_slices(
            volume, rng.integers(volume.n_slices, size=self.settings.together), self.settings.size
        )
        bright = slices.mean(axis=(1, 2), dtype=np.float32) / 255
        return Batch({"slices": slices, "bright": bright}, len(slices), {"volume": volume.name})

    def validation_batches(self, volume, rng) -> Iterator[Batch]:
        yield self.make_batch([volume], 0, rng)

    def build(self) -> nn.Module:
        return Network(self.settings)

    def loss(self, network, batch) -> StepOutput:
        error = network(batch.tensors["slices"]) - batch.tensors["bright"]
        return StepOutput(error.square().mean(), {"off": 100 * error.detach().abs().mean()})
