"""Asks how to read a file that does not say itself: which dataset of several, the shape of a raw file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.widgets.forms import Form
from napari_sortingloss.widgets.stage import allow


class ReadingDialog(QDialog):
    """Edits `ReadOptions` for the files that were chosen.

    Parameters
    ----------
    paths : sequence of Path
    error : UserError
        Why one of them could not be read without.
    options : ReadOptions
        Those that it was tried with.
    parent : QWidget or None

    Attributes
    ----------
    form : Form
    again_button : QPushButton
    chosen : psygnal.Signal
        ``chosen(options)``: try again with these.
    """

    chosen = Signal(ReadOptions)

    def __init__(
        self, paths: Sequence[Path], error: UserError, options: ReadOptions, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(
            f"How to read {paths[0].name}" if len(paths) == 1 else f"How to read {len(paths)} files"
        )
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        about = QLabel(str(error))
        about.setWordWrap(True)
        about.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.form = Form(ReadOptions)
        self.form.set_value(options)
        if self.form.fold is not None:
            self.form.fold.set_open(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.again_button = buttons.addButton("Look again", QDialogButtonBox.ButtonRole.ActionRole)
        self.again_button.setDefault(True)
        self.again_button.clicked.connect(lambda *_: self._choose())
        buttons.rejected.connect(self.reject)
        self.form.changed.connect(self._check)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(self.form)
        layout.addWidget(buttons)
        self.setMinimumWidth(440)

    def _check(self) -> None:
        error = self.form.error()
        allow(self.again_button, str(error) if error is not None else "")

    def _choose(self) -> None:
        self.chosen.emit(self.form.value())
        self.accept()
