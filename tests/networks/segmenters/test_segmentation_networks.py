"""Segmentation networks give one number a class and pixel, whatever the size of the slice."""

import pytest
import torch

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.networks import SEGMENTERS, segmenter_info
from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.networks.segmenters.build import build_segmenter

NAMES = [info.name for info in SEGMENTERS]


def build(name, classes=2, **about):
    torch.manual_seed(0)
    return build_segmenter(name, build_encoder("resnet18"), classes, **about)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(64, 64), (33, 70), (5, 1)])
def test_logits_have_the_size_of_the_slice(name, shape):
    network = build(name, classes=3).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, *shape)).shape == (2, 4, *shape)


@pytest.mark.parametrize("name", NAMES)
def test_padding_leaves_a_slice_of_fitting_size_alone(name):
    network = build(name).eval()
    picture = torch.rand(1, 1, 64, 64)
    wider = torch.cat([picture, picture[..., -1:].expand(-1, -1, -1, 32)], dim=3)
    with torch.no_grad():
        cut = network(wider[..., :70])
        whole = network(wider[..., :96])
    torch.testing.assert_close(cut, whole[..., :70])


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns(name):
    network = build(name, dropout=0.1)
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_deeplab_keeps_the_last_map_at_stride_16_and_unet_at_32():
    maps = {n: build(n).encoder.features(torch.rand(1, 1, 64, 64))[-1].shape[-1] for n in NAMES}
    assert maps == {"unet": 2, "deeplabv3plus": 4}


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_know_the_size_of_the_decoder(name):
    network = build(name)
    parameters = sum(p.numel() for p in network.parameters())
    encoder = sum(p.numel() for p in network.encoder.parameters())
    assert (parameters - encoder) / 1e6 == pytest.approx(segmenter_info(name).parameters, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_slice_does_not_depend_on_the_others_of_its_batch_in_evaluation(name):
    network = build(name).eval()
    pictures = torch.rand(3, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(pictures)[1:2], network(pictures[1:2]), rtol=1e-4, atol=1e-5)


def test_batch_normalisation_is_possible_in_the_decoder():
    def kinds(network):
        return {type(m).__name__ for m in network.decoder.modules() if "Norm" in type(m).__name__}

    assert kinds(build("unet")) == {"GroupNorm"}
    assert kinds(build("unet", norm="batch")) == {"BatchNorm2d"}


@pytest.mark.parametrize(
    ("name", "classes", "encoder", "what"),
    [
        ("vnet", 2, {}, "none of that name"),
        ("unet", 0, {}, "no class"),
        ("unet", 2, {"dims": 3}, "for volumes"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(name, classes, encoder, what):
    with pytest.raises(BadSetting, match=what):
        build_segmenter(name, build_encoder("resnet18", **encoder), classes)
