"""The intensity window of files that are about to be added: that of all, or one file's own, drawn into its histogram."""

from __future__ import annotations

from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.study.exchange.window import parse_window
from napari_sortingloss.widgets.study.previews import Look
from napari_sortingloss.widgets.study.window_edit import DEFAULT, Histogram, WindowEdit
from napari_sortingloss.widgets.toolkit.theme import Colors


class WindowChoice(QWidget):
    """Shows and edits the window of the file in the preview.

    Attributes
    ----------
    edit : WindowEdit
    changed : psygnal.Signal
        ``changed(text)``: another window for whom it holds.
    own_wanted : psygnal.Signal
        ``own_wanted(on)``: the file is to have a window of its own, or no longer.
    """

    changed = Signal(str)
    own_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.label = QLabel("Window")
        self.edit = WindowEdit()
        self.edit.changed.connect(lambda: self.changed.emit(self.edit.value()))
        self.whom = QLabel()
        self.whom.setProperty("muted", True)
        self.own = QCheckBox("own window for this file")
        self.own.setToolTip("<p>Let this file have a window of its own; the others keep the common one.</p>")
        self.own.clicked.connect(self.own_wanted.emit)
        self.histogram = Histogram()
        self.histogram.dragged.connect(self.edit.set_values)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(8)
        layout.setVerticalSpacing(4)
        layout.addWidget(self.label, 0, 0)
        layout.addWidget(self.edit, 0, 1, 1, 2)
        layout.addWidget(self.whom, 1, 0, 1, 2)
        layout.addWidget(self.own, 1, 2)
        layout.addWidget(self.histogram, 2, 0, 1, 3)
        layout.setColumnStretch(1, 1)

    def show_window(self, text: str, common: str, *, files: int, own: int, mine: bool) -> None:
        """Show a window without telling anybody, and say for whom it holds.

        Parameters
        ----------
        text, common : str
            The window of the file in the preview, and that of all that have none of their own.
        files, own : int
            How many files there are, and how many of them have one of their own.
        mine : bool
            Whether the one in the preview has.
        """
        if text != self.edit.value():
            self.edit.show_value(text)
        others = f"for the {files - own} others" if files - own > 1 else "for the other one"
        said = "for this file only" if mine else others if own else f"for all {files}"
        try:
            parse_window(text)
        except UserError as error:
            said = f"⚠ {error.why}"
        self.whom.setText(said)
        self.whom.setToolTip(f"The others have {common}" if mine else "")
        self.whom.setVisible(files > 1 or said.startswith("⚠"))
        self.own.setVisible(files > 1)
        self.own.setChecked(mine)

    def draw(self, look: Look | None) -> tuple[float, float]:
        """Draw the histogram of a file and the window into it; return the ends of the window in its grey values."""
        if look is None:
            self.histogram.clear_data()
            return 0.0, 1.0
        greys = look.preview.greys
        self.edit.set_measured(*greys.window(DEFAULT))
        try:
            ends = greys.window(self.edit.value())
        except UserError:  # said above
            ends = greys.window(DEFAULT)
        self.histogram.set_data(look.preview.counts, look.preview.edges, *ends)
        return ends

    def apply_theme(self, colors: Colors) -> None:
        """Restyle the histogram."""
        self.histogram.apply_theme(colors)
