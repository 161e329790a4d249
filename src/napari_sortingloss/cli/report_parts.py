"""The small pieces of HTML that the chapters of the demo's report are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sortingloss.cli.svg import BLUE, GREEN, Line
from napari_sortingloss.events import Matrix, Metrics, Snapshot

if TYPE_CHECKING:
    from napari_sortingloss.study import Run
    from napari_sortingloss.study.classes import LabelClass

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Log:
    """What a run wrote down while it trained.

    Attributes
    ----------
    train, validation : dict of str to list of (int, float)
        Each figure at the steps where it was measured.
    snapshot : Snapshot or None
        The last one.
    matrix : Matrix or None
        The last one.
    """

    train: Mapping[str, Points]
    validation: Mapping[str, Points]
    snapshot: Snapshot | None
    matrix: Matrix | None

    @classmethod
    def of(cls, run: Run) -> Log:
        """Read the log of a run."""
        train: dict[str, Points] = {}
        validation: dict[str, Points] = {}
        snapshot: Snapshot | None = None
        matrix: Matrix | None = None
        for event in run.events():
            if isinstance(event, Metrics):
                into = train if event.split == "train" else validation
                for key, value in event.values.items():
                    into.setdefault(key, []).append((event.step, value))
            elif isinstance(event, Snapshot):
                snapshot = event
            elif isinstance(event, Matrix):
                matrix = event
        return cls(train, validation, snapshot, matrix)


def chapter(number: int, key: str, title: str, body: str) -> str:
    """Return a chapter that the contents can point to."""
    return f'<h2 id="{key}"><small>{number}</small>{escape(title)}</h2>{body}'


def figures(said: Sequence[tuple[str, str]]) -> str:
    """Return boxes with a figure and what it says; the first is the main one."""
    return (
        '<div class="figures">'
        + "".join(
            f'<div class="figure{" main" * (not i)}"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
            for i, (value, what) in enumerate(said)
        )
        + "</div>"
    )


def picture(address: str, caption: str) -> str:
    """Return a picture with its caption."""
    return f'<figure><img alt="{escape(caption)}" src="{address}"><figcaption>{escape(caption)}</figcaption></figure>'


def chips(classes: Sequence[LabelClass]) -> str:
    """Return the key to the colours of the classes."""
    return (
        '<div class="chips">'
        + "".join(f"<span>{chip(one.color)}{escape(one.name)}</span>" for one in classes)
        + "</div>"
    )


def chip(colour: str) -> str:
    """Return a small square of a colour."""
    return f'<i class="chip" style="background:{colour}"></i>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> str:
    """Return a table that scrolls sideways where the page is narrow; its cells are HTML.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequence of str
    numbers_from : int
        The first column that holds numbers.
    """

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' * (i >= numbers_from)}>{cell}</{tag}>" for i, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells("th", head)}</tr>{body}</table></div>'


def lines(train: Points, validation: Points) -> list[Line]:
    """Return the two lines of a figure, that of the training smoothed."""
    drawn = [Line("training", *smoothed(train), BLUE)] if train else []
    if validation:
        drawn.append(Line("validation", [s for s, _ in validation], [v for _, v in validation], GREEN, "6 3"))
    return drawn


def smoothed(points: Points, about: int = 80) -> tuple[list[float], list[float]]:
    """Average neighbouring points, so that a noisy curve of any length becomes about `about` points."""
    if not points:
        return [], []
    every = max(1, len(points) // about)
    groups = [points[i : i + every] for i in range(0, len(points), every)]
    return (
        [float(np.mean([s for s, _ in group])) for group in groups],
        [float(np.mean([v for _, v in group])) for group in groups],
    )


def names(of: Sequence[str]) -> str:
    """Join names as a sentence would: ``"a, b and c"``."""
    return of[0] if len(of) == 1 else f"{', '.join(of[:-1])} and {of[-1]}" if of else "none"


def number(value: Any, digits: int = 2) -> str:
    """Say a figure; a dash where it is not known."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"
