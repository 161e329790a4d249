"""The head of the Study stage: which study is open, where, how much room its disk has; Open… and New…."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from napari_sortingloss import wording
from napari_sortingloss.widgets.toolkit.shortcuts import Button, KeyedToolButton, keys_of


class StudyHeader(QWidget):
    """Name, place and free space of the study.

    Attributes
    ----------
    open_requested, new_requested : psygnal.Signal
        The buttons.
    recent_requested : psygnal.Signal
        ``recent_requested(path)``: one of the recent studies was chosen.
    """

    open_requested = Signal()
    new_requested = Signal()
    recent_requested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.name = QLabel("No study open")
        self.name.setProperty("heading", True)
        self.name.setMinimumWidth(40)
        self.open_button = KeyedToolButton()
        self.open_button.setText("&Open…")
        self.open_button.give_key("study.open")
        self.open_button.setToolTip(f"Open a study, or one of the recent ones ({keys_of('study.open')})")
        self.open_button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.open_button.clicked.connect(lambda *_: self.open_requested.emit())
        self._recent = QMenu(self)
        self.open_button.setMenu(self._recent)
        self.new_button = Button("&New…", "study.new")
        self.new_button.setToolTip(f"Make an empty study ({keys_of('study.new')})")
        self.new_button.clicked.connect(lambda *_: self.new_requested.emit())
        self.place = QLabel()
        self.place.setProperty("muted", True)
        self.place.setMinimumWidth(40)
        self._path: Path | None = None
        self._free = 0
        top = QHBoxLayout()
        top.addWidget(self.name, 1)
        top.addWidget(self.open_button)
        top.addWidget(self.new_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(top)
        layout.addWidget(self.place)
        self.set_recent(())

    def set_study(self, path: Path | None, free: int) -> None:
        """Show a study and the free bytes of its disk."""
        self._path, self._free = path, free
        self.name.setText(path.name if path is not None else "No study open")
        self._elide()

    def set_recent(self, paths: Sequence[Path]) -> None:
        """List the recent studies."""
        self._recent.clear()
        for path in paths:
            entry = self._recent.addAction(f"{path.name}   —   {path.parent}")
            entry.triggered.connect(lambda *_, path=path: self.recent_requested.emit(path))
        if not paths:
            self._recent.addAction("(no recent studies)").setEnabled(False)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Fit the path into the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        self.place.setVisible(self._path is not None)
        if self._path is None:
            return
        free = f" · {wording.size(self._free)} free" if self._free else ""
        metrics = self.place.fontMetrics()
        room = max(60, self.width() - metrics.horizontalAdvance(free) - 8)
        path = metrics.elidedText(str(self._path), Qt.TextElideMode.ElideMiddle, room)
        self.place.setText(path + free)
        self.place.setToolTip(str(self._path))
