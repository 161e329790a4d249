"""A button that opens a list of volumes to tick: all, those not done yet, those selected, or any."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QMenu, QToolButton

from napari_sortingloss import wording

NAMED = 2
"""More volumes than these are counted instead of named."""


class VolumeMenu(QToolButton):
    """Lets a person choose volumes.

    Attributes
    ----------
    changed : psygnal.Signal
        Another choice was made.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._names: tuple[str, ...] = ()
        self._standard: tuple[str, ...] = ()
        self._done: frozenset[str] = frozenset()
        self._selected: tuple[str, ...] = ()
        self._chosen: tuple[str, ...] | None = None  # None: whatever is standard
        self._wish: list[str] | None = (
            None  # what was chosen before, until it is known which volumes there are
        )
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setProperty("choice", True)
        self.setAccessibleName("Volumes")
        self.menu_ = QMenu(self)
        self.menu_.setStyleSheet("QMenu { menu-scrollable: 1; }")  # not columns over columns of names
        self.menu_.installEventFilter(_StaysOpen(self.menu_))
        self.menu_.aboutToShow.connect(self._fill)
        self.setMenu(self.menu_)
        self._say()

    def set_volumes(
        self,
        names: Sequence[str],
        *,
        left_out: Collection[str] = (),
        done: Collection[str] = (),
        selected: Sequence[str] = (),
    ) -> None:
        """Take the volumes there are.

        Parameters
        ----------
        names : sequence of str
        left_out : collection of str
            Those that are not chosen unless the person ticks them.
        done : collection of str
            Those that have been done already.
        selected : sequence of str
            Those selected in the table.
        """
        before = self.value()
        self._names, self._done = tuple(names), frozenset(done)
        self._standard = tuple(name for name in names if name not in left_out)
        self._selected = tuple(name for name in selected if name in names)
        if self._wish is not None and names:
            self._chosen = tuple(name for name in names if name in self._wish) or None
            self._wish = None
        elif self._chosen is not None:
            self._chosen = tuple(name for name in names if name in self._chosen)
        self._say()
        if self.value() != before:
            self.changed.emit()

    def value(self) -> tuple[str, ...]:
        """Return the chosen volumes, in the order of the study."""
        return self._standard if self._chosen is None else self._chosen

    def choose(self, names: Sequence[str] | None) -> None:
        """Choose volumes; None for all, whatever will be added."""
        self._wish = None
        self._chosen = None if names is None else tuple(name for name in self._names if name in names)
        self._say()
        self.changed.emit()

    @property
    def wish(self) -> list[str] | None:
        """What a person has chosen, JSON-ready; None where nobody has."""
        return self._wish if self._chosen is None else list(self._chosen)

    def choose_when_there(self, names: Any) -> None:
        """Choose what `wish` was, as soon as it is known which volumes there are; anything else chooses nothing."""
        sound = isinstance(names, list) and all(isinstance(name, str) for name in names)
        self._chosen, self._wish = None, list(names) if sound else None
        self.set_volumes(self._names, left_out=set(self._names) - set(self._standard), done=self._done)

    def forget(self) -> None:
        """Begin anew, for another study."""
        self._chosen = self._wish = None
        self.set_volumes(())

    def _say(self) -> None:
        chosen = self.value()
        if not chosen:
            text = "none"
        elif chosen == self._standard and len(chosen) > 1:
            text = f"all {len(chosen)}"
        elif len(chosen) <= NAMED:
            text = ", ".join(chosen)
        else:
            text = f"{len(chosen)} of {len(self._names)}"
        room = max(60, self.width() - 30)
        self.setText(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, room))
        self.setToolTip(f"<p>Volumes to localize: {', '.join(chosen) or 'none'}</p>")

    def _fill(self) -> None:
        menu, chosen = self.menu_, self.value()
        menu.clear()
        undone = tuple(name for name in self._standard if name not in self._done)
        for text, names in (
            (f"&All ({wording.count(len(self._standard), 'volume')})", None),
            (f"&Not yet localized ({len(undone)})", undone),
            (f"&Selected in the table ({len(self._selected)})", self._selected),
        ):
            entry = menu.addAction(text)
            entry.setEnabled(names is None or bool(names))
            entry.triggered.connect(lambda *_, names=names: self.choose(names))
        menu.addSeparator()
        for name in self._names:
            entry = menu.addAction(f"{name}  ✓ localized" if name in self._done else name)
            entry.setCheckable(True)
            entry.setChecked(name in chosen)
            entry.setData(name)
            entry.toggled.connect(lambda on, name=name: self._tick(name, on))

    def _tick(self, name: str, on: bool) -> None:
        chosen = set(self.value())
        chosen = chosen | {name} if on else chosen - {name}
        self.choose(tuple(chosen))

    def resizeEvent(self, event: object) -> None:  # noqa: N802
        """Write as much as there is room for."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._say()


class _StaysOpen(QObject):
    """Keeps a menu open while entries are ticked, so that several can be."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if isinstance(watched, QMenu):
            entry = watched.activeAction()
            clicked = isinstance(event, QMouseEvent) and event.type() == QEvent.Type.MouseButtonRelease
            typed = (
                isinstance(event, QKeyEvent)
                and event.type() == QEvent.Type.KeyPress
                and event.key() == Qt.Key.Key_Space
            )
            if (clicked or typed) and entry is not None and entry.isCheckable():
                entry.trigger()
                return True
        return False
