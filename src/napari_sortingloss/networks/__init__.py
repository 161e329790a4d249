"""Encoders and segmentation networks; this page of facts about them loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sortingloss.errors import BadSetting


@dataclass(frozen=True)
class EncoderInfo:
    """What there is to know about an encoder before it is built.

    Attributes
    ----------
    name : str
        The name in settings and weight files.
    title : str
        The name a person reads.
    parameters : float
        Millions of weights, 2D with one channel.
    activation_bytes : float
        Bytes kept for the backward pass in float32, for each pixel of an input slice; about half in bfloat16,
        which also keeps a copy of the weights.
    """

    name: str
    title: str
    parameters: float
    activation_bytes: float

    def activations_mib(self, size: int) -> float:
        """Return the MiB that training keeps for one slice of `size` x `size` pixels in float32."""
        return self.activation_bytes * size**2 / 2**20

    @property
    def weights_mib(self) -> float:
        """The MiB that the weights, their gradients and Adam's two moments take in float32."""
        return self.parameters * 1e6 * 16 / 2**20


ENCODERS: tuple[EncoderInfo, ...] = (
    EncoderInfo("resnet18", "ResNet-18", 11.17, 443.0),
    EncoderInfo("resnet34", "ResNet-34", 21.28, 647.0),
    EncoderInfo("resnet50", "ResNet-50", 23.50, 1744.0),
    EncoderInfo("resnet101", "ResNet-101", 42.49, 2577.0),
    EncoderInfo("resnet152", "ResNet-152", 58.14, 3600.0),
)


def encoder_info(name: str) -> EncoderInfo:
    """Return the facts about an encoder.

    Raises
    ------
    BadSetting
        If there is no encoder of that name.
    """
    for info in ENCODERS:
        if info.name == name:
            return info
    raise BadSetting(
        f"Cannot build the encoder '{name}'",
        "there is none of that name",
        "choose " + " or ".join(info.name for info in ENCODERS),
    )


@dataclass(frozen=True)
class SegmenterInfo:
    """What there is to know about a segmentation network besides its encoder.

    Attributes
    ----------
    name, title : str
        The name in settings and weight files, and the one a person reads.
    parameters : float
        Millions of weights of the decoder on ResNet-18.
    activation_bytes : float
        Bytes that the decoder keeps for the backward pass in float32, for each pixel of an input slice.
    """

    name: str
    title: str
    parameters: float
    activation_bytes: float


SEGMENTERS: tuple[SegmenterInfo, ...] = (
    SegmenterInfo("unet", "U-Net", 3.24, 1350.0),
    SegmenterInfo("deeplabv3plus", "DeepLabV3+", 1.15, 630.0),
)


def segmenter_info(name: str) -> SegmenterInfo:
    """Return the facts about a segmentation network.

    Raises
    ------
    BadSetting
        If there is none of that name.
    """
    for info in SEGMENTERS:
        if info.name == name:
            return info
    raise BadSetting(
        f"Cannot build the network '{name}'",
        "there is none of that name",
        "choose " + " or ".join(info.name for info in SEGMENTERS),
    )


__all__ = ["ENCODERS", "SEGMENTERS", "EncoderInfo", "SegmenterInfo", "encoder_info", "segmenter_info"]
