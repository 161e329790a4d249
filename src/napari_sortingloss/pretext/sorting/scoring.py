"""Scores slices with a trained or a training network, and measures the order of the scores in batches of k."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sortingloss.networks.encoders.resnet import Encoder, build_encoder
from napari_sortingloss.pretext import displacement as d
from napari_sortingloss.pretext.loading import load_pretrained
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.slices import Weighting
from napari_sortingloss.slices.drawing import draw_positions
from napari_sortingloss.slices.fit import fit_slice
from napari_sortingloss.slices.reader import MILLIMETRES, load_slices
from napari_sortingloss.training.loop.checkpoints import Which

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Volume

BATCH = 16
"""Slices scored at a time."""


class SortingNetwork(nn.Module):
    """An encoder, global average pooling and one linear number a slice.

    Parameters
    ----------
    encoder : Encoder
        It sees grey values in [0, 1]; its last feature map is averaged over the slice.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.channels[-1], 1)

    def forward(self, slices: Tensor) -> Tensor:
        """Return one float32 score a slice.

        Parameters
        ----------
        slices : Tensor of uint8, shape (n, size, size)

        Returns
        -------
        Tensor of float32, shape (n,)
        """
        return self.score(slices[:, None].float() / 255)

    def score(self, pictures: Tensor) -> Tensor:
        """Return one float32 score a picture, differentiable in the pictures.

        Parameters
        ----------
        pictures : Tensor of float32, shape (n, 1, size, size)
            Grey values in [0, 1].

        Returns
        -------
        Tensor of float32, shape (n,)
        """
        pooled = self.encoder(pictures).float().mean(dim=(-2, -1))
        with torch.autocast(pictures.device.type, enabled=False):
            scores: Tensor = self.head(pooled)[:, 0]  # bfloat16 keeps 8 bits: neighbouring slices would tie
        return scores


def build_network(settings: SortingSettings) -> SortingNetwork:
    """Build the network that the settings of a run describe, on the CPU."""
    return SortingNetwork(build_encoder(settings.encoder, dropout=settings.dropout))


def sample_positions(n: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Pick `count` of `n` slices, one at random from each of as many equal stretches; all of them where `n` is less.

    Returns
    -------
    ndarray of int, shape (min(n, count),)
        Ascending.
    """
    if count >= n:
        return np.arange(n)
    edges = np.linspace(0, n, count + 1)
    low, high = np.ceil(edges[:-1]).astype(np.intp), np.ceil(edges[1:]).astype(np.intp)
    return rng.integers(low, high)


def order_figures(
    positions: NDArray[np.intp],
    scores: NDArray[np.floating],
    foreground: NDArray[np.bool_],
    k: int,
    volume: Volume,
    rng: np.random.Generator,
    *,
    weighting: Weighting = "uniform",
    draws: int = 64,
) -> Mapping[str, float]:
    """Measure the order in many batches of k slices, so that the figures compare with those of training.

    Parameters
    ----------
    positions : ndarray, shape (n,)
        Ascending positions of the slices scored.
    scores : ndarray, shape (n,)
    foreground : ndarray of bool, shape (n,)
        Which of them show something of the sample.
    k : int
        Slices in a batch.
    volume : Volume
        For the distance of its slices.
    rng : numpy.random.Generator
        Draws the batches.
    weighting : {"uniform", "centred"}
        How they are drawn.
    draws : int
        How many.

    Returns
    -------
    mapping of str to float
        ``mean_displacement``, ``random_displacement``, ``pairwise_accuracy``, ``spearman``; the first two also with the
        suffix ``_foreground`` (only slices with sample, where there are two) and ``_mm`` (where the unit is known).
    """
    columns: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        columns.setdefault(name, []).append(value)

    scale = MILLIMETRES.get(volume.unit)
    shown = np.flatnonzero(foreground)
    for _ in range(draws):
        drawn = draw_positions(rng, len(positions), k, weighting)
        places, found = positions[drawn], scores[drawn]
        add("mean_displacement", d.mean_displacement(places, found))
        add("random_displacement", d.random_displacement(len(drawn)))
        add("pairwise_accuracy", d.pairwise_accuracy(places, found))
        if scale is not None:
            spacing = volume.spacing * scale
            add("mean_displacement_mm", d.mean_distance(places, found, spacing))
            add("random_displacement_mm", d.random_distance(places, spacing))
        if len(shown) >= 2:
            drawn = shown[draw_positions(rng, len(shown), k, weighting)]
            add("mean_displacement_foreground", d.mean_displacement(positions[drawn], scores[drawn]))
            add("random_displacement_foreground", d.random_displacement(len(drawn)))
    figures = {name: float(np.mean(values)) for name, values in columns.items()}
    return {**figures, "spearman": d.spearman(positions, scores)}


class Scorer:
    """The network of a run, ready to score the slices of whole volumes.

    Parameters
    ----------
    network : SortingNetwork
        In evaluation mode, on its device.
    settings : SortingSettings
        Of the run.
    step : int
        Steps its weights were trained for.
    bfloat16 : bool
        Whether to compute in bfloat16, as in training.
    """

    def __init__(self, network: SortingNetwork, settings: SortingSettings, step: int, bfloat16: bool) -> None:
        self._network, self._settings, self._bfloat16 = network, settings, bfloat16
        self.step = step
        self.slices = settings.slices

    def score(
        self, volume: Volume, positions: NDArray[np.intp], thumbnail: int
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Score slices a few at a time, not augmented.

        Parameters
        ----------
        volume : Volume
        positions : ndarray, shape (n,)
            Along the ordering axis, in the ordering direction.
        thumbnail : int
            Side in pixels of the small copies returned.

        Yields
        ------
        scores : ndarray, shape (m,)
        thumbnails : ndarray of uint8, shape (m, thumbnail, thumbnail)
        """
        device = self._network.head.weight.device
        for start in range(0, len(positions), BATCH):
            part = positions[start : start + BATCH]
            settings = self._settings
            slices = load_slices(volume, part, settings.size, settings.field_of_view or 0.0)
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
                scores = self._network(torch.from_numpy(slices).to(device)).float().cpu().numpy()
            small = np.stack([fit_slice(image, (1.0, 1.0), thumbnail) for image in slices])
            yield scores, small


@contextmanager
def load_scorer(run: Run, which: Which, device: str, threads: int) -> Iterator[Scorer]:
    """Rebuild the network of a run from a checkpoint, for as long as the block lasts.

    Parameters
    ----------
    run : Run
        Of a task that orders slices.
    which : {"best", "last"}
    device, threads
        As in `napari_sortingloss.training.settings.TrainSettings`.

    Raises
    ------
    BadInput
        If there are no weights yet, or they are damaged or do not fit the run's settings.
    BadSetting
        If the device is not there.
    """
    with load_pretrained(run, which, device, threads) as found:
        yield Scorer(found.network, found.settings, found.step, found.bfloat16)
