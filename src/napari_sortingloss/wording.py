"""How numbers are said: sizes, times, voxel sizes; always with a unit."""

from __future__ import annotations

from collections.abc import Sequence

_LENGTHS = {"um": "µm", "micrometer": "µm", "millimeter": "mm", "nanometer": "nm"}
_STEPS = ("nm", "µm", "mm", "m")
_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Return a number of bytes as a person reads it, e.g. ``"24.0 GB"``."""
    for unit in _BYTES:
        if count < 1000 or unit == _BYTES[-1]:
            return f"{count:.0f} {unit}" if unit in ("B", "kB") or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Return a time as a person reads it, e.g. ``"about 4 min"`` or ``"20 s"``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"about {max(1, round(seconds / 60))} min"
    if seconds < 172800:
        return f"about {seconds / 3600:.1f} h"
    return f"about {seconds / 86400:.1f} days"


def pace(seconds: float) -> str:
    """Return what a step takes as a person reads it, e.g. ``"1.1 s a step"`` or ``"4 steps a second"``."""
    return f"{seconds:.2g} s a step" if seconds >= 0.7 else f"{1 / seconds:.2g} steps a second"


def number(value: float) -> str:
    """Return an intensity without exponent, e.g. ``"31,220"`` or ``"0.249"``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def voxels(shape: Sequence[int]) -> str:
    """Return a shape (z, y, x) as ``"64 × 128 × 128"``."""
    return " × ".join(map(str, shape))


def voxel_size(values: Sequence[float], unit: str) -> str:
    """Return a voxel size (z, y, x) with its unit, e.g. ``"25 µm"`` or ``"1.2 × 0.8 × 0.6 mm"``."""
    unit = _LENGTHS.get(unit, unit) or "px"
    texts = [f"{value:.3g}" for value in values]
    return f"{texts[0] if len(set(texts)) == 1 else ' × '.join(texts)} {unit}"


def voxel_sizes(values: Sequence[float], unit: str) -> str:
    """Return a voxel size (z, y, x) where there is little room: its range, e.g. ``"0.6–1.2 mm"``."""
    least, most = (voxel_size((end, end, end), unit) for end in (min(values), max(values)))
    return least if least == most else f"{least.split()[0]}–{most}"


def count(number: int, noun: str) -> str:
    """Return ``"1 volume"`` or ``"3 volumes"``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def length(value: float, unit: str) -> str:
    """Return a length with its unit, the larger one where that reads better: ``"5.8 mm"`` instead of 5800 µm."""
    unit = _LENGTHS.get(unit, unit)
    if unit in _STEPS and value:
        place = _STEPS.index(unit)
        while abs(value) >= 1000 and place + 1 < len(_STEPS):
            value, place = value / 1000, place + 1
        unit = _STEPS[place]
    return f"{value:,.0f} {unit or 'px'}" if abs(value) >= 9.95 else f"{value:.2g} {unit or 'px'}"


def area(value: float, unit: str) -> str:
    """Return an area with its unit, the larger one where that reads better, e.g. ``"1.2 mm²"`` or ``"340 px²"``."""
    unit = _LENGTHS.get(unit, unit)
    if unit in _STEPS and value:
        place = _STEPS.index(unit)
        while abs(value) >= 1e5 and place + 1 < len(_STEPS):
            value, place = value / 1e6, place + 1
        while abs(value) < 1e-3 and place > 0:
            value, place = value * 1e6, place - 1
        unit = _STEPS[place]
    return (
        f"{value:,.0f} {unit or 'px'}²" if abs(value) >= 9.95 or not value else f"{value:.2g} {unit or 'px'}²"
    )


def ago(seconds: float) -> str:
    """Return how long ago something was, e.g. ``"2 s ago"`` or ``"3 min ago"``."""
    if seconds < 1.5:
        return "just now"
    if seconds < 60:
        return f"{round(seconds)} s ago"
    if seconds < 5400:
        return f"{round(seconds / 60)} min ago"
    return f"{seconds / 3600:.0f} h ago" if seconds < 172800 else f"{seconds / 86400:.0f} days ago"
