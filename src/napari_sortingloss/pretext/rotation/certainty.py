"""Asks a network that was trained on rotations in which slices it can tell an angle: there is something in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.networks.encoders.resnet import Encoder, build_encoder
from napari_sortingloss.pretext import choose_task_that, locates_with
from napari_sortingloss.pretext.loading import load_pretrained
from napari_sortingloss.pretext.rotation.pairs import cut_discs, load_discs
from napari_sortingloss.pretext.rotation.settings import RotationSettings
from napari_sortingloss.slices.along import SlicesAlong, squares_across
from napari_sortingloss.training.loop.checkpoints import Which

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Volume
    from napari_sortingloss.study.schema import Axis

BATCH = 16
"""Slices asked about at a time."""


class RotationNetwork(nn.Module):
    """One encoder for both slices of a pair, global average pooling, and a small network that compares the two.

    The embeddings are brought to mean 0 and variance 1 over the batch, and the small network sees, besides the two, the
    products of their projections: the angle between two slices is in neither of them, only in both together.

    Parameters
    ----------
    encoder : Encoder
        It sees grey values in [0, 1].
    hidden : int
        Units of the hidden layer.
    classes : int
        Angles to tell apart.
    """

    def __init__(self, encoder: Encoder, hidden: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        channels = encoder.channels[-1]
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.first, self.second = nn.Linear(channels, hidden), nn.Linear(channels, hidden)
        self.head = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def embed(self, slices: Tensor) -> Tensor:
        """Return float32 embeddings, shape (n, channels), of uint8 slices, shape (n, size, size)."""
        pooled = self.encoder(slices[:, None].float() / 255).float().mean(dim=(-2, -1))
        with torch.autocast(slices.device.type, enabled=False):
            embedded: Tensor = self.norm(pooled)
        return embedded

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """Return float32 logits, shape (n, classes), for the angle from `first` to `second`, both (n, channels)."""
        with torch.autocast(first.device.type, enabled=False):
            a, b = self.first(first), self.second(second)
            logits: Tensor = self.head(torch.cat([a, b, a * b], dim=1))
        return logits

    def forward(self, slices: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the logits of pairs.

        Parameters
        ----------
        slices : Tensor of uint8, shape (n, size, size)
        first, second : Tensor of int64, shape (p,)
            The slices of each pair, as indices.

        Returns
        -------
        Tensor of float32, shape (p, classes)
        """
        embedded = self.embed(slices)
        return self.compare(embedded[first], embedded[second])


def build_network(settings: RotationSettings) -> RotationNetwork:
    """Build the network that the settings of a run describe, on the CPU."""
    encoder = build_encoder(settings.encoder, dropout=settings.dropout)
    return RotationNetwork(encoder, settings.hidden, len(settings.angles))


class RotationCertainty:
    """The network of a run, ready to be asked how sure it is of the angle between a slice and itself.

    Parameters
    ----------
    network : RotationNetwork
        In evaluation mode, on its device.
    settings : RotationSettings
        Of the run.
    step : int
        Steps its weights were trained for.
    bfloat16 : bool
        Whether to compute in bfloat16, as in training.
    """

    def __init__(
        self, network: RotationNetwork, settings: RotationSettings, step: int, bfloat16: bool
    ) -> None:
        self.network, self.settings, self.step = network, settings, step
        self._bfloat16 = bfloat16
        self._device = next(network.parameters()).device

    def discs(
        self, volume: Volume, axis: Axis, positions: Sequence[int] | NDArray[np.intp], at: float = 0.5
    ) -> NDArray[np.uint8]:
        """Read slices as they were shown in training, neither turned nor augmented.

        Parameters
        ----------
        volume : Volume
        axis : {"z", "y", "x"}
        positions : sequence of int
            As `SlicesAlong` counts them.
        at : float
            Where the disc lies along the longer side of the slice, see `squares_across`.

        Returns
        -------
        ndarray of uint8, shape (n, size, size)
        """
        settings = self.settings
        return load_discs(
            SlicesAlong(volume, axis), positions, settings.size, settings.field_of_view or 0.0, at
        )

    def certainty(self, slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probability of 0 degrees for pairs of a slice with itself.

        Parameters
        ----------
        slices : ndarray of uint8, shape (n, size, size)
            From `discs`. Slices fitted otherwise are cut to the inscribed circle, but beware of straight edges within
            it, such as those of a slice that is not square on its black ground: they give the angle away.

        Returns
        -------
        ndarray of float32, shape (n,)
            From 0 to 1; about one over the number of angles where there is nothing to see.
        """
        zero = self.settings.angles.index(0)
        found = np.empty(len(slices), np.float32)
        for start in range(0, len(slices), BATCH):
            part = torch.from_numpy(cut_discs(slices[start : start + BATCH])).to(self._device)
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16),
            ):
                embedded = self.network.embed(part)
                probabilities = self.network.compare(embedded, embedded).softmax(dim=1)[:, zero]
            found[start : start + BATCH] = probabilities.float().cpu().numpy()
        return found

    def along(
        self, volume: Volume, axis: Axis, positions: Sequence[int] | NDArray[np.intp]
    ) -> Iterator[NDArray[np.float32]]:
        """Ask about slices of a volume a few at a time, looking at whole slices.

        A slice longer than wide is looked at in several overlapping discs, and the surest counts.

        Yields
        ------
        ndarray of float32, shape (m,)
            Certainties of the next m slices.
        """
        places = squares_across(SlicesAlong(volume, axis))
        for start in range(0, len(positions), BATCH):
            part = positions[start : start + BATCH]
            views = [self.certainty(self.discs(volume, axis, part, at)) for at in places]
            yield np.max(views, axis=0)


@contextmanager
def load_rotation(run: Run, which: Which, device: str, threads: int) -> Iterator[RotationCertainty]:
    """Rebuild the network of a run from a checkpoint, for as long as the block lasts.

    Parameters
    ----------
    run : Run
        Of a task that is asked how sure it is.
    which : {"best", "last"}
    device, threads
        As in `napari_sortingloss.training.settings.TrainSettings`.

    Raises
    ------
    BadInput
        If there are no weights yet, or they are damaged or do not fit the run's settings.
    BadSetting
        If the run trained another task, or the device is not there.
    """
    if locates_with(run.task) != "certainty":
        raise BadSetting(
            f"Cannot ask the run '{run.id}' for angles",
            f"it trained the task '{run.task}'",
            choose_task_that(lambda task: task.locates_with == "certainty"),
        )
    with load_pretrained(run, which, device, threads) as found:
        yield RotationCertainty(found.network, found.settings, found.step, found.bfloat16)
