"""Puts every slice of whole volumes in the order a trained network believes, and tells which volume is upside down.

Imports no torch before the job runs: windows read the settings from here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadInput, BadSetting, readable_os_errors
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.pretext import displacement as d
from napari_sortingloss.pretext.directions import FLIPPED
from napari_sortingloss.settings import Setting, Settings

if TYPE_CHECKING:
    from napari_sortingloss.pretext.sorting.scoring import Scorer
    from napari_sortingloss.study import Run, Study, Volume

FILE = "order.json"

THUMBNAIL = 32
"""Side in pixels of the small copies by which empty slices are told."""

SAVE_EVERY = 5.0
"""Seconds after which what is done is saved; a cancelled job keeps it too."""


@dataclass(frozen=True)
class OrderSettings(Settings):
    """Which run orders which volumes."""

    run: Annotated[
        str,
        Setting(
            "The pre-training run whose network orders the slices (its id, the start of it, or its name).",
            hidden=True,
        ),
    ]
    volumes: Annotated[
        tuple[str, ...],
        Setting("The volumes to order, by name or pattern (fish_*); all when empty.", hidden=True),
    ] = ()
    weights: Annotated[
        Literal["best", "last"],
        Setting(
            "Which of the run's weights: the best on the validation volumes, or the last.",
            "Without validation volumes both are the last.",
            more=True,
        ),
    ] = "best"
    every: Annotated[
        int,
        Setting(
            "Looks at every slice (1), every second one (2), and so on.",
            "Raise it for a quick look at very long volumes.",
            unit="slices",
            low=1,
            high=10_000,
            more=True,
        ),
    ] = 1
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting("What computes: the graphics card where there is one, or the processor.", more=True),
    ] = "auto"
    threads: Annotated[
        int,
        Setting("How many processor cores compute; 0 for all.", low=0, high=1024, more=True),
    ] = 0


def order(study: Study, settings: OrderSettings) -> Iterator[Event]:
    """Score every slice of each volume, without augmentation, and compare the order of the scores with the true one.

    Parameters
    ----------
    study : Study
    settings : OrderSettings

    Yields
    ------
    Event
        `Progress`; a `Notice` for each volume that looks upside down; last a `Result` whose value has ``run``,
        ``step``, ``file`` and ``volumes``: for each volume what `describe` returns. The same, with the scores, is in
        ``order.json`` in the run's folder, together with volumes ordered by the same weights before.

    Raises
    ------
    BadSetting
        If the run trained another task.
    BadInput
        If it has no weights yet or damaged ones, or a volume has fewer than two slices.
    StudyError
        If there is no such run or volume.
    """
    from napari_sortingloss.pretext import can_order, choose_task_that
    from napari_sortingloss.pretext.sorting.scoring import load_scorer

    run = study.run(settings.run)
    if not can_order(run.task):
        raise BadSetting(
            f"Cannot order volumes with the run '{run.id}'",
            f"it trained the task '{run.task}', which scores no slices",
            choose_task_that(lambda task: task.orders_slices),
        )
    volumes = study.select(settings.volumes or None)
    if not volumes:
        raise BadInput(f"Cannot order the volumes of '{study.name}'", "it has none", "add volumes first")
    for volume in volumes:
        check_slices(volume)
    yield Progress(done=0, total=0, what="loading the network")
    found: dict[str, dict[str, Any]] = {}
    with load_scorer(run, settings.weights, settings.device, settings.threads) as scorer:
        kept = _earlier(run, scorer.step, study)
        scored, total = 0, sum(len(range(0, v.n_slices, settings.every)) for v in volumes)
        began = saved = time.monotonic()
        try:
            for volume in volumes:
                positions = np.arange(0, volume.n_slices, settings.every)
                parts: list[NDArray[np.float32]] = []
                thumbnails: list[NDArray[np.uint8]] = []
                for scores, small in scorer.score(volume, positions, THUMBNAIL):
                    parts.append(scores)
                    thumbnails.append(small)
                    scored += len(scores)
                    yield Progress(
                        done=scored,
                        total=total,
                        what=volume.name,
                        unit="slices",
                        seconds_left=(time.monotonic() - began) / scored * (total - scored),
                    )
                foreground = d.foreground_slices(np.concatenate(thumbnails))
                scores = np.concatenate(parts)
                found[volume.name] = {
                    **describe(volume, positions, scores, foreground, scorer.slices),
                    "positions": positions.tolist(),
                    "scores": [round(float(score), 5) for score in scores],
                }
                if found[volume.name]["flipped"]:
                    yield _upside_down(volume, found[volume.name]["spearman"])
                if time.monotonic() - saved > SAVE_EVERY:
                    _save(run, scorer, kept | found)
                    saved = time.monotonic()
        finally:
            if found:
                _save(run, scorer, kept | found)
        step = scorer.step
    hidden = {"positions", "scores"}
    results = [{key: value for key, value in entry.items() if key not in hidden} for entry in found.values()]
    yield Result(value={"run": run.id, "step": step, "file": str(run.path / FILE), "volumes": results})


def describe(
    volume: Volume,
    positions: NDArray[np.intp],
    scores: NDArray[np.floating],
    foreground: NDArray[np.bool_],
    k: int,
) -> dict[str, Any]:
    """Say what the scores of a volume's slices tell about it.

    Parameters
    ----------
    volume : Volume
    positions : ndarray, shape (n,)
        Ascending positions of the slices along the ordering axis.
    scores : ndarray, shape (n,)
    foreground : ndarray of bool, shape (n,)
        Which slices show something of the sample.
    k : int
        Slices in a batch of training.

    Returns
    -------
    dict
        ``name``, ``axis``, ``direction``, ``slices`` (n); ``mean_displacement`` over the whole volume in slices with
        ``random_displacement``, its expectation for a random order, ``mean_displacement_mm`` and
        ``random_displacement_mm`` where the unit is known; ``spearman``; ``flipped``, whether the order is clearly
        reversed; ``predicted``, the position the network gives to each slice; ``batch``, the figures of
        `order_figures` for batches of `k`, which compare with those of training.
    """
    from napari_sortingloss.pretext.sorting.scoring import order_figures
    from napari_sortingloss.slices.reader import MILLIMETRES

    displaced, chance = d.mean_distance(positions, scores, 1.0), d.random_distance(positions, 1.0)
    rho = d.spearman(positions, scores)
    predicted = np.interp(d.average_ranks(scores), np.arange(len(positions)), positions)
    entry: dict[str, Any] = {
        "name": volume.name,
        "axis": volume.axis,
        "direction": volume.direction,
        "slices": len(positions),
        "mean_displacement": displaced,
        "random_displacement": chance,
    }
    millimetres = MILLIMETRES.get(volume.unit)
    if millimetres is not None:
        spacing = volume.spacing * millimetres
        entry |= {"mean_displacement_mm": displaced * spacing, "random_displacement_mm": chance * spacing}
    batch = order_figures(positions, scores, foreground, k, volume, np.random.default_rng(0))
    return entry | {
        "spearman": rho,
        "flipped": rho < FLIPPED,
        "predicted": [round(float(p), 1) for p in predicted],
        "batch": {"slices": min(k, len(positions)), **{n: v for n, v in batch.items() if n != "spearman"}},
    }


def check_slices(volume: Volume) -> None:
    """See that a volume has slices to put in order.

    Raises
    ------
    BadInput
        If it has fewer than two along its ordering axis.
    """
    if volume.n_slices < 2:
        raise BadInput(
            f"Cannot order the slices of '{volume.name}'",
            f"it has only {volume.n_slices} along its ordering axis {volume.axis}",
            "choose another ordering axis in the study, or leave this volume out",
        )


def read_order(run: Run) -> Mapping[str, Any] | None:
    """Return the document that `order` wrote for a run, or ``None`` where there is none (or no readable one).

    Returns
    -------
    dict or None
        ``step``, ``slices`` and ``volumes``, by name. An entry is out of date where its ``axis`` or ``direction`` is no
        longer the volume's.
    """
    from napari_sortingloss.disk.atomic import read_json

    try:
        document = read_json(run.path / FILE)
    except (OSError, ValueError):
        return None
    return document if isinstance(document.get("volumes"), dict) else None


def _earlier(run: Run, step: int, study: Study) -> dict[str, dict[str, Any]]:
    """Volumes that the same weights ordered before and that are still in the study as they were."""
    document = read_order(run)
    if document is None or document.get("step") != step:
        return {}
    current = {name: (record.axis, record.direction) for name, record in study.volumes.items()}
    volumes: Mapping[str, dict[str, Any]] = document["volumes"]
    return {n: e for n, e in volumes.items() if current.get(n) == (e.get("axis"), e.get("direction"))}


def _save(run: Run, scorer: Scorer, volumes: Mapping[str, Mapping[str, Any]]) -> None:
    from napari_sortingloss.disk.atomic import write_json

    with readable_os_errors(f"Cannot save the order found by the run '{run.id}'"):
        write_json(run.path / FILE, {"step": scorer.step, "slices": scorer.slices, "volumes": volumes})


def _upside_down(volume: Volume, spearman: float) -> Notice:
    return Notice(
        level="warning",
        message=f"{volume.name} looks stored upside down: the network orders its slices the other way round "
        f"(Spearman {spearman:.2f}). Flip its direction in the study if so.",
    )


__all__: Sequence[str] = ["OrderSettings", "check_slices", "describe", "order", "read_order"]
