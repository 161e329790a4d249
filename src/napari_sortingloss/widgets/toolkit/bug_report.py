"""The text behind *Copy report*: what somebody needs who is to find out why something failed. No file contents."""

from __future__ import annotations

import logging
import platform
import sys
import traceback
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("napari-sortingloss", "napari", "numpy", "zarr", "dask", "torch", "monai", "qtpy", "pyqtgraph")
_LINES = 60


class LogTail(logging.Handler):
    """Remembers the last lines that the package logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=_LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.lines.append(self.format(record))


_tail = LogTail()


def watch_log() -> None:
    """Start remembering what is logged (once for all widgets)."""
    logger = logging.getLogger("napari_sortingloss")
    if _tail not in logger.handlers:
        logger.addHandler(_tail)


def details(error: BaseException | None) -> str:
    """Return the traceback of an error with its causes."""
    return "".join(traceback.format_exception(error)) if error is not None else ""


def report(error: BaseException | None = None, study: Any = None) -> str:
    """Return the environment, the study, the error and the tail of the log as plain text.

    Parameters
    ----------
    error : BaseException or None
    study : Study or None
    """
    lines = [
        f"napari-sortingloss report - Python {sys.version.split()[0]} on {platform.platform()}",
        ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    ]
    if study is not None:
        lines.append(f"study: {study.path}")
    if error is not None:
        lines += ["", f"{type(error).__name__}: {error}", "", details(error).rstrip()]
    lines += ["", "log:", *(_tail.lines or ["(empty)"])]
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
