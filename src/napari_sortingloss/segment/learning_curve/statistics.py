"""Means, standard deviations and paired differences of figures measured with the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A figure over seeds.

    Attributes
    ----------
    mean : float
    sd : float
        The sample's standard deviation (n - 1); NaN for a single seed.
    count : int
        Seeds.
    """

    mean: float
    sd: float
    count: int

    @property
    def standard_error(self) -> float:
        """The standard deviation of the mean."""
        return self.sd / math.sqrt(self.count) if self.count else math.nan

    def to_json(self) -> dict[str, float | int | None]:
        """Return a JSON-ready dictionary; what is not known is None."""
        return {"mean": _known(self.mean), "sd": _known(self.sd), "seeds": self.count}


def summary(values: Mapping[int, float]) -> Summary:
    """Summarise a figure known for some seeds; seeds for which it is NaN are left out."""
    known = [value for value in values.values() if not math.isnan(value)]
    if not known:
        return Summary(math.nan, math.nan, 0)
    mean = math.fsum(known) / len(known)
    if len(known) < 2:
        return Summary(mean, math.nan, len(known))
    return Summary(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in known) / (len(known) - 1)), len(known))


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Summary:
    """Summarise the difference to a baseline, seed by seed, over the seeds that both have."""
    return summary({seed: values[seed] - baseline[seed] for seed in values if seed in baseline})


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
