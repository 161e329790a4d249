"""Decoders turn an encoder's feature maps back into a picture of the input's size: U-Net and DeepLabV3+."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from torch import Tensor, nn

Norm = Literal["group", "batch"]

UNET_WIDTHS = (256, 128, 64, 64, 32)
"""Channels of the U-Net's decoder from the coarsest to the finest level."""

ASPP_RATES = (6, 12, 18)
"""Dilations of the atrous pyramid at an output stride of 16."""

ASPP_CHANNELS, LOW_LEVEL_CHANNELS = 256, 48


def layer(inputs: int, outputs: int, norm: Norm, *, kernel: int = 3, dilation: int = 1) -> nn.Module:
    """Return a convolution, its normalisation and a ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    norm : {"group", "batch"}
        Group normalisation does not depend on the other slices of a batch, which are few.
    kernel, dilation : int
        Of the convolution; the picture keeps its size.
    """
    about: tuple[str, dict[str, object]] = ("batch", {})
    if norm == "group":
        about = ("group", {"num_groups": 8 if outputs % 8 == 0 else 1, "num_channels": outputs})
    made: nn.Module = Convolution(
        2,
        inputs,
        outputs,
        kernel_size=kernel,
        dilation=dilation,
        norm=about,
        act=("relu", {"inplace": True}),
        adn_ordering="NA",
        bias=False,
    )
    return made


def separable(inputs: int, outputs: int, norm: Norm, *, dilation: int = 1) -> nn.Module:
    """Return a 3 x 3 convolution of each channel by itself and a 1 x 1 convolution that mixes them (Chollet 2017)."""
    alone = Convolution(
        2, inputs, inputs, kernel_size=3, dilation=dilation, groups=inputs, bias=False, conv_only=True
    )
    return nn.Sequential(alone, layer(inputs, outputs, norm, kernel=1))


class UNetDecoder(nn.Module):
    """The way up of a U-Net: enlarge, look at the encoder's map of that size, two convolutions; five times.

    Parameters
    ----------
    channels : sequence of int
        Channels of the encoder's five feature maps, from stride 2 to stride 32.
    in_channels : int
        Channels of the picture, which is what the finest level looks at.
    norm : {"group", "batch"}

    Attributes
    ----------
    out_channels : int
        Channels of the map that `forward` returns.

    Notes
    -----
    Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015.
    """

    def __init__(self, channels: Sequence[int], in_channels: int, norm: Norm) -> None:
        super().__init__()
        skips = [*channels[-2::-1], in_channels]
        widths = [channels[-1], *UNET_WIDTHS]
        self.levels = nn.ModuleList(
            nn.Sequential(layer(below + skip, width, norm), layer(width, width, norm))
            for below, skip, width in zip(widths, skips, UNET_WIDTHS, strict=False)
        )
        self.out_channels = UNET_WIDTHS[-1]

    def forward(self, picture: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return a map of the picture's size, shape (n, out_channels, h, w)."""
        x = maps[-1]
        for level, skip in zip(self.levels, [*maps[-2::-1], picture], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([x, skip.to(x.dtype)], dim=1))
        return x


class DeepLabDecoder(nn.Module):
    """The atrous spatial pyramid on the last map and a decoder that adds the encoder's map of stride 4.

    Parameters
    ----------
    channels : sequence of int
        Channels of the encoder's five feature maps; the last one is expected at stride 16.
    norm : {"group", "batch"}
    dropout : float
        Behind the pyramid.

    Attributes
    ----------
    out_channels : int
        Channels of the map that `forward` returns.

    Notes
    -----
    Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation, 2018.
    """

    def __init__(self, channels: Sequence[int], norm: Norm, dropout: float) -> None:
        super().__init__()
        deep, wide = channels[-1], ASPP_CHANNELS
        self.branches = nn.ModuleList(
            [
                layer(deep, wide, norm, kernel=1),
                *(separable(deep, wide, norm, dilation=rate) for rate in ASPP_RATES),
            ]
        )
        # One number a channel and slice: the statistics of a batch of one would not exist.
        self.whole = layer(deep, wide, "group", kernel=1)
        self.project = layer(wide * (len(ASPP_RATES) + 2), wide, norm, kernel=1)
        self.drop = nn.Dropout(dropout)
        self.low = layer(channels[1], LOW_LEVEL_CHANNELS, norm, kernel=1)
        self.fuse = nn.Sequential(
            separable(wide + LOW_LEVEL_CHANNELS, wide, norm), separable(wide, wide, norm)
        )
        self.out_channels = wide

    def forward(self, picture: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return a map at stride 4, shape (n, out_channels, h / 4, w / 4)."""
        deep, low = maps[-1], self.low(maps[1])
        whole = self.whole(deep.mean((2, 3), keepdim=True)).expand(-1, -1, *deep.shape[-2:])
        x = torch.cat([*(branch(deep) for branch in self.branches), whole], dim=1)
        x = self.drop(self.project(x))
        x = F.interpolate(x, size=low.shape[-2:], mode="bilinear", align_corners=False)
        out: Tensor = self.fuse(torch.cat([x, low], dim=1))
        return out
