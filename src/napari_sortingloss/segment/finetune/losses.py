"""The loss of a segmentation with unknown pixels: cross-entropy and Dice of what is known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sortingloss.slices import IGNORE


def segmentation_loss(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return cross-entropy plus Dice loss over the known pixels.

    Parameters
    ----------
    logits : Tensor, shape (n, 1 + classes, h, w)
        Of any precision; computed with in float32.
    target : Tensor of uint8, shape (n, h, w)
        0 background, k for class number k, ``IGNORE`` unknown.
    weights : Tensor of float32, shape (1 + classes,), optional
        How much a pixel of each class counts in the cross-entropy.

    Returns
    -------
    Tensor of float32
        A scalar; exactly 0, with a gradient of 0, where no pixel is known.

    Notes
    -----
    The Dice term is 1 - 2 |P T| / (|P| + |T|) (Milletari et al., V-Net, 2016), with P the predicted probabilities and T
    the truth over all pixels of the batch, averaged over the classes (background aside) that occur in it: a class that
    does not occur has no overlap to speak of, and its false pixels are the cross-entropy's business.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.float()
        return cross_entropy(logits, target, weights) + dice_loss(logits, target)


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over the known pixels, 0 where there is none."""
    each = F.cross_entropy(logits, target.long(), weight=weights, ignore_index=IGNORE, reduction="sum")
    if weights is None:
        total = (target != IGNORE).sum()
    else:
        total = torch.cat([weights, weights.new_zeros(IGNORE + 1 - len(weights))])[target.long()].sum()
    return each / total.clamp(min=1e-6)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Dice loss of the classes that occur, background aside; 0 where none does."""
    classes = torch.arange(1, logits.shape[1], device=logits.device)
    truth = target[:, None] == classes[:, None, None]
    found = logits.softmax(dim=1)[:, 1:] * (target != IGNORE)[:, None]
    common = (found * truth).sum((0, 2, 3))
    sizes = truth.sum((0, 2, 3))
    dice = 2 * common / (found.sum((0, 2, 3)) + sizes).clamp(min=1e-6)
    occurs = (sizes > 0).float()
    return ((1 - dice) * occurs).sum() / occurs.sum().clamp(min=1)


def confusion(found: Tensor, target: Tensor, kinds: int) -> Tensor:
    """Count how often each true kind of pixel (rows) was taken for each other (columns); unknown pixels do not count.

    Parameters
    ----------
    found, target : Tensor of integers, shape (n, h, w)
        0 background, k for class number k; ``IGNORE`` in `target` for unknown.
    kinds : int
        1 + classes.

    Returns
    -------
    Tensor of int64, shape (kinds, kinds)
        On the device.
    """
    if target.device.type != "cpu":
        return _confusion_by_product(found, target, kinds)
    truth = target.long()
    pairs = torch.where(truth == IGNORE, kinds * kinds, truth * kinds + found.long())
    numbers = torch.bincount(pairs.reshape(-1), minlength=kinds * kinds + 1)
    return numbers[: kinds * kinds].reshape(kinds, kinds)


def _confusion_by_product(found: Tensor, target: Tensor, kinds: int) -> Tensor:
    """Do the same without waiting for the device, which ``bincount`` does to learn the largest number.

    Exact for slices of up to 2 ** 24 pixels, as many as float32 can count.
    """
    every = torch.arange(kinds, device=target.device)[:, None]
    with torch.autocast(target.device.type, enabled=False):
        rows = (target.flatten(1)[:, None] == every).float()
        columns = (found.flatten(1)[:, None] == every).float()
        return (rows @ columns.mT).to(torch.int64).sum(0)


def iou_of(counts: Tensor) -> Tensor:
    """Return the intersection over union of each kind from a table of `confusion`; NaN where there is no union.

    Parameters
    ----------
    counts : Tensor, shape (kinds, kinds)

    Returns
    -------
    Tensor of float64, shape (kinds,)
        Float32 on devices without double precision.
    """
    numbers = counts.to(torch.float32 if counts.device.type == "mps" else torch.float64)
    both = numbers.diagonal()
    return both / (numbers.sum(0) + numbers.sum(1) - both)
