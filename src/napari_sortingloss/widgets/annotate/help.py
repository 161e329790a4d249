"""Which keys do what over the annotations, as they are at the moment: napari's own tools, less the keys that are ours."""

from __future__ import annotations

from collections.abc import Collection

from napari.settings import get_settings

from napari_sortingloss.study.classes import BACKGROUND
from napari_sortingloss.widgets.toolkit.shortcuts import keys_of

TOOLS = {
    "brush": "napari:activate_labels_paint_mode",
    "eraser": "napari:activate_labels_erase_mode",
    "fill": "napari:activate_labels_fill_mode",
    "swap with unpainted": "napari:swap_selected_and_background_labels",
    "move": "napari:activate_labels_pan_zoom_mode",
}
"""What our words for napari's tools are, and what napari calls them."""


def tool_keys(taken: Collection[str]) -> dict[str, str]:
    """Return the key of each of napari's tools, as its settings say; a tool of which all keys are taken has none.

    Parameters
    ----------
    taken : collection of str
        Keys that are ours over the annotations, as napari writes them, e.g. ``"1"``.
    """
    shortcuts = get_settings().shortcuts.shortcuts
    found = {}
    for tool, action in TOOLS.items():
        keys = [str(key) for key in shortcuts.get(action, ()) if str(key) not in taken]
        letters = [key for key in keys if not key.isdigit()]  # a digit may be a class tomorrow
        if keys:
            found[tool] = (letters or keys)[0]
    return found


def said_tools(taken: Collection[str]) -> str:
    """Return how to paint and erase by key in a line, e.g. ``"P brush · E eraser · F fill · G polygon"``."""
    return " · ".join(f"{key} {tool}" for key, tool in _all(taken) if tool != "move")


def status_help(taken: Collection[str]) -> str:
    """Return what napari's status bar is to say instead of the keys it would have without us."""
    classes = sorted(key for key in taken if key.isdigit() and key != "0")
    first = f"{classes[0]} … {classes[-1]} paint a class, " if classes else ""
    return f"{first}0 known background (label {BACKGROUND}), " + ", ".join(
        f"{k} {tool}" for k, tool in _all(taken)
    )


def _all(taken: Collection[str]) -> list[tuple[str, str]]:
    keys = [(key, tool) for tool, key in tool_keys(taken).items()]
    return [*keys, (keys_of("annotate.polygon"), "polygon")]
