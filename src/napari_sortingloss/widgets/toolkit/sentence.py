"""A label for a sentence with links in it, as wide as there is room."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_sortingloss.widgets.toolkit.theme import Colors


class Sentence(QLabel):
    """Shows HTML; ``linkActivated(target)`` tells which link was followed.

    Parameters
    ----------
    muted : bool
        Whether it matters less than what is around it.
    """

    def __init__(self, *, muted: bool = False) -> None:
        super().__init__()
        self._color = ""
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setProperty("muted", muted)

    def apply_theme(self, colors: Colors) -> None:
        """Take the colour of links; it shows in what is said from now on."""
        self._color = colors.train

    def link(self, target: str, text: str) -> str:
        """Return a link for a sentence."""
        return f'<a href="{escape(target)}" style="color: {self._color}">{escape(text)}</a>'
