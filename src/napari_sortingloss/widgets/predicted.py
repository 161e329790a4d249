"""What has been predicted in a study, finished or growing, read anew only where it changed; not for the GUI thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sortingloss.errors import UserError

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.predictions.reading import Prediction


@dataclass(frozen=True)
class PredictedLook:
    """What a run predicted for a volume, as it was on disk.

    Attributes
    ----------
    volume, run : str
    stamp : tuple
        Another one whenever it was written anew, or grew.
    value : Prediction or None
        None where it cannot be read.
    share : float
        How much of it is there, 0 to 1.
    problem : UserError or None
        Why it cannot be read.
    alive : bool
        Whether a living program is at it.
    anew : PredictedLook or None
        What is to replace it, once it is whole: a prediction that is being made, or was cut off.
    """

    volume: str
    run: str
    stamp: tuple[object, ...]
    value: Prediction | None = None
    share: float = 1.0
    problem: UserError | None = None
    alive: bool = False
    anew: PredictedLook | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PredictedLook):
            return NotImplemented
        mine, others = ((one.volume, one.run, one.stamp, one.alive, one.anew) for one in (self, other))
        return mine == others

    __hash__ = None  # type: ignore[assignment]

    @property
    def complete(self) -> bool:
        """Whether the whole volume is there."""
        return self.value is not None and self.value.complete

    @property
    def unfinished(self) -> PredictedLook | None:
        """What is being made, or was cut off: this one or what is to replace it; None where nothing is."""
        return self.anew if self.complete or self.value is None else self


Predicted = Mapping[str, Mapping[str, PredictedLook]]
"""Volume to run to what was seen, the newest first; volumes without any are left out."""

_seen: dict[Path, PredictedLook] = {}


def look_at_predictions(study: Study, names: Iterable[str]) -> Predicted:
    """Return what has been predicted of each volume."""
    from napari_sortingloss.study.predictions.reading import growing_runs, predicted_runs

    found: dict[str, dict[str, PredictedLook]] = {}
    for name in names:
        looks = {run: _finished(study, name, run) for run in predicted_runs(study, name)}
        for run in growing_runs(study, name):
            look = _growing(study, name, run)
            if look is not None:  # what is there stays in view until it is replaced
                whole = looks.get(run)
                looks[run] = replace(whole, anew=look) if whole is not None and whole.complete else look
        if looks:
            order = sorted(looks.values(), key=lambda look: (_created(look), look.run), reverse=True)
            found[name] = {look.run: look for look in order}
    return found


def _created(look: PredictedLook) -> str:
    return look.value.created if look.value is not None else ""


def _finished(study: Study, volume: str, run: str) -> PredictedLook:
    from napari_sortingloss.study.predictions.reading import find_prediction, prediction_path

    path = prediction_path(study, volume, run)
    stamp = _stamp(path / "zarr.json")
    kept = _seen.get(path)
    if kept is not None and kept.stamp == stamp:
        return kept
    try:
        look = PredictedLook(volume, run, stamp, find_prediction(study, volume, run))
    except UserError as error:
        look = PredictedLook(volume, run, stamp, problem=error)
    _seen[path] = look
    return look


def _growing(study: Study, volume: str, run: str) -> PredictedLook | None:
    from napari_sortingloss.disk.parts import is_alive
    from napari_sortingloss.study.predictions.reading import growing_prediction
    from napari_sortingloss.study.predictions.record import part_path

    try:
        found = growing_prediction(study, volume, run)
    except UserError:  # the volume is gone this moment
        return None
    if found is None:
        return None
    part = part_path(study, volume, run)
    share = share_of(found, part)
    stamp = ("growing", found.created, tuple(found.done), share)
    return PredictedLook(volume, run, stamp, found, share, alive=is_alive(part))


def share_of(prediction: Prediction, part: Path) -> float:
    """Return how much of the work of an unfinished prediction is done, 0 to 1, across all its axes."""
    from napari_sortingloss.segment.predict.kept_axes import kept_slices

    sizes = dict(zip("zyx", prediction.shape, strict=True))
    written = sum(stop - start for start, stop in prediction.done)
    slices = {prediction.axis: written, **kept_slices(part, prediction.shape)}
    done = sum(min(slices.get(axis, 0), sizes[axis]) for axis in prediction.axes)
    return done / max(1, sum(sizes[axis] for axis in prediction.axes))


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
