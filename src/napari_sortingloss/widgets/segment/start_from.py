"""The list of what a run of fine-tuning can begin with: fresh weights, an encoder, or an earlier run to train on from."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy

from napari_sortingloss.pretext import TASKS
from napari_sortingloss.segment.settings import SCRATCH
from napari_sortingloss.widgets.runs.run_table import figures
from napari_sortingloss.widgets.runs.run_words import best_run, entry
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.elided_combo import ElidedCombo
from napari_sortingloss.widgets.toolkit.fields import calm_wheel

KIND = "finetune"


class StartFrom(ElidedCombo):
    """Proposes the best pre-trained encoder until a person chooses.

    Attributes
    ----------
    wish : str
        What a person chose, whether or not it is there now; empty for the proposal.
    changed : psygnal.Signal
        Another one was chosen or proposed, or its settings are other ones.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._infos: dict[str, RunInfo] = {}
        self.wish = ""
        self._filling = False
        self._said: object = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setProperty("slim", True)  # an entry says how good the run is, too
        calm_wheel(self)
        self.currentIndexChanged.connect(lambda *_: self._on_index())
        self.activated.connect(lambda *_: self._on_activated())
        self.set_runs(())

    @property
    def run(self) -> str:
        """What the next run begins with: a run's id, or ``"scratch"``."""
        return str(self.currentData())

    @property
    def info(self) -> RunInfo | None:
        """What is known of it; None for fresh weights."""
        return self._infos.get(self.run)

    @property
    def trains_on(self) -> bool:
        """Whether the next run begins with an earlier fine-tuning run."""
        return self.info is not None and self.info.kind == KIND

    def choose(self, run: str) -> None:
        """Choose what to start from, now or as soon as it is there; an empty string for what is proposed."""
        self.wish = run
        index = self.findData(self._proposed())
        if index >= 0:
            self.setCurrentIndex(index)

    def forget(self) -> None:
        """Begin anew, for another study."""
        self.wish = ""
        self.set_runs(())

    def set_runs(self, infos: Sequence[RunInfo]) -> None:
        """Take the runs there are, the newest first; what a person chose stays, otherwise the best encoder is proposed."""
        usable = [info for info in infos if can_begin_with(info)]
        usable.sort(key=lambda info: info.kind != KIND)  # those of fine-tuning first: a person trains on
        self._infos = {info.id: info for info in usable}
        ids = [*self._infos, SCRATCH]
        self._filling = True
        try:
            if ids != [self.itemData(i) for i in range(self.count())]:
                self.clear()
                for run in ids:
                    self.addItem("", run)
            self.setCurrentIndex(ids.index(self._proposed()))
        finally:
            self._filling = False
        for i, run in enumerate(ids):
            self.setItemText(i, self._title(run))
            self.setItemData(i, self._about(run), Qt.ItemDataRole.ToolTipRole)
        self._on_index()

    def _proposed(self) -> str:
        if self.wish in self._infos or self.wish == SCRATCH:
            return self.wish
        return best_run(info for info in self._infos.values() if info.kind != KIND) or SCRATCH

    def _title(self, run: str) -> str:
        info = self._infos.get(run)
        if info is None:
            return "scratch (nothing learnt yet)"
        return entry(info)

    def _about(self, run: str) -> str:
        info = self._infos.get(run)
        if info is None:
            return "Fresh weights: to compare with, or where no run suits"
        if info.kind == KIND:
            what = "the whole network of that run, trained on"
        else:
            what = f"the encoder of {TASKS[info.task].title if info.task in TASKS else info.task}"
        return "\n".join((info.id, what, *figures(info)[:1]))

    def _on_activated(self) -> None:
        self.wish = self.run
        self.changed.emit()

    def _on_index(self) -> None:
        if self._filling:
            return
        self.setToolTip(f"<p>{self._about(self.run)}</p>")
        info = self.info
        now = (self.run, None if info is None else (info.kind, dict(info.settings)))
        if now != self._said:  # runs are looked at every second or so
            self._said = now
            self.changed.emit()


def can_begin_with(info: RunInfo) -> bool:
    """Return whether a run has weights that fine-tuning can begin with."""
    return info.kind in ("pretrain", KIND) and bool(info.summary.get("step"))
