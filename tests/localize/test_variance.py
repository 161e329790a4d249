"""The variance under dropout: the same as the naive way, of any split, in bounded memory, and where its pixels lie."""

from __future__ import annotations

import gc

import pytest
import torch

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.localize.variance import SMALLEST, DropoutVariance, PassDropout
from napari_sortingloss.networks.encoders.resnet import build_encoder


def build(dropout=0.2, name="resnet18", **options):
    torch.manual_seed(0)
    return build_encoder(name, dropout=dropout, **options).eval()


def slices(n=3, size=64, seed=1):
    return torch.randint(
        0, 256, (n, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


@torch.no_grad()
def naive(encoder, pictures, passes, seed):
    """The whole encoder once a pass, all results kept; the product's masks in place of the encoder's dropout."""
    own, masks = encoder.drop, PassDropout(encoder.dropout, seed)
    encoder.drop = masks
    found = []
    for number in range(passes):
        masks.start(number)
        found.append(encoder(pictures[:, None].float() / 255).float())
    encoder.drop = own
    return torch.stack(found)


@pytest.mark.parametrize(
    ("name", "stride"), [("resnet18", 32), ("resnet18", 16), ("resnet18", 8), ("resnet50", 16)]
)
def test_the_variance_is_that_of_the_whole_network_run_so_many_times(name, stride):
    encoder, pictures = build(name=name), slices(n=2)
    found = DropoutVariance(encoder, 6, stride, seed=5)(pictures)
    encoder.set_output_stride(stride)
    expected = naive(encoder, pictures, 6, 5).var(dim=0).mean(dim=1)
    assert found.shape == (2, 64 // stride, 64 // stride)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_relative_variance_is_divided_by_the_size_of_the_mean_embedding():
    encoder, pictures = build(), slices()
    passes = naive(encoder, pictures, 5, 0)
    expected = passes.var(dim=0).mean(dim=1) / (passes.mean(dim=0).square().mean(dim=1) + SMALLEST)
    found = DropoutVariance(encoder, 5, relative=True)(pictures)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_many_passes_lose_no_precision():
    encoder, pictures = build(), slices(n=1, size=32)
    expected = naive(encoder, pictures, 100, 0).double().var(dim=0).mean(dim=1)
    found = DropoutVariance(encoder, 100)(pictures).double()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_a_seed_gives_the_same_values_again_and_another_seed_others():
    encoder, pictures = build(), slices()
    first, again = (DropoutVariance(encoder, 3, seed=1)(pictures) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, DropoutVariance(encoder, 3, seed=2)(pictures), rtol=1e-3)


def test_the_values_of_a_slice_do_not_depend_on_its_batch():
    variance, pictures = DropoutVariance(build(), 4), slices(n=5)
    together = variance(pictures)
    apart = torch.cat([variance(pictures[:1]), variance(pictures[1:4]), variance(pictures[4:])])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)


def test_neither_torchs_random_numbers_nor_the_network_are_changed():
    encoder, pictures = build(), slices()
    encoder.set_output_stride(16)
    weights = {key: value.clone() for key, value in encoder.state_dict().items()}
    torch.manual_seed(3)
    before = torch.get_rng_state()
    DropoutVariance(encoder, 3, stride=8)(pictures)
    assert torch.equal(torch.get_rng_state(), before)
    assert encoder.output_stride == 16
    assert not any(module.training for module in encoder.modules())
    for key, value in encoder.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=0, atol=0)


def test_a_look_that_is_given_up_leaves_the_network_as_it_was():
    encoder = build()
    looking = DropoutVariance(encoder, 5, stride=8).looking(slices())
    assert next(looking) == 1
    assert encoder.output_stride == 8
    assert not torch.is_inference_mode_enabled()
    looking.close()
    assert encoder.output_stride == 32


def test_each_pass_is_told():
    assert list(DropoutVariance(build(), 4).looking(slices(n=1))) == [1, 2, 3, 4]


def test_bfloat16_is_summed_up_in_float32():
    encoder, pictures = build(), slices()
    exact = DropoutVariance(encoder, 30)(pictures)
    with torch.autocast("cpu", torch.bfloat16):
        found = DropoutVariance(encoder, 30)(pictures)
        expected = naive(encoder, pictures, 30, 0).var(dim=0).mean(dim=1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0)


def test_memory_does_not_grow_with_the_passes():
    def held():
        tensors = {o.untyped_storage().data_ptr(): o for o in gc.get_objects() if type(o) is torch.Tensor}
        return sum(t.untyped_storage().nbytes() for t in tensors.values())

    encoder, pictures = build(), slices()
    before = held()
    seen = {
        n: held() - before for n in DropoutVariance(encoder, 12, stride=8).looking(pictures) if n in (2, 12)
    }
    one_result = 3 * 512 * 8 * 8 * 4
    assert seen[12] == seen[2]
    assert 2 * one_result < seen[2] < 6 * one_result


def test_half_the_maps_are_dropped_at_a_rate_of_a_half_and_the_others_doubled():
    masks = PassDropout(0.5, seed=0)
    masks.start(0)
    dropped = masks(torch.ones(2, 400, 3, 4))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.15)
    assert (dropped == dropped[:1, :, :1, :1]).all()


def test_passes_of_neighbouring_seeds_are_not_the_same_ones():
    maps, drawn = torch.ones(1, 64, 1, 1), set()
    for seed in range(5):
        masks = PassDropout(0.5, seed)
        for number in range(5):
            masks.start(number)
            drawn.add(tuple(masks(maps).flatten().tolist()))
    assert len(drawn) == 25


@torch.no_grad()
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_a_super_pixel_is_centred_on_the_pixel_at_its_index_times_the_stride(stride):
    encoder = build(dropout=0.1)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.fill_(1 / module.weight[0].numel())  # an impulse only spreads
    encoder.set_output_stride(stride)
    picture = torch.zeros(1, 1, 448, 448)
    row, column = 224, 192
    picture[..., row, column] = 1e6
    response = encoder(picture)[0, 0].double()
    i, j = row // stride, column // stride
    assert response.argmax().item() == i * response.shape[1] + j
    reach = 128 // stride
    near = response[i - reach : i + reach + 1, j - reach : j + reach + 1]
    assert near.min() > 0
    torch.testing.assert_close(near, near.flip(0), rtol=1e-4, atol=0)
    torch.testing.assert_close(near, near.flip(1), rtol=1e-4, atol=0)


def test_a_run_without_dropout_is_refused_in_one_sentence():
    with pytest.raises(
        BadInput, match=r"the run was trained without dropout; choose the statistic 'sensitivity'"
    ):
        DropoutVariance(build(dropout=0.0))


@pytest.mark.parametrize("options", [{"dims": 3}, {"in_channels": 2}])
def test_an_encoder_for_other_pictures_is_refused(options):
    with pytest.raises(BadInput, match="not trained on slices of one channel"):
        DropoutVariance(build(**options))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"passes": 1}, "1 pass is too few"),
        ({"passes": 0}, "choose 2 or more"),
        ({"stride": 4}, "choose 8, 16 or 32"),
    ],
)
def test_impossible_settings_are_refused(values, says):
    with pytest.raises(BadSetting, match=says):
        DropoutVariance(build(), **values)
