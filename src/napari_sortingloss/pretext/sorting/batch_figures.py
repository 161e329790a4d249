"""The figures of a training batch, computed where the network is, so that no step waits for the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def batch_figures(scores: Tensor, positions: Tensor, groups: Tensor) -> Mapping[str, Tensor]:
    """Compare the order of the scores with the true one, within each volume of a batch.

    Parameters
    ----------
    scores : Tensor, shape (n,)
    positions : Tensor, shape (n,)
        True positions, distinct within a volume.
    groups : Tensor, shape (n,)
        The volume each slice is from.

    Returns
    -------
    mapping of str to Tensor
        Scalars ``mean_displacement``, ``random_displacement`` and ``pairwise_accuracy`` as the functions of
        `napari_sortingloss.pretext.displacement` define them (ties included), averaged over the slices or the pairs
        of the batch; ``spearman``, shape (n,), is that of the slice's own volume.
    """
    same = groups[:, None] == groups[None, :]
    beyond = same & (positions[:, None] > positions[None, :])
    over = same & (scores[:, None] > scores[None, :])
    under = same & (scores[:, None] < scores[None, :])
    k = same.sum(dim=1).float()
    true = beyond.sum(dim=1).float()
    first = over.sum(dim=1).float()
    last = k - 1 - under.sum(dim=1).float()
    displacement = (_triangle(true - first) + _triangle(last - true)) / (last - first + 1)
    pairs = beyond.sum().clamp(min=1)
    right, wrong = (beyond & over).sum(), (beyond & under).sum()
    return {
        "mean_displacement": displacement.mean(),
        "random_displacement": ((k * k - 1) / (3 * k)).mean(),
        "pairwise_accuracy": 0.5 + 0.5 * (right - wrong) / pairs,
        "spearman": _correlation(true, (first + last) / 2, same),
    }


def _triangle(x: Tensor) -> Tensor:
    """G(x) = x (x + 1)/2 with the sign of x: G(t - a) + G(b - t) is the sum of |t - r| over whole numbers r = a..b."""
    return torch.sign(x) * x * (x + 1) / 2


def _correlation(x: Tensor, y: Tensor, same: Tensor) -> Tensor:
    """Pearson's correlation of x and y within each volume, given to each of its slices; 0 where one is constant."""
    k = same.sum(dim=1)
    x = x - (same * x).sum(dim=1) / k
    y = y - (same * y).sum(dim=1) / k
    xy, xx, yy = ((same * v).sum(dim=1) for v in (x * y, x * x, y * y))
    return xy / (xx * yy).sqrt().clamp(min=1e-12)
