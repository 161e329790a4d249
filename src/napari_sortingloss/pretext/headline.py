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
    """

    title: str
    value: str
    unit: str
    random: str

    @property
    def beside(self) -> str:
        """The value with the level of chance beside it, where that is known."""
        return self.value + (f" (random {self.random})" if self.random else "")


_KNOWN = {
    "mean_displacement": ("mean displacement", " slices", "random_displacement"),
    "accuracy": ("accuracy", "", "random_accuracy"),
}


def headline(values: Mapping[str, Any] | None) -> Headline | None:
    """Return the main figure among those of a split, or None where there is none yet.

    Parameters
    ----------
    values : mapping or None
        As in the ``values`` of `napari_sortingloss.events.Metrics`.
    """
    for metric, (title, unit, chance) in _KNOWN.items():
        value = (values or {}).get(metric)
        if value is not None:
            random = (values or {}).get(chance)
            return Headline(title, f"{value:.2f}", unit, "" if random is None else f"{random:.2f}")
    return None
