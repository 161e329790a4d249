"""Turns a settings dataclass into the options of a command, so that no option is written down twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from cyclopts import Parameter

from napari_sortingloss.settings import Field, Settings

STUDY = inspect.Parameter(
    "study",
    inspect.Parameter.POSITIONAL_ONLY,
    annotation=Annotated[Path, Parameter(help="The study folder.")],
)
POSITIONAL = ("folder", "paths", "volume")
"""Fields that a command asks for by their place."""

JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        Parameter(help="Print one JSON document on standard output and nothing else there.", negative=()),
    ],
)


@dataclass(frozen=True)
class Entry:
    """One command.

    Attributes
    ----------
    name : str
    body : callable
        See `napari_sortingloss.cli.options.command`.
    about : str
        The first paragraph of its help.
    parameters : list of inspect.Parameter
        Without ``--json``, which every command has.
    """

    name: str
    body: Callable[..., Any]
    about: str
    parameters: list[inspect.Parameter]


def positional(
    name: str, kind: Any, help: str, *, many: bool = False, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    """Describe a positional argument of a command."""
    where = inspect.Parameter.VAR_POSITIONAL if many else inspect.Parameter.POSITIONAL_ONLY
    return inspect.Parameter(name, where, default=default, annotation=Annotated[kind, Parameter(help=help)])


def option(name: str, kind: Any, default: Any, help: str) -> inspect.Parameter:
    """Describe an option that is not part of any settings."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, Parameter(help=help)],
    )


def options_of(settings: type[Settings], *, without: Sequence[str] = ()) -> list[inspect.Parameter]:
    """Describe one option for each field of `settings` that is no positional argument of its command.

    Parameters
    ----------
    settings : type
    without : sequence of str
        Fields beyond `POSITIONAL` that this command asks for by their place.
    """
    left_out = (*POSITIONAL, *without)
    return [_option(field) for field in settings.fields() if field.name not in left_out]


def as_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, lists as the tuples that settings hold."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


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
        show_default=field.default not in (None, ()),
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.default is MISSING else field.default,
        annotation=Annotated[kind, about],
    )


RESUME = option(
    "resume",
    str | None,
    None,
    "Go on with this run from its last checkpoint, with its settings (its id or name).",
)
NAME = option(
    "name", str, "", "What to call the new run; it can then be named so wherever a run is asked for."
)
