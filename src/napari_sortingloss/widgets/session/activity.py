"""Shows a job in napari's activity dock as well; used on the GUI thread only."""

from __future__ import annotations

from typing import Any

from napari.utils import progress
from qtpy.QtWidgets import QLabel, QMainWindow

from napari_sortingloss.events import Progress

SPEED = 10
"""Per cent of its own speed at which napari's sign of being at work turns."""


def calm_spinner(window: QMainWindow) -> None:
    """Let the sign that napari shows in its status bar while a job works turn slowly.

    Each of its 29 pictures a second has the whole window put together anew. Where no graphics card does that (remote
    desktops, virtual machines) it takes a third of the time from a run that trains inside napari.

    Parameters
    ----------
    window : QMainWindow
    """
    for label in window.statusBar().findChildren(QLabel):
        movie = label.movie()
        if movie is not None:
            movie.setSpeed(SPEED)


class Activity:
    """One job's bar in the activity dock.

    Parameters
    ----------
    title : str
        What the bar says until the job says what it is doing.
    """

    def __init__(self, title: str) -> None:
        self._bar: Any = progress(desc=title, total=0, gui=True)  # gui: nothing is printed to the terminal
        self._title = title

    def show(self, event: Progress) -> None:
        """Move the bar."""
        if event.total and self._bar.total != event.total:
            self._bar.total = event.total
        self._bar.update(event.done - self._bar.n)
        self._bar.set_description(event.what or self._title)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
