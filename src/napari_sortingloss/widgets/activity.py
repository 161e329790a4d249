"""Shows a job in napari's activity dock as well; used on the GUI thread only."""

from __future__ import annotations

from typing import Any

from napari.utils import progress

from napari_sortingloss.events import Progress


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
