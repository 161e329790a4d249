"""What a person may choose about localisation; the published recipe and the one that measured best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from napari_sortingloss.settings import AUTOMATIC, Setting, Settings

Recipe = Literal["measured", "published"]
Statistic = Literal["sensitivity", "variance", "relative variance"]

RECIPES: dict[Recipe, dict[str, Any]] = {
    "measured": {"statistic": "sensitivity", "passes": 3, "grid": 32, "fraction": None, "refine": True},
    "published": {
        "statistic": "variance",
        "passes": 20,
        "grid": 32,
        "fraction": 0.03,
        "refine": False,
        "every": 1,
    },
}
"""What each recipe chooses where the person does not."""


@dataclass(frozen=True)
class LocalizeSettings(Settings):
    """Which run looks for the specimen in which volumes, and how."""

    run: Annotated[
        str,
        Setting(
            "The pre-training run whose network is asked (its id, the start of it, or its name).", hidden=True
        ),
    ]
    volumes: Annotated[
        tuple[str, ...],
        Setting("The volumes to look at, by name or pattern (fish_*); all when empty.", hidden=True),
    ] = ()
    recipe: Annotated[
        Recipe,
        Setting(
            "The recipe that measured best, or the published one (variance over 20 passes with dropout, top 3 %).",
            "Choose the published one to compare with the paper; anything set below overrides the recipe.",
        ),
    ] = "measured"
    statistic: Annotated[
        Statistic | None,
        Setting(
            "What is measured at each place: how much the predicted position depends on it (sensitivity), or how much "
            "its embedding varies under dropout (variance; relative to its size: relative variance).",
            "The variances need a run trained with dropout.",
            more=True,
        ),
    ] = None
    passes: Annotated[
        int | None,
        Setting(
            "How often the network looks at each slice: with another dropout each time, or for the sensitivity at so many "
            "points of the way from the mean slice to this one.",
            "More passes give a smoother map and take longer.",
            low=1,
            high=1000,
            more=True,
        ),
    ] = None
    grid: Annotated[
        Literal[8, 16, 32] | None,
        Setting(
            "Pixels of the network's input to one point of the variance (its output stride).",
            "A finer grid of 16 or 8 shows smaller specimens and takes longer.",
            unit="px",
            more=True,
        ),
    ] = None
    every: Annotated[
        int | None,
        Setting(
            "Looks at every slice (1), every second one (2), and so on.",
            "Left empty, about 128 slices of each volume are looked at.",
            unit="slices",
            low=1,
            high=10_000,
            more=True,
        ),
    ] = None
    fraction: Annotated[
        float | None,
        Setting(
            "The share of the volume taken as the region, its highest values.",
            "Left empty, a threshold is found by itself.",
            low=0.0001,
            high=0.9,
            step=0.01,
            more=True,
        ),
    ] = None
    refine: Annotated[
        bool | None,
        Setting(
            "Follow the specimen's surface in the voxels: the grey value that explains best where the network looks.",
            "Switch it off to see what the network alone says.",
            more=True,
        ),
    ] = None
    margin: Annotated[
        float,
        Setting(
            "What is added to the box on every side.", "In % of the volume's side.", unit="%", low=0, high=50
        ),
    ] = 0.0
    again: Annotated[
        bool,
        Setting(
            "Localise again where a person has accepted or moved the box of this run; it is lost then.",
            "Otherwise such volumes are left as they are.",
            hidden=True,
        ),
    ] = False
    weights: Annotated[
        Literal["best", "last"],
        Setting("Which of the run's weights: the best on the validation volumes, or the last.", more=True),
    ] = "best"
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting("What computes: the graphics card where there is one, or the processor.", more=True),
    ] = "auto"
    threads: Annotated[
        int,
        Setting("How many processor cores compute; 0 for all.", low=0, high=1024, more=True, zero=AUTOMATIC),
    ] = 0

    def resolved(self) -> LocalizeSettings:
        """Return the same with everything that the recipe chooses filled in."""
        chosen = dict(RECIPES[self.recipe])
        if self.statistic is not None and self.statistic != "sensitivity":
            chosen["passes"] = RECIPES["published"]["passes"]  # a variance of three passes is mostly noise
        return self.replace(**{name: value for name, value in chosen.items() if getattr(self, name) is None})
