"""Turns what can go wrong while training into sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from napari_sortingloss.errors import BadSetting, OutOfMemory, UserError

_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device's or the computer's memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def out_of_memory() -> OutOfMemory:
    """Return the sentence for memory that does not suffice although all was tried."""
    return OutOfMemory(
        "Cannot train with these settings",
        "a step needs more memory than the computer or its graphics card has free",
        "lower the size or the number of slices, choose a smaller encoder, or close other programs",
    )


def not_a_number(step: int) -> UserError:
    """Return the sentence for a loss or for weights that are not finite."""
    return UserError(
        f"Training stopped at step {step}",
        "the loss is no longer a number",
        "resume from the last checkpoint with a lower learning rate, or with precision 32",
    )


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether every number of every tensor is finite; one synchronisation."""
    norms = torch._foreach_norm([t.detach() for t in tensors if t.is_floating_point() and t.numel()])
    return math.isfinite(float(torch.stack([n.float() for n in norms]).sum())) if norms else True


def all_steps_done(run: str, step: int) -> BadSetting:
    """Return what is said of a run that cannot go on to so few steps."""
    return BadSetting(
        f"Cannot go on with '{run}'", f"it has done all its {step} steps", f"ask for more than {step} steps"
    )
