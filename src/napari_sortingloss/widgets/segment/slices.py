"""On which annotated slices a run of fine-tuning will train, and on which it is measured, in a line; knows no Qt."""

from __future__ import annotations

from napari_sortingloss import wording
from napari_sortingloss.segment.finetune.plan import FEWEST
from napari_sortingloss.widgets.annotated import Annotated
from napari_sortingloss.widgets.runs.split import ASIDE, Split


def said_slices(annotated: Annotated, split: Split | None, share: float) -> str:
    """Return on what is trained, e.g. ``"5 complete, 2 partial slices in 3 volumes · 1 held back"``.

    Parameters
    ----------
    annotated : mapping of str to AnnotatedLook
    split : Split or None
        Which volumes to train on and to measure on; all of them to train on if None.
    share : float
        Of the slices, to be held back where no volume is there to measure on.
    """
    looks = _used(annotated, split)
    if not looks:
        return "no annotated slices yet"
    complete = sum(look.count("complete") for look in looks.values())
    partial = sum(look.count("partial") for look in looks.values())
    parts = [f"{n} {what}" for n, what in ((complete, "complete"), (partial, "partial")) if n]
    noun = "slice" if complete + partial == 1 else "slices"
    text = f"{', '.join(parts) or 'no'} {noun} in {wording.count(len(looks), 'volume')}"
    kept = measured_on(annotated, split, share)
    if split is not None and split.validate:
        return f"{text} · {kept} to measure on, in {wording.count(len(split.validate), 'volume')}"
    return f"{text} · {kept} held back" if kept else f"{text} · none held back: no scores"


def measured_on(annotated: Annotated, split: Split | None, share: float) -> int:
    """Return on how many slices a run measures; the parameters are those of `said_slices`."""
    looks = _used(annotated, split)
    if split is not None and split.validate:
        return sum(len(look.slices) for name, look in looks.items() if name in split.validate)
    return held_back(sum(look.count("complete") + look.count("partial") for look in looks.values()), share)


def _used(annotated: Annotated, split: Split | None) -> Annotated:
    used = split or Split(tuple(annotated))
    return {name: look for name, look in annotated.items() if used.of(name) != ASIDE}


def about_slices(annotated: Annotated) -> list[str]:
    """Return a line for each annotated volume, and what is done with slices that are held back."""
    lines = [
        f"{name}: {look.count('complete')} complete, {look.count('partial')} partial"
        for name, look in annotated.items()
    ]
    return [
        *lines,
        f"Held back: not trained on, to measure how good the network is; none of fewer than {FEWEST}.",
    ]


def held_back(slices: int, share: float) -> int:
    """Return how many slices a run holds back, as far as can be told without reading what is painted on them."""
    return max(1, round(share * slices)) if share and slices >= FEWEST else 0
