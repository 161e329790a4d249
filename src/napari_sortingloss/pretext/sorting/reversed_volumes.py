"""Notices the volume that is stored upside down among many that are not, from how well each one's batches sort."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RECENT = 4
"""How many of the last batches of a volume are looked at, and needed for a verdict."""

LEAST_VOLUMES = 4
"""How many volumes there must be to speak of a majority."""

MAJORITY = 0.75
"""The share of the other volumes that must be well ordered before the network is believed rather than the file."""

ORDERED, REVERSED = 0.6, -0.5
"""Spearman's rho above which a volume is well ordered, and below which it is clearly reversed."""

HOPEFUL, DOUBTFUL = 0.2, -0.1
"""The same, for a doubt: a volume that is only set aside for the time being."""

CLEARED = 0.2
"""Rho from which a doubt is dropped."""


@dataclass(frozen=True)
class Verdict:
    """A change of mind about one volume.

    Attributes
    ----------
    volume : str
    reversed : bool
        Whether it looks upside down now (or does no longer).
    spearman : float
        Mean rho of its last batches.
    others : float
        The median of that over the other volumes.
    """

    volume: str
    reversed: bool
    spearman: float
    others: float


class ReversedVolumes:
    """Keeps Spearman's rho of each volume's last batches and compares every volume with the rest.

    A volume *looks reversed* when its batches come out in clearly reversed order while nearly all others (three
    quarters of them, four volumes at the least) come out well ordered: only then is the network to be believed rather
    than the file. One that comes out well ordered again later is pardoned.

    Before that a volume may be *in doubt*: its last batches lean the other way while the others begin to be ordered.

    Notes
    -----
    Ours. A network learns a single reversed volume by heart within some dozen of its batches, and would then call it
    well ordered. A volume in doubt must therefore not be learnt from: then the others alone decide what the network
    thinks of it, and either the doubt goes or it becomes a verdict.
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}
        self._reversed: set[str] = set()
        self._doubted: set[str] = set()

    @property
    def reversed(self) -> frozenset[str]:
        """The volumes that look upside down."""
        return frozenset(self._reversed)

    @property
    def mistrusted(self) -> frozenset[str]:
        """The volumes not to learn from now: those that look upside down and those in doubt."""
        return frozenset(self._reversed | self._doubted)

    def observe(self, volume: str, spearman: float) -> None:
        """Take note of one batch of a volume; a rho that is not a number counts as no order at all."""
        recent = self._recent.setdefault(volume, deque(maxlen=RECENT))
        recent.append(float(spearman) if np.isfinite(spearman) else 0.0)

    def typical(
        self, without: str | None = None, above: float = ORDERED, recent: int = RECENT
    ) -> float | None:
        """Median rho of the (other) volumes, or ``None`` while most of them are not ordered better than `above`."""
        others = [_last(values, recent) for name, values in self._recent.items() if name != without]
        if len(others) < LEAST_VOLUMES - 1 or np.mean(np.array(others) > above) < MAJORITY:
            return None
        return float(np.median(others))

    def review(self) -> Sequence[Verdict]:
        """Judge every volume anew and return the verdicts that changed; a doubt is no verdict."""
        verdicts = []
        for name, values in self._recent.items():
            rho, last = _last(values, RECENT), _last(values, 2)
            others = self.typical(without=name)
            if name in self._reversed:
                if rho > ORDERED:
                    self._reversed.discard(name)
                    verdicts.append(Verdict(name, False, rho, rho if others is None else others))
            elif others is not None and rho < REVERSED and len(values) == RECENT:
                self._doubted.discard(name)
                self._reversed.add(name)
                verdicts.append(Verdict(name, True, rho, others))
            elif name in self._doubted:
                if last > CLEARED:
                    self._doubted.discard(name)
            elif last < DOUBTFUL and self.typical(name, HOPEFUL, 2) is not None:
                self._doubted.add(name)
        return verdicts

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen, JSON-ready."""
        return {
            "recent": {name: list(values) for name, values in self._recent.items()},
            "reversed": sorted(self._reversed),
            "doubted": sorted(self._doubted),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        recent: Mapping[str, Iterable[float]] = state["recent"]
        self._recent = {name: deque(values, maxlen=RECENT) for name, values in recent.items()}
        self._reversed, self._doubted = set(state["reversed"]), set(state["doubted"])


def _last(values: deque[float], count: int) -> float:
    return float(np.mean(list(values)[-count:]))
