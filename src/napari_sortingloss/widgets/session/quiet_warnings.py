"""What libraries warn of while our jobs and worker threads use them is logged; napari would pop it up."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

_PACKAGE = "napari_sortingloss."
_MARK = "_logs_warnings_of_workers"


def log_warnings_of_workers() -> None:
    """See to it before a worker starts, each time: napari puts itself in place whenever its event loop begins."""
    before = warnings.showwarning
    if not hasattr(before, _MARK):
        warnings.showwarning = _logging_what_is_ours(before)


def _logging_what_is_ours(before: Callable[..., Any]) -> Callable[..., None]:
    def show(message: Any, category: Any, filename: str, lineno: int, *more: Any, **named: Any) -> None:
        if threading.current_thread() is not threading.main_thread() and _is_ours():
            logger.warning("%s:%d: %s: %s", filename, lineno, category.__name__, message)
        else:
            before(message, category, filename, lineno, *more, **named)

    setattr(show, _MARK, True)
    return show


def _is_ours() -> bool:
    """Whether code of ours is being run in this thread, however deep."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(_PACKAGE) and name != __name__:
            return True
        frame = frame.f_back
    return False
