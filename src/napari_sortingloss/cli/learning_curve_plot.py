"""Draws a learning curve: mean IoU against the number of annotated slices, a line for each beginning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sortingloss.cli.svg import BLUE, GREEN, GREY, ORANGE, Line, plot

FILE = "curve.svg"
ASIDE = 0.008
"""How far neighbouring beginnings stand apart, of the width of the picture."""

COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")


def write_plot(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write ``curve.svg`` beside the figures of a curve.

    Parameters
    ----------
    folder : Path
        The curve's own.
    result : mapping
        What ``learning-curve`` found.

    Returns
    -------
    Path

    Raises
    ------
    OutOfSpace, UserError
        If it cannot be written.
    """
    from napari_sortingloss.disk.atomic import write_bytes
    from napari_sortingloss.errors import readable_os_errors

    path = folder / FILE
    with readable_os_errors("Cannot draw the learning curve"):
        write_bytes(path, draw(result).encode())
    return path


def draw(result: Mapping[str, Any]) -> str:
    """Return the curve as an ``<svg>`` element.

    Parameters
    ----------
    result : mapping
        What ``learning-curve`` found; its ``title`` is that of the picture, where there is one.

    Notes
    -----
    Upright bars are one standard deviation over seeds both ways. Beginnings stand a little beside each other, so that their
    bars can be told apart.
    """
    lines = []
    furthest = max((p["annotated"] for arm in result["arms"] for p in arm["points"]), default=0)
    aside = ASIDE * furthest
    titles = [arm["title"] for arm in result["arms"]]
    for i, arm in enumerate(result["arms"]):
        colour = GREY if arm["init"] == "scratch" else COLOURS[i % len(COLOURS)]
        name = arm["title"] if titles.count(arm["title"]) == 1 else arm["init"]
        points = [point for point in arm["points"] if point["mean_iou"]["mean"] is not None]
        x = [p["annotated"] + (i - (len(titles) - 1) / 2) * aside for p in points]
        y = [p["mean_iou"]["mean"] for p in points]
        lines.append(Line(name, x, y, colour))
        for at, point in zip(x, points, strict=True):
            mean, sd = point["mean_iou"]["mean"], point["mean_iou"]["sd"]
            if sd is not None:
                lines.append(Line("", [at, at], [mean - sd, mean + sd], colour))
    return plot(
        lines,
        title=result.get("title", "Learning curve"),
        x_label="annotated slices in all",
        y_label="mean IoU on volumes never trained on",
        size=(640, 360),
        from_zero=False,
    )
