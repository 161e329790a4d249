"""What the order of slices says of the directions of volumes: which look stored upside down, and of which it cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FLIPPED = -0.5
"""Spearman's rho below which a volume is clearly reversed; one that is neither this nor its opposite cannot be told."""

UNTOLD = "cannot tell yet"

NAMED = 3
"""Of more volumes than these only so many are named."""


@dataclass(frozen=True)
class Directions:
    """What a network says of the directions of volumes.

    Attributes
    ----------
    flipped : tuple of str
        The volumes that look stored upside down.
    untold : tuple of str
        Those whose order is too near to a random one to tell.
    figures : str
        How near, e.g. ``"mean displacement 4.9 slices, random 5.3"``; empty where nothing is untold.
    """

    flipped: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    figures: str = ""

    @property
    def said(self) -> str:
        """Which volumes look stored upside down, as far as that can be told, e.g. ``"fish_03"`` or ``"none"``."""
        if not self.untold:
            return ", ".join(self.flipped) or "none"
        return f"{', '.join(self.flipped) or 'none so far'}; {self.warning}"

    @property
    def warning(self) -> str:
        """Of which volumes the network cannot tell, with the figure and the level of chance; empty where there are none."""
        return f"of {listed(self.untold)} the network {UNTOLD} ({self.figures})" if self.untold else ""


def directions(entries: Sequence[Mapping[str, Any]]) -> Directions:
    """Judge the directions of volumes by the order in which a network puts their slices.

    Parameters
    ----------
    entries : sequence of mapping
        What `napari_sortingloss.pretext.jobs.order.describe` said of each: ``name``, ``spearman``, ``flipped``, and the figures
        of batches, or else those over the whole volume.
    """
    untold = [entry for entry in entries if not is_told(entry)]
    figures = ""
    if untold:
        batches = [entry.get("batch") or entry for entry in untold]
        found, random = (
            sum(float(batch[name]) for batch in batches) / len(batches)
            for name in ("mean_displacement", "random_displacement")
        )
        figures = f"mean displacement {found:.1f} slices, random {random:.1f}"
    flipped = tuple(str(entry["name"]) for entry in entries if entry["flipped"])
    return Directions(flipped, tuple(str(entry["name"]) for entry in untold), figures)


def is_told(entry: Mapping[str, Any]) -> bool:
    """Return whether the network knows a volume well enough to tell which way round it lies."""
    return abs(float(entry["spearman"])) >= -FLIPPED


def word(entry: Mapping[str, Any]) -> str:
    """Return what is said of one volume in a table: nothing where it lies like the others."""
    return "upside down?" if entry["flipped"] else "" if is_told(entry) else UNTOLD


def listed(names: Sequence[str]) -> str:
    """Return names as a person reads them, e.g. ``"fish_01, fish_02, fish_04 and 3 more"``."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
