"""What the demo can be told; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from napari_sortingloss.settings import Setting, Settings


@dataclass(frozen=True)
class DemoSettings(Settings):
    """What the demo is asked to do.

    Attributes
    ----------
    folder : Path or None
        Where the sample study goes; ``demo-study`` in the current folder when ``None``.
    """

    folder: Annotated[Path | None, Setting(help="Where to put the sample study.", hidden=True)] = None
    steps: Annotated[int, Setting(help="How many batches to pre-train on.", low=1, high=100_000)] = 400
    finetune_steps: Annotated[
        int, Setting(help="How many batches of painted slices to train on.", low=1, high=100_000)
    ] = 800
    slices: Annotated[
        int, Setting(help="How many slices to paint in each of three fish.", low=1, high=50)
    ] = 5
    seed: Annotated[int, Setting(help="The start of all random numbers.", low=0)] = 0
