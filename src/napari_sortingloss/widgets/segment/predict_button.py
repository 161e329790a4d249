"""The Predict button: which volumes, across which axes, and whether to write where the network is unsure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtGui import QActionGroup
from qtpy.QtWidgets import QMenu, QSizePolicy

from napari_sortingloss import wording
from napari_sortingloss.widgets.toolkit.shortcuts import KeyedToolButton

THIS, ALL, REST = "this", "all", "rest"
FLAGS = ("uncertainty", "every_pose", "overlap")


class PredictChoice(KeyedToolButton):
    """A button with a menu behind its arrow.

    Attributes
    ----------
    changed : psygnal.Signal
        Another choice was made.
    axes : str
        Across which axes slices are looked at; empty for the ordering axis.
    uncertainty, every_pose, overlap : bool
        Overlap: the labels whose overlap with the truth can be expected to be the largest, not the likeliest.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPopupMode(KeyedToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._names: tuple[str, ...] = ()
        self._done: frozenset[str] = frozenset()
        self._current = ""
        self._which: str | tuple[str, ...] = THIS
        self.axes = ""
        self.uncertainty = self.every_pose = self.overlap = False
        self.menu_ = QMenu(self)
        self.menu_.setToolTipsVisible(True)
        self.menu_.aboutToShow.connect(self.fill)
        self.setMenu(self.menu_)
        self._busy = False
        self.give_key("segment.predict")
        self.say()

    def set_volumes(self, names: Sequence[str], current: str, done: Collection[str]) -> None:
        """Take the volumes there are.

        Parameters
        ----------
        names : sequence of str
        current : str
            The volume in view.
        done : collection of str
            Those that the run has predicted.
        """
        self._names, self._current, self._done = tuple(names), current, frozenset(done)
        if isinstance(self._which, tuple):
            self._which = tuple(name for name in self._which if name in names) or THIS
        self.say()

    def set_busy(self, busy: bool) -> None:
        """Say whether the button stops what it has started."""
        self._busy = busy
        self.say()

    def volumes(self) -> tuple[str, ...]:
        """Return the chosen volumes, in the order of the study."""
        if isinstance(self._which, tuple):
            return self._which
        if self._which == THIS:
            return (self._current,) if self._current in self._names else ()
        return self._names if self._which == ALL else self._rest()

    def way(self) -> dict[str, Any]:
        """Return how volumes are predicted, whichever they are; JSON-ready."""
        return {"axes": self.axes, **{name: getattr(self, name) for name in FLAGS}}

    def set_way(self, way: Mapping[str, Any]) -> None:
        """Predict in a way that `way` returned; what is missing or fits no more is as at the beginning."""
        axes = way.get("axes")
        self.axes = axes if axes in ("", "zyx") else ""
        for name in FLAGS:
            setattr(self, name, way.get(name) is True)
        self.say()
        self.changed.emit()

    def choose(self, which: str | tuple[str, ...]) -> None:
        """Choose the volume in view (``"this"``), all, those not predicted yet (``"rest"``), or some by name."""
        self._which = which
        self.say()
        self.changed.emit()

    def choose_axes(self, axes: str) -> None:
        """Choose across which axes slices are looked at."""
        self.axes = axes
        self.say()
        self.changed.emit()

    def choose_uncertainty(self, on: bool) -> None:
        """Choose whether to write where the network is unsure."""
        self.uncertainty = on
        self.say()
        self.changed.emit()

    def choose_every_pose(self, on: bool) -> None:
        """Choose whether slices are looked at turned and mirrored too."""
        self.every_pose = on
        self.changed.emit()

    def choose_overlap(self, on: bool) -> None:
        """Choose labels with the largest overlap to be expected, or the likeliest ones."""
        self.overlap = on
        self.changed.emit()

    def _rest(self) -> tuple[str, ...]:
        return tuple(name for name in self._names if name not in self._done)

    def say(self) -> None:
        """Write what the button does now."""
        if self._busy:
            self.setText("Stop p&redicting")
            return
        chosen = self.volumes()
        if isinstance(self._which, tuple):
            which = self._which[0] if len(self._which) == 1 else wording.count(len(self._which), "volume")
        else:
            which = {
                THIS: "this volume",
                ALL: f"all {len(self._names)}",
                REST: f"{len(chosen)} not yet done",
            }[self._which]
        self.setText(f"P&redict: {which}")

    def fill(self) -> None:
        """Fill the menu anew."""
        menu = self.menu_
        menu.clear()
        which = QActionGroup(menu)
        rest = self._rest()
        for text, value, enabled in (
            (f"&This volume ({self._current or 'none'})", THIS, bool(self._current)),
            (f"&All {wording.count(len(self._names), 'volume')}", ALL, bool(self._names)),
            (f"&Not yet predicted by this run ({len(rest)})", REST, bool(rest)),
        ):
            self._entry(
                menu, which, text, self._which == value, lambda value=value: self.choose(value), enabled
            )
        some = menu.addMenu("&Some of them")
        for name in self._names:
            ticked = isinstance(self._which, tuple) and name in self._which
            entry = some.addAction(f"{name}  ✓ predicted" if name in self._done else name)
            entry.setCheckable(True)
            entry.setChecked(ticked)
            entry.triggered.connect(lambda *_, name=name: self._tick(name))
        menu.addSeparator()
        axes = QActionGroup(menu)
        for text, value, tip in (
            ("Slices across the &ordering axis", "", "Fastest"),
            (
                "&Fuse slices across all three axes",
                "zyx",
                "Three times as long; smoother, often a little better",
            ),
        ):
            entry = self._entry(
                menu, axes, text, self.axes == value, lambda value=value: self.choose_axes(value)
            )
            entry.setToolTip(tip)
        menu.addSeparator()
        for text, tip, on, choose in (
            (
                "Look at slices in every &pose",
                "Turned, and mirrored where it was trained so: 4 or 8 times as long, often a little better",
                self.every_pose,
                self.choose_every_pose,
            ),
            (
                "Do not &leave classes too small",
                "Labels with the largest overlap (Dice) to be expected instead of the likeliest ones, which are too often "
                "background where axes disagree. Thin classes can become too thick: compare. Needs more space on the disk "
                "for a while",
                self.overlap,
                self.choose_overlap,
            ),
            (
                "Write where it is &unsure",
                "An image of the entropy beside the labels: look where it is bright. A run can learn also from a "
                "prediction that has one",
                self.uncertainty,
                self.choose_uncertainty,
            ),
        ):
            tick = menu.addAction(text)
            tick.setToolTip(tip)
            tick.setCheckable(True)
            tick.setChecked(on)
            tick.toggled.connect(choose)

    def _tick(self, name: str) -> None:
        chosen = set(self._which) if isinstance(self._which, tuple) else set()
        chosen ^= {name}
        self.choose(tuple(one for one in self._names if one in chosen) or THIS)

    def _entry(
        self, menu: QMenu, group: QActionGroup, text: str, on: bool, action: Any, enabled: bool = True
    ) -> Any:
        entry = menu.addAction(text)
        entry.setCheckable(True)
        entry.setChecked(on)
        entry.setEnabled(enabled)
        group.addAction(entry)
        entry.triggered.connect(lambda *_: action())
        return entry
