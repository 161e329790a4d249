"""The bar of a stage that says what happened, why, and what to do, for as long as it is true; no traceback unless asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.toolkit import bug_report
from napari_sortingloss.widgets.toolkit.flow import FlowRow

Level = Literal["error", "warning", "notice", "success"]

_SIGNS: dict[Level, str] = {"error": "✖", "warning": "⚠", "notice": "ℹ", "success": "✓"}
LINES = 3
"""So many lines of a text are seen at least, however low the panel is; the rest scrolls."""
DETAILS = 140
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:%|[nµm]m\b|s\b|min\b|h\b|[MG]i?B\b))")
"""The space that keeps a number with its unit when a line ends there."""


@dataclass(frozen=True)
class Message:
    """What the bar says.

    Attributes
    ----------
    level : {"error", "warning", "notice", "success"}
    text : str
    links : tuple of (str, callable)
        Captions of buttons, and what they do.
    error : BaseException or None
        With *Details* and *Copy report*.
    of : str
        What was tried, for an error: it stays until the same is tried again.
    about : str
        The volume it was said of; empty where it is about more than one.
    details : str
        What is too long for the bar, behind *Details*.
    """

    level: Level
    text: str
    links: tuple[tuple[str, Callable[[], None]], ...] = ()
    error: BaseException | None = None
    of: str = ""
    about: str = ""
    details: str = ""


class MessageBar(QFrame):
    """One message at a time; hidden when there is none.

    An error stays until it is dismissed or the same is tried again: what comes meanwhile waits behind it. Everything
    else goes with what it was said of (`turn_to`, `forget`) and when something new begins (`begin`).

    Parameters
    ----------
    parent : QWidget or None
    study : callable or None
        Returns the open study for the report.

    Attributes
    ----------
    changed : psygnal.Signal
        It came, went, or needs another height.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None, study: Callable[[], Any] | None = None) -> None:
        super().__init__(parent)
        bug_report.watch_log()
        self._study = study
        self._message = Message("notice", "")
        self._waiting: Message | None = None
        self._begun = ""
        self.setAccessibleName("Message")

        self._sign = QLabel()
        self._sign.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._page = QScrollArea()
        self._page.setWidget(self._text)
        self._page.setWidgetResizable(True)
        self._page.setFrameShape(QFrame.Shape.NoFrame)
        for part in (self._page.viewport(), self._text):
            part.setAutoFillBackground(False)  # the colour of the bar is to be seen
        self._page.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._page.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._close = QToolButton()
        self._close.setText("✕")
        self._close.setProperty("quiet", True)
        self._close.setToolTip("Dismiss this message (Esc)")
        self._close.setAccessibleName("Dismiss")
        self._close.clicked.connect(self.dismiss)
        self._head = QHBoxLayout()
        self._head.setSpacing(6)
        self._head.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        self._head.addWidget(self._page, 1)
        self._head.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)

        self._details_button = QPushButton("Details")
        self._details_button.setCheckable(True)
        self._details_button.toggled.connect(self._show_details)
        self._copy = QPushButton("Copy report")
        self._copy.setToolTip("Copy versions, the study's path, the error and the log's end to the clipboard")
        self._copy.clicked.connect(self._copy_report)
        self._links: list[QPushButton] = []
        self._buttons = FlowRow()
        for button in (self._details_button, self._copy):
            self._buttons.add(button)
        self._link = self._add_link()

        self._details = QPlainTextEdit()
        self._details.setReadOnly(True)
        self._details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._details.hide()

        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(8, 6, 6, 6)
        self._layout.setSpacing(4)
        self._layout.addLayout(self._head)
        self._layout.addWidget(self._buttons)
        self._layout.addWidget(self._details)
        self.hide()

    @property
    def text(self) -> str:
        """What is shown; empty when the bar is hidden."""
        return "" if self.isHidden() else self._message.text

    @property
    def level(self) -> Level:
        """The level of what is shown, or was last."""
        return self._message.level

    @property
    def has_error(self) -> bool:
        """Whether it shows an error."""
        return not self.isHidden() and self.level == "error"

    def in_tab_order(self) -> list[QWidget]:
        """Return what the Tab key stops at."""
        return [self._details_button, self._copy, *self._links, self._close, self._details]

    def show_error(
        self,
        error: BaseException,
        link: str = "",
        action: Callable[[], None] | None = None,
        *,
        of: str | None = None,
    ) -> None:
        """Show what happened, why and what to do, with *Details* and *Copy report*.

        Parameters
        ----------
        error : BaseException
            A `UserError` speaks for itself; anything else is our mistake, and the bar says so.
        link : str
            The caption of a button that mends it, if there is one.
        action : callable or None
            What that button does; the bar closes first.
        of : str, optional
            What was tried, as `begin` was told; what began last if not given. Empty: it stays until it is dismissed.
        """
        if isinstance(error, UserError):
            text = f"{error.what}.\nWhy: {error.why}.\nWhat to do: {error.todo.rstrip('.')}."
        else:
            text = (
                f"Something went wrong that should not.\nWhy: {type(error).__name__}: {error}\n"
                "What to do: try again; if it stays, copy the report and send it to the developers."
            )
        of = self._begun if of is None else of
        self._show(Message("error", text, _links((link, action)), error, of))

    def show_message(
        self,
        level: Level,
        text: str,
        link: str = "",
        action: Callable[[], None] | None = None,
        *,
        other: tuple[str, Callable[[], None]] | None = None,
        details: str = "",
        about: str = "",
    ) -> None:
        """Show a notice, a warning or the next step after a success.

        Parameters
        ----------
        level : {"error", "warning", "notice", "success"}
        text : str
        link : str
            The caption of a button in the bar, e.g. ``"Pre-train on them ▸"``.
        action : callable or None
            What that button does; the bar closes first.
        other : tuple of str and callable, or None
            A second button, left of that one.
        details : str
            What is too long for the bar, behind *Details*.
        about : str
            The volume it is about, if it is about one: it goes when another one becomes current.
        """
        links = _links(*([other] if other is not None else []), (link, action))
        self._show(Message(level, text, links, about=about, details=details))

    def begin(self, what: str = "") -> None:
        """Something begins: what was said before is over, but for an error of something else."""
        self._begun = what
        self._waiting = None
        if not self.has_error or self._message.of == what != "":
            self.clear()

    def turn_to(self, volume: str | None) -> None:
        """Another volume is current: what was said of the one before goes."""
        if self._waiting is not None and self._waiting.about not in ("", volume):
            self._waiting = None
        if not self.has_error and self._message.about not in ("", volume):
            self.clear()

    def forget(self) -> None:
        """Another study is open: everything goes but what must be read whatever is open."""
        self._waiting = None
        if not self.has_error or self._message.of:
            self.clear()

    def clear(self) -> None:
        """Hide the bar, and forget what it said."""
        self._message, self._waiting = Message(self.level, ""), None
        self._details_button.setChecked(False)
        if not self.isHidden():
            self.hide()
            self.changed.emit()

    def dismiss(self) -> None:
        """The person has read it; what waited behind it is next."""
        waiting = self._waiting
        self.clear()
        if waiting is not None:
            self._show(waiting)

    def fit(self, width: int, most: int) -> None:
        """Take the height that the text needs at a width; where that is too much, text and details scroll.

        Parameters
        ----------
        width, most : int
            Pixels.
        """
        margins, spacing = self._layout.contentsMargins(), self._layout.spacing()
        inner = width - margins.left() - margins.right()
        beside = self._sign.sizeHint().width() + self._close.sizeHint().width() + 2 * self._head.spacing()
        text = max(self._text.heightForWidth(max(40, inner - beside)), self._close.sizeHint().height())
        chrome = margins.top() + margins.bottom()
        if not self._buttons.isHidden():
            chrome += self._buttons.heightForWidth(inner) + spacing
        details = 0 if self._details.isHidden() else DETAILS
        least = min(text, LINES * self._text.fontMetrics().lineSpacing())
        over = chrome + text + bool(details) * spacing + details - most
        if over > 0 and details:
            details = max(DETAILS // 2, details - over)
            over = chrome + text + spacing + details - most
        text = max(least, text - max(0, over))
        self._page.setFixedHeight(text)
        self._details.setFixedHeight(details or DETAILS)
        self.setFixedHeight(chrome + text + bool(details) * spacing + details)

    def _show(self, message: Message) -> None:
        if self.has_error and message.level != "error":
            self._waiting = message
            return
        self._message = message
        self._sign.setText(_SIGNS[message.level])
        self._text.setText(_BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", message.text))
        while len(self._links) < len(message.links):
            self._add_link()
        for button, (caption, _) in zip(self._links, message.links, strict=False):
            button.setText(caption)
        for index, button in enumerate(self._links):
            button.setVisible(index < len(message.links))
        failed = message.error is not None
        self._details_button.setVisible(failed or bool(message.details))
        self._details_button.setChecked(False)
        self._copy.setVisible(failed)
        self._copy.setText("Copy report")
        self._buttons.setVisible(failed or bool(message.links or message.details))
        self._page.verticalScrollBar().setValue(0)
        self.setProperty("bar", message.level)
        self.style().unpolish(self)
        self.style().polish(self)
        self.show()
        self.changed.emit()

    def _add_link(self) -> QPushButton:
        button = QPushButton()
        button.clicked.connect(self._follow_link)
        self._links.append(button)
        self._buttons.add(button)
        return button

    def _follow_link(self) -> None:
        _, action = self._message.links[self._links.index(self.sender())]
        self.clear()
        action()

    def _show_details(self, on: bool) -> None:
        if on:
            self._details.setPlainText(self._message.details or bug_report.details(self._message.error))
        self._details.setVisible(on)
        self.changed.emit()

    def _copy_report(self) -> None:
        study = self._study() if self._study is not None else None
        QApplication.clipboard().setText(bug_report.report(self._message.error, study))
        self._copy.setText("Copied ✓")


def _links(*given: tuple[str, Callable[[], None] | None]) -> tuple[tuple[str, Callable[[], None]], ...]:
    return tuple((caption, action) for caption, action in given if caption and action is not None)
