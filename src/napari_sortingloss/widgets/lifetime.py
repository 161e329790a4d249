"""Connections that end with the widget they serve, so that a closed panel is never called again."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject


def follow(owner: QObject, signal: Any, slot: Callable[..., Any]) -> None:
    """Connect a signal to a slot for as long as a Qt object lives.

    Parameters
    ----------
    owner : QObject
        Usually the widget whose method `slot` is.
    signal : psygnal.SignalInstance or napari.utils.events.EventEmitter
        Anything with ``connect`` and ``disconnect``.
    slot : callable
        Gets exactly the arguments of the signal. A bound method is held weakly; anything else must not hold `owner`.
    """
    weak: Callable[[], Callable[..., Any] | None]
    weak = weakref.WeakMethod(slot) if hasattr(slot, "__self__") else (lambda: slot)
    watched = weakref.ref(owner)

    def relay(*args: Any) -> None:
        found, there = weak(), watched()
        if found is not None and there is not None and isalive(there):
            found(*args)

    def cut(*_: Any) -> None:
        try:
            signal.disconnect(relay)
        except (ValueError, KeyError):  # the signal was cleared before the widget went
            return

    signal.connect(relay)
    owner.destroyed.connect(cut)
