"""Where a new study is to be made for files that were chosen before one was open: proposed beside them, and changeable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_sortingloss import wording
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.toolkit.background import Background


@dataclass(frozen=True)
class Place:
    """A folder that a study could be made in.

    Attributes
    ----------
    folder : Path
    free : int
        Bytes on its disk; 0 where that is not known.
    problem : str
        Why no study can be made there; empty if one can.
    remark : str
        What a person should know, e.g. why it is not beside the files.
    """

    folder: Path
    free: int = 0
    problem: str = ""
    remark: str = ""


def propose(files: Sequence[Path], home: Path) -> Place:
    """Propose a folder beside files, or in the home folder where nothing can be written beside them.

    Reads the disk: not for the GUI thread.

    Parameters
    ----------
    files : sequence of Path
        The files and folders chosen; none for layers of the viewer.
    home : Path
    """
    first = files[0].absolute() if files else None
    beside = first.parent if first is not None else home
    whole = first is not None and first.is_dir()
    called = first.name if whole and first is not None else beside.name if files else "my"
    writable = os.access(beside, os.W_OK)
    folder, number = (beside if writable else home) / f"{called or 'my'}-study", 1
    free = folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    place = look_at_place(free)
    if writable:
        return place
    return Place(
        place.folder, place.free, place.problem, f"In your home folder: nothing can be written to '{beside}'."
    )


def look_at_place(folder: Path) -> Place:
    """Say whether a study can be made in a folder. Reads the disk: not for the GUI thread."""
    if (folder / "study.json").exists():
        return Place(folder, problem="there is a study already: open it, or choose another name")
    if folder.is_file() or (
        folder.is_dir() and any(not one.name.startswith(".") for one in folder.iterdir())
    ):
        return Place(folder, problem="there is something of that name: choose another one")
    there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    if there is None or not os.access(there, os.W_OK):
        return Place(
            folder, problem=f"nothing can be written to '{there or folder.parent}': choose another place"
        )
    return Place(folder, shutil.disk_usage(there).free)


class NewStudy(QWidget):
    """Name and place of the study that will be made.

    Parameters
    ----------
    background : Background
        Looks at the disk.

    Attributes
    ----------
    place : Place or None
        None while it is being looked at.
    changed : psygnal.Signal
    """

    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._parent_folder = Path()
        self.place: Place | None = None
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the new study")
        self.name.setToolTip("A study is a folder that holds your volumes and everything made from them")
        self.name.textEdited.connect(lambda *_: self._on_name())
        self.where = QLabel()
        self.where.setProperty("muted", True)
        self.where.setMinimumWidth(40)
        self.elsewhere = QPushButton("Elsewhere…")
        self.elsewhere.setProperty("small", True)
        self.elsewhere.setToolTip("Choose another folder for the study")
        self.elsewhere.clicked.connect(lambda *_: self._ask())
        self.remark = QLabel()
        self.remark.setWordWrap(True)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(8)
        layout.setVerticalSpacing(3)
        layout.addWidget(QLabel("New study"), 0, 0)
        layout.addWidget(self.name, 0, 1)
        layout.addWidget(self.elsewhere, 0, 2)
        layout.addWidget(self.where, 1, 1, 1, 2)
        layout.addWidget(self.remark, 2, 0, 1, 3)
        layout.setColumnStretch(1, 1)
        self._say()

    def propose_for(self, files: Sequence[Path]) -> None:
        """Propose a place for a study of these files; what a person chose stays."""
        if self._parent_folder == Path():
            self.place = None
            chosen = list(files)
            self._background.run(lambda: propose(chosen, Path.home()), self._take, topic="place")

    def forget(self) -> None:
        """Begin anew for other files."""
        self._background.drop("place")
        self._parent_folder, self.place = Path(), None
        self._say()

    @property
    def why_not(self) -> str:
        """Why no study can be made; empty if one can."""
        if self.place is None:
            return "The place of the new study is being looked at"
        return (
            f"No study can be made in '{self.place.folder}': {self.place.problem}"
            if self.place.problem
            else ""
        )

    def _ask(self) -> None:
        folder = dialogs.choose_new_study(self, start=self.place.folder if self.place is not None else None)
        if folder is not None:
            self._look_at(folder)

    def _on_name(self) -> None:
        name = self.name.text().strip()
        if not name or name in (".", "..") or set(name) & set('/\\:*?"<>|'):
            self._background.drop("place")
            self._take(
                Place(self._parent_folder / "?", problem='a name without / \\ : * ? " < > | is needed'), name
            )
        else:
            self._look_at(self._parent_folder / name)

    def _look_at(self, folder: Path) -> None:
        self.place = None
        self.changed.emit()
        self._background.run(lambda: look_at_place(folder), self._take, topic="place")

    def _take(self, place: Place, typed: str | None = None) -> None:
        self.place, self._parent_folder = place, place.folder.parent
        if typed is None and self.name.text().strip() != place.folder.name:
            self.name.setText(place.folder.name)
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        place = self.place
        said = f"⚠ {place.problem}" if place is not None and place.problem else place.remark if place else ""
        self.remark.setText(said)
        self.remark.setVisible(bool(said))
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Fit the path into the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        place = self.place
        free = f" · {wording.size(place.free)} free" if place is not None and place.free else ""
        path = f"in {self._parent_folder}" if place is not None else "looking for a place…"
        metrics = self.where.fontMetrics()
        room = max(60, self.where.width() - metrics.horizontalAdvance(free) - 4)
        self.where.setText(metrics.elidedText(path, Qt.TextElideMode.ElideMiddle, room) + free)
        self.where.setToolTip(str(place.folder) if place is not None else "")
