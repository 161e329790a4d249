"""How the learning rate changes over a run."""

from __future__ import annotations

import math

WARM_UP = 50
"""Steps over which the learning rate rises at first (a tenth of a shorter run)."""


def rate_factor(step: int, steps: int) -> float:
    """Return the share of the learning rate that a step uses: up along a line, then down along half a cosine.

    Parameters
    ----------
    step : int
        The step, from 0.
    steps : int
        Of the whole run.

    Returns
    -------
    float
        From 0 to 1.
    """
    warm_up = min(WARM_UP, steps // 10)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
