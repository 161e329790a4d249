"""Which slices to annotate next: looks at volumes with a run's network, ranks their slices and keeps the list in the run.

Imports no torch before the job has something to compute: windows read the list, and rank anew, from here.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_sortingloss.errors import BadInput, BadSetting, StudyError, readable_os_errors
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.segment.suggest.ranking import (
    Importance,
    Suggestion,
    match_anatomy,
    rank_suggestions,
)
from napari_sortingloss.segment.suggest.slice_features import (
    SliceFeatures,
    features_of,
    look_at,
    read_features,
    sampled_positions,
    weights_stamp,
    write_features,
)
from napari_sortingloss.settings import Setting, Settings

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study, Volume

FILE = "suggestions.json"


@dataclass(frozen=True)
class SuggestSettings(Settings):
    """Whose network chooses among which slices, and what counts."""

    run: Annotated[
        str,
        Setting(
            "The run whose network looks at the slices (its id, the start of it, or its name): a pre-training run, or a fine-tuning "
            "run, which also says where it is unsure.",
            hidden=True,
        ),
    ]
    count: Annotated[int, Setting("How many slices to suggest.", low=1, high=10_000)] = 10
    volumes: Annotated[
        tuple[str, ...],
        Setting(
            "The volumes to suggest slices of, by name or pattern (fish_*); all when empty.", hidden=True
        ),
    ] = ()
    spread: Annotated[
        float,
        Setting(
            "How much it counts that a slice lies far, in the predicted anatomical position, from annotated ones.",
            low=0.0,
            high=100.0,
            step=0.1,
            more=True,
        ),
    ] = Importance.spread
    novelty: Annotated[
        float,
        Setting(
            "How much it counts that a slice looks unlike annotated ones.",
            low=0.0,
            high=100.0,
            step=0.1,
            more=True,
        ),
    ] = Importance.novelty
    doubt: Annotated[
        float,
        Setting(
            "How much it counts that the segmentation network is unsure; needs a fine-tuning run.",
            low=0.0,
            high=100.0,
            step=0.1,
            more=True,
        ),
    ] = Importance.doubt
    turn: Annotated[
        float,
        Setting(
            "How much it counts that little is annotated in a slice's volume.",
            low=0.0,
            high=100.0,
            step=0.1,
            more=True,
        ),
    ] = Importance.turn
    weights: Annotated[
        Literal["best", "last"],
        Setting("Which of the run's weights: the best on what was held back, or the last.", more=True),
    ] = "best"
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting("What computes: the graphics card where there is one, or the processor.", more=True),
    ] = "auto"
    threads: Annotated[
        int,
        Setting("How many processor cores compute; 0 for all.", low=0, high=1024, more=True),
    ] = 0

    @property
    def importance(self) -> Importance:
        """The weights of the ingredients."""
        return Importance(self.spread, self.novelty, self.doubt, self.turn)


def suggest(study: Study, settings: SuggestSettings) -> Iterator[Event]:
    """List the slices most worth annotating next, each with the reason: a job.

    Parameters
    ----------
    study : Study
    settings : SuggestSettings

    Yields
    ------
    Event
        `Progress`; last a `Result` whose value has ``run``, ``step``, ``file`` and ``slices``: for each ``volume``,
        ``axis``, ``index`` (along the array), ``position`` (along the ordering axis), ``anatomy``, ``reason`` and
        ``score``. The same is in ``suggestions.json`` in the run's folder. What the network sees in a volume is kept
        there too, as ``features-NAME.npz``, until the weights or the volume change: a second call only ranks.

    Raises
    ------
    BadSetting
        If the run has no network that looks at slices, or no ingredient counts.
    BadInput
        If the study has no volumes, or the run no weights or damaged ones.
    StudyError
        If there is no such run or volume.
    """
    run = study.run(settings.run)
    what = f"Cannot suggest slices with the run '{run.id}'"
    volumes = study.select(settings.volumes or None)
    if not volumes:
        raise BadInput(f"Cannot suggest slices of '{study.name}'", "it has no volumes", "add volumes first")
    if max(settings.spread, settings.novelty, settings.doubt, settings.turn) <= 0:
        raise BadSetting(what, "none of the reasons counts", "give at least one a weight above 0")
    features = yield from _features(study, run, volumes, settings)
    chosen = {volume.name for volume in volumes}
    others = [volume for volume in study.select(None) if volume.name not in chosen]
    beside = features_of(run, others)  # annotated slices there are painted all the same
    slices = rank_suggestions(
        [*features, *beside],
        annotated_indices(study),
        settings.count,
        importance=settings.importance,
        volumes=chosen,
    )
    if not slices:
        yield Notice(
            message="No slice is left to suggest: all are annotated, next to an annotated one or empty."
        )
    step = max(one.step for one in features)
    document = {"run": run.id, "step": step, "slices": [one.to_json() for one in slices]}
    with readable_os_errors(f"Cannot keep the suggestions of the run '{run.id}'"):
        from napari_sortingloss.disk.atomic import write_json

        write_json(run.path / FILE, document)
    yield Result(value={**document, "file": str(run.path / FILE)})


def _features(
    study: Study, run: Run, volumes: Sequence[Volume], settings: SuggestSettings
) -> Generator[Event, None, list[SliceFeatures]]:
    """Yield progress and return the features of all volumes; those not kept yet are computed and kept."""
    stamp = weights_stamp(run, settings.weights)
    kept: dict[str, SliceFeatures] = {}
    for volume in volumes:
        before = read_features(run, volume, settings.weights)
        if before is not None:
            kept[volume.name] = before
    missing = [volume for volume in volumes if volume.name not in kept]
    if missing:
        yield Progress(done=0, total=0, what="loading the network")
        done, total = 0, sum(len(sampled_positions(volume, run.kind)) for volume in missing)
        began = time.monotonic()
        with ExitStack() as stack:
            from napari_sortingloss.segment.suggest.slice_readers import open_seer

            seer = open_seer(study, run, settings.weights, settings.device, settings.threads, stack)
            for volume in missing:
                for seen in look_at(volume, run.kind, seer):
                    if isinstance(seen, SliceFeatures):
                        write_features(run, volume, seen, stamp)
                        kept[volume.name] = seen
                        continue
                    done += seen
                    yield Progress(
                        done=done,
                        total=total,
                        what=volume.name,
                        unit="slices",
                        seconds_left=(time.monotonic() - began) / done * (total - done),
                    )
    return [kept[volume.name] for volume in volumes]


def annotated_indices(study: Study) -> dict[str, tuple[int, ...]]:
    """Return for each volume the array indices of the slices across its ordering axis that are annotated."""
    from napari_sortingloss.study.annotations.reading import annotated

    records = study.volumes
    return {
        name: tuple(one.index for one in annotations.slices() if one.axis == records[name].axis)
        for name, annotations in annotated(study).items()
    }


def read_suggestions(run: Run) -> list[Suggestion] | None:
    """Return the list that `suggest` last made with a run, or None where there is none (or no readable one)."""
    from napari_sortingloss.disk.atomic import read_json

    try:
        return [Suggestion.from_json(one) for one in read_json(run.path / FILE)["slices"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def rank_again(study: Study, run: Run, settings: SuggestSettings | None = None) -> list[Suggestion]:
    """Rank with what is kept, after something was annotated; quick, loads no torch and writes nothing.

    Parameters
    ----------
    study : Study
    run : Run
    settings : SuggestSettings, optional
        Its count, volumes and weights; all volumes and ten slices without it.

    Returns
    -------
    list of Suggestion
        Empty where `suggest` was never asked.
    """
    settings = settings or SuggestSettings(run=run.id)
    features = features_of(run, study.select(None))
    chosen = {volume.name for volume in study.select(settings.volumes or None)}
    return rank_suggestions(
        features, annotated_indices(study), settings.count, importance=settings.importance, volumes=chosen
    )


def same_anatomy(study: Study, run: Run | str, volume: str, index: int) -> list[dict[str, Any]]:
    """Find the slice of every other volume that shows the same place as a given one; quick, loads no torch.

    Parameters
    ----------
    study : Study
    run : Run or str
        Of which `suggest` has looked at the volumes.
    volume : str
    index : int
        Array index along the volume's ordering axis.

    Returns
    -------
    list of dict
        See `napari_sortingloss.segment.suggest.ranking.match_anatomy`.

    Raises
    ------
    StudyError
        If there is no such run or volume, or the run has not looked at the volume yet.
    """
    run = study.run(run) if isinstance(run, str) else run
    own = study.volume(volume)
    features = features_of(run, study.select(None))
    if own.name not in {one.volume for one in features}:
        raise StudyError(
            f"Cannot find the same place of '{volume}' in other volumes",
            f"the run '{run.id}' has not looked at it yet",
            "ask it for suggestions first",
        )
    return match_anatomy(features, volume, index)


__all__: Sequence[str] = [
    "SuggestSettings",
    "Suggestion",
    "annotated_indices",
    "rank_again",
    "rank_suggestions",
    "read_suggestions",
    "same_anatomy",
    "suggest",
]
