"""The label classes of a study: their values, names, colours and keys, kept in study.json."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import BadSetting, StudyError

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

UNPAINTED = 0
"""Nobody painted here: unknown on a partial slice, background on a complete one."""
BACKGROUND = 255
"""Painted on purpose as none of the classes: known background, on a partial slice too."""
FIRST, LAST = 1, 254
"""The values that a class can have; each is given once and never to another class."""

PALETTE = (
    *("#e69f00", "#56b4e9", "#cc79a7", "#d55e00", "#009e73", "#0072b2", "#f0e442"),
    *("#882255", "#44aa99", "#ddcc77", "#332288", "#999933", "#aa4499", "#117733"),
)
"""Colours that colour-blind people tell apart: Okabe and Ito's (2008), then Tol's muted scheme (2021)."""

_KEYS = "123456789"
_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class LabelClass:
    """One thing that is told apart.

    Attributes
    ----------
    value : int
        What painted voxels hold, 1 to 254; never given to another class.
    name : str
        Unique among the classes in use, upper and lower case not told apart.
    color : str
        ``"#rrggbb"``.
    key : str
        The key that chooses it for painting, one character; empty for none.
    """

    value: int
    name: str
    color: str
    key: str = ""


def read_classes(study: Study) -> tuple[LabelClass, ...]:
    """Return the classes in use, in order.

    Raises
    ------
    StudyError
        If what study.json says about them is damaged.
    """
    return tuple(found for found, removed in _parsed(study.classes) if not removed)


def all_classes(study: Study) -> tuple[LabelClass, ...]:
    """Return the classes in use and those that were removed, which name what older runs predicted.

    Raises
    ------
    StudyError
        If what study.json says about them is damaged.
    """
    return tuple(found for found, _ in _parsed(study.classes))


def add_class(
    study: Study, name: str, *, color: str | None = None, key: str | None = None, value: int | None = None
) -> LabelClass:
    """Give the study another class.

    Parameters
    ----------
    study : Study
    name : str
    color : str, optional
        ``"#rrggbb"``; otherwise the first colour of `PALETTE` that no class in use has.
    key : str, optional
        One character, or none where empty; otherwise the first free one of 1 to 9.
    value : int, optional
        One that no class ever had; otherwise the next one.

    Raises
    ------
    BadSetting
        If the name, the key or the value is taken or cannot be used, or all 254 values were given.
    StudyError, UserError
        If the study cannot be changed.
    """
    with study.transaction() as document:
        made = added(document, name, color=color, key=key, value=value)
    return made


def added(
    document: dict[str, Any],
    name: str,
    *,
    color: str | None = None,
    key: str | None = None,
    value: int | None = None,
) -> LabelClass:
    """Add a class to a study.json that is being changed; see `add_class`."""
    known = _parsed(document["classes"])
    used = [found for found, removed in known if not removed]
    what = f"Cannot add the class '{name}'"
    name = _checked_name(what, name, used)
    given = {found.value for found, _ in known}
    if value is None:
        value = next(free_values(given), None)
        if value is None:
            raise BadSetting(what, f"all {LAST} values were given to classes", "use another study")
    elif not FIRST <= value <= LAST:
        raise BadSetting(what, f"{value} is no value of a class", f"choose one from {FIRST} to {LAST}")
    elif value in given:
        raise BadSetting(what, f"the value {value} was given before", "choose another value, or none")
    if color is None:
        color = next_color(found.color for found in used)
    color = _checked_color(what, color)
    if key is None:
        key = next_key(found.key for found in used)
    key = _checked_key(what, key, used)
    made = LabelClass(value, name, color, key)
    document["classes"] = [*_records(known), to_record(made)]
    return made


def update_class(
    study: Study, value: int, *, name: str | None = None, color: str | None = None, key: str | None = None
) -> LabelClass:
    """Change a class in use; what is not given stays. Nothing that was painted changes.

    Raises
    ------
    BadSetting
        If there is no such class, or the new name, colour or key cannot be used.
    StudyError, UserError
        If the study cannot be changed.
    """
    with study.transaction() as document:
        known = _parsed(document["classes"])
        old = _found(known, value, "change")
        others = [found for found, removed in known if not removed and found.value != value]
        what = f"Cannot change the class '{old.name}'"
        new = LabelClass(
            value,
            old.name if name is None else _checked_name(what, name, others),
            old.color if color is None else _checked_color(what, color),
            old.key if key is None else _checked_key(what, key, others),
        )
        document["classes"] = _records((new, False) if f.value == value else (f, r) for f, r in known)
    return new


def remove_class(study: Study, value: int) -> LabelClass:
    """Take a class out of use; what was painted with it stays in the files and counts as unknown.

    Raises
    ------
    BadSetting
        If there is no such class in use.
    StudyError, UserError
        If the study cannot be changed.
    """
    with study.transaction() as document:
        known = _parsed(document["classes"])
        gone = _found(known, value, "remove")
        document["classes"] = _records((f, r or f.value == value) for f, r in known)
    return gone


def to_record(found: LabelClass, removed: bool = False) -> dict[str, Any]:
    """Return what study.json holds of a class."""
    return {
        "value": found.value,
        "name": found.name,
        "color": found.color,
        "key": found.key,
        "removed": removed,
    }


def next_color(taken: Iterable[str]) -> str:
    """Return the first colour of the palette that is not taken, or one made up beyond it."""
    used = list(taken)
    free = [color for color in PALETTE if color not in used]
    if free:
        return free[0]
    hue = len(used) * 0.61803398875 % 1  # the golden ratio keeps neighbours apart
    r, g, b = colorsys.hls_to_rgb(hue, 0.35 + 0.3 * (len(used) % 2), 0.7)
    return "#" + "".join(f"{round(255 * part):02x}" for part in (r, g, b))


def next_key(taken: Iterable[str]) -> str:
    """Return the first digit from 1 to 9 that is not taken, or none."""
    used = set(taken)
    return next((key for key in _KEYS if key not in used), "")


def _parsed(entries: Sequence[Any]) -> list[tuple[LabelClass, bool]]:
    """Return the classes and whether each was removed; keys that are missing are given out in order."""
    found: list[tuple[LabelClass, bool]] = []
    keys = {str(e.get("key", "")) for e in entries if isinstance(e, Mapping) and not e.get("removed")}
    colors = {_color_of(e) for e in entries if isinstance(e, Mapping)}
    for entry in entries:
        try:
            value = int(entry["value"] if "value" in entry else entry["label"])
            removed = bool(entry.get("removed", False))
            color = _color_of(entry)
            if not _COLOR.fullmatch(color):
                color = next_color(colors)
                colors.add(color)
            key = entry.get("key")
            if key is None:
                key = "" if removed else next_key(keys)
                keys.add(key)
            made = LabelClass(value, str(entry["name"]), color, str(key)[:1])
            if not FIRST <= value <= LAST or any(other.value == value for other, _ in found):
                raise ValueError(f"the value {value} is not allowed or there twice")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StudyError(
                "Cannot read the classes of the study",
                f"the entry {entry!r} in its 'study.json' is damaged",
                "restore 'study.json' from a backup, or mend the entry",
            ) from error
        found.append((made, removed))
    return found


def _color_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("color", entry.get("colour", ""))).lower()


def _records(known: Iterable[tuple[LabelClass, bool]]) -> list[dict[str, Any]]:
    return [to_record(found, removed) for found, removed in known]


def _found(known: Iterable[tuple[LabelClass, bool]], value: int, do: str) -> LabelClass:
    used = [found for found, removed in known if not removed]
    for found in used:
        if found.value == value:
            return found
    listed = ", ".join(f"{found.value} ({found.name})" for found in used)
    raise BadSetting(
        f"Cannot {do} the class with the value {value}",
        "the study has none in use with it",
        f"choose one of {listed}" if used else "add classes first",
    )


def free_values(given: set[int]) -> Iterator[int]:
    """Yield the values that no class ever had, those above all others first."""
    highest = max(given, default=0)
    yield from range(highest + 1, LAST + 1)
    yield from (value for value in range(FIRST, highest) if value not in given)


def _checked_name(what: str, name: str, others: Iterable[LabelClass]) -> str:
    name = " ".join(name.split())
    if not name:
        raise BadSetting(what, "its name is empty", "give it a name")
    for other in others:
        if other.name.casefold() == name.casefold():
            raise BadSetting(what, f"there is a class '{other.name}' already", "choose another name")
    return name


def _checked_color(what: str, color: str) -> str:
    color = color.strip().lower()
    if not _COLOR.fullmatch(color):
        raise BadSetting(what, f"'{color}' is no colour", "write it as #rrggbb, for instance #e69f00")
    return color


def _checked_key(what: str, key: str, others: Iterable[LabelClass]) -> str:
    if len(key) > 1 or (key and not key.isprintable()) or key.isspace():
        raise BadSetting(what, f"'{key}' is no single key", "give one character, or none")
    for other in others:
        if key and other.key == key:
            raise BadSetting(
                what, f"the key '{key}' chooses the class '{other.name}'", "choose another key, or none"
            )
    return key
