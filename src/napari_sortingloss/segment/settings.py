"""The settings of fine-tuning; imports no torch, so that a form or a command line can be built from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.networks import segmenter_info
from napari_sortingloss.settings import Setting
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.training.settings import UNTIL_STOPPED, TrainSettings

SCRATCH = "scratch"
"""Begin with fresh weights."""

Pose = Literal["as stored", "turned", "turned and mirrored"]
Take = Literal["all", "stem-3", "stem-2", "stem-1", "stem"]

TAKEN: dict[str, tuple[str, ...]] = {
    "all": ("stem", "stage1", "stage2", "stage3", "stage4"),
    "stem-3": ("stem", "stage1", "stage2", "stage3"),
    "stem-2": ("stem", "stage1", "stage2"),
    "stem-1": ("stem", "stage1"),
    "stem": ("stem",),
}
"""The parts of the encoder behind each choice of `take`."""

BACKGROUND_NAME = "background"


@dataclass(frozen=True)
class FinetuneSettings(TrainSettings):
    """How a network learns to segment from annotated slices (METHODS section 8)."""

    task: ClassVar[str] = "segmentation"
    repeats: ClassVar[bool] = True

    init: Annotated[
        str,
        Setting(
            "What to begin with: a pre-training run or an earlier fine-tuning run (id or name), or 'scratch'.",
            label="Begin with",
        ),
    ] = SCRATCH
    network: Annotated[
        Literal["unet", "deeplabv3plus"],
        Setting(
            "The network around the encoder.",
            "DeepLabV3+ sees more around each pixel; U-Net draws thin structures more sharply.",
        ),
    ] = "unet"
    steps: Annotated[
        int,
        Setting(
            "How many batches to train on; with 0 the run goes on until you stop it.",
            "100 are enough for a first look; more is better until the validation curve is flat.",
            low=0,
            high=10_000_000,
            step=100,
            zero=UNTIL_STOPPED,
            presets=((100, "first look"), (800, "the default"), (0, "")),
        ),
    ] = 800
    batch: Annotated[
        int,
        Setting(
            "Pieces of annotated slices in a batch.",
            "Lower it where the memory does not suffice.",
            low=1,
            high=1024,
            label="Batch size",
            more=True,
        ),
    ] = 6
    size: Annotated[
        int,
        Setting(
            "The side of the piece of a slice that is trained on; smaller slices are taken whole.",
            "Raise it where what a pixel is can only be told from far around it.",
            unit="px",
            low=16,
            high=2048,
            step=32,
            more=True,
        ),
    ] = 256
    pixel_size: Annotated[
        float | None,
        Setting(
            "How many millimetres a pixel shows; automatic: the voxels as they are, or the finest ones where volumes differ.",
            "Raise it where slices are finer than what is to be seen; set 0 to take voxels as they are.",
            unit="mm",
            low=0.0,
            high=1e6,
            more=True,
        ),
    ] = None
    augment: Annotated[
        Literal["light", "normal", "tough", "none"],
        Setting(
            "How strongly each piece is altered before the network sees it.",
            "Choose normal or tough where scans differ in sharpness; they blur, which hides what is a few pixels wide.",
            label="Augmentation",
            more=True,
        ),
    ] = "light"
    field_of_view: Annotated[
        float | None,
        Setting("Always 0: pieces of slices are not resized to a square; see pixel size.", hidden=True),
    ] = 0.0
    take: Annotated[
        Take,
        Setting(
            "Which parts of a pre-trained encoder are taken over; those behind them begin afresh.",
            "Fewer where the last stages are bent on their task; on mouse heads that made no difference.",
            more=True,
        ),
    ] = "all"
    init_weights: Annotated[
        Literal["best", "last"],
        Setting(
            "Which weights of the run are begun with: the best on its validation volumes, or the last.",
            label="Its weights",
            more=True,
        ),
    ] = "best"
    dropout: Annotated[
        float,
        Setting(
            "The share of feature maps switched off at random, between the encoder's stages and before the last layer.",
            "Raise it where the IoU of training is far above that of the slices held back.",
            low=0.0,
            high=0.9,
            step=0.05,
            more=True,
        ),
    ] = 0.0
    freeze: Annotated[
        int,
        Setting(
            "For how many steps the parts taken over stay as they are while the others learn.",
            unit="steps",
            low=0,
            high=10_000_000,
            step=50,
            more=True,
        ),
    ] = 0
    learning_rate: Annotated[
        float,
        Setting(
            "How far each step moves the weights.",
            "Lower it when the loss jumps about or turns into 'not a number'.",
            low=1e-8,
            high=10.0,
            step=1e-4,
            more=True,
        ),
    ] = 1e-3
    encoder_rate: Annotated[
        float,
        Setting(
            "The share of the learning rate with which the parts taken over are trained.",
            "Lower it to stay nearer to what was pre-trained.",
            low=0.0,
            high=100.0,
            step=0.1,
            more=True,
        ),
    ] = 1.0
    encoder_norm: Annotated[
        Literal["train", "frozen"],
        Setting(
            "Whether batch-norm in the parts taken over adapts to the annotated slices or keeps its statistics.",
            more=True,
        ),
    ] = "train"
    decoder_norm: Annotated[
        Literal["batch", "group"],
        Setting(
            "The normalisation of the decoder: batch learns faster, group does not depend on the other pieces of a batch.",
            "Choose group for batches of one or two.",
            more=True,
        ),
    ] = "batch"
    weight_decay: Annotated[
        float,
        Setting(
            "How strongly weights are pulled towards 0 (AdamW).", low=0.0, high=10.0, step=0.01, more=True
        ),
    ] = 0.01
    pose: Annotated[
        Pose,
        Setting(
            "Whether each piece is shown as if the specimen lay turned by any angle, a little nearer or farther, and mirrored.",
            "Choose 'as stored' where all volumes lie the same way; never mirror where left and right are two classes.",
            more=True,
        ),
    ] = "turned"
    class_pieces: Annotated[
        float,
        Setting(
            "The share of the pieces that are laid around a class drawn at random, so that rare ones are seen.",
            "The others lie anywhere.",
            low=0.0,
            high=1.0,
            step=0.1,
            more=True,
        ),
    ] = 0.5
    class_weights: Annotated[
        Literal["equal", "balanced"],
        Setting(
            "Whether a pixel of a rare class counts more in the cross-entropy (Dice weighs classes equally by itself).",
            "With equal weights a class of few pixels may never be learnt at all.",
            more=True,
        ),
    ] = "balanced"
    also_from: Annotated[
        str,
        Setting(
            "A fine-tuning run whose predictions are learnt from too, where it was sure (its id, the start of it, or its name).",
            "Predict volumes with it first, with the uncertainty, best across three axes: what they agree on teaches the "
            "network about slices that nobody painted.",
            hidden=True,
        ),
    ] = ""
    sure: Annotated[
        float,
        Setting(
            "Where predictions are learnt from too: as sure as if one class had this probability and one other the rest.",
            "Raise it where wrong labels are predicted with certainty; lower it where hardly anything is sure.",
            low=0.5,
            high=0.99,
            step=0.05,
            more=True,
        ),
    ] = 0.7
    sure_of_background: Annotated[
        float,
        Setting(
            "Where predictions are learnt from too: how sure background has to be, likewise.",
            "Raise it where classes are predicted too small; thin structures then grow into their surroundings.",
            low=0.5,
            high=0.99,
            step=0.05,
            label="Background sure",
            more=True,
        ),
    ] = 0.7
    painted_pieces: Annotated[
        float,
        Setting(
            "Where predictions are learnt from too: the share of the pieces that come from painted slices all the same.",
            low=0.1,
            high=0.9,
            step=0.1,
            more=True,
        ),
    ] = 0.5
    held_back: Annotated[
        float,
        Setting(
            "The share of the annotated slices kept out of training to measure on, where no validation volumes are named.",
            "Set 0 to train on all of them.",
            low=0.0,
            high=0.9,
            step=0.05,
            more=True,
        ),
    ] = 0.2
    validate_every: Annotated[
        int,
        Setting(
            "After how many steps to measure on the slices held back.",
            unit="steps",
            low=1,
            high=1_000_000,
            step=50,
            more=True,
        ),
    ] = 50
    classes: Annotated[
        tuple[str, ...],
        Setting("What is told apart ('1 #e69f00 skull'); settled when the run begins.", hidden=True),
    ] = ()
    learnt: Annotated[
        tuple[str, ...],
        Setting(
            "The slices trained on ('fish_01 z 17'); settled when the run begins or goes on.", hidden=True
        ),
    ] = ()
    kept: Annotated[
        tuple[str, ...],
        Setting("The slices held back, likewise.", hidden=True),
    ] = ()
    predicted: Annotated[
        tuple[str, ...],
        Setting("The volumes whose predictions are learnt from; settled when the run begins.", hidden=True),
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.field_of_view:
            raise BadSetting(
                f"Cannot fine-tune with a field of view of {self.field_of_view:g} mm",
                "slices are trained on in pieces, not resized to a square",
                "set the pixel size instead",
            )

    def curves(self) -> tuple[Curve, ...]:
        """Return the figures worth drawing: the loss, the mean IoU, and that of each class once they are settled."""
        return (
            Curve("loss", "loss"),
            Curve("mean_iou", "mean IoU", lower_is_better=False, main=True),
            *(
                Curve(iou_metric(found.name), f"IoU {found.name}", lower_is_better=False)
                for found in self.label_classes()
            ),
        )

    def label_classes(self) -> tuple[LabelClass, ...]:
        """Return the classes that the run tells apart, in the order of the network's channels from 1 on."""
        return tuple(_decoded(text) for text in self.classes)

    def with_classes(self, classes: Sequence[LabelClass]) -> FinetuneSettings:
        """Return a copy with the classes settled."""
        return self.replace(classes=tuple(f"{c.value} {c.color} {c.name}" for c in classes))

    def taken(self) -> tuple[str, ...]:
        """Return the parts of the encoder that are taken over from `init`."""
        return () if self.init == SCRATCH else TAKEN[self.take]

    def measured_on(self) -> int:
        """Return on how many slices a run that has begun measures."""
        return len(self.kept)

    def decoder(self) -> tuple[float, float]:
        """Return millions of weights of the decoder, and the bytes it keeps for each pixel."""
        info = segmenter_info(self.network)
        return info.parameters, info.activation_bytes

    def slices_per_step(self) -> int:
        """Return how many pieces of slices the network sees in a step."""
        return self.batch


def iou_metric(name: str) -> str:
    """Return the name of the figure that holds the IoU of a class."""
    return f"iou {name}"


def _decoded(text: str) -> LabelClass:
    value, color, name = text.split(" ", 2)
    return LabelClass(int(value), name, color, "")
