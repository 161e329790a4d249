"""The colours of napari's current theme, and one style sheet for all stages made from them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from napari_sortingloss.widgets.toolkit.lifetime import follow


@dataclass(frozen=True)
class Colors:
    """Colours as ``#rrggbb``.

    Attributes
    ----------
    background, raised, field, text, muted : str
        Of the panel, of a box on it, of an input, of words and of words that matter less.
    accent : str
        The primary button and what is selected.
    error, warning, good : str
        Of messages; always beside a sign, never alone.
    train, validation, chance : str
        Of curves: from the palette of Okabe and Ito, which colour-blind people can tell apart.
    dark : bool
        Whether the theme is a dark one.
    """

    background: str
    raised: str
    field: str
    text: str
    muted: str
    accent: str
    on_accent: str
    error: str
    warning: str
    good: str
    train: str
    validation: str
    chance: str
    dark: bool


def unwrap(viewer: Any) -> Any:
    """Return the viewer itself where napari handed a plugin its public proxy."""
    return getattr(viewer, "__wrapped__", viewer)


def colors(viewer: Any) -> Colors:
    """Return the colours of the viewer's theme."""
    theme = get_theme(unwrap(viewer).theme)
    hexes = {name: QColor(*getattr(theme, name).as_rgb_tuple()[:3]).name() for name in
             ("background", "foreground", "primary", "text")}  # fmt: skip
    dark = QColor(hexes["background"]).lightness() < 128
    return Colors(
        background=hexes["background"],
        raised=hexes["foreground"],
        field=hexes["primary"],
        text=hexes["text"],
        muted=_mix(hexes["text"], hexes["background"], 0.35),
        accent="#0072b2",
        on_accent="#ffffff",
        error="#ff7b6b" if dark else "#b3261e",
        warning="#f0c040" if dark else "#8a5a00",
        good="#4fd1a5" if dark else "#00694b",
        train="#56b4e9" if dark else "#0072b2",
        validation="#e69f00" if dark else "#b35900",
        chance=_mix(hexes["text"], hexes["background"], 0.45),
        dark=dark,
    )


def follow_theme(widget: QWidget, viewer: Any, slot: Callable[[Colors], None]) -> None:
    """Call `slot` with the colours now and whenever the theme changes, while `widget` lives.

    Parameters
    ----------
    slot : callable
        A bound method of `widget` (held weakly).
    """
    viewer = unwrap(viewer)
    weak, ref = weakref.WeakMethod(slot), weakref.ref(viewer)

    def restyle(event: object = None) -> None:
        method, there = weak(), ref()
        if method is not None and there is not None:
            method(colors(there))

    follow(widget, viewer.events.theme, restyle)
    restyle()


def _mix(first: str, second: str, share: float) -> str:
    a, b = QColor(first), QColor(second)
    return QColor(
        *(round((1 - share) * x + share * y) for x, y in zip(a.getRgb()[:3], b.getRgb()[:3], strict=True))
    ).name()


def _see_through(color: str) -> str:
    red, green, blue, _ = QColor(color).getRgb()
    return f"rgba({red}, {green}, {blue}, 215)"


def style_sheet(c: Colors) -> str:
    """Return the style sheet of a stage."""
    return f"""
    QPushButton {{ border: 1px solid transparent; padding: 3px; }}
    QPushButton:disabled {{ border-color: {c.field}; }}
    QPushButton[primary="true"] {{ background-color: {c.accent}; color: {c.on_accent}; font-weight: bold;
        padding: 5px 16px; border-radius: 3px; }}
    QPushButton[primary="true"]:hover {{ background-color: {_mix(c.accent, "#ffffff", 0.15)}; }}
    QPushButton[primary="true"]:pressed {{ background-color: {_mix(c.accent, "#000000", 0.15)}; }}
    QPushButton[primary="true"]:disabled {{ background-color: {c.field}; color: {c.muted}; }}
    QPushButton[stop="true"] {{ background-color: {_mix(c.error, c.background, 0.45) if c.dark else c.error}; }}
    QPushButton:focus, QComboBox:focus, QAbstractSpinBox:focus, QLineEdit:focus, QToolButton:focus,
    QTableView:focus {{ border: 1px solid {c.train}; }}
    QToolButton[quiet="true"] {{ background: transparent; border: 1px solid transparent; padding: 2px 4px; }}
    QToolButton[quiet="true"]:hover {{ background-color: {c.field}; border-radius: 2px; }}
    QToolButton[popupMode="1"] {{ background-color: {c.field}; border-radius: 2px; padding: 4px 22px 4px 8px; }}
    QToolButton[popupMode="1"]::menu-button {{ width: 18px; border: none; background: transparent; }}
    QToolButton[choice="true"] {{ background-color: {c.field}; border: 1px solid transparent; border-radius: 2px;
        padding: 2px 8px; }}
    QToolButton[choice="true"]:checked {{ border-color: {c.train}; color: {c.train}; }}
    QToolButton[choice="true"]:focus {{ border: 1px solid {c.train}; }}
    QToolButton[presets="true"] {{ background-color: {c.field}; border-radius: 2px; padding: 4px 1px; }}
    QToolButton[presets="true"]::menu-indicator {{ image: none; }}
    QPushButton[small="true"] {{ padding: 2px 10px; }}
    QAbstractSpinBox {{ min-width: 40px; }}
    QScrollBar:vertical {{ max-width: 8px; min-width: 8px; margin: 0px; }}
    QScrollBar:horizontal {{ max-height: 8px; min-height: 8px; margin: 0px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0px; height: 0px; }}
    QAbstractSpinBox[slim="true"] {{ padding: 1px 3px; }}
    QComboBox[slim="true"] {{ padding: 3px 2px 3px 5px; }}
    QComboBox[slim="true"]::drop-down {{ width: 16px; }}
    QComboBox[slim="true"]::down-arrow {{ width: 10px; }}
    QLineEdit[wrong="true"] {{ border: 1px solid {c.error}; }}
    QLabel[drop="true"] {{ border: 2px dashed {c.train}; border-radius: 6px; color: {c.text}; font-weight: bold;
        background-color: {_see_through(c.background)}; }}
    QHeaderView::section {{ background-color: {c.raised}; color: {c.muted}; border: none; padding: 3px 4px; }}
    QWidget[clear="true"], QWidget[clear="true"] QLabel {{ background: transparent; }}
    QTabBar {{ background: transparent; border: none; }}
    QTabBar::tab {{ padding: 4px 12px; min-height: 18px; background-color: {c.raised}; color: {c.muted};
        border: none; border-bottom: 2px solid transparent; }}
    QTabBar[tight="true"]::tab {{ padding: 4px; }}
    QTabBar::tab:selected {{ background-color: {c.background}; color: {c.text};
        border-bottom: 2px solid {c.train}; font-weight: bold; }}
    QTabBar::tab:focus {{ color: {c.train}; }}
    QLabel[muted="true"] {{ color: {c.muted}; }}
    QLabel[heading="true"] {{ font-weight: bold; }}
    QFrame[bar="error"] {{ background-color: {_mix(c.error, c.background, 0.82)};
        border-left: 4px solid {c.error}; }}
    QFrame[bar="warning"] {{ background-color: {_mix(c.warning, c.background, 0.82)};
        border-left: 4px solid {c.warning}; }}
    QFrame[bar="notice"] {{ background-color: {_mix(c.train, c.background, 0.85)};
        border-left: 4px solid {c.train}; }}
    QFrame[bar="success"] {{ background-color: {_mix(c.good, c.background, 0.85)};
        border-left: 4px solid {c.good}; }}
    MessageBar QLabel, MessageBar QWidget {{ background-color: transparent; }}
    MessageBar QScrollArea, MessageBar QLabel {{ border: none; margin: 0px; padding: 0px; }}
    MessageBar QPushButton {{ background-color: {c.field}; padding: 3px 8px; }}
    MessageBar QPlainTextEdit {{ background-color: {c.background}; }}
    QTableView {{ background-color: {c.background}; alternate-background-color: {c.raised};
        gridline-color: {c.raised}; border: 1px solid {c.field}; }}
    QTableView::item {{ padding: 2px 4px; }}
    QTableView[tight="true"]::item {{ padding: 2px 1px; }}
    QTableView::item:selected {{ background-color: {_mix(c.accent, c.background, 0.35 if c.dark else 0.12)}; color: {c.text if c.dark else "#ffffff"}; }}
    QProgressBar {{ border: none; border-radius: 2px; background-color: {c.field}; color: {c.text};
        min-height: 6px; max-height: 6px; }}
    QProgressBar::chunk {{ background-color: {c.train}; border-radius: 2px; }}
    """
