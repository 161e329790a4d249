"""Segmentation networks: an encoder, a decoder that goes back to the size of the slice, one number a class and pixel."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.networks import segmenter_info
from napari_sortingloss.networks.encoders.resnet import Encoder
from napari_sortingloss.networks.segmenters.decoders import DeepLabDecoder, Norm, UNetDecoder

STRIDE = 32
"""Slices are brought to multiples of this inside the network."""

WIDE = 512
"""The head learns as fast as if it had so many channels to look at: a step of Adam moves each weight by the same amount,
so behind few channels the logits would hardly leave 0 in a short run, and rare classes never appear."""

QUIET = 0.01
"""The standard deviation with which the logits begin, for inputs of 1."""


class Head(nn.Conv2d):
    """The last 1 x 1 convolution, with a gain that makes up for few channels.

    Parameters
    ----------
    channels, outputs : int

    Notes
    -----
    The multiplier of the output layer in Yang et al., Tensor Programs V (2021), taken for the width of the decoder.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs, 1)
        self.gain = WIDE / channels
        nn.init.normal_(self.weight, std=QUIET / self.gain)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, outputs, h, w)."""
        return super().forward(x) * self.gain


class SegmentationNetwork(nn.Module):
    """Says of every pixel of a slice what it shows.

    Parameters
    ----------
    encoder : Encoder
    decoder : torch.nn.Module
        Called with the picture and the encoder's five maps.
    classes : int
        Classes besides the background.
    dropout : float
        Probability of dropping a feature map before the head.

    Attributes
    ----------
    encoder : Encoder
    decoder, head : torch.nn.Module
    """

    def __init__(self, encoder: Encoder, decoder: nn.Module, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.drop: nn.Module = nn.Dropout2d(dropout) if dropout else nn.Identity()
        channels: Any = decoder.out_channels
        self.head = Head(channels, classes + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of background and classes.

        Parameters
        ----------
        x : Tensor of float32, shape (n, in_channels, h, w)
            Grey values in [0, 1]; any h and w. The edge is repeated up to a multiple of the encoder's stride, and
            cut off again.

        Returns
        -------
        Tensor, shape (n, 1 + classes, h, w)
        """
        height, width = x.shape[-2:]
        down, right = -height % STRIDE, -width % STRIDE
        if down or right:
            x = F.pad(x, (0, right, 0, down), mode="replicate")
        logits = self.head(self.drop(self.decoder(x, self.encoder.features(x))))
        if logits.shape[-2:] != x.shape[-2:]:
            logits = F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)
        out: Tensor = logits[..., :height, :width]
        return out


def build_segmenter(
    network: str, encoder: Encoder, classes: int, *, dropout: float = 0.0, norm: Norm = "group"
) -> SegmentationNetwork:
    """Build a segmentation network around an encoder.

    Parameters
    ----------
    network : str
        One of ``SEGMENTERS``.
    encoder : Encoder
        In 2D; its output stride is set to what the network needs.
    classes : int
        Classes besides the background, at least 1.
    dropout : float
        In the decoder; the encoder has its own.
    norm : {"group", "batch"}
        The normalisation of the decoder.

    Raises
    ------
    BadSetting
        If there is no such network, no class, or the encoder is for volumes.
    """
    what = f"Cannot build {segmenter_info(network).title}"
    if classes < 1:
        raise BadSetting(what, "there is no class to tell from the background", "add a class")
    if encoder.dims != 2:
        raise BadSetting(what, "the encoder is one for volumes", "choose one for slices")
    decoder: nn.Module
    if network == "unet":
        encoder.set_output_stride(32)
        decoder = UNetDecoder(encoder.channels, encoder.in_channels, norm)
    else:
        encoder.set_output_stride(16)
        decoder = DeepLabDecoder(encoder.channels, norm, dropout)
    return SegmentationNetwork(encoder, decoder, classes, dropout if network == "unet" else 0.0)
