"""What a person may choose about a crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_sortingloss.settings import Setting, Settings


@dataclass(frozen=True)
class CropSettings(Settings):
    """Which volumes are cut, and to what."""

    volumes: Annotated[
        tuple[str, ...], Setting("The volumes to cut, by name or pattern (fish_*).", hidden=True)
    ]
    margin: Annotated[
        int,
        Setting(
            "What is added to the box on every side.",
            "Add some where the specimen should not touch the faces of the new volume.",
            unit="voxels",
            low=0,
            high=100_000,
        ),
    ] = 0
    run: Annotated[
        str | None,
        Setting(
            "Whose boxes to cut to: a run's id, the start of it, or its name.",
            "Left empty, the newest box that was accepted, or else the newest.",
            more=True,
        ),
    ] = None
