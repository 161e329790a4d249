"""The command ``classes``: what is told apart in a study, listed and changed by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from napari_sortingloss.errors import BadInput, UserError
from napari_sortingloss.settings import Setting, Settings

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.classes import LabelClass


@dataclass(frozen=True)
class ClassesSettings(Settings):
    """What is to become of the classes, in this order; nothing at all lists them."""

    rename: Annotated[
        tuple[str, ...], Setting(help="Give a class another name, as OLD=NEW; its labels stay what they are.")
    ] = ()
    add: Annotated[
        tuple[str, ...], Setting(help="Add classes of these names, with a free colour and key.")
    ] = ()
    colour: Annotated[
        tuple[str, ...],
        Setting(help="Give a class another colour, as NAME=#rrggbb, for instance brain=#cc79a7."),
    ] = ()
    key: Annotated[
        tuple[str, ...],
        Setting(
            help="Give a class the key that chooses it for painting, as NAME=K; NAME= takes its key away."
        ),
    ] = ()
    remove: Annotated[
        tuple[str, ...],
        Setting(
            help="Take classes of these names out of use. What was painted with them stays in the files and counts as "
            "unknown."
        ),
    ] = ()


def change_classes(study: Study, settings: ClassesSettings) -> dict[str, Any]:
    """Change the classes of a study and return what there is then.

    Parameters
    ----------
    study : Study
    settings : ClassesSettings

    Returns
    -------
    dict
        ``{"classes": [{"value", "name", "color", "key"}], "removed": [...]}``.

    Raises
    ------
    BadInput, BadSetting
        If a class does not exist or a change does not fit; then none of them is made.
    StudyError, UserError
        If the study cannot be changed.
    """
    from napari_sortingloss.study.classes import (
        add_class,
        all_classes,
        read_classes,
        remove_class,
        update_class,
    )

    before = list(study.classes)
    try:
        for old, new in _pairs(settings.rename, "--rename", "OLD=NEW"):
            update_class(study, _named(study, old).value, name=new)
        for name in settings.add:
            add_class(study, name)
        for name, colour in _pairs(settings.colour, "--colour", "NAME=#rrggbb"):
            update_class(study, _named(study, name).value, color=colour)
        for name, key in _pairs(settings.key, "--key", "NAME=K"):
            update_class(study, _named(study, name).value, key=key)
        for name in settings.remove:
            remove_class(study, _named(study, name).value)
    except UserError:
        if study.classes != before:
            with study.transaction() as document:
                document["classes"] = before
        raise
    used = read_classes(study)
    return {
        "classes": [_to_json(one) for one in used],
        "removed": [_to_json(one) for one in all_classes(study) if one not in used],
    }


def _to_json(one: LabelClass) -> dict[str, Any]:
    return {"value": one.value, "name": one.name, "color": one.color, "key": one.key}


def _pairs(given: tuple[str, ...], option: str, form: str) -> Iterator[tuple[str, str]]:
    for text in given:
        name, sign, value = text.rpartition("=")
        if not sign:
            raise BadInput(f"Cannot use '{option} {text}'", "it has no '='", f"write it as {form}")
        yield name.strip(), value.strip()


def _named(study: Study, name: str) -> LabelClass:
    from napari_sortingloss.study.classes import read_classes

    used = read_classes(study)
    for one in used:
        if one.name.casefold() == name.casefold():
            return one
    there = ", ".join(one.name for one in used)
    raise BadInput(
        f"Cannot find the class '{name}'",
        f"the study has {there}" if there else "the study has no classes",
        "choose one of them" if there else "add it with --add first",
    )
