"""The tick that lets a run learn also from what the run that it begins with has predicted."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal

from napari_sortingloss import wording
from napari_sortingloss.widgets.predicted import Predicted
from napari_sortingloss.widgets.toolkit.shortcuts import KeyedCheckBox

ABOUT = (
    "<p>Where the run was sure, what it predicted of {} teaches too: slices that nobody painted, half of the pieces. It pays most "
    "where volumes were predicted along all three axes. How sure is said under <i>More</i>.</p>"
)
FIRST = (
    "<p>Predict volumes with this run first, and tick <i>Write where it is unsure</i> in the menu behind <i>Predict</i>; "
    "best along all three axes.</p>"
)


class LearnAlso(KeyedCheckBox):
    """A tick box that is there for runs of fine-tuning and can be ticked where one has predicted something.

    Attributes
    ----------
    changed : psygnal.Signal
        It was ticked or unticked, by a person or because the run can no longer teach.
    wish : str
        The run of which a person ticked it, whether or not that can teach now; empty for none.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._run = ""
        self._predicted: Predicted = {}
        self.wish = ""
        self.give_key("segment.learn_also")
        self.toggled.connect(lambda *_: self.changed.emit())
        self.clicked.connect(lambda on: self._on_clicked(on))
        self._say()

    @property
    def run(self) -> str:
        """The run whose predictions are learnt from; empty for none."""
        return self._run if self.isChecked() else ""

    def set_run(self, run: str) -> None:
        """Take the run that the next one begins with; empty where that is none of fine-tuning."""
        if run != self._run:
            if self.wish == self._run:  # leaving it takes the tick away
                self.wish = ""
            self._run = run
            self.setChecked(False)
        self._say()

    def set_predicted(self, predicted: Predicted) -> None:
        """Take what has been predicted."""
        self._predicted = predicted
        self._say()

    def choose(self, run: str) -> None:
        """Tick it for a run, now or as soon as it is about that one, and that can teach."""
        self.wish = run
        self.setChecked(False)
        self._say()

    def volumes(self) -> Sequence[str]:
        """Return the volumes that the run has predicted, and said how sure it was."""
        found = []
        for name, looks in self._predicted.items():
            look = looks.get(self._run)
            if look is not None and look.complete and look.value is not None and look.value.has_uncertainty:
                found.append(name)
        return found

    def _say(self) -> None:
        volumes = self.volumes()
        self.setVisible(bool(self._run))
        self.setEnabled(bool(volumes))
        self.setToolTip(ABOUT.format(wording.count(len(volumes), "volume")) if volumes else FIRST)
        behind = f" ({len(volumes)})" if volumes else ""
        self.setText(f"Lear&n also from its predictions{behind}")
        if not volumes:
            self.setChecked(False)
        elif self.wish == self._run:
            self.setChecked(True)

    def _on_clicked(self, on: bool) -> None:
        self.wish = self._run if on else ""
        self.changed.emit()
