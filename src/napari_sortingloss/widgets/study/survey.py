"""Looks at the files of a batch in the background: the one in the preview at once, the others one after the other."""

from __future__ import annotations

from psygnal import Signal

from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.widgets.study.batch import Batch
from napari_sortingloss.widgets.study.previews import Candidate, Look, look_at
from napari_sortingloss.widgets.toolkit.background import Background


class Survey:
    """Fills the looks of a batch; each file is read once, and again only if it is to be read in another way.

    Parameters
    ----------
    background : Background

    Attributes
    ----------
    batch : Batch
    reading : ReadOptions
        How the files are read.
    looked : psygnal.Signal
        ``looked(candidate)``: more is known of one of them, or why nothing can be.
    """

    looked = Signal(object)

    def __init__(self, background: Background) -> None:
        self._background = background
        self._turn = 0
        self._at_work: set[str] = set()
        self.batch, self.reading = Batch(), ReadOptions()

    def begin_anew(self) -> None:
        """Forget the batch, and what is still being read for it."""
        self._turn += 1
        self._at_work = set()
        self.batch = Batch()

    def read_otherwise(self, options: ReadOptions) -> bool:
        """Read files in another way from now on; return whether it is another one."""
        names = [
            f.name for f in options.fields() if getattr(options, f.name) != getattr(self.reading, f.name)
        ]
        self.reading = options
        self.batch.forget_looks(names)
        return bool(names)

    def go_on(self, first: Candidate | None) -> None:
        """Look at a candidate if that was not done, and see to it that some other one is being looked at."""
        if first is not None and self.batch.to_look_at(first) is first and first.label not in self._at_work:
            self._look(first)
        if not self._at_work:
            following = self.batch.to_look_at(None)
            if following is not None:
                self._look(following)

    def _look(self, candidate: Candidate) -> None:
        turn, options = self._turn, self.reading
        self._at_work.add(candidate.label)

        def take(found: Look | BaseException) -> None:
            if turn != self._turn:
                return
            self._at_work.discard(candidate.label)
            if not candidate.reading or options == self.reading:
                if isinstance(found, Look):
                    self.batch.take_look(found)
                else:
                    self.batch.problems[candidate.label] = found
            self.looked.emit(candidate)

        self._background.run(lambda: look_at(candidate, options), take, take)
