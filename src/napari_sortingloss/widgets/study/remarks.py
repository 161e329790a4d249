"""What is worth a look in a batch before it is added, in sentences whose links lead to the files they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from napari_sortingloss.study.exchange.differences import Described, differences

if TYPE_CHECKING:
    from napari_sortingloss.study.exchange.grey_values import Fill
    from napari_sortingloss.widgets.study.batch import Batch
    from napari_sortingloss.widgets.study.previews import Candidate

NAMED = 3
"""So many files are named; of more, the number is said."""
PERCENTILES = "percentiles"
"""The link that gives files, which the common window does not suit, one of their own."""

Link = Callable[[str, str], str]
"""``link(target, text)``; a target is the place of a file in the batch, or `PERCENTILES`."""


def on_fills(candidates: Sequence[Candidate], fills: Mapping[str, Fill], link: Link) -> list[str]:
    """Name the files whose window does not suit them; `fills` are by `Candidate.label`."""
    poor = [
        (i, one, fills[one.label])
        for i, one in enumerate(candidates)
        if one.label in fills and fills[one.label].poor
    ]
    if not poor:
        return []
    named = _listed([f"{link(str(i), one.name)} ({fill})" for i, one, fill in poor])
    who = f"{len(poor)} of {len(candidates)} files fill" if len(candidates) > 1 else "The file fills"
    mend = link(PERCENTILES, f"Give {'it' if len(poor) == 1 else 'them'} percentiles")
    return [
        f"⚠ {who} less than a third of the window, or lie{'s' * (len(candidates) == 1)} above it: {named}. {mend}"
    ]


def on_axes(batch: Batch, axis: str, link: Link) -> list[str]:
    """Name the files in which another axis stands out, unless it does in most: that is said beside the axis."""
    proposal = batch.proposal()
    otherwise = {one.label for one in batch.running_otherwise(axis)}
    if not otherwise or proposal is None or (proposal.sure and proposal.axis != axis):
        return []
    named = [
        f"{link(str(i), one.name)} ({batch.looks[one.label].proposal.axis})"
        for i, one in enumerate(batch.candidates)
        if one.label in otherwise
    ]
    return [f"⚠ Another axis than {axis} stands out in {_listed(named)}."]


def on_differences(volumes: Sequence[Described], coming: Sequence[Described]) -> list[str]:
    """Say what makes the files unlike each other, or unlike the volumes of the study."""
    return [f"⚠ {escape(sentence)}" for sentence in differences([*volumes, *coming])] if coming else []


def on_progress(batch: Batch) -> list[str]:
    """Say how many files have been looked at, until all have."""
    count = len(batch.candidates)
    seen = len({*batch.looks, *batch.problems})
    return [f"Looked at {seen} of {count} files…"] if 1 < count != seen else []


def _listed(named: Sequence[str]) -> str:
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return ", ".join(named[:NAMED]) + more
