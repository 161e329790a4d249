"""What the forms of both stages that train ask: where to run, and what to call the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QSizePolicy

from napari_sortingloss.errors import UserError
from napari_sortingloss.study.runs.names import checked_name
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.fields import calm_wheel, narrow

HERE, DETACHED = "here", "detached"


class WhereToRun(QComboBox):
    """Inside napari, or in a process of its own.

    Parameters
    ----------
    here, detached : str
        What the two are called: there is not the same room everywhere.

    Attributes
    ----------
    changed : psygnal.Signal
    """

    changed = Signal()

    def __init__(self, here: str, detached: str) -> None:
        super().__init__()
        self.addItem(here, HERE)
        self.addItem(detached, DETACHED)
        self.setToolTip(
            "<p>A run inside napari leaves one processor core to the viewer and ends with napari (it can go on later). "
            "A process of its own takes all cores and goes on when napari is closed.</p>"
        )
        self.setAccessibleName("Run")
        calm_wheel(narrow(self))
        self.currentIndexChanged.connect(lambda *_: self.changed.emit())

    @property
    def detached(self) -> bool:
        """Whether a process of its own was chosen."""
        return bool(self.currentData() == DETACHED)

    def choose(self, where: Any) -> None:
        """Choose one of the two; the first where it is neither."""
        self.setCurrentIndex(max(0, self.findData(where) if isinstance(where, str) else 0))


class RunName(QLineEdit):
    """An optional name for the next run.

    Attributes
    ----------
    changed : psygnal.Signal
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._runs: Sequence[RunInfo] = ()
        self.setPlaceholderText("optional")
        self.setToolTip(
            "<p>A name to tell the run by, in lists and on the command line. It can be changed later: F2 in the table of "
            "runs.</p>"
        )
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.textChanged.connect(lambda *_: self.changed.emit())

    def set_runs(self, runs: Sequence[RunInfo]) -> None:
        """Take the runs there are, whose names are taken."""
        self._runs = runs

    def value(self) -> str:
        """Return the name, empty for none."""
        return " ".join(self.text().split())

    def error(self) -> UserError | None:
        """Return why it cannot be used, or None."""
        try:
            checked_name(self.text(), self._runs)
        except UserError as error:
            return error
        return None
