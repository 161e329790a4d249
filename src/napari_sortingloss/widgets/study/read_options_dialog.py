"""Asks how to read a file that does not say itself: which dataset of several, the shape of a raw file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.formats.naming import reading_fields
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.widgets.stage import allow
from napari_sortingloss.widgets.toolkit.forms import Form

READING = tuple(field.name for field in ReadOptions.fields() if not field.about.hidden)
"""The settings that say how files are read."""


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
    others : int
        How many files of the batch will be read in the same way.

    Attributes
    ----------
    form : Form
    again_button : QPushButton
    chosen : psygnal.Signal
        ``chosen(options)``: try again with these.
    """

    chosen = Signal(ReadOptions)

    def __init__(
        self,
        paths: Sequence[Path],
        error: UserError,
        options: ReadOptions,
        parent: QWidget | None = None,
        others: int = 0,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(
            f"How to read {paths[0].name}" if len(paths) == 1 else f"How to read {len(paths)} files"
        )
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        about = QLabel(str(error))
        about.setWordWrap(True)
        about.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        useful = {name for path in paths for name in reading_fields(path)}
        self.form = Form(ReadOptions, exclude=[name for name in READING if useful and name not in useful])
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
        if others + len(paths) > 1:
            layout.addWidget(
                QLabel(f"This holds for all {others + len(paths)} files that are about to be added.")
            )
        layout.addWidget(buttons)
        self.setMinimumWidth(440)

    def _check(self) -> None:
        error = self.form.error()
        allow(self.again_button, str(error) if error is not None else "")

    def _choose(self) -> None:
        self.chosen.emit(self.form.value())
        self.accept()
