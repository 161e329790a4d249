"""The one figure that says how good a run is, whatever its task, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_sortingloss.errors import UserError
from napari_sortingloss.pretext import TASKS, load_object, settings_for
from napari_sortingloss.training.curves import Curve, main_curve
from napari_sortingloss.training.settings import TrainSettings


@dataclass(frozen=True)
class Headline:
    """The main figure of a run.

    Attributes
    ----------
    title : str
        What it is, e.g. ``"mean displacement"``.
    value : str
        With two decimals.
    unit : str
        With a space before it, or empty.
    random : str
        What a network that knows nothing shows, with two decimals; empty where that is not known.
    measured_on : str
        On how many volumes, ``"1 of 2"``, where some were left out of it, see `measured_on`; empty otherwise.
    metric : str
        The name of the figure among those of a split.
    number : float
    chance : float or None
        What `random` says.
    lower_is_better : bool
    """

    title: str
    value: str
    unit: str
    random: str
    measured_on: str = ""
    metric: str = ""
    number: float = 0.0
    chance: float | None = None
    lower_is_better: bool = False

    @property
    def short(self) -> str:
        """The title without "mean"."""
        return self.title.removeprefix("mean ")

    @property
    def beside(self) -> str:
        """The value with the level of chance beside it, where that is known, and on what it was measured if not on all."""
        random = f" (random {self.random})" if self.random else ""
        return self.value + random + (f" on {self.measured_on} volumes" if self.measured_on else "")


_SETTINGS = {"finetune": "napari_sortingloss.segment.settings:FinetuneSettings"}
"""Kinds of runs that have no tasks to choose from, and their settings."""


def main_figure(kind: str, task: str, settings: Mapping[str, Any]) -> Curve | None:
    """Return the figure that a run is judged by, from the curves of its settings; imports no torch.

    Parameters
    ----------
    kind, task : str
        As of `napari_sortingloss.study.Run`.
    settings : mapping
        What the run was given. Where it can no longer be read, the figure is that of the defaults.

    Returns
    -------
    Curve or None
        ``None`` for a task that is not known here.
    """
    if kind not in _SETTINGS and task not in TASKS:
        return None
    found: type[TrainSettings] = load_object(_SETTINGS[kind]) if kind in _SETTINGS else settings_for(task)
    try:
        curves = found.from_json(settings).curves()
    except UserError:
        curves = found().curves()
    return main_curve(curves)


def headline(values: Mapping[str, Any] | None, curve: Curve | None) -> Headline | None:
    """Return the main figure among those of a split, or None where there is none yet.

    Parameters
    ----------
    values : mapping or None
        As in the ``values`` of `napari_sortingloss.events.Metrics`; what chance reaches is measured beside a figure
        where it depends on the volumes (``random_displacement``), and otherwise is that of the curve.
    curve : Curve or None
        See `main_figure`.
    """
    value = None if curve is None else (values or {}).get(curve.metric)
    if curve is None or value is None:
        return None
    chance = (values or {}).get(f"random_{curve.metric.removeprefix('mean_')}", curve.chance)
    unit = f"{'' if curve.unit in _CLOSE else ' '}{curve.unit}" if curve.unit else ""
    return Headline(
        title=curve.title,
        value=f"{value:.2f}",
        unit=unit,
        random="" if chance is None else f"{chance:.2f}",
        measured_on=measured_on(values or {}),
        metric=curve.metric,
        number=float(value),
        chance=chance,
        lower_is_better=curve.lower_is_better,
    )


_CLOSE = ("°", "%")


def measured_on(values: Mapping[str, Any]) -> str:
    """Say on how many volumes figures were measured, e.g. ``"1 of 2"``; empty where it was all of them.

    Parameters
    ----------
    values : mapping
        ``left_out`` is the share of the volumes that were not counted, ``volumes`` how many there were; a run that
        was trained before that was noted has no ``volumes``.
    """
    left_out, volumes = values.get("left_out", 0.0), values.get("volumes")
    if not left_out:
        return ""
    if volumes is None:
        return f"{100 * (1 - left_out):.0f} % of the"
    return f"{round((1 - left_out) * volumes)} of {volumes:.0f}"
