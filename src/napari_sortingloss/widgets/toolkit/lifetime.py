"""What lasts exactly as long as a Qt object: connections to it, and what is to be done when it goes.

Nothing here is connected to `destroyed`. Python's collector takes the closures of a panel apart before Qt destroys it, and
Qt would call what is left of them: napari ends with a segmentation fault. A child object serves instead: it goes with its
parent whichever way that goes, and whoever refers to it weakly hears of it in time.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget


class DockedWidget(QWidget):
    """A widget that ends when it is taken out of its dock.

    napari hands a closed dock's widget back without a parent and lets go of it. Python's collector would end it at some
    time; until then it would follow the session unseen.
    """

    def __init__(self) -> None:
        super().__init__()
        self._docked = False

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Take note of being put into a dock, and end when taken out."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.deleteLater()
            self._docked = self.parent() is not None


class _Relay(QObject):
    """Passes a signal on to a slot; a child of the object that it serves."""

    def __init__(self, owner: QObject, slot: Callable[..., Any]) -> None:
        super().__init__(owner)
        self._owner = weakref.ref(owner)
        self._slot: Callable[[], Callable[..., Any] | None]
        self._slot = weakref.WeakMethod(slot) if hasattr(slot, "__self__") else (lambda: slot)

    def pass_on(self, *args: Any) -> None:
        """Call the slot, if there is still anybody to call."""
        owner, slot = self._owner(), self._slot()
        if owner is not None and slot is not None and isalive(owner):
            slot(*args)


def follow(owner: QObject, signal: Any, slot: Callable[..., Any]) -> None:
    """Connect a signal to a slot for as long as a Qt object lives.

    Parameters
    ----------
    owner : QObject
        Usually the widget whose method `slot` is.
    signal : psygnal.SignalInstance or napari.utils.events.EventEmitter
        Anything with ``connect`` that holds bound methods weakly.
    slot : callable
        Gets exactly the arguments of the signal. A bound method is held weakly.
    """
    signal.connect(_Relay(owner, slot).pass_on)


def at_end(owner: QObject, action: Callable[..., Any], *args: Any) -> None:
    """Call an action once when a Qt object goes, at the latest when the interpreter does.

    Parameters
    ----------
    owner : QObject
    action : callable
        Called with `args`; neither may hold `owner`.
    *args
    """
    weakref.finalize(QObject(owner), action, *args)
