"""The settings of the rotation task; imports no torch, so that a form or a command line can be built from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from napari_sortingloss.pretext.displacement import random_displacement
from napari_sortingloss.settings import Setting
from napari_sortingloss.slices.along import SlicesAlong, SquareOf
from napari_sortingloss.study.schema import AXES, Axis
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.slices.reader import SliceVolume
    from napari_sortingloss.study import Volume

LARGEST_ANGLE = 90
"""The relative angles lie between minus and plus this many degrees."""


@dataclass(frozen=True)
class RotationSettings(TrainSettings):
    """How pairs of slices are drawn and turned (Zharov et al., Localization)."""

    task: ClassVar[str] = "rotation"
    repeats: ClassVar[bool] = True

    pairs: Annotated[
        int,
        Setting(
            "Pairs of slices in a step, so twice as many slices; each pair is of one volume, drawn at random.",
            "More steady the training and need more memory.",
            low=1,
            high=1024,
            step=1,
        ),
    ] = 8
    together: Annotated[
        int,
        Setting(
            "How many slices come from one place and are compared each with each.",
            "2 compares the two slices of a pair only, as the paper does: it learns far more slowly.",
            label="Compared together",
            unit="slices",
            low=2,
            high=64,
            step=2,
            more=True,
        ),
    ] = 8
    axes: Annotated[
        Literal["all three", "ordering axis"],
        Setting(
            "Along which axes slices are drawn. Localisation asks the network about slices along all three, so it "
            "should have seen such.",
            "Choose the ordering axis if only slices along it are ever to be looked at.",
        ),
    ] = "all three"
    reach: Annotated[
        float,
        Setting(
            "How far two slices that are compared lie apart at most, in % of the volume's slices.",
            "Lower it where the structure changes so fast that a person would not tell the angle of such slices; 0 "
            "compares a slice with itself and teaches the noise.",
            unit="%",
            low=0.0,
            high=100.0,
            step=5.0,
            more=True,
        ),
    ] = 20.0
    angle_step: Annotated[
        Literal[15, 30, 45],
        Setting(
            "The angles to tell apart lie between -90 and 90 degrees, this far from each other.",
            "45 makes the task easier, 15 harder.",
            unit="°",
            more=True,
        ),
    ] = 30
    hidden: Annotated[
        int,
        Setting(
            "Units of the hidden layer that compares the two slices of a pair.",
            label="Hidden units",
            low=1,
            high=8192,
            step=64,
            more=True,
        ),
    ] = 256

    augment: Annotated[
        Literal["normal", "tough", "none"],
        Setting(
            help="How strongly each slice is altered before the network sees it, without being turned.",
            when="None: that the slices of a pair lie apart is augmentation enough, and anything more made the angles "
            "much harder to learn in our trials.",
            label="Augmentation",
            more=True,
        ),
    ] = "none"

    @property
    def angles(self) -> tuple[int, ...]:
        """The relative angles in degrees, ascending: the classes."""
        return tuple(range(-LARGEST_ANGLE, LARGEST_ANGLE + 1, self.angle_step))

    @property
    def random_error(self) -> float:
        """The mean angle error of guessing at random, in degrees."""
        return random_displacement(len(self.angles)) * self.angle_step

    def axes_of(self, volume: Volume) -> tuple[Axis, ...]:
        """Return the axes of a volume along which its slices are drawn."""
        return AXES if self.axes == "all three" else (volume.axis,)

    def shown(self, volumes: Sequence[Volume]) -> list[SliceVolume]:
        """Return what the network sees of the volumes: the square middles of their slices, along each axis."""
        return [SquareOf(SlicesAlong(v, axis)) for v in volumes for axis in self.axes_of(v)]

    def curves(self) -> tuple[Curve, ...]:
        """Return the figures worth drawing: the loss, the accuracy and the angle error with their random levels."""
        return (
            Curve("loss", "loss"),
            Curve("accuracy", "accuracy", chance=1 / len(self.angles), lower_is_better=False, main=True),
            Curve("angle_error", "angle error", "°", chance=self.random_error),
        )

    def slices_per_step(self) -> int:
        """Return how many slices the network sees in a step."""
        return 2 * self.pairs
