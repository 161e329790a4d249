"""Draws line plots as SVG text, so that a report is one file that needs no library to be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's colours: distinguishable with any colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#888888"


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes
    ----------
    name : str
        Its entry in the legend.
    x, y : sequence of float
        Its points, equally many.
    colour : str
    dash : str
        An SVG dash pattern, ``""`` for a solid line.
    dots : bool
        Whether to draw dots instead of a line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = BLUE
    dash: str = ""
    dots: bool = False


def plot(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    level: tuple[float, str] | None = None,
    size: tuple[int, int] = (460, 280),
    from_zero: bool = True,
) -> str:
    """Draw lines over common axes; the horizontal one starts at zero.

    Parameters
    ----------
    lines : sequence of Line
    title, x_label, y_label : str
    level : tuple of (float, str), optional
        A horizontal reference and its name, e.g. the random level.
    size : tuple of int
        Width and height in px.
    from_zero : bool
        Whether the vertical axis starts at zero too, and not just below the lowest point.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    width, height = size
    left, right, top, bottom = 52, 14, 34, 42
    xs = [v for line in lines for v in line.x] or [0.0, 1.0]
    ys = [v for line in lines for v in line.y] + ([level[0]] if level else []) or [0.0, 1.0]
    lowest = min(0.0, min(ys)) if from_zero else min(ys)
    x_ticks, y_ticks = (
        ticks(min(0.0, min(xs)), max(xs)),
        ticks(lowest, max(ys) + 0.04 * abs(max(ys) - lowest)),
    )
    x0, x1, y0, y1 = x_ticks[0], max(x_ticks[-1], max(xs)), y_ticks[0], max(y_ticks[-1], max(ys))

    def px(x: float) -> float:
        return left + (x - x0) / (x1 - x0 or 1) * (width - left - right)

    def py(y: float) -> float:
        return height - bottom - (y - y0) / (y1 - y0 or 1) * (height - top - bottom)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="11" fill="currentColor">',
        f"<title>{escape(title)}</title>",
        f'<text x="{left}" y="16" font-size="13" font-weight="600">{escape(title)}</text>',
    ]
    for tick in x_ticks:
        parts.append(
            f'<text x="{px(tick):.1f}" y="{height - bottom + 16}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in y_ticks:
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{py(tick):.1f}" y2="{py(tick):.1f}" '
            f'stroke="currentColor" stroke-opacity=".12"/>'
            f'<text x="{left - 6}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    parts.append(
        f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate(14 {(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    if level is not None:
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{py(level[0]):.1f}" y2="{py(level[0]):.1f}" '
            f'stroke="{GREY}" stroke-dasharray="2 4"/>'
            f'<text x="{width - right}" y="{py(level[0]) + 13:.1f}" text-anchor="end" fill="{GREY}">'
            f"{escape(level[1])}</text>"
        )
    for line in lines:
        points = [(px(x), py(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        if line.dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" fill="{line.colour}"/>' for x, y in points]
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="1.8"{dash}/>'
            )
    named = [line for line in lines if line.name]
    room = [38 + 6 * len(line.name) for line in named]
    for i, line in enumerate(named):
        x = width - right - sum(room[i:])
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(
            f'<line x1="{x}" x2="{x + 18}" y1="26" y2="26" stroke="{line.colour}" stroke-width="2"{dash}/>'
            f'<text x="{x + 22}" y="30">{escape(line.name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Choose round tick positions that cover `low` to `high`."""
    span = high - low or 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first = math.floor(low / step + 1e-9) * step
    count = math.floor((high - first) / step + 1e-9)
    return [round(first + i * step, 10) for i in range(count + 1)]
