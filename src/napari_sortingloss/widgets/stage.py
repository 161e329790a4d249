"""The frame every stage has: message bar, scrolling content, job strip, and the primary button that is always visible."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.widgets.background import Background
from napari_sortingloss.widgets.errors import MessageBar
from napari_sortingloss.widgets.jobstrip import JobStrip
from napari_sortingloss.widgets.lifetime import DockedWidget, follow
from napari_sortingloss.widgets.session import Session, session_of
from napari_sortingloss.widgets.shortcuts import ShortcutList, bind, keys_of
from napari_sortingloss.widgets.stage_layers import stage_layers_of
from napari_sortingloss.widgets.theme import Colors, follow_theme, style_sheet

WIDTH = 400


class Stage(DockedWidget):
    """Base of the Study, Pre-train, … dock widgets.

    A subclass fills `body` (a vertical layout that scrolls), calls `add_button` for the buttons at the bottom (the
    primary one last), follows the session with ``self.follow(self.session.study_changed, self._on_study)``, and runs
    whatever touches files with ``self.background.run(fn, then)``.

    Parameters
    ----------
    viewer : napari.Viewer
        Or napari's public proxy of one.

    Attributes
    ----------
    title : str
        The name of the stage, as in the menu.
    key : str
        Its name in the shortcut registry.
    own_jobs : collection of str
        Kinds of jobs whose progress the stage shows itself; the strip leaves them out.
    session : Session
    bar : MessageBar
    background : Background
        Its errors go to `bar`.
    body : QVBoxLayout
    """

    title: ClassVar[str] = ""
    key: ClassVar[str] = "any"
    own_jobs: ClassVar[Collection[str]] = ()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.session: Session = session_of(viewer)
        self.bar = MessageBar(self, study=lambda session=self.session: session.study)
        self.background = Background(self, error=self.bar.show_error)
        self.strip = JobStrip(self.session.jobs, hidden_kinds=self.own_jobs)
        self._primary: QPushButton | None = None

        content = QWidget()
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(2, 2, 2, 2)
        self.body.setSpacing(6)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(content)
        self.scroll = scroll

        help_button = QToolButton()
        help_button.setText("?")
        help_button.setProperty("quiet", True)
        help_button.setToolTip(f"Keys of this panel ({keys_of('any.help')})")
        help_button.setAccessibleName("Keys of this panel")
        help_button.clicked.connect(self.show_shortcuts)
        self._footer = QHBoxLayout()
        self._footer.addWidget(help_button)
        self._footer.addStretch(1)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        layout.addWidget(self.bar)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.strip)
        layout.addLayout(self._footer)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setMinimumWidth(350)

        self.bind("any.help", self.show_shortcuts)
        self.bind("any.primary", self._click_primary)
        self.bind("any.cancel", self.strip.cancel_running)
        self.bind("any.dismiss", self.bar.clear)
        self.follow(self.session.failed, self.bar.show_error)
        follow_theme(self, viewer, self.apply_theme)

    @property
    def in_sight(self) -> bool:
        """Whether a person sees this stage, not another tab."""
        return self.isVisibleTo(self.window())

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the width of a napari dock."""
        return QSize(WIDTH, 600)

    def follow(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect a signal to a method of this stage for as long as the stage lives."""
        follow(self, signal, slot)

    def bind(self, shortcut_id: str, action: Callable[[], object]) -> None:
        """Give an action its key of the registry."""
        bind(self, shortcut_id, action)

    def add_button(
        self, text: str, action: Callable[[], object], tooltip: str = "", *, primary: bool = False
    ) -> QPushButton:
        """Add a button at the bottom; the primary one goes last, at the right."""
        button = QPushButton(text)
        button.setToolTip(tooltip)
        button.clicked.connect(lambda *_: action())
        if primary:
            button.setProperty("primary", True)
            self._primary = button
        self._footer.addWidget(button)
        return button

    def show_shortcuts(self) -> None:
        """List the keys."""
        ShortcutList(self.key, self).show()

    def go_to(self, stage: str) -> None:
        """Show another stage: its tab in the Workbench, or its dock."""
        self.session.show_stage(stage)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle; a subclass with plots of its own extends this."""
        self.colors = colors
        self.setStyleSheet(style_sheet(colors))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Watch the window this stage is in, to end its jobs with it."""
        super().showEvent(event)
        self._order_tabs()
        if self.session.viewer is not None:
            stage_layers_of(self.session.viewer).came(self.key)
        window = self.window()
        if isinstance(window, QMainWindow):
            self.session.attach_window(window)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Let the stage that comes into sight show its own layers; a window that is only minimised keeps them."""
        super().hideEvent(event)
        if not event.spontaneous() and self.session.viewer is not None:
            stage_layers_of(self.session.viewer).went(self.key)

    def _order_tabs(self) -> None:
        """Let Tab reach the buttons at the bottom after the content, whatever was made first."""
        content = self.scroll.widget()
        last, step = content, content.nextInFocusChain()
        while step is not content:
            if content.isAncestorOf(step) and step.focusPolicy() != Qt.FocusPolicy.NoFocus:
                last = step
            step = step.nextInFocusChain()
        for index in range(self._footer.count()):
            widget = self._footer.itemAt(index).widget()
            if widget is not None:
                self.setTabOrder(last, widget)
                last = widget

    def _click_primary(self) -> None:
        if self._primary is not None and self._primary.isVisible():
            self._primary.click()


def allow(button: QWidget, why_not: str, tooltip: str = "") -> None:
    """Enable a button, or disable it and let its tooltip say why.

    Parameters
    ----------
    button : QWidget
    why_not : str
        Empty when the button may be pressed.
    tooltip : str
        What it says when enabled.
    """
    button.setEnabled(not why_not)
    button.setToolTip(why_not or tooltip)


def set_property(widget: QWidget, name: str, value: object) -> None:
    """Set a property that the style sheet looks at; the widget is only drawn anew where it is another one."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def copy_to_clipboard(text: str) -> None:
    """Put text on the clipboard."""
    QApplication.clipboard().setText(text)
