"""The line that says, before a run starts, what it will need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sortingloss.widgets import words

if TYPE_CHECKING:
    from napari_sortingloss.training.devices import Estimate


def said_needs(found: Estimate) -> tuple[str, str]:
    """Return the line that says what a run needs, and its tooltip, with memory, disk, time and device."""
    time = words.duration(found.seconds)
    time = time if time.startswith("about") else f"about {time}"
    guess = "" if found.measured else " (a guess)"
    parts = (f"{words.size(found.memory_bytes)} of memory", f"{words.size(found.disk_bytes)} of disk")
    parts = (*parts, f"{time} on {found.device}{guess}")
    text = "needs " + ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
    tip = "" if found.measured else "The time becomes sure once such a run has been timed on this computer."
    return f"⚠ {found.problem}" if found.problem else text, tip
