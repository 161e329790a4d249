"""Lets a training step end before an interrupt (Ctrl-C, SIGTERM) takes effect, so that its state is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deaf() -> Iterator[None]:
    """Ignore interrupts: a further process of a run ends when the first one says so, or is gone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold back interrupts until the block has ended; a second one breaks it at once.

    Does nothing outside the main thread, where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    held = {s: handler for s, handler in before.items() if callable(handler)}

    def hold(number: int, frame: FrameType | None) -> None:
        if came:
            held[signal.Signals(number)](number, frame)
        came.append((number, frame))

    for number in held:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    for first, frame in came[:1]:
        held[signal.Signals(first)](first, frame)
