"""Slices whose labels an earlier run predicted: what it was sure of teaches the next one (self-training)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.pyramid import level_factors
from napari_sortingloss.errors import BadInput, StudyError
from napari_sortingloss.segment.finetune.dataset import CACHE_BYTES, KnownSlices
from napari_sortingloss.segment.finetune.plan import SliceKey
from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.slices import IGNORE
from napari_sortingloss.study.predictions.reading import Prediction, find_prediction
from napari_sortingloss.study.schema import AXES

if TYPE_CHECKING:
    from napari_sortingloss.study import Study

Uint8 = NDArray[np.uint8]


class PredictedSlices(KnownSlices):
    """Slices of predicted volumes that show a class, across the axes they were predicted along.

    Parameters
    ----------
    study : Study
    run : str
        The id of the run that predicted.
    volumes : sequence of str
        Volumes that it predicted with the uncertainty.
    values : sequence of int
        The values of the classes, in the order of the network's channels.
    pixel_size : float
        In mm; 0 for voxels as they are.
    sure, sure_of_background : float
        Voxels with a larger entropy than that of two classes at this probability and the rest are unknown: those of a
        class, and those of the background.
    without : collection of SliceKey
        Slices to leave out: those that are painted.

    Attributes
    ----------
    keys : tuple of SliceKey
        Evenly spaced, and no more than can be kept in memory.

    Raises
    ------
    StudyError
        If a volume is not predicted any more, or the prediction is damaged; of a slice that is asked for, also if it was
        predicted anew since.

    Notes
    -----
    Pseudo-labels (Lee 2013), here of what a network says about a voxel across several axes and in several poses; only
    where it is sure, and the next network sees the slices turned and altered (Xie et al., Self-training with Noisy
    Student, 2020). Averaging over axes and poses can leave classes too small, because what only one of them sees counts as
    background; then background should have to be surer. Where the earlier run did not know a class, what it took for
    background may be that class and is unknown.
    """

    def __init__(
        self,
        study: Study,
        run: str,
        volumes: Sequence[str],
        values: Sequence[int],
        pixel_size: float,
        sure: float,
        sure_of_background: float,
        without: Collection[SliceKey] = (),
    ) -> None:
        super().__init__(study, pixel_size)
        self._predictions = {name: find_prediction(study, name, run) for name in volumes}
        self._stamps = {name: _stamp(one) for name, one in self._predictions.items()}
        self._tables = {name: channels(one, values) for name, one in self._predictions.items()}
        self._limits: dict[str, Uint8] = {}
        for name, one in self._predictions.items():
            limits = np.full(256, entropy_limit(sure, len(one.classes) + 1), np.uint8)
            limits[0] = entropy_limit(sure_of_background, len(one.classes) + 1)
            self._limits[name] = limits
        left_out = set(without)
        found = [key for name in volumes for key in self._showing(name) if key not in left_out]
        bytes_ = sum(2 * math.prod(self.shape(key)) for key in found)
        self.keys = tuple(found[:: max(1, -(-bytes_ // CACHE_BYTES))])

    def _showing(self, name: str) -> list[SliceKey]:
        """Return the slices on which the smallest copy of the labels shows a class."""
        prediction, table = self._predictions[name], self._tables[name]
        kinds = table[np.asarray(prediction.pyramid()[-1][:, :, :])]
        shows = (kinds > 0) & (kinds != IGNORE)
        found = []
        for across, axis in enumerate(AXES):
            if axis not in prediction.axes:
                continue
            factor = level_factors(prediction.shape)[-1][across]
            profile = shows.any(axis=tuple(k for k in range(3) if k != across))
            size = prediction.shape[across]
            found += [
                SliceKey(name, axis, i) for i in range(size) if profile[min(i // factor, len(profile) - 1)]
            ]
        return found

    def _target(self, key: SliceKey) -> Uint8:
        prediction = self._predictions[key.volume]
        labels = prediction.read_slice(key.axis, key.index)
        found = self._tables[key.volume][labels]
        unsure = prediction.uncertainty_slice(key.axis, key.index) > self._limits[key.volume][labels]
        found[unsure] = IGNORE
        # Of labels that are gone zeros are read, which would teach that all is background, and with certainty.
        if _stamp(prediction) != self._stamps[key.volume]:
            raise StudyError(
                f"Cannot learn from what '{prediction.run}' predicted for '{key.volume}'",
                "it was removed, or predicted anew, while it was learnt from",
                "predict the volume with that run, and go on; or begin a new run",
            )
        return found


def slices_also_learnt(
    study: Study, settings: FinetuneSettings, without: Collection[SliceKey] = ()
) -> PredictedSlices | None:
    """Return the predicted slices that a run learns from too, as its settled settings say; None where it learns from none.

    Raises
    ------
    BadInput
        If they show none of the classes.
    StudyError
        If a prediction is no longer there, or damaged.
    """
    if not settings.predicted:
        return None
    found = PredictedSlices(
        study,
        settings.also_from,
        settings.predicted,
        [one.value for one in settings.label_classes()],
        settings.pixel_size or 0.0,
        settings.sure,
        settings.sure_of_background,
        without,
    )
    if not found.keys:
        raise BadInput(
            f"Cannot learn also from what '{settings.also_from}' predicted",
            "it has found none of the classes",
            "predict with a better run, or learn from painted slices alone",
        )
    return found


def _stamp(prediction: Prediction) -> tuple[int, int]:
    """Return what is another one once the prediction on the disk is; (0, 0) where it is gone."""
    try:
        status = (prediction.path / "zarr.json").stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def channels(prediction: Prediction, values: Sequence[int]) -> Uint8:
    """Return what each predicted label means to a network that tells `values` apart.

    Returns
    -------
    ndarray of uint8, shape (256,)
        0 for background, k + 1 for ``values[k]``, `IGNORE` for classes that are not among them, and for background
        where the prediction did not know one of them.
    """
    known = {one.value for one in prediction.classes}
    table = np.full(256, IGNORE, np.uint8)
    if known.issuperset(values):
        table[0] = 0
    for channel, value in enumerate(values, 1):
        if value in known:
            table[value] = channel
    return table


def entropy_limit(sure: float, kinds: int) -> int:
    """Return the largest entropy that counts as sure, as predictions store it: 255 for the logarithm of `kinds`.

    Parameters
    ----------
    sure : float
        The probability of one of two classes, from 0.5 to 1.
    kinds : int
        1 + classes.
    """
    entropy = -sum(p * math.log(p) for p in (sure, 1 - sure) if p > 0)
    return min(255, int(255 * entropy / math.log(kinds)))
