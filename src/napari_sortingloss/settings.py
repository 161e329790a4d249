"""Settings are frozen dataclasses; the form in napari, the options on the command line and the JSON all come from them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from napari_sortingloss.errors import BadSetting

AUTOMATIC = "automatic"
"""What a form says where a value is left to the program."""


@dataclass(frozen=True)
class Setting:
    """What a person needs to know about one field; goes into its ``Annotated[...]``.

    Attributes
    ----------
    help : str
        One sentence: what it is.
    when : str
        When to change it; with `help` it becomes the tooltip.
    unit : str
        The unit of the value, e.g. ``"px"``.
    low, high : float or None
        The closed range of a number.
    step : float or None
        A sensible increment for a spin box.
    label : str
        The label in a form; the field's name otherwise.
    more : bool
        Whether a form folds it under *More*.
    hidden : bool
        Whether a form leaves it out (the widget has its own way of asking).
    zero : str
        What 0 means, where it is no number like the others; a form shows it in its place, e.g. ``"automatic"``.
    presets : tuple of (number, str)
        Values that a form offers beside the number, each with what it is for.
    """

    help: str
    when: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    label: str = ""
    more: bool = False
    hidden: bool = False
    zero: str = ""
    presets: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Field:
    """One described field of a settings class.

    Attributes
    ----------
    name : str
    type : type
        The plain type, without `Annotated` and without ``None``.
    default : Any
        The default, or `dataclasses.MISSING`.
    optional : bool
        Whether ``None`` is allowed.
    choices : tuple
        The allowed values of a `Literal`, empty otherwise.
    about : Setting
    """

    name: str
    type: Any
    default: Any
    optional: bool
    choices: tuple[Any, ...]
    about: Setting

    @property
    def label(self) -> str:
        """The label of the field in a form."""
        return self.about.label or self.name.replace("_", " ").capitalize()

    @property
    def tooltip(self) -> str:
        """What it is and when to change it."""
        return f"{self.about.help} {self.about.when}".strip()

    def restored(self, value: Any) -> Any:
        """Return a value as read from JSON in its own type.

        Raises
        ------
        BadSetting
            If it does not fit.
        """
        try:
            found = _restore(self, value)
        except (TypeError, ValueError):
            found = self  # of no type that a setting has
        plain = self.type in (bool, str, Path) and not self.choices
        if found is self or (
            plain and not isinstance(found, self.type) and not (found is None and self.optional)
        ):
            name = self.name.replace("_", " ")
            raise BadSetting(f"Cannot use {name} = {value!r}", "it is of another kind", "give another value")
        _check(self, found)
        return found


class Settings:
    """Base of all settings: a frozen dataclass whose fields are ``Annotated[type, Setting(...)]``.

    Raises
    ------
    BadSetting
        On construction, if a value is out of range or not one of its choices.
    """

    def __post_init__(self) -> None:
        for field in self.fields():
            _check(field, getattr(self, field.name))

    @classmethod
    def fields(cls) -> tuple[Field, ...]:
        """Describe every field, in order."""
        hints = get_type_hints(cls, include_extras=True)
        return tuple(_describe(f, hints[f.name]) for f in dataclasses.fields(cls))  # type: ignore[arg-type]

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed (checked again)."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {f.name: _jsonable(getattr(self, f.name)) for f in self.fields()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild settings from `to_json`; unknown keys are dropped, missing ones take their defaults.

        Raises
        ------
        BadSetting
            If a required value is missing or a value does not fit.
        """
        kept: dict[str, Any] = {}
        for field in cls.fields():
            if field.name in values:
                kept[field.name] = _restore(field, values[field.name])
            elif field.default is dataclasses.MISSING:
                raise BadSetting(
                    f"Cannot use these settings for {cls.__name__}",
                    f"'{field.name}' is missing",
                    "give it a value",
                )
        return cls(**kept)


def _describe(field: dataclasses.Field[Any], hint: Any) -> Field:
    about = Setting(help="")
    if hasattr(hint, "__metadata__"):
        about = next((m for m in hint.__metadata__ if isinstance(m, Setting)), about)
        hint = hint.__origin__
    optional = False
    if get_origin(hint) in (Union, types.UnionType):
        inner = [a for a in get_args(hint) if a is not type(None)]
        optional = len(inner) < len(get_args(hint))
        hint = inner[0] if len(inner) == 1 else hint
    choices: tuple[Any, ...] = ()
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        hint = type(choices[0])
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return Field(field.name, hint, default, optional, choices, about)


def _check(field: Field, value: Any) -> None:
    if value is None and field.optional:
        return
    what = f"Cannot use {field.name.replace('_', ' ')} = {value!r}"
    if field.choices:
        if value not in field.choices:
            raise BadSetting(
                what, "it is not one of the choices", "choose " + " or ".join(map(str, field.choices))
            )
        return
    if field.type in (int, float):
        fits = isinstance(value, int if field.type is int else (int, float)) and not isinstance(value, bool)
        if not fits or value != value:
            kind = "a whole number" if field.type is int else "a number"
            raise BadSetting(what, f"it is not {kind}", f"give {kind}")
        unit = f" {field.about.unit}" if field.about.unit else ""
        if field.about.low is not None and value < field.about.low:
            raise BadSetting(what, "it is too small", f"give at least {field.about.low:g}{unit}")
        if field.about.high is not None and value > field.about.high:
            raise BadSetting(what, "it is too large", f"give at most {field.about.high:g}{unit}")


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_jsonable(v) for v in value]
    return value


def _restore(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.type is Path:
        return Path(value)
    if get_origin(field.type) is tuple or field.type is tuple:
        inner = get_args(field.type)
        cast = Path if inner and inner[0] is Path else (lambda v: v)
        return tuple(cast(v) for v in value)
    return value
