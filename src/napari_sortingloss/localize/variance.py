"""How much the embedding of each place of a slice varies when parts of the network are left out at random."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.networks.encoders.resnet import Encoder, OutputStride
from napari_sortingloss.pretext import choose_task_that

SMALLEST = 1e-6
"""Added to the mean square of the embeddings, by which the relative variance divides."""

WHAT = "Cannot measure how much the embeddings vary"


class PassDropout(nn.Module):
    """Dropout of whole feature maps, the same maps for every slice that one pass sees.

    Parameters
    ----------
    rate : float
        Probability of dropping a map; what stays is raised so that the expectation is kept.
    seed : int
        With the number of the pass it decides which maps are dropped.

    Notes
    -----
    A pass is thus one thinned network that looks at all slices of a volume: they are compared under the same
    networks, and the result depends neither on how they are split into batches nor on the device.
    """

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__()
        self.rate, self.seed = rate, seed
        self._generator = torch.Generator()

    def start(self, number: int) -> None:
        """Begin a pass: the maps that follow are dropped as always in the pass of this number."""
        # Pass 1 of seed 0 must not be pass 0 of seed 1.
        mixed = (self.seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + 1) % 2**63
        self._generator.manual_seed(mixed)

    def forward(self, maps: Tensor) -> Tensor:
        """Drop some of the maps, shape (n, channels, h, w)."""
        kept = torch.rand(maps.shape[1], generator=self._generator) >= self.rate
        factor = kept.to(device=maps.device, dtype=maps.dtype) / (1 - self.rate)
        return maps * factor[:, None, None]


class DropoutVariance:
    """The variance of super-pixel embeddings over passes with dropout, for the slices of whole volumes.

    Parameters
    ----------
    encoder : Encoder
        Trained with dropout on single-channel slices; in evaluation mode, on its device. Its batch-norm stays in
        evaluation.
    passes : int
        How often it looks at each slice, at least 2.
    stride : {32, 16, 8}
        Input pixels to one super-pixel (`Encoder.set_output_stride`); the encoder's own is restored after each batch.
    seed : int
        Decides what is dropped; the same seed gives the same values, for each slice by itself.
    relative : bool
        Whether to divide by the mean square of the mean embedding.

    Raises
    ------
    BadInput
        If the encoder has no dropout, or is not one for slices.
    BadSetting
        If there are fewer than two passes, or the stride is not possible.

    Notes
    -----
    Gal & Ghahramani, Dropout as a Bayesian Approximation, 2016, on the embeddings before global pooling. What comes
    before the first dropout is computed once a batch; mean and variance run along in float32 (Welford 1962), so that
    memory does not grow with the passes. Autocast of the caller holds for the network only.

    Super-pixel (i, j) is centred on pixel (i * stride, j * stride) of the slice: each convolution and pooling that
    strides is padded so that its first output is centred on its first input.

    Examples
    --------
    >>> from napari_sortingloss.networks.encoders.resnet import build_encoder
    >>> encoder = build_encoder("resnet18", dropout=0.1).eval()
    >>> variance = DropoutVariance(encoder, passes=3, stride=16)
    >>> variance(torch.zeros((2, 64, 64), dtype=torch.uint8)).shape
    torch.Size([2, 4, 4])
    """

    def __init__(
        self,
        encoder: Encoder,
        passes: int = 20,
        stride: OutputStride = 32,
        seed: int = 0,
        *,
        relative: bool = False,
    ) -> None:
        if encoder.dims != 2 or encoder.in_channels != 1:
            raise BadInput(
                WHAT,
                "the run was not trained on slices of one channel",
                choose_task_that(lambda task: task.locates_with == "scores"),
            )
        if not encoder.dropout:
            raise BadInput(
                WHAT,
                "the run was trained without dropout",
                "choose the statistic 'sensitivity', or a run trained with dropout",
            )
        if passes < 2:
            raise BadSetting(
                WHAT,
                f"{passes} pass is too few" if passes == 1 else f"{passes} passes are too few",
                "choose 2 or more",
            )
        if stride not in (8, 16, 32):
            raise BadSetting(WHAT, f"a grid of {stride} px is not possible", "choose 8, 16 or 32")
        self.encoder, self.passes, self.stride, self.relative = encoder, passes, stride, relative
        self.dropout = PassDropout(encoder.dropout, seed)

    def __call__(self, slices: Tensor) -> Tensor:
        """Look at a batch of slices.

        Parameters
        ----------
        slices : Tensor of uint8, shape (n, size, size)
            On the encoder's device.

        Returns
        -------
        Tensor of float32, shape (n, g, g), g = ceil(size / stride)
            The variance (of the passes: divided by their number less one), averaged over channels.
        """
        looking = self.looking(slices)
        while True:
            try:
                next(looking)
            except StopIteration as done:
                found: Tensor = done.value
                return found

    def looking(self, slices: Tensor) -> Generator[int, None, Tensor]:
        """Look at a batch of slices, and tell after each pass.

        Parameters
        ----------
        slices : Tensor
            As in `__call__`.

        Yields
        ------
        int
            Passes done.

        Returns
        -------
        Tensor
            As in `__call__`.
        """
        encoder, before = self.encoder, self.encoder.output_stride
        encoder.set_output_stride(self.stride)
        try:
            with torch.inference_mode():
                shared = encoder.stage1(encoder.pool(encoder.stem(slices[:, None].float() / 255)))
                embedding = self._embed(shared, 0).float()
                mean = embedding.clone()
                squares = torch.zeros_like(mean)
            yield 1
            for number in range(1, self.passes):
                with torch.inference_mode():  # not across a yield: it would hold for the caller too
                    embedding = self._embed(shared, number).float()
                    off = embedding - mean
                    mean.add_(off, alpha=1 / (number + 1))
                    squares.addcmul_(off, embedding.sub_(mean))
                yield number + 1
        finally:
            encoder.set_output_stride(before)  # type: ignore[arg-type]  # it was set before
        with torch.inference_mode():
            variance = squares.mean(dim=1) / (self.passes - 1)
            if self.relative:
                variance /= mean.square().mean(dim=1) + SMALLEST
            return variance

    def _embed(self, shared: Tensor, number: int) -> Tensor:
        """Return the super-pixels of a pass, shape (n, channels, g, g), from what all passes share."""
        encoder, drop = self.encoder, self.dropout
        drop.start(number)
        x = drop(shared)
        for stage in (encoder.stage2, encoder.stage3):
            x = drop(stage(x))
        out: Tensor = encoder.stage4(x)
        return out
