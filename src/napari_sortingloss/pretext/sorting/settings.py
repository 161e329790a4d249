"""The settings of the sorting task; imports no torch, so that a form or a command line can be built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from napari_sortingloss.pretext.displacement import random_displacement
from napari_sortingloss.settings import Setting
from napari_sortingloss.slices import Weighting
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.training.settings import TrainSettings

Ranking = Literal["margin", "logistic", "listmle", "softrank"]
Pose = Literal["auto", "any", "as stored"]

FEW_VOLUMES = 12
"""Fewer volumes than this do not show enough poses by themselves."""
ReversedVolumes = Literal["leave out", "report", "ignore"]


@dataclass(frozen=True)
class SortingSettings(TrainSettings):
    """How slices are drawn and ranked (Zharov et al., SortingLoss and Localization)."""

    task: ClassVar[str] = "sorting"

    slices: Annotated[
        int,
        Setting(
            "Slices of one volume that are put in order at a time.",
            "More make the task harder and need more memory.",
            low=2,
            high=1024,
            step=1,
        ),
    ] = 16
    ranking: Annotated[
        Ranking,
        Setting(
            "The loss that compares the scores: pairs with a margin, logistic pairs, whole lists (ListMLE) or soft ranks.",
            "The margin is what the paper uses; the others are for comparison.",
            more=True,
        ),
    ] = "margin"
    margin: Annotated[
        float,
        Setting(
            "By how much the score of the later slice is to exceed the earlier one's.",
            "Only used by the ranking 'margin'.",
            low=0.0,
            high=100.0,
            step=0.05,
            more=True,
        ),
    ] = 0.2
    weighting: Annotated[
        Weighting,
        Setting(
            "Where slices are drawn from: anywhere, or less often from the ends of the volume.",
            "Choose 'centred' where the specimen sits in the middle of long, empty volumes.",
            more=True,
        ),
    ] = "uniform"
    volumes_per_batch: Annotated[
        int,
        Setting(
            "Volumes in one batch; slices are only compared within their volume.",
            "More need that many times the memory and time a step, and steady the training.",
            low=1,
            high=64,
            step=1,
            more=True,
        ),
    ] = 1
    pose: Annotated[
        Pose,
        Setting(
            "Whether each batch is shown as if the specimen lay turned, mirrored, and nearer or farther; auto does so where "
            "there are fewer than 12 volumes to train on.",
            "Choose 'as stored' where all volumes are aligned. Without augmentation it is always so.",
            more=True,
        ),
    ] = "auto"
    zoom: Annotated[
        float,
        Setting(
            "Up to how many times nearer a batch is shown: the same part of all its slices, magnified, so that the network "
            "also learns what it will see in segmentation, which works at full resolution.",
            "1 always shows whole slices.",
            low=1.0,
            high=16.0,
            step=0.5,
            more=True,
        ),
    ] = 1.0
    reversed_volumes: Annotated[
        ReversedVolumes,
        Setting(
            "What to do with a training volume that looks stored upside down among many that do not.",
            "Choose 'ignore' where the volumes have no common direction.",
            more=True,
        ),
    ] = "leave out"

    def curves(self) -> tuple[Curve, ...]:
        """Return the figures worth drawing: the loss, and the mean displacement with its random level."""
        return (
            Curve("loss", "loss"),
            Curve(
                "mean_displacement",
                "mean displacement",
                "slices",
                chance=random_displacement(self.slices),
                main=True,
            ),
        )

    def poses(self, volumes: int) -> bool:
        """Return whether batches are shown in random poses when training on so many volumes."""
        few = self.pose == "auto" and volumes < FEW_VOLUMES
        return self.augment != "none" and (self.pose == "any" or few)

    def slices_per_step(self) -> int:
        """Return how many slices the network sees in a step."""
        return self.slices * self.volumes_per_batch
