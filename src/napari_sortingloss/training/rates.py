"""How the learning rate changes over a run, whether or not it knows its end."""

from __future__ import annotations

import math

WARM_UP = 50
"""Steps over which the learning rate rises at first (a tenth of a shorter run)."""

WARM_UP_ENDLESS = 20
"""The same for a run without an end, which may be stopped soon."""

HALVED = 200
"""A run without an end uses half its learning rate at three times so many steps after the warm-up."""


def rate_factor(step: int, steps: int) -> float:
    """Return the share of the learning rate that a step uses.

    A run with an end goes up along a line, then down along half a cosine. One without must be right wherever it is
    stopped: it goes down with the inverse square root of the steps.

    Parameters
    ----------
    step : int
        The step, from 0.
    steps : int
        Of the whole run; 0 if it has no end.

    Returns
    -------
    float
        From 0 to 1.
    """
    warm_up = min(WARM_UP, steps // 10) if steps else WARM_UP_ENDLESS
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    if not steps:
        return math.sqrt(HALVED / (HALVED + step - warm_up))
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
