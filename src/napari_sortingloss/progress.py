"""Counts the slices of a job that goes on where an earlier one stopped, and says how long the rest will take."""

from __future__ import annotations

import time

from napari_sortingloss.events import Progress


class SliceCounter:
    """Counts slices over all volumes and axes of a job."""

    def __init__(self) -> None:
        self._total = self._done = self._free = 0
        self._began = time.monotonic()

    def expect(self, slices: int) -> None:
        """Count slices that there are to do, or that were done before."""
        self._total += slices

    def had(self, slices: int) -> None:
        """Count slices that an earlier job did: they say nothing about speed."""
        self._done += slices
        self._free += slices

    def add(self, slices: int) -> None:
        """Count slices that were done now."""
        self._done += slices

    def progress(self, what: str) -> Progress:
        """Return how far all is; the time that is left only once something was done now."""
        own = self._done - self._free
        left = (time.monotonic() - self._began) / own * (self._total - self._done) if own else None
        return Progress(done=self._done, total=self._total, what=what, unit="slices", seconds_left=left)
