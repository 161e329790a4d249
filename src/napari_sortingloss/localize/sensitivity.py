"""Where in a slice the predicted position comes from: integrated gradients of the score, from the mean slice on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_sortingloss.errors import BadSetting

POINTS = 3
"""Points at which the gradient is taken on the way from the mean slice to a slice."""


class Sensitivity:
    """How much each pixel of a slice adds to the difference between its predicted position and the mean slice's.

    Parameters
    ----------
    score : callable
        Gives slices of grey values in [0, 1], shape (n, 1, S, S), one number each; differentiable, in evaluation
        mode: the pooled linear output of a sorting network before its loss.
    mean : Tensor of float32, shape (S, S)
        The mean slice of the volume in [0, 1]. What looks the same in all slices - a tube, a holder, the liquid - is
        in it, and what is no different from it cannot have told the network where it is.
    points : int
        At how many points of the straight way from the mean slice to the slice the gradient is taken (midpoint rule).

    Notes
    -----
    Sundararajan, Taly, Yan, Axiomatic attribution for deep networks (2017), equation 1; the pixels' values add up to
    the difference of the two scores as the number of points grows. They keep their signs, so that noise, which the
    network does not follow, averages out when they are smoothed.
    """

    def __init__(self, score: Callable[[Tensor], Tensor], mean: Tensor, points: int = POINTS) -> None:
        if points < 1:
            raise BadSetting(
                f"Cannot take the gradient at {points} points", "it needs one", "give at least 1"
            )
        self._score, self._mean, self._points = score, mean.float(), points

    def __call__(self, slices: Tensor) -> Tensor:
        """Return what each pixel adds.

        Parameters
        ----------
        slices : Tensor of uint8, shape (n, S, S)

        Returns
        -------
        Tensor of float32, shape (n, S, S)
            On the same device.
        """
        difference = slices.float() / 255 - self._mean
        total = torch.zeros_like(difference)
        for point in range(self._points):
            share = (point + 0.5) / self._points
            between = (self._mean + share * difference)[:, None].requires_grad_(True)
            with torch.enable_grad():
                scores = self._score(between).float().sum()
            (gradient,) = torch.autograd.grad(scores, between)
            total += gradient[:, 0].float()
        return total * difference / self._points
