"""The bar at the top of a stage that says what happened, why, and what to do; no traceback unless asked for."""

from __future__ import annotations

from collections.abc import Callable
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
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets import report

Level = Literal["error", "warning", "notice", "success"]

_SIGNS: dict[Level, str] = {"error": "✖", "warning": "⚠", "notice": "ℹ", "success": "✓"}


class MessageBar(QFrame):
    """One message at a time; hidden when there is none.

    Parameters
    ----------
    parent : QWidget or None
    study : callable or None
        Returns the open study for the report.

    Attributes
    ----------
    dismissed : psygnal.Signal
        The person closed the bar.
    """

    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None, study: Callable[[], Any] | None = None) -> None:
        super().__init__(parent)
        report.watch_log()
        self._study = study
        self._error: BaseException | None = None
        self._action: Callable[[], None] | None = None
        self._other_action: Callable[[], None] | None = None
        self._more = ""
        self.level: Level = "notice"
        self.setAccessibleName("Message")

        self._sign = QLabel()
        self._sign.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        close = QToolButton()
        close.setText("✕")
        close.setProperty("quiet", True)
        close.setToolTip("Dismiss this message")
        close.setAccessibleName("Dismiss")
        close.clicked.connect(self._dismiss)
        head = QHBoxLayout()
        head.addWidget(self._sign)
        head.addWidget(self._text, 1)
        head.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)

        self._link = QPushButton()
        self._link.clicked.connect(lambda *_: self._follow_link(self._action))
        self._other_link = QPushButton()
        self._other_link.clicked.connect(lambda *_: self._follow_link(self._other_action))
        self._details_button = QPushButton("Details")
        self._details_button.setCheckable(True)
        self._details_button.toggled.connect(self._show_details)
        self._copy = QPushButton("Copy report")
        self._copy.setToolTip("Copy versions, the study's path, the error and the log's end to the clipboard")
        self._copy.clicked.connect(self._copy_report)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        for button in (self._details_button, self._copy, self._other_link, self._link):
            buttons.addWidget(button)

        self._details = QPlainTextEdit()
        self._details.setReadOnly(True)
        self._details.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._details.setFixedHeight(140)
        self._details.hide()

        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addLayout(buttons)
        layout.addWidget(self._details)
        self.hide()

    @property
    def text(self) -> str:
        """What is shown; empty when the bar is hidden."""
        return "" if self.isHidden() else self._text.text()

    def show_error(
        self, error: BaseException, link: str = "", action: Callable[[], None] | None = None
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
        """
        if isinstance(error, UserError):
            text = f"{error.what}.\nWhy: {error.why}.\nWhat to do: {error.todo.rstrip('.')}."
        else:
            text = (
                f"Something went wrong that should not.\nWhy: {type(error).__name__}: {error}\n"
                "What to do: try again; if it stays, copy the report and send it to the developers."
            )
        self._show("error", text, link, action, error)

    def show_message(
        self,
        level: Level,
        text: str,
        link: str = "",
        action: Callable[[], None] | None = None,
        *,
        other: tuple[str, Callable[[], None]] | None = None,
        details: str = "",
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
        """
        self._show(level, text, link, action, other=other, details=details)

    def clear(self) -> None:
        """Hide the bar, e.g. because the person started anew."""
        self._error = self._action = self._other_action = None
        self._details_button.setChecked(False)
        self.hide()

    def _show(
        self,
        level: Level,
        text: str,
        link: str = "",
        action: Callable[[], None] | None = None,
        error: BaseException | None = None,
        other: tuple[str, Callable[[], None]] | None = None,
        details: str = "",
    ) -> None:
        self.level, self._error, self._action, self._more = level, error, action, details
        caption, self._other_action = other if other is not None else ("", None)
        self._sign.setText(_SIGNS[level])
        self._text.setText(text)
        self._link.setText(link)
        self._link.setVisible(bool(link))
        self._other_link.setText(caption)
        self._other_link.setVisible(bool(caption))
        self._details_button.setVisible(error is not None or bool(details))
        self._details_button.setChecked(False)
        self._copy.setVisible(error is not None)
        self._copy.setText("Copy report")
        self.setProperty("bar", level)
        self.style().unpolish(self)
        self.style().polish(self)
        self.show()

    def _dismiss(self) -> None:
        self.clear()
        self.dismissed.emit()

    def _follow_link(self, action: Callable[[], None] | None) -> None:
        self.clear()
        if action is not None:
            action()

    def _show_details(self, on: bool) -> None:
        if on:
            self._details.setPlainText(self._more or report.details(self._error))
        self._details.setVisible(on)

    def _copy_report(self) -> None:
        study = self._study() if self._study is not None else None
        QApplication.clipboard().setText(report.report(self._error, study))
        self._copy.setText("Copied ✓")
