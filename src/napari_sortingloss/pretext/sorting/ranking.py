"""Losses that teach one number a slice to grow along the ordering axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

RankingLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def margin_loss(
    scores: Tensor, positions: Tensor, groups: Tensor | None = None, *, margin: float = 0.2
) -> Tensor:
    """Pairwise margin ranking loss: the mean of max(0, m - (z_i - z_j)) over all pairs with position i > j.

    Parameters
    ----------
    scores : Tensor, shape (n,)
        One number a slice.
    positions : Tensor, shape (n,)
        True positions along the ordering axis.
    groups : Tensor, shape (n,), optional
        The volume each slice is from; slices of different volumes make no pair. One volume by default.
    margin : float
        By how much the score of the slice further along is to exceed the other's.

    Returns
    -------
    Tensor
        A float32 scalar; zero, with a gradient of zeros, where there is no pair.

    Notes
    -----
    Zharov et al., SortingLoss (2022) and Localization (2023), after D. Sculley, Large scale learning to rank (2009).
    """
    with _full_precision(scores):
        pairs = _pairs(positions, groups)
        return _mean((margin - _differences(scores)).relu(), pairs)


def logistic_loss(scores: Tensor, positions: Tensor, groups: Tensor | None = None) -> Tensor:
    """Pairwise logistic loss: the mean of log(1 + exp(-(z_i - z_j))) over all pairs with position i > j.

    Parameters and return value are those of `margin_loss`.

    Notes
    -----
    RankNet: C. Burges et al., Learning to rank using gradient descent, ICML 2005. It has no margin to reach: pairs far
    apart keep pulling, a little.
    """
    with _full_precision(scores):
        pairs = _pairs(positions, groups)
        return _mean(-logsigmoid(_differences(scores)), pairs)


def listmle_loss(scores: Tensor, positions: Tensor, groups: Tensor | None = None) -> Tensor:
    """ListMLE: the negative log-likelihood of the true order under the Plackett-Luce model, per slice.

    Parameters and return value are those of `margin_loss`. The order is drawn from the far end: the slice furthest along is
    to win against all, the next one against those left.

    Notes
    -----
    F. Xia et al., Listwise approach to learning to rank, ICML 2008, equation 9. The sums over the slices left are
    ``logcumsumexp``, which neither overflows nor loses the small terms.
    """
    with _full_precision(scores):
        found = scores.float()
        total, slices = 0.0 * found.sum(), 0
        for members in _lists(positions, groups):
            if len(members) > 1:
                listed = found[members]
                total = total + (torch.logcumsumexp(listed, dim=0) - listed).sum()
                slices += len(members)
        return total / max(slices, 1)


def soft_rank_loss(
    scores: Tensor, positions: Tensor, groups: Tensor | None = None, *, temperature: float = 0.5
) -> Tensor:
    """Squared error between a differentiable rank and the true one, as a share of the number of slices.

    The soft rank of a slice is the sum over the others of sigmoid((z_i - z_j)/temperature): how many it is believed to
    be beyond. Parameters and return value are those of `margin_loss`.

    Notes
    -----
    The smooth rank of T. Qin, T.-Y. Liu and H. Li, A general approximation framework for direct optimization of
    information retrieval measures, Information Retrieval 13 (2010), equation 12; the squared rank error is one minus
    Spearman's rho up to a factor. Unlike the other losses it is bounded, so one slice out of place cannot dominate.
    """
    with _full_precision(scores):
        same = _same(positions, groups)
        believed = (torch.sigmoid(_differences(scores) / temperature) * same).sum(dim=1)
        true = _pairs(positions, groups).sum(dim=1)
        others = same.sum(dim=1)
        return _mean(((believed - true) / others.clamp(min=1)).square(), others > 0)


RANKINGS: Mapping[str, Callable[..., Tensor]] = {
    "margin": margin_loss,
    "logistic": logistic_loss,
    "listmle": listmle_loss,
    "softrank": soft_rank_loss,
}


def ranking_loss(name: str, margin: float = 0.2) -> RankingLoss:
    """Return the loss called `name`, a function of (scores, positions, groups)."""
    return partial(margin_loss, margin=margin) if name == "margin" else RANKINGS[name]


def _full_precision(scores: Tensor) -> torch.autocast:
    return torch.autocast(scores.device.type, enabled=False)


def _differences(scores: Tensor) -> Tensor:
    """z_i - z_j in float32, shape (n, n): bfloat16 would round away differences below the margin."""
    found = scores.float()
    return found[:, None] - found[None, :]


def _pairs(positions: Tensor, groups: Tensor | None) -> Tensor:
    """Where slice i lies beyond slice j of the same volume, shape (n, n)."""
    beyond = positions[:, None] > positions[None, :]
    return beyond if groups is None else beyond & (groups[:, None] == groups[None, :])


def _same(positions: Tensor, groups: Tensor | None) -> Tensor:
    """Where slices i and j are two different slices of one volume, shape (n, n)."""
    n = len(positions)
    others = ~torch.eye(n, dtype=torch.bool, device=positions.device)
    return others if groups is None else others & (groups[:, None] == groups[None, :])


def _lists(positions: Tensor, groups: Tensor | None) -> list[Tensor]:
    """The indices of each volume's slices, from the lowest position to the highest."""
    order = torch.argsort(positions)
    if groups is None:
        return [order]
    return [order[groups[order] == group] for group in torch.unique(groups)]


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)
