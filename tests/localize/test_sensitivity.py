"""Integrated gradients of a score: complete, signed, nothing where a slice is the mean, nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.localize.sensitivity import Sensitivity
from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.pretext.sorting.scoring import SortingNetwork

SIZE = 12


@pytest.fixture
def slices():
    return torch.randint(
        0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.fixture
def mean():
    return torch.rand((SIZE, SIZE), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def smooth():
    """A small network without kinks."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 3, 3, stride=2), nn.Tanh(), nn.Flatten()
    )
    head = nn.Linear(3 * 4 * 4, 1)
    return nn.Sequential(network, head, nn.Flatten(0))


def test_the_values_of_the_pixels_add_up_to_the_difference_of_the_scores(smooth, slices, mean):
    found = Sensitivity(smooth, mean, points=64)(slices)
    with torch.no_grad():
        difference = smooth(slices[:, None] / 255) - smooth(mean[None, None])
    torch.testing.assert_close(found.sum(dim=(1, 2)), difference, rtol=1e-3, atol=1e-4)
    assert difference.abs().min() > 1e-3


def test_more_points_come_closer_to_it(smooth, slices, mean):
    with torch.no_grad():
        difference = smooth(slices[:, None] / 255) - smooth(mean[None, None])
    errors = [
        float((Sensitivity(smooth, mean, n)(slices).sum(dim=(1, 2)) - difference).abs().mean())
        for n in (1, 3, 12)
    ]
    assert errors == sorted(errors, reverse=True)


def test_a_slice_that_is_the_mean_says_nothing(smooth):
    slices = torch.full((2, SIZE, SIZE), 51, dtype=torch.uint8)
    slices[1, 3, 4] = 200
    found = Sensitivity(smooth, torch.full((SIZE, SIZE), 51 / 255))(slices)
    assert found[0].abs().max() == 0
    assert found[1].nonzero().tolist() == [[3, 4]]


def test_one_point_is_enough_for_a_linear_score_and_signs_are_kept(slices, mean):
    weight = torch.linspace(-1, 1, SIZE * SIZE).reshape(SIZE, SIZE)
    found = Sensitivity(lambda x: (x[:, 0] * weight).sum(dim=(1, 2)), mean, points=1)(slices)
    torch.testing.assert_close(found, weight * (slices / 255 - mean))
    assert found.min() < 0 < found.max()


def test_the_slices_of_a_batch_do_not_disturb_each_other(smooth, slices, mean):
    measure = Sensitivity(smooth, mean)
    apart = torch.cat([measure(slices[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(measure(slices), apart)


def test_no_gradient_is_left_on_the_network_and_it_is_not_changed(slices):
    torch.manual_seed(0)
    network = SortingNetwork(build_encoder("resnet18", dropout=0.3)).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    pictures = slices.repeat(1, 3, 3)
    measure = Sensitivity(network.score, torch.zeros(pictures.shape[1:]))
    torch.testing.assert_close(measure(pictures), measure(pictures), rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_it_works_where_gradients_are_switched_off(smooth, slices, mean):
    expected = Sensitivity(smooth, mean)(slices)
    with torch.no_grad():
        found = Sensitivity(smooth, mean)(slices)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_what_comes_out_is_float32_of_the_shape_of_the_slices(smooth, slices, mean):
    found = Sensitivity(smooth, mean.double())(slices)
    assert (found.dtype, found.shape) == (torch.float32, slices.shape)


@pytest.mark.parametrize("points", [0, -2])
def test_no_point_is_refused(smooth, mean, points):
    with pytest.raises(BadSetting, match=f"Cannot take the gradient at {points} points: it needs one"):
        Sensitivity(smooth, mean, points)
