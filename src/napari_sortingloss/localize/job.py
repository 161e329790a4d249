"""The localisation job: asks a trained network where the specimen is, volume by volume, and keeps what it says."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import NO_BOX, Box, grown
from napari_sortingloss.errors import BadInput, BadSetting, OutOfMemory, StudyError
from napari_sortingloss.events import Event, Notice, Progress, Result
from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.region import Region, find_region, finite, is_flat
from napari_sortingloss.localize.resample import block_mean, step_for
from napari_sortingloss.localize.review import HALF
from napari_sortingloss.localize.settings import LocalizeSettings
from napari_sortingloss.pretext import choose_task_that, locates_with
from napari_sortingloss.study.localizations.reading import (
    Localization,
    LocalizationWriter,
    Profile,
    read_localization,
)
from napari_sortingloss.study.schema import AXES, now

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study, Volume

Floats = NDArray[np.float32]

SHOWN = 2_000_000
"""At most so many points of the refined map are kept: enough to look at and to follow a slider."""

FUSED = 400_000
"""At most so many points of the map that is put together from three curves."""


@dataclass(frozen=True)
class _Seen:
    """What a network says about one volume."""

    statistic: str
    map: Floats
    grid: Grid
    profiles: Mapping[str, Profile]
    warnings: tuple[str, ...] = ()
    threshold: float | None = None  # that the statistic itself gives


_Look = Callable[["Volume"], Generator[Event, None, _Seen]]


def localize(study: Study, settings: LocalizeSettings) -> Iterator[Event]:
    """Find the specimen in volumes, without labels: a job.

    Parameters
    ----------
    study : Study
    settings : LocalizeSettings

    Yields
    ------
    Event
        `Progress`; a `Notice` for each doubt; last a `Result` whose value has ``run``, ``recipe`` and ``volumes``: for
        each ``name``, ``box`` (half-open, voxels of the study's volume; empty where nothing was found),
        ``removed_fraction``, ``kept_fraction``, ``threshold``, ``fraction``, ``statistic``, ``status``, ``warnings``
        and ``seconds``. What is found in a volume is in ``localizations/NAME/RUN`` as soon as the next one begins, and
        stays when the job is closed. A box that a person has accepted, skipped or moved is left as it is, unless
        ``again`` is set.

    Raises
    ------
    BadSetting
        If the run's task cannot localise, or a setting does not go with it.
    BadInput
        If the run has no weights or was trained without dropout where that is needed, or a volume is too small.
    StudyError
        If there is no such run or volume, or another job is localising the volume with this run.
    OutOfMemory
        If the network does not fit the memory.
    """
    run = study.run(settings.run)
    what = f"Cannot localise with the run '{run.id}'"
    by = locates_with(run.task)
    if not by:
        raise BadSetting(
            what, f"it trained the task '{run.task}'", choose_task_that(lambda task: task.locates_with)
        )
    volumes = study.select(settings.volumes or None)
    if not volumes:
        raise BadInput(f"Cannot localise in '{study.name}'", "it has no volumes", "add volumes first")
    for volume in volumes:
        _check(volume)
    chosen = settings.resolved()
    if by == "certainty":  # its box is that of three intervals, in either recipe: no share of the volume
        chosen = chosen.replace(fraction=settings.fraction)
    yield Progress(done=0, total=0, what="loading the network")
    results = []
    with ExitStack() as stack:
        look = _LOOKS[by](run, settings, stack)
        counter = _Counter(by, volumes, chosen.every)
        for volume in volumes:
            checked = None if settings.again else _checked(study, volume.name, run.id)
            if checked is not None:
                yield Notice(
                    message=f"{volume.name}: a person has {checked[1]} its box; it stays (see 'again')."
                )
                results.append(_summary(checked[0]))
                counter.skip(volume)
                continue
            found = yield from counter.over_all(_localize_one(study, run, volume, look, chosen), volume)
            results.append(_summary(found))
            for warning in found.warnings:
                yield Notice(level="warning", message=f"{volume.name}: {warning}")
    yield Result(value={"run": run.id, "recipe": settings.recipe, "volumes": results})


class _Counter:
    """Turns what is done of one volume into what is done of all."""

    def __init__(self, by: str, volumes: Sequence[Volume], every: int | None) -> None:
        from napari_sortingloss.localize.certainty import sampled

        def slices(volume: Volume) -> int:
            sides = (volume.n_slices,) if by == "scores" else volume.shape
            return sum(len(sampled(side, every)) for side in sides)

        self._slices = {volume.name: slices(volume) for volume in volumes}
        self._before, self._skipped, self._began = 0, 0, time.monotonic()

    def skip(self, volume: Volume) -> None:
        """Leave a volume out of the count."""
        self._skipped += self._slices[volume.name]

    def over_all(
        self, job: Generator[Event, None, Localization], volume: Volume
    ) -> Generator[Event, None, Localization]:
        """Pass on the events of the job of one volume."""
        total, own, done = sum(self._slices.values()) - self._skipped, self._slices[volume.name], 0
        while True:
            try:
                event = next(job)
            except StopIteration as end:
                self._before += own
                found: Localization = end.value
                return found
            if isinstance(event, Progress):
                done = min(event.done, own) if event.total else done
                all_done = self._before + done
                left = (time.monotonic() - self._began) / all_done * (total - all_done) if all_done else None
                event = event.replace(done=all_done, total=total, unit="slices", seconds_left=left)
            yield event


def _check(volume: Volume) -> None:
    for name, size in zip(AXES, volume.shape, strict=True):
        if size < 4:
            raise BadInput(
                f"Cannot localise in '{volume.name}'",
                f"it has only {size} voxels along {name}",
                "choose volumes of at least 4 voxels along each axis",
            )


def _checked(study: Study, volume: str, run: str) -> tuple[Localization, str] | None:
    """Return the localisation that a person has worked on, and how; a damaged one is no loss."""
    try:
        before = read_localization(study, volume, run)
    except StudyError:
        return None
    if before is None or not (before.adjusted or before.status != "found"):
        return None
    return before, "moved" if before.status == "found" else before.status


def _scores(run: Run, settings: LocalizeSettings, stack: ExitStack) -> _Look:
    from napari_sortingloss.localize.maps import doubts_of_scale, uncertainty_map
    from napari_sortingloss.pretext.loading import load_pretrained

    chosen = settings.resolved()
    trained = stack.enter_context(load_pretrained(run, settings.weights, settings.device, settings.threads))
    statistic = str(chosen.statistic)

    def look(volume: Volume) -> Generator[Event, None, _Seen]:
        found, grid = yield from uncertainty_map(trained, volume, chosen)
        profiles = _profiles(found, grid, f"mean {statistic}")
        return _Seen(statistic, found, grid, profiles, doubts_of_scale(volume, trained.settings))

    return look


def _certainty(run: Run, settings: LocalizeSettings, stack: ExitStack) -> _Look:
    from napari_sortingloss.localize.certainty import certainty_curves
    from napari_sortingloss.localize.intervals import INSIDE, fused_map, interval
    from napari_sortingloss.pretext.rotation.certainty import load_rotation

    for name in ("statistic", "passes", "grid"):
        if getattr(settings, name) is not None:
            raise BadSetting(
                f"Cannot localise with the run '{run.id}' and {name} = {getattr(settings, name)!r}",
                f"a run of the task '{run.task}' is asked for its certainty, once for each slice",
                "leave it out, or " + choose_task_that(lambda task: task.locates_with == "scores"),
            )
    every = settings.resolved().every
    judge = stack.enter_context(load_rotation(run, settings.weights, settings.device, settings.threads))

    def look(volume: Volume) -> Generator[Event, None, _Seen]:
        curves = yield from certainty_curves(judge, volume, every)
        found = [
            interval(curves[axis].values, curves[axis].positions, size, name=axis)
            for axis, size in zip(AXES, volume.shape, strict=True)
        ]
        whole = Grid.of_voxels(volume.shape)
        step = step_for(volume.shape, volume.voxel_size, FUSED)
        size = tuple(-(-n // s) for n, s in zip(volume.shape, step, strict=True))
        grid = Grid(
            (size[0], size[1], size[2]),
            (float(step[0]), float(step[1]), float(step[2])),
            tuple(o + (s - 1) / 2 for o, s in zip(whole.offset, step, strict=True)),  # type: ignore[arg-type]
        )
        profiles = {
            str(axis): Profile(
                0.0, 1.0, tuple(map(float, one.smoothed)), one.low, one.high, one.threshold, "certainty"
            )
            for axis, one in zip(AXES, found, strict=True)
        }
        warnings = tuple(w for one in found for w in one.warnings)
        return _Seen("certainty", fused_map(found, grid), grid, profiles, warnings, INSIDE)

    return look


_LOOKS: dict[str, Callable[[Run, LocalizeSettings, ExitStack], _Look]] = {
    "scores": _scores,
    "certainty": _certainty,
}
"""What is asked of a network, by the capability `TaskEntry.locates_with` of its task."""


def _localize_one(
    study: Study, run: Run, volume: Volume, look: _Look, settings: LocalizeSettings
) -> Generator[Event, None, Localization]:
    began = time.monotonic()
    with LocalizationWriter(study, volume.name, run.id) as writer:
        try:
            seen = yield from look(volume)
            writer.uncertainty(seen.map, seen.grid.to_json())
            region, warnings = None, list(seen.warnings)
            if settings.refine and not is_flat(finite(seen.map)):
                region = yield from _refined(volume, seen, settings, writer, warnings)
            if region is None:
                region = _find(volume, seen.map, seen.grid, settings, seen.threshold)
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"Cannot localise in '{volume.name}'",
                "it needs more memory than the computer or its graphics card has free",
                "close other programs, or compute on the processor (device cpu)",
            ) from error
        warnings += [w for w in region.warnings if w not in warnings]
        box = _with_margin(region.box, volume, settings.margin)
        found = writer.commit(
            Localization(
                volume=volume.name,
                run=run.id,
                created=now(),
                shape=volume.shape,
                box=box,
                found=box,
                threshold=region.threshold,
                fraction=region.fraction,
                automatic=settings.fraction is None,
                statistic=seen.statistic,
                settings=settings.to_json(),
                seconds=time.monotonic() - began,
                warnings=tuple(warnings),
                hull=region.hull,
                profiles=_with_box(seen.profiles, box) if seen.statistic != "certainty" else seen.profiles,
            )
        )
    return found


def _refined(
    volume: Volume,
    seen: _Seen,
    settings: LocalizeSettings,
    writer: LocalizationWriter,
    warnings: list[str],
) -> Generator[Event, None, Region | None]:
    """Look for the surface in the voxels; None, with a warning, where they do not show it."""
    from napari_sortingloss.localize.refine import refine

    steps = refine(volume, seen.map, seen.grid)
    while True:
        try:
            what = next(steps)
        except StopIteration as end:
            refined = end.value
            break
        yield Progress(done=0, total=0, what=f"{volume.name}: {what}")
    if refined is None:
        warnings.append(
            "The grey values do not tell the specimen from what surrounds it where the network looks: the box is as "
            "coarse as the network's own map."
        )
        return None
    region = _find(volume, refined.score, refined.grid, settings, HALF)
    step = step_for(refined.grid.shape, refined.grid.spacing(volume.voxel_size), SHOWN)
    shown, grid = block_mean(refined.score, refined.grid, step)
    writer.evidence(shown, grid.to_json())
    return region


def _find(
    volume: Volume, evidence: Floats, grid: Grid, settings: LocalizeSettings, threshold: float | None
) -> Region:
    given = settings.fraction is not None
    return find_region(
        evidence,
        grid,
        volume.shape,
        volume.voxel_size,
        threshold=None if given else threshold,
        fraction=settings.fraction,
    )


def _with_margin(box: Box, volume: Volume, percent: float) -> Box:
    if box == NO_BOX or not percent:
        return box
    return grown(box, volume.shape, [percent / 100 * n for n in volume.shape])


def _profiles(values: Floats, grid: Grid, title: str) -> dict[str, Profile]:
    """Return the mean of a map along each axis; the intervals come with the box."""
    profiles: dict[str, Profile] = {}
    for axis, name in enumerate(AXES):
        curve = values.mean(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        profiles[name] = Profile(
            grid.offset[axis], grid.scale[axis], tuple(map(float, curve)), 0, 0, None, title
        )
    return profiles


def _with_box(profiles: Mapping[str, Profile], box: Box) -> dict[str, Profile]:
    import dataclasses

    return {
        name: dataclasses.replace(profile, low=low, high=high)
        for (name, profile), (low, high) in zip(profiles.items(), box, strict=True)
    }


def _summary(found: Localization) -> dict[str, Any]:
    return {
        "name": found.volume,
        "box": [list(span) for span in found.box],
        "removed_fraction": found.removed_fraction,
        "kept_fraction": found.kept_fraction,
        "threshold": found.threshold,
        "fraction": found.fraction,
        "statistic": found.statistic,
        "status": found.status,
        "warnings": list(found.warnings),
        "seconds": found.seconds,
    }


def _is_out_of_memory(error: Exception) -> bool:
    from napari_sortingloss.training.failures import is_out_of_memory

    return is_out_of_memory(error)
