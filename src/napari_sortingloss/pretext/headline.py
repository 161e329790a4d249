"""The one figure that says how good a run is, whatever its task, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Headline:
    """The main figure of a run.

    Attributes
    ----------
    title : str
        What it is, e.g. ``"mean displacement"``.
    value : str
        With two decimals.
    unit : str
        With a space before it, or empty.
    random : str
        What a network that knows nothing shows, with two decimals; empty where that is not known.
    measured_on : str
        On how many volumes, ``"1 of 2"``, where some were left out of it, see `measured_on`; empty otherwise.
    metric : str
        The name of the figure among those of a split.
    number : float
    lower_is_better : bool
    """

    title: str
    value: str
    unit: str
    random: str
    measured_on: str = ""
    metric: str = ""
    number: float = 0.0
    lower_is_better: bool = False

    @property
    def short(self) -> str:
        """The title without "mean"."""
        return self.title.removeprefix("mean ")

    @property
    def beside(self) -> str:
        """The value with the level of chance beside it, where that is known, and on what it was measured if not on all."""
        random = f" (random {self.random})" if self.random else ""
        return self.value + random + (f" on {self.measured_on} volumes" if self.measured_on else "")


_KNOWN = {
    "mean_displacement": ("mean displacement", " slices", "random_displacement", True),
    "accuracy": ("accuracy", "", "random_accuracy", False),
    "mean_iou": ("mean IoU", "", "random_iou", False),
}


def headline(values: Mapping[str, Any] | None) -> Headline | None:
    """Return the main figure among those of a split, or None where there is none yet.

    Parameters
    ----------
    values : mapping or None
        As in the ``values`` of `napari_sortingloss.events.Metrics`.
    """
    for metric, (title, unit, chance, lower) in _KNOWN.items():
        value = (values or {}).get(metric)
        if value is not None:
            random = (values or {}).get(chance)
            known = "" if random is None else f"{random:.2f}"
            on = measured_on(values or {})
            return Headline(title, f"{value:.2f}", unit, known, on, metric, float(value), lower)
    return None


def measured_on(values: Mapping[str, Any]) -> str:
    """Say on how many volumes figures were measured, e.g. ``"1 of 2"``; empty where it was all of them.

    Parameters
    ----------
    values : mapping
        ``left_out`` is the share of the volumes that were not counted, ``volumes`` how many there were; a run that
        was trained before that was noted has no ``volumes``.
    """
    left_out, volumes = values.get("left_out", 0.0), values.get("volumes")
    if not left_out:
        return ""
    if volumes is None:
        return f"{100 * (1 - left_out):.0f} % of the"
    return f"{round((1 - left_out) * volumes)} of {volumes:.0f}"
