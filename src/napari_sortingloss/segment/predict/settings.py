"""What a person may choose about prediction; imports no torch, so that a form or a command line can be built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_sortingloss.settings import Setting, Settings


@dataclass(frozen=True)
class PredictSettings(Settings):
    """Which run predicts which volumes, and how."""

    run: Annotated[
        str,
        Setting(
            "The fine-tuning run whose network predicts (its id, the start of it, or its name).", hidden=True
        ),
    ]
    volumes: Annotated[
        tuple[str, ...],
        Setting("The volumes to predict, by name or pattern (fish_*); all when empty.", hidden=True),
    ] = ()
    axes: Annotated[
        Literal["", "z", "y", "x", "zy", "zx", "yx", "zyx"],
        Setting(
            "Across which axes slices are looked at; over several axes the probabilities are averaged.",
            "Left empty, the volume's ordering axis. Three axes take three times as long and need disk space for a "
            "while: two bytes for each voxel and class.",
        ),
    ] = ""
    uncertainty: Annotated[
        bool,
        Setting(
            "Write also how unsure the network is at each voxel (entropy).",
            "To see where a look pays; it doubles the space at most.",
        ),
    ] = False
    every_pose: Annotated[
        bool,
        Setting(
            "Look at each slice in every pose that the network was trained for - quarter turns, mirrored where it learnt that "
            "too - and average what it says.",
            "For the last prediction, when a little more is worth four or eight times the time.",
        ),
    ] = False
    labels: Annotated[
        Literal["likeliest", "overlap"],
        Setting(
            "Which labels are written: the likeliest class at each voxel, or those whose overlap with the truth (Dice) can be "
            "expected to be the largest.",
            "Over several axes the likeliest is too often background: a class that one of them misses must be all the surer "
            "in the others. For the overlap it may be less probable, the more of it is in doubt; thin classes can become too "
            "thick. Needs disk space for a while: a byte for each voxel, class and axis.",
        ),
    ] = "likeliest"
    weights: Annotated[
        Literal["best", "last"],
        Setting("Which of the run's weights: the best in validation, or the last.", more=True),
    ] = "best"
    again: Annotated[
        bool,
        Setting(
            "Predict volumes again that the same weights have predicted in the same way.",
            "The result would be the same; otherwise such volumes are left as they are.",
            more=True,
        ),
    ] = False
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting("What computes: the graphics card where there is one, or the processor.", more=True),
    ] = "auto"
    threads: Annotated[
        int,
        Setting("How many processor cores compute; 0 for all.", low=0, high=1024, more=True),
    ] = 0
    first: Annotated[
        int | None,
        Setting(
            "The slice (its index along the array) around which the result begins to grow.",
            low=0,
            high=10_000_000,
            hidden=True,
        ),
    ] = None
