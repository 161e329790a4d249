"""A simulated annotator: copies the reference labels of a few slices into the annotations and marks them complete.

For trials and learning curves, where nobody should have to paint; what a person painted is left as it is.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.segment.reference_labels import Contents, Reference, open_reference
from napari_sortingloss.settings import Setting, Settings

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, Volume

Strategy = Literal["even", "random", "suggested"]

WHAT = "copied from the reference"
"""What the action is called in the list of what was done."""

_TOP = 254
"""The largest value that a class can have."""

_NEAR = 0.9
"""Of the slices that are nearly as far from all others as the farthest one is, any may be next."""


@dataclass(frozen=True)
class AnnotateSettings(Settings):
    """How many slices the simulated annotator does, and which."""

    from_reference: Annotated[
        bool,
        Setting("Copy the labels from the volumes' reference labels.", hidden=True),
    ] = False
    slices: Annotated[
        int | None,
        Setting("How many slices of each volume.", unit="slices", low=1, high=100_000),
    ] = None
    fraction: Annotated[
        float | None,
        Setting(
            "Which part of each volume's labelled slices, instead of a number of slices.",
            "1 takes all of them.",
            low=0.0001,
            high=1.0,
            step=0.01,
        ),
    ] = None
    strategy: Annotated[
        Strategy,
        Setting(
            "Which slices: evenly spread over those with labels, drawn at random from them, or those that a run suggests.",
            "More slices with the same seed contain those of fewer (even and random).",
        ),
    ] = "even"
    seed: Annotated[
        int,
        Setting("Another number gives other slices.", low=0, high=2**31 - 1),
    ] = 0
    volumes: Annotated[
        tuple[str, ...],
        Setting("The volumes, by name or pattern (fish_*); all with a reference when empty.", hidden=True),
    ] = ()
    run: Annotated[
        str,
        Setting("The run that suggests slices (its id, the start of it, or its name).", hidden=True),
    ] = ""


def annotate(study: Study, settings: AnnotateSettings) -> Iterator[Event]:
    """Copy the reference on a few slices across the ordering axis and mark them complete: a job.

    Parameters
    ----------
    study : Study
    settings : AnnotateSettings

    Yields
    ------
    Event
        `Progress` in slices; a `Notice` for each volume where something was left alone; last a `Result` whose value has
        ``slices``: for each chosen slice ``volume``, ``axis``, ``index`` (along the array) and ``copied``, which is
        false where somebody had annotated it before; it is left as it is then, and counts as one of the slices asked
        for. ``classes`` lists the classes that were missing and were made from the labels, ``{value, name}``. Slices
        that are done stay when the job is closed.

    Raises
    ------
    BadSetting
        If it is not said how many slices, or from where, or which run suggests them.
    BadInput
        If a volume has no reference labels, none of their slices has a label, or a label is above 254.
    StudyError
        If there is no such volume, or another program is annotating it.
    OutOfSpace, UserError
        If the labels cannot be written.
    """
    _check(settings)
    volumes = _with_reference(study, settings)
    references = [open_reference(volume, f"Cannot annotate '{volume.name}'") for volume in volumes]
    done: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    counter = _Counter(len(volumes))
    for volume, reference in zip(volumes, references, strict=True):
        contents = yield from _contents(volume, reference, counter)
        made += yield from _classes(study, volume, contents.values)
        chosen = yield from _choose(study, volume, contents, settings)
        yield from _copy(study, volume, reference, chosen, done, counter)
    yield Result(value={"slices": done, "classes": made})


def _check(settings: AnnotateSettings) -> None:
    what = "Cannot annotate"
    if not settings.from_reference:
        raise BadSetting(
            what,
            "it is not said where the labels come from",
            "choose the reference labels (option 'from-reference'), or paint in napari",
        )
    if (settings.slices is None) == (settings.fraction is None):
        given = (
            "nothing says how many slices"
            if settings.slices is None
            else "slices and fraction are both given"
        )
        raise BadSetting(what, given, "give either 'slices' or 'fraction'")
    if settings.strategy == "suggested" and not settings.run:
        raise BadSetting(
            what, "nothing says which run suggests the slices", "give a run, or choose another strategy"
        )
    if settings.strategy != "suggested" and settings.run:
        raise BadSetting(
            f"Cannot annotate with the run '{settings.run}'",
            f"the strategy '{settings.strategy}' asks no run",
            "leave the run out, or choose the strategy 'suggested'",
        )


def _with_reference(study: Study, settings: AnnotateSettings) -> list[Volume]:
    volumes = study.select(settings.volumes or None)
    if not settings.volumes:
        volumes = [volume for volume in volumes if volume.record.reference is not None]
    if not volumes:
        raise BadInput(
            f"Cannot annotate the volumes of '{study.name}'",
            "none has reference labels",
            "add volumes with their label files (option 'reference')",
        )
    return volumes


class _Counter:
    """What is done of all slices; how many there are in all is known once each volume's share is."""

    def __init__(self, volumes: int) -> None:
        self._waiting, self.done, self._total = volumes, 0, 0
        self._began = time.monotonic()

    def begin(self, slices: int) -> None:
        self._waiting -= 1
        self._total += slices

    def progress(self, what: str) -> Progress:
        known = self._waiting == 0
        left = (time.monotonic() - self._began) / self.done * (self._total - self.done) if self.done else None
        return Progress(
            done=self.done,
            total=self._total if known else 0,
            what=what,
            unit="slices",
            seconds_left=left if known else None,
        )


def _contents(volume: Volume, reference: Reference, counter: _Counter) -> Generator[Event, None, Contents]:
    found = Contents(np.zeros(0, np.bool_))
    for part, so_far in reference.contents(volume.axis):
        found = so_far
        yield counter.progress(f"{volume.name}: looking at the reference labels ({part:.0%})")
    what = f"Cannot annotate '{volume.name}'"
    if not found.labelled.any():
        raise BadInput(what, "its reference labels are empty", "leave it out, or add it with other labels")
    if found.values[-1] > _TOP:
        raise BadInput(
            what,
            f"its reference has the label {found.values[-1]}, and classes go up to {_TOP}",
            "renumber its labels and add it again",
        )
    return found


def _classes(
    study: Study, volume: Volume, values: Sequence[int]
) -> Generator[Event, None, list[dict[str, Any]]]:
    """Make the classes that the labels have and the study has not."""
    from napari_sortingloss.study.classes import add_class, all_classes, read_classes

    known = {found.value: found for found in all_classes(study)}
    used = {found.value for found in read_classes(study)}
    made = []
    for value in values:
        if value in known and value not in used:
            yield Notice(
                level="warning",
                message=f"{volume.name}: label {value} belongs to the class '{known[value].name}', which was removed; "
                "it is copied, and counts as unknown.",
            )
        elif value not in known:
            taken = {found.name.casefold() for found in read_classes(study)}
            name = next(n for n in _names(value) if n.casefold() not in taken)
            found = add_class(study, name, value=value)
            made.append({"value": found.value, "name": found.name})
    return made


def _names(value: int) -> Iterator[str]:
    yield f"label {value}"
    for number in range(2, 1000):
        yield f"label {value} ({number})"


def _choose(
    study: Study, volume: Volume, contents: Contents, settings: AnnotateSettings
) -> Generator[Event, None, list[int]]:
    labelled = np.flatnonzero(contents.labelled)
    count = settings.slices
    if count is None:
        count = max(1, round((settings.fraction or 0.0) * len(labelled)))
    if settings.strategy == "suggested":
        chosen = yield from _suggested(study, volume, count, settings.run)
    else:
        rng = np.random.default_rng([settings.seed, zlib.crc32(volume.name.encode())])
        pick = evenly if settings.strategy == "even" else at_random
        chosen = [int(labelled[i]) for i in pick(len(labelled), count, rng)]
        if count > len(labelled):
            yield Notice(
                message=f"{volume.name}: only {len(labelled)} slices have labels; {count} were asked for."
            )
    return sorted(chosen)


def at_random(n: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw `count` of `n` slices; with the same generator more contain fewer.

    Returns
    -------
    ndarray of int, shape (min(n, count),)
        In the order in which they are drawn.
    """
    return np.asarray(rng.permutation(n)[:count], np.intp)


def evenly(n: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Spread `count` slices over `n`; with the same generator more contain fewer.

    The first two lie near the quarters; each further one is about as far from the others as it can be, where the distance
    to an end counts twice. Which of those that are nearly as far is drawn.

    Returns
    -------
    ndarray of int, shape (min(n, count),)
        In the order in which they are chosen.
    """
    at = (np.arange(n) + 0.5) / n
    free = np.minimum(at, 1 - at) * 2
    chosen: list[int] = []
    starts = rng.permutation([0.25, 0.75]) + rng.uniform(-0.06, 0.06, 2)
    while len(chosen) < min(n, count):
        if len(chosen) < len(starts):
            close = np.abs(at - starts[len(chosen)])
            close[chosen] = np.inf
            found = int(np.argmin(close))
        else:
            found = int(rng.choice(np.flatnonzero(free >= _NEAR * free.max())))
        chosen.append(found)
        free = np.minimum(free, np.abs(at - at[found]))
    return np.asarray(chosen, np.intp)


def _suggested(study: Study, volume: Volume, count: int, run: str) -> Generator[Event, None, list[int]]:
    from napari_sortingloss.segment.suggest.job import SuggestSettings, suggest

    found: list[int] = []
    for event in suggest(study, SuggestSettings(run=run, count=count, volumes=(volume.name,))):
        if isinstance(event, Result):
            found = [int(one["index"]) for one in event.value["slices"] if one["axis"] == volume.axis]
        elif isinstance(event, Progress):
            yield event.replace(done=0, total=0, what=f"{volume.name}: asking for suggestions")
        else:
            yield event
    return found[:count]


def _copy(
    study: Study,
    volume: Volume,
    reference: Reference,
    chosen: Sequence[int],
    done: list[dict[str, Any]],
    counter: _Counter,
) -> Iterator[Event]:
    from napari_sortingloss.study.annotations.editor import AnnotationEditor

    counter.begin(len(chosen))
    axis = volume.axis
    kept = []
    with AnnotationEditor(study, volume.name) as editor:
        for index, labels in reference.each_slice(axis, chosen):
            before = editor.annotations.status(axis, index)
            if before == "empty":
                painted = editor.annotations.read_slice(
                    axis, index
                )  # on a slice of another axis that crosses
                copied = np.where(painted != 0, painted, labels).astype(np.uint8)
                editor.put_slice(axis, index, copied, what=WHAT, status="complete")
            else:
                kept.append(index)
            done.append({"volume": volume.name, "axis": axis, "index": index, "copied": before == "empty"})
            counter.done += 1
            yield counter.progress(volume.name)
        editor.flush()
    if kept:
        shown = ", ".join(map(str, kept[:8])) + (" and more" if len(kept) > 8 else "")
        one = len(kept) == 1
        yield Notice(
            message=f"{volume.name}: {'slice' if one else 'slices'} {shown} {'was' if one else 'were'} annotated before "
            f"and {'stays' if one else 'stay'} as {'it is' if one else 'they are'}."
        )
