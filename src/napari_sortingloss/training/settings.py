"""The settings that every training job has, whatever it trains; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from napari_sortingloss.settings import AUTOMATIC, Setting, Settings
from napari_sortingloss.training.curves import Curve

if TYPE_CHECKING:
    from napari_sortingloss.slices.reader import SliceVolume
    from napari_sortingloss.study import Volume


UNTIL_STOPPED = "until I stop"
"""What a form says of a run without an end, whose settings have 0 steps."""


@dataclass(frozen=True)
class TrainSettings(Settings):
    """What every training job needs to know; the settings of a task inherit from it and add their own fields.

    A subclass sets `task` to the task's name and `curves` to the figures worth drawing; both are known without
    loading the task, so that a window can show a form and a running curve without loading torch.
    """

    task: ClassVar[str] = ""
    repeats: ClassVar[bool] = False
    """Whether a step may show a slice more than once, so that few slices do not make it smaller."""

    encoder: Annotated[
        Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"],
        Setting(
            help="The network that learns to see.",
            when="A deeper one needs more memory, time and volumes; ResNet-18 is right for a few dozen volumes.",
        ),
    ] = "resnet18"
    steps: Annotated[
        int,
        Setting(
            help="How many batches to train on; with 0 the run goes on until you stop it.",
            when="More is better until the validation curve is flat.",
            low=0,
            high=10_000_000,
            step=500,
            zero=UNTIL_STOPPED,
            presets=((200, "first look"), (1000, "the default"), (0, "")),
        ),
    ] = 1000
    size: Annotated[
        int,
        Setting(
            help="The side of the square each slice is resized to.",
            when="Raise it when what matters is too small to see at this size.",
            unit="px",
            low=16,
            high=2048,
            step=16,
            more=True,
        ),
    ] = 112
    field_of_view: Annotated[
        float | None,
        Setting(
            help="How many millimetres the side of that square shows, so that all volumes have one scale; automatic: "
            "as many as the largest volume has.",
            when="Set 0 to let each volume fill the square, whatever its size.",
            unit="mm",
            low=0.0,
            high=1e6,
            more=True,
        ),
    ] = None
    volumes: Annotated[
        tuple[str, ...],
        Setting(help="The volumes to train on, by name or pattern (fish_*); all when empty.", hidden=True),
    ] = ()
    validate: Annotated[
        tuple[str, ...],
        Setting(
            help="The volumes kept out of training to measure on, by name or pattern (fish_*).",
            hidden=True,
        ),
    ] = ()
    learning_rate: Annotated[
        float,
        Setting(
            help="How far each step moves the weights.",
            when="Lower it when the loss jumps about or turns into 'not a number'.",
            low=1e-8,
            high=10.0,
            step=1e-4,
            more=True,
        ),
    ] = 3e-4
    augment: Annotated[
        Literal["light", "normal", "tough", "none"],
        Setting(
            help="How strongly each slice is altered before the network sees it.",
            when="Choose tough for few volumes, light where blur would hide what matters, none only to compare.",
            label="Augmentation",
            more=True,
        ),
    ] = "normal"
    dropout: Annotated[
        float,
        Setting(
            help="The share of feature maps switched off at random between the encoder's stages.",
            when="Localisation needs more than 0.",
            low=0.0,
            high=0.9,
            step=0.05,
            more=True,
        ),
    ] = 0.1
    validate_every: Annotated[
        int,
        Setting(
            help="After how many steps to measure on the validation volumes.",
            unit="steps",
            low=1,
            high=1_000_000,
            step=50,
            more=True,
        ),
    ] = 100
    checkpoint_every: Annotated[
        int,
        Setting(
            help="After how many steps to save a checkpoint; one is also saved about every minute.",
            unit="steps",
            low=1,
            high=1_000_000,
            step=50,
            more=True,
        ),
    ] = 100
    seed: Annotated[
        int,
        Setting(
            help="The start of all random numbers; the same seed gives the same batches.",
            low=0,
            high=2**31 - 1,
            more=True,
        ),
    ] = 0
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting(help="What computes: the graphics card where there is one, or the processor.", more=True),
    ] = "auto"
    devices: Annotated[
        int,
        Setting(
            help="How many graphics cards (or processes on the CPU) train together.",
            low=1,
            high=1024,
            more=True,
        ),
    ] = 1
    precision: Annotated[
        Literal["auto", "32", "bf16"],
        Setting(
            help="The number format of the computation; auto takes bfloat16 where the machine gains from it.",
            when="Choose 32 to rule rounding out as a cause.",
            more=True,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Setting(
            help="How many processor cores compute; 0 for all (in napari: all but one).",
            when="Lower it when the computer must stay free for other work.",
            low=0,
            high=1024,
            more=True,
            zero=AUTOMATIC,
        ),
    ] = 0
    workers: Annotated[
        int,
        Setting(
            help="How many threads read and augment slices; 0 to choose by the machine.",
            when="Raise it when the network waits for data.",
            low=0,
            high=256,
            more=True,
            zero=AUTOMATIC,
        ),
    ] = 0

    @property
    def endless(self) -> bool:
        """Whether the run goes on until somebody stops it."""
        return self.steps == 0

    def curves(self) -> tuple[Curve, ...]:
        """Return the figures worth drawing, in order; exactly one is the main one.

        Returns
        -------
        tuple of Curve
            For the base class the loss alone.
        """
        return (Curve("loss", "loss", main=True),)

    def shown(self, volumes: Sequence[Volume]) -> list[SliceVolume]:
        """Return the slices of volumes that the network sees, of which one scale is to be found for all."""
        return list(volumes)

    def measured_on(self) -> int:
        """Return on how many volumes, or slices that are held back, a run that has begun measures."""
        return len(self.validate)

    def decoder(self) -> tuple[float, float]:
        """Return what the network has besides its encoder and a head.

        Returns
        -------
        parameters : float
            Millions of weights.
        activation_bytes : float
            Bytes kept for the backward pass in float32, for each pixel of an input slice.
        """
        return 0.0, 0.0

    def slices_per_step(self) -> int:
        """Return how many slices the network sees in a step: the measure of memory and time."""
        return 1
