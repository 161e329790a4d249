"""ResNet encoders built from MONAI's blocks, with dropout between the stages and an output stride that can change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from monai.networks.nets.resnet import ResNet, get_inplanes, resnet_params
from torch import Tensor, nn

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.networks import encoder_info

OutputStride = Literal[8, 16, 32]

PARTS = ("stem", "stage1", "stage2", "stage3", "stage4")
"""The parts of an encoder from the input to the output; each halves the picture at most once more."""


class Encoder(nn.Module):
    """A residual network without its classifier, for pictures of one or more channels in 2D or 3D.

    Parameters
    ----------
    name : str
        One of ``ENCODERS``, e.g. ``"resnet18"``.
    dropout : float
        Probability of dropping a whole feature map between two stages (after stages 1, 2 and 3); the localisation
        reads its uncertainty from it.
    dims : {2, 3}
        Slices or volumes.
    in_channels : int
        Channels of the input.

    Attributes
    ----------
    parts : tuple of str
        The names of the parts, for taking over some of them (`load_parts`).
    channels : tuple of int
        Channels of the five feature maps of `features`.
    output_stride : int
        Input pixels to one pixel of the last feature map; see `set_output_stride`.

    Notes
    -----
    He et al., Deep Residual Learning for Image Recognition, 2016; weights start as in He et al. 2015 (normal, by
    fan-out). The stem has stride 2 and every shortcut that changes shape is a 1 x 1 convolution, which passes
    gradients on (MONAI's parameter-free one does not).
    """

    parts: tuple[str, ...] = PARTS

    def __init__(self, name: str, *, dropout: float = 0.0, dims: int = 2, in_channels: int = 1) -> None:
        super().__init__()
        info = encoder_info(name)
        what = f"Cannot build {info.title}"
        if dims not in (2, 3):
            raise BadSetting(what, f"there is none in {dims}D", "choose 2 for slices or 3 for volumes")
        if not 1 <= in_channels <= 64:
            raise BadSetting(what, f"{in_channels} input channels are not possible", "choose 1 to 64")
        if not 0.0 <= dropout <= 0.9:
            raise BadSetting(what, f"the dropout {dropout:g} is out of range", "choose 0 to 0.9")
        block, layers, *_ = resnet_params[name]
        net = ResNet(
            block,
            layers,
            get_inplanes(),
            spatial_dims=dims,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            shortcut_type="B",
            bias_downsample=False,
            feed_forward=False,
        )
        self.name = name
        self.dims = dims
        self.in_channels = in_channels
        self.dropout = dropout
        self.output_stride: int = 32
        self.stem = nn.Sequential(OrderedDict(conv=net.conv1, norm=net.bn1, act=net.act))
        self.pool = net.maxpool
        self.stage1, self.stage2, self.stage3, self.stage4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.drop: nn.Module = (
            (nn.Dropout2d if dims == 2 else nn.Dropout3d)(dropout) if dropout else nn.Identity()
        )
        width = 4 if block == "bottleneck" else 1
        planes = get_inplanes()
        self.channels: tuple[int, ...] = (planes[0], *(p * width for p in planes))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the five feature maps that a decoder needs.

        Parameters
        ----------
        x : Tensor, shape (n, in_channels, h, w), or (n, in_channels, d, h, w) in 3D
            The pictures.

        Returns
        -------
        list of Tensor
            Maps of `channels` channels at strides 2, 4, 8, 16 and 32 (or as `set_output_stride` says), each before
            the dropout that follows it.
        """
        maps = [self.stem(x)]
        x = self.pool(maps[0])
        for stage in (self.stage1, self.stage2, self.stage3):
            maps.append(stage(x))
            x = self.drop(maps[-1])
        maps.append(self.stage4(x))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return the last feature map, shape (n, channels[-1], h / output_stride, w / output_stride)."""
        x = self.pool(self.stem(x))
        for stage in (self.stage1, self.stage2, self.stage3):
            x = self.drop(stage(x))
        out: Tensor = self.stage4(x)
        return out

    def set_output_stride(self, stride: OutputStride) -> None:
        """Make the last feature map finer with the same weights.

        Parameters
        ----------
        stride : {32, 16, 8}
            Input pixels to one pixel of the last map. 16 replaces the stride of the last stage by dilation, 8 that
            of the last two; 32 restores the network. In evaluation every second (fourth) pixel of the finer map is
            exactly the pixel of the coarse one.

        Raises
        ------
        BadSetting
            If it is another number.

        Notes
        -----
        Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017.
        """
        if stride not in (8, 16, 32):
            raise BadSetting(
                f"Cannot use an output stride of {stride}", "it is not possible", "choose 8, 16 or 32"
            )
        dilation = _set_stride(self.stage3, dense=stride == 8, dilation=1)
        _set_stride(self.stage4, dense=stride <= 16, dilation=dilation)
        self.output_stride = stride


def _set_stride(stage: nn.Module, *, dense: bool, dilation: int) -> int:
    """Give a stage stride 1 or 2 where its input is `dilation` times too fine; return the same for its output."""
    after = dilation * 2 if dense else dilation
    for number, block in enumerate(stage.children()):
        convolutions = [
            (name, m) for name, m in block.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)
        ]
        spatial = [m for _, m in convolutions if m.kernel_size[0] == 3]
        dims = len(spatial[0].kernel_size)
        for conv in spatial:
            # The convolution that used to stride still looks at its input's own grid.
            step = dilation if number == 0 and conv is spatial[0] else after
            conv.dilation = conv.padding = (step,) * dims
        if number == 0:
            for conv in (spatial[0], *(m for name, m in convolutions if name.startswith("downsample"))):
                conv.stride = (1 if dense else 2,) * dims
    return after


def build_encoder(name: str, *, dropout: float = 0.0, dims: int = 2, in_channels: int = 1) -> Encoder:
    """Build an encoder with fresh weights (drawn from torch's global generator).

    Parameters
    ----------
    name, dropout, dims, in_channels
        As in `Encoder`.

    Returns
    -------
    Encoder

    Raises
    ------
    BadSetting
        If there is no encoder of that name, or a value is out of range.
    """
    return Encoder(name, dropout=dropout, dims=dims, in_channels=in_channels)


def load_parts(encoder: Encoder, state: Mapping[str, Tensor], parts: Sequence[str] = PARTS) -> None:
    """Take over some parts of trained weights and leave the others as they are.

    Parameters
    ----------
    encoder : Encoder
        Changed in place.
    state : mapping of str to Tensor
        The trained weights, as in ``Encoder.state_dict``.
    parts : sequence of str
        Which of ``encoder.parts`` to take over.

    Raises
    ------
    BadSetting
        If a part is not one of the encoder's.
    BadInput
        If weights are missing or of another shape; nothing is changed then.
    """
    for part in parts:
        if part not in encoder.parts:
            raise BadSetting(
                f"Cannot take over '{part}'",
                "the encoder has no such part",
                "choose among " + ", ".join(encoder.parts),
            )
    own = {key: value for key, value in encoder.state_dict().items() if key.split(".")[0] in parts}
    what = f"Cannot take these weights over into {encoder_info(encoder.name).title}"
    missing = [key for key in own if key not in state]
    if missing:
        raise BadInput(what, f"'{missing[0]}' is missing", "choose weights of the same encoder")
    for key, value in own.items():
        if state[key].shape != value.shape:
            raise BadInput(
                what,
                f"'{key}' has shape {tuple(state[key].shape)} instead of {tuple(value.shape)}",
                "choose weights of the same encoder",
            )
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(state[key])
