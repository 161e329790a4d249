"""The frame every stage has: scrolling content, message bar, job strip, the buttons at the bottom, and where the keys go."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, ClassVar

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QFocusEvent, QHideEvent, QKeyEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QFrame,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.widgets.session.job_strip import JobStrip
from napari_sortingloss.widgets.session.jobs import Job, MakeJob
from napari_sortingloss.widgets.session.session import Session, session_of
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.flow import FlowRow
from napari_sortingloss.widgets.toolkit.lifetime import DockedWidget, follow
from napari_sortingloss.widgets.toolkit.message_bar import MessageBar
from napari_sortingloss.widgets.toolkit.page import Page
from napari_sortingloss.widgets.toolkit.shortcuts import (
    Button,
    ShortcutList,
    bind,
    is_editor,
    is_typed,
    keys_of,
)
from napari_sortingloss.widgets.toolkit.small_screen import fit_screen
from napari_sortingloss.widgets.toolkit.theme import Colors, follow_theme, style_sheet
from napari_sortingloss.widgets.viewer.stage_layers import stage_layers_of

STUDY = "study"
"""What opening, making and looking at a study is called among the things that can be tried again."""
EDIT = "edit"
"""What changing something by hand is called among them."""
WIDTH = 400
SMALLEST = (60, 40)
"""So that six panels fit a screen of 720 pixels at a scale of 1.5."""
LEAST = 120
"""The least height of the scrolling part; a panel lower than that, or narrower than its buttons, scrolls as a whole."""


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
    frame : QVBoxLayout
        The scrolling part with `body`, and below it what never scrolls away: the job strip and the buttons.
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
        self.page = page = Page(content, self.bar)
        page.setMinimumHeight(LEAST)
        self.scroll = page.scroll

        help_button = QToolButton()
        help_button.setText("?")
        help_button.setProperty("quiet", True)
        help_button.setToolTip(f"Keys of this panel ({keys_of('any.help')})")
        help_button.setAccessibleName("Keys of this panel")
        help_button.clicked.connect(self.show_shortcuts)
        self._footer = FlowRow()
        self._footer.add(help_button, pin=True)

        whole = QWidget()
        self.frame = QVBoxLayout(whole)
        self.frame.setContentsMargins(6, 6, 6, 6)
        self.frame.setSpacing(6)
        self.frame.addWidget(page, 1)
        self.frame.addWidget(self.strip)
        self.frame.addWidget(self._footer)
        outer = QScrollArea()
        outer.setWidgetResizable(True)
        outer.setFrameShape(QFrame.Shape.NoFrame)
        outer.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        outer.setWidget(whole)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(outer)
        self.setMinimumSize(*SMALLEST)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

        self.bind("any.help", self.show_shortcuts)
        self.bind("any.primary", self._click_primary)
        self.bind("any.cancel", self.strip.cancel_running)
        self.bind("any.dismiss", self.bar.dismiss)
        self.follow(self.session.failed, self._on_study_failed)
        self.follow(self.session.study_changed, self._on_another_study)
        self.follow(self.session.current_volume_changed, self.bar.turn_to)
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

    def submit(
        self,
        title: str,
        make: MakeJob,
        kind: str,
        then: Callable[[dict[str, Any]], None] | None = None,
    ) -> Job:
        """Queue a job, as `JobRunner.submit` does, and `watch` it; what was said before is over."""
        self.bar.begin(kind)
        job = self.session.jobs.submit(title, make, kind)
        self.watch(job, then)
        return job

    def watch(self, job: Job, then: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Show a job's error in the bar, where it stays until such a job is begun again; its result goes to `then`."""
        self.follow(job.signals.failed, partial(_show_error, weakref.ref(self.bar), job.kind))
        if then is not None:
            self.follow(job.signals.finished, then)

    def add_button(
        self,
        text: str,
        action: Callable[[], object],
        tooltip: str = "",
        *,
        primary: bool = False,
        key: str = "",
    ) -> QPushButton:
        """Add a button at the bottom, with the key of the registry that is underlined in it; the primary one goes last."""
        button = Button(text, key) if key else QPushButton(text)
        button.setToolTip(tooltip)
        button.clicked.connect(lambda *_: action())
        if primary:
            button.setProperty("primary", True)
            self._primary = button
        self._footer.add(button)
        return button

    # --------------------------------------------------------------------------------------------- where the keys go
    def home(self) -> QWidget:
        """Return what gets the keys when a person has clicked into the panel, and not into an input: a table, say."""
        return self

    def why_no_key(self, shortcut_id: str) -> str:
        """Return why a key of this stage would do nothing now; empty if it does something."""
        button = self._primary
        if shortcut_id == "any.primary":
            return "" if button is None or button.isEnabled() else button.toolTip()
        if shortcut_id == "any.cancel":
            return "" if self.session.jobs.running is not None else "No job is running"
        return "" if shortcut_id != "any.dismiss" or self.bar.text else "There is no message"

    def canvas_keys(self) -> Mapping[str, str]:
        """Return keys that others have given to the image, and what they do, for the list of keys."""
        return {}

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Let the keys work after a click into the panel: hand the focus on to where most of them are."""
        super().focusInEvent(event)
        home = self.home()
        if home is not self and home.isVisible() and home.isEnabled():
            home.setFocus(event.reason())

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: N802
        """Go home where Qt would go on from a button that was pressed and is gone: its neighbour was not meant."""
        focus = QApplication.focusWidget()
        gone = (
            focus is not None and self.isAncestorOf(focus) and not (focus.isVisible() and focus.isEnabled())
        )
        if gone and self.isVisible():
            self.setFocus()
            return True
        return super().focusNextPrevChild(forward)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Keep what is typed into an input from napari, whose window passes keys on to the image."""
        if is_editor(QApplication.focusWidget()) and is_typed(event.key(), event.modifiers()):
            event.accept()
        else:
            super().keyPressEvent(event)

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
        self._leave_focus()
        if self.session.viewer is not None:
            stage_layers_of(self.session.viewer).came(self.key)
        window = self.window()
        if isinstance(window, QMainWindow):
            self.session.attach_window(window)
            fit_screen(window)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Let the stage that comes into sight show its own layers; a window that is only minimised keeps them."""
        super().hideEvent(event)
        if not event.spontaneous() and self.session.viewer is not None:
            stage_layers_of(self.session.viewer).went(self.key)

    def _order_tabs(self) -> None:
        """Let Tab go through the content, the message over its end and the buttons, whatever was made first."""
        content = self.scroll.widget()
        last, step = content, content.nextInFocusChain()
        while step is not content:
            if content.isAncestorOf(step) and step.focusPolicy() != Qt.FocusPolicy.NoFocus:
                last = step
            step = step.nextInFocusChain()
        for widget in (*self.bar.in_tab_order(), *self.below()):
            self.setTabOrder(last, widget)
            last = widget

    def below(self) -> list[QWidget]:
        """Return what lies below the content, in the order of the Tab key."""
        return self._footer.widgets

    def _leave_focus(self) -> None:
        """Let no button take the focus from a click: Space in the image would press it again, and it may be gone next."""
        for button in self.findChildren(QAbstractButton):
            if button.focusPolicy() == Qt.FocusPolicy.StrongFocus:
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def _on_study_failed(self, error: BaseException) -> None:
        self.bar.show_error(error, of=STUDY)

    def _on_another_study(self, study: object = None) -> None:
        self.bar.forget()

    def _click_primary(self) -> None:
        if self._primary is not None and self._primary.isVisible():
            self._primary.click()


def _show_error(bar: weakref.ref[MessageBar], of: str, error: BaseException) -> None:
    found = bar()
    if found is not None:
        found.show_error(error, of=of)


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
