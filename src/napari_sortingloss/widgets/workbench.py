"""All stages as tabs in one dock widget."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import QApplication, QSizePolicy, QTabWidget, QVBoxLayout

from napari_sortingloss.widgets.segment.stage import SegmentWidget
from napari_sortingloss.widgets.session.session import session_of
from napari_sortingloss.widgets.stage import SMALLEST, WIDTH, Stage
from napari_sortingloss.widgets.stages import STAGES
from napari_sortingloss.widgets.toolkit.lifetime import DockedWidget, follow
from napari_sortingloss.widgets.toolkit.theme import Colors, follow_theme, style_sheet


class Workbench(DockedWidget):
    """The stages, one tab each, in the order of the work.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        session = session_of(napari_viewer)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setExpanding(True)
        self.tabs.tabBar().setProperty("tight", True)
        self.tabs.setMinimumSize(*SMALLEST)
        self.stages: dict[str, Stage] = {}
        for title, place in STAGES.items():
            module, _, name = place.partition(":")
            stage = getattr(import_module(module), name)(napari_viewer)
            self.stages[title] = stage
            self.tabs.addTab(stage, title)
        self.tabs.currentChanged.connect(self._on_tab)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        follow(self, session.stage_requested, self.show_stage)
        follow_theme(self, napari_viewer, self.apply_theme)

    def show_stage(self, title: str) -> None:
        """Bring a stage to the front."""
        if title in self.stages:
            self.tabs.setCurrentWidget(self.stages[title])

    def show_prediction(self, volume: str, run: str) -> None:
        """Show what a run predicted for the current volume, as the Segment stage does after predicting it."""
        stage = self.stages["Segment"]
        assert isinstance(stage, SegmentWidget)
        stage.shown.finish(volume, run)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Let the keys of the stage in front work after a click on its tab."""
        super().focusInEvent(event)
        self.tabs.currentWidget().setFocus(event.reason())

    def _on_tab(self) -> None:
        """Let the focus come along to another stage, to where its keys work; Qt would choose its first button."""
        if self.isAncestorOf(QApplication.focusWidget()) and not self.tabs.tabBar().hasFocus():
            self.tabs.currentWidget().setFocus()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle the tabs."""
        self.setStyleSheet(style_sheet(colors))

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the width of a napari dock."""
        return QSize(WIDTH + 10, 640)
