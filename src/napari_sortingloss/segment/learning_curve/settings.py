"""The settings of learning curves; imports no torch, so that a command line can be built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.segment.settings import SCRATCH, FinetuneSettings
from napari_sortingloss.settings import Setting, Settings

SETTLED_HERE = (
    "init",
    "volumes",
    "validate",
    "seed",
    "classes",
    "kept",
    "field_of_view",
    "also_from",
    "sure",
    "sure_of_background",
    "painted_pieces",
    "predicted",
)
"""Settings of fine-tuning that each trial sets by itself, or that it has no use for: nothing is predicted yet."""


@dataclass(frozen=True)
class LearningCurveSettings(Settings):
    """Which encoders are compared, on how many slices of which volumes."""

    inits: Annotated[
        tuple[str, ...],
        Setting(
            "What to begin with: 'scratch', and the ids of runs (or the starts of them).",
            "Scratch is the baseline of the paired differences.",
        ),
    ] = (SCRATCH,)
    slices: Annotated[
        tuple[int, ...],
        Setting("Numbers of annotated slices in each volume, e.g. 1 2 5.", unit="slices"),
    ] = (1, 2, 5)
    volumes_per_seed: Annotated[
        int,
        Setting(
            "In how many volumes slices are annotated; a seed draws them from the pool.", low=1, high=10_000
        ),
    ] = 5
    seeds: Annotated[
        int,
        Setting(
            "How often everything is repeated, with other volumes, slices and random numbers.",
            "Differences of a few hundredths need five and more.",
            low=1,
            high=1000,
        ),
    ] = 3
    first_seed: Annotated[int, Setting("The first of the seeds.", low=0, high=2**30, more=True)] = 0
    volumes: Annotated[
        tuple[str, ...],
        Setting(
            "The pool that volumes are drawn from, by name or pattern; all with a reference that are not judged on when "
            "empty.",
            hidden=True,
        ),
    ] = ()
    test: Annotated[
        tuple[str, ...],
        Setting(
            "The volumes to judge on, by name or pattern; two of every five with a reference when empty.",
            "They must not have been pre-trained on.",
            hidden=True,
        ),
    ] = ()
    every: Annotated[
        int,
        Setting(
            "Judges on every slice (1), every second one (2), and so on.",
            unit="slices",
            low=1,
            high=10_000,
            more=True,
        ),
    ] = 4
    finetune: FinetuneSettings = field(default_factory=lambda: FinetuneSettings(held_back=0.0))

    own: ClassVar[tuple[str, ...]] = (
        "inits",
        "slices",
        "volumes_per_seed",
        "seeds",
        "first_seed",
        "volumes",
        "test",
        "every",
    )
    """The fields that are this job's; all others of a command line are those of fine-tuning."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.inits:
            raise BadSetting("Cannot compare encoders", "none is named", "name 'scratch' and a run")
        if not self.slices or any(not isinstance(n, int) or n < 1 for n in self.slices):
            raise BadSetting(
                f"Cannot annotate {self.slices} slices", "each number must be 1 or more", "give e.g. 1 2 5"
            )
        if self.finetune.endless:
            raise BadSetting(
                "Cannot measure a learning curve with 0 steps",
                "no trial would ever end",
                "give a number of steps",
            )

    @classmethod
    def of(cls, **values: Any) -> LearningCurveSettings:
        """Make settings from the options of a command: its own and those of fine-tuning side by side."""
        own = {name: value for name, value in values.items() if name in cls.own}
        others = {"held_back": 0.0, **{n: v for n, v in values.items() if n not in cls.own}}
        return cls(**own, finetune=FinetuneSettings(**others))

    @classmethod
    def fields(cls) -> Any:
        """Describe every field but the nested settings."""
        return tuple(field for field in super().fields() if field.name in cls.own)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, the settings of fine-tuning under ``finetune``."""
        return {**super().to_json(), "finetune": self.finetune.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LearningCurveSettings:
        """Rebuild from `to_json`.

        Raises
        ------
        BadSetting
            If a value does not fit.
        """
        found = super().from_json(values)
        return found.replace(finetune=FinetuneSettings.from_json(values.get("finetune", {})))
