"""Earlier versions of a volume's annotations: when, what happened then, and a button that brings one back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.editor import Version


class VersionsDialog(QDialog):
    """Lists the moments one can go back to, the newest first.

    Parameters
    ----------
    volume : str
    versions : sequence of Version
        The oldest first.
    parent : QWidget or None

    Attributes
    ----------
    restore_requested : psygnal.Signal
        ``restore_requested(Version)``.
    """

    restore_requested = Signal(object)

    def __init__(self, volume: str, versions: Sequence[Version], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Earlier versions of {volume}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.versions = tuple(reversed(versions))
        about = QLabel(
            "All of what was painted since then is taken back, in one step that can be undone: nothing is lost."
        )
        about.setWordWrap(True)
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["when", "what"])
        self.list.setRootIsDecorated(False)
        self.list.setAlternatingRowColors(True)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setAccessibleName("Versions")
        for version in self.versions:
            self.list.addTopLevelItem(QTreeWidgetItem([moment(version.time), version.text]))
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.restore_button = buttons.addButton("Restore", QDialogButtonBox.ButtonRole.ActionRole)
        self.restore_button.clicked.connect(lambda *_: self._restore())
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(self.list, 1)
        layout.addWidget(buttons)
        self.list.currentItemChanged.connect(lambda *_: self._update())
        self.resize(460, 320)
        self._update()

    @property
    def chosen(self) -> Version | None:
        """The version that is selected."""
        at = self.list.indexOfTopLevelItem(self.list.currentItem()) if self.list.currentItem() else -1
        return self.versions[at] if at >= 0 else None

    def _update(self) -> None:
        self.restore_button.setEnabled(self.chosen is not None)
        self.restore_button.setToolTip("" if self.chosen is not None else "Select a version first")

    def _restore(self) -> None:
        version = self.chosen
        if version is not None:
            self.restore_requested.emit(version)
            self.accept()


def moment(time: str) -> str:
    """Return a time as a person of this place reads it; nothing where it is not known."""
    try:
        then = datetime.fromisoformat(time).astimezone()
    except ValueError:
        return time
    today = datetime.now().astimezone().date()
    return then.strftime("%H:%M" if then.date() == today else "%Y-%m-%d %H:%M")
