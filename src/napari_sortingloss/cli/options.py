"""Turns a settings dataclass into the options of a command, so that no option is written down twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from cyclopts import Parameter

from napari_sortingloss.settings import Field, Settings

STUDY = inspect.Parameter(
    "study",
    inspect.Parameter.POSITIONAL_ONLY,
    annotation=Annotated[Path, Parameter(help="The study folder.")],
)
JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, Parameter(help="Print one JSON document on standard output and nothing else there.", negative=())
    ],
)


def positional(name: str, kind: Any, help: str, *, many: bool = False) -> inspect.Parameter:
    """Describe a positional argument of a command."""
    where = inspect.Parameter.VAR_POSITIONAL if many else inspect.Parameter.POSITIONAL_ONLY
    return inspect.Parameter(name, where, annotation=Annotated[kind, Parameter(help=help)])


def flag(name: str, help: str) -> inspect.Parameter:
    """Describe an on/off option that is not part of any settings."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, Parameter(help=help, negative=())],
    )


def option(name: str, kind: Any, default: Any, help: str) -> inspect.Parameter:
    """Describe an option that is not part of any settings."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, Parameter(help=help)]
    )


def options_of(settings: type[Settings], leave_out: Collection[str] = ()) -> list[inspect.Parameter]:
    """Describe one keyword option for each field of `settings` but those named in `leave_out`."""
    return [_option(field) for field in settings.fields() if field.name not in leave_out]


def command(
    body: Callable[..., Any], name: str, help: str, parameters: list[inspect.Parameter]
) -> Callable[..., Any]:
    """Give `body` the signature that the command-line library reads its options from.

    Parameters
    ----------
    body : callable
        Called with the positional arguments in order and every option by name.
    name, help : str
        The name and the one-paragraph help of the command.
    parameters : list of inspect.Parameter
        In any order; options are sorted behind positional arguments.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    ordered = sorted(parameters, key=lambda p: p.kind)
    run.__name__ = name
    run.__doc__ = help
    run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in ordered}
    return run


def settings_from(
    settings: type[Settings], values: Mapping[str, Any], signature: list[inspect.Parameter], **fixed: Any
) -> Any:
    """Build settings from parsed options; options that were not given take the defaults of `signature`.

    Raises
    ------
    BadSetting
        If a value is out of range.
    """
    taken = {p.name: p.default for p in signature if p.default is not inspect.Parameter.empty}
    names = {field.name for field in settings.fields()}
    merged = {**{k: v for k, v in taken.items() if k in names}, **{k: v for k, v in values.items() if k in names}}
    return settings(**{**merged, **fixed})


def _option(field: Field) -> inspect.Parameter:
    kind: Any = Literal[field.choices] if field.choices else field.type
    if field.optional:
        kind = kind | None
    unit = f" [{field.about.unit}]" if field.about.unit else ""
    about = Parameter(
        help=f"{field.tooltip}{unit}",
        negative=() if field.type is not bool else None,
        consume_multiple=get_origin(field.type) is tuple,
        allow_leading_hyphen=field.type is not bool and get_origin(field.type) is not tuple,
        show_default=field.default is not None,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.default is MISSING else field.default,
        annotation=Annotated[kind, about],
    )
