"""The ordering axis of files that are about to be added: proposed with its reason, and shown by five slices along it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_sortingloss.widgets.study.axis_edit import AxisEdit
from napari_sortingloss.widgets.study.previews import STRIP, Look, look_strip
from napari_sortingloss.widgets.toolkit.pictures import Row
from napari_sortingloss.widgets.toolkit.sentence import Sentence
from napari_sortingloss.widgets.toolkit.theme import Colors

if TYPE_CHECKING:
    from napari_sortingloss.study.exchange.axis_proposal import AxisProposal

HEIGHT = 66


class AxisChoice(QWidget):
    """Axis, direction, what is proposed, and the slices.

    Attributes
    ----------
    edit : AxisEdit
    changed : psygnal.Signal
        Another axis or direction holds; a proposal that is taken over tells it too.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._chosen = False
        self._proposal: AxisProposal | None = None
        self.edit = AxisEdit()
        self.edit.changed.connect(self._on_edit)
        self.proposal = Sentence(muted=True)
        self.proposal.linkActivated.connect(self._take)
        self.strip = Row(STRIP, HEIGHT)
        self.strip.setToolTip("Slices along the ordering axis, first to last, as they will be added")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(8)
        form.setVerticalSpacing(4)
        form.addRow("Ordering axis", self.edit)
        form.addRow(self.proposal)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(form)
        layout.addWidget(self.strip)

    def value(self) -> tuple[str, str]:
        """Return (axis, direction)."""
        return self.edit.value()

    def begin_anew(self, axis: str, direction: str) -> None:
        """Forget what a person chose and what was proposed, without telling anybody."""
        self._chosen, self._proposal = False, None
        self.edit.set_value(axis, direction)
        self.proposal.clear()

    def propose(self, proposal: AxisProposal | None) -> None:
        """Take an axis over unless a person chose one, and say why; None while nothing is known."""
        self._proposal = proposal
        axis, direction = self.value()
        if proposal is not None and not self._chosen and proposal.axis != axis:
            self.edit.set_value(proposal.axis, direction)
            self.changed.emit()
        self._say()

    def draw(
        self,
        look: Look | None,
        window: tuple[float, float],
        voxel_size: tuple[float, float, float],
        why_not: str,
    ) -> None:
        """Show the slices of a file, or say why there are none."""
        if look is None:
            self.strip.clear(why_not)
        else:
            self.strip.set_images(*look_strip(look, *self.value(), window, voxel_size))

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self.proposal.apply_theme(colors)
        self._say()

    def _on_edit(self) -> None:
        self._chosen = True
        self._say()
        self.changed.emit()

    def _take(self, axis: str) -> None:
        self.edit.set_value(axis, self.value()[1])
        self._on_edit()

    def _say(self) -> None:
        proposal = self._proposal
        if proposal is None:
            text = "Looking which axis stands out…"
        elif not proposal.sure:
            text = "No axis stands out; most scanners stack slices along z."
        elif proposal.axis == self.value()[0]:
            text = f"Proposed: {escape(proposal.reason)}."
        else:
            link = self.proposal.link(proposal.axis, f"Take {proposal.axis}")
            text = f"⚠ {proposal.axis} stands out: {escape(proposal.reason)}. {link}"
        self.proposal.setText(text)
