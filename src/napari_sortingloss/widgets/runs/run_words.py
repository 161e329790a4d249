"""What a run is called, what tells it from the others, how good it is, and which is proposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from napari_sortingloss.networks import ENCODERS, SEGMENTERS
from napari_sortingloss.widgets.session.session import RunInfo

GOING_ON = ("running", "paused")

_TITLES = {info.name: info.title for info in (*ENCODERS, *SEGMENTERS)}

_TELL_APART = (
    *("task", "encoder", "network", "init", "also_from", "size", "slices", "pairs", "batch"),
    *(
        "augment",
        "pose",
        "zoom",
        "ranking",
        "learning_rate",
        "dropout",
        "take",
        "freeze",
        "held_back",
        "seed",
    ),
)
"""What runs differ in, the most telling first; how many steps they have stands in a column of its own."""


def figure(info: RunInfo) -> str:
    """Say how good a run is in a word or two, e.g. ``"0.9 of 16 slices"`` or ``"IoU 0.71"``; empty if it measured nothing.

    What was measured in training only says so.
    """
    unseen = info.headline("validation")
    found = unseen or info.headline("train")
    if found is None:
        return ""
    slices = info.settings.get("slices")
    if found.unit == " slices" and slices:
        text = f"{found.number:.1f} of {slices} slices"
    else:
        text = f"{found.short} {found.value}"
    return text if unseen is not None else f"{text} in training"


def entry(info: RunInfo) -> str:
    """Return a run's entry in a list to choose from: what it is called, how good it is, and where it is not done, how far."""
    parts = [info.title, figure(info)]
    step, steps = info.summary.get("step", 0), info.summary.get("steps", 0)
    if info.state in GOING_ON:
        parts.append("▶")
    elif info.state != "finished":
        parts.append(f"{info.state} at {step:,}" + (f" of {steps:,}" if steps else ""))
    return " · ".join(part for part in parts if part)


def differences(infos: Sequence[RunInfo], most: int = 2) -> dict[str, str]:
    """Return for each run without a name what its settings have that those of others in the list have not.

    Parameters
    ----------
    infos : sequence of RunInfo
    most : int
        How many differences are said of a run.
    """
    titles = {info.id: info.title for info in infos}
    values = {info.id: {"task": info.task, **info.settings} for info in infos}
    said: dict[str, list[str]] = {info.id: [] for info in infos}
    for name in _TELL_APART:
        shown = {run: _said(name, of.get(name), titles) for run, of in values.items() if name in of}
        if len(set(shown.values())) > 1:
            for run, text in shown.items():
                if text and len(said[run]) < most:
                    said[run].append(text)
    return {info.id: "" if info.name else ", ".join(said[info.id]) for info in infos}


def _said(name: str, value: Any, titles: Mapping[str, str]) -> str:
    if value in (None, ""):
        return ""
    text = _TITLES.get(str(value), titles.get(str(value), str(value)))
    if name == "size":
        return f"{text} px"
    if name in ("slices", "pairs"):
        return f"{text} {name}"
    if name in ("init", "also_from"):
        return f"{'from' if name == 'init' else 'also from'} {text}"
    if name in ("task", "encoder", "network", "pose"):
        return text
    return f"{name.replace('_', ' ')} {text}"


def best_run(infos: Iterable[RunInfo]) -> str:
    """Return the run to propose: the best finished one; an empty string where there is none at all.

    Only runs that were measured alike can be compared: those of the same task on the same volumes or slices. Of several
    such groups the one of the newest run counts. Where nothing is finished, runs that were stopped count, then those
    that are going on.

    Parameters
    ----------
    infos : iterable of RunInfo
        The newest first.
    """
    runs = list(infos)
    for states in (("finished",), ("stopped", "interrupted", "failed"), GOING_ON):
        group = [info for info in runs if info.state in states]
        if group:
            alike = [info for info in group if _measured(info) == _measured(group[0])]
            return min(alike, key=_badness).id  # of equally good ones the newest
    return ""


def _measured(info: RunInfo) -> tuple[Any, ...]:
    """Return what a run's figure depends on besides its network."""
    found, settings = info.headline(), info.settings
    unseen = info.headline("validation") is not None
    on = [tuple(settings.get(name) or ()) for name in ("validate", "kept", "classes")] if unseen else []
    task = [settings.get(name) for name in ("slices", "axes", "angle_step", "weighting")]
    return info.task, found.metric if found is not None else "", unseen, *on, *task


def _badness(info: RunInfo) -> float:
    found = info.headline()
    return 0.0 if found is None else found.number if found.lower_is_better else -found.number
