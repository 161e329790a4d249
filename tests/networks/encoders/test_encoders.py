"""Encoders: their maps and strides, dropout, a finer output with the same weights, partial take-over."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.networks import ENCODERS, encoder_info
from napari_sortingloss.networks.encoders.resnet import PARTS, build_encoder, load_parts

CHANNELS = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet34": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "resnet101": (64, 256, 512, 1024, 2048),
    "resnet152": (64, 256, 512, 1024, 2048),
}


def build(name="resnet18", seed=0, **options):
    torch.manual_seed(seed)
    return build_encoder(name, **options).eval()


def pictures(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def sizes(maps):
    return [tuple(m.shape[2:]) for m in maps]


@torch.no_grad()
@pytest.mark.parametrize("name", list(CHANNELS))
def test_the_five_maps_have_the_channels_and_strides_of_the_network(name):
    encoder = build(name)
    maps = encoder.features(pictures(1, 1, 96, 64))
    assert encoder.channels == CHANNELS[name]
    assert tuple(m.shape[1] for m in maps) == CHANNELS[name]
    assert sizes(maps) == [(48, 32), (24, 16), (12, 8), (6, 4), (3, 2)]


@pytest.mark.parametrize("name", list(CHANNELS))
def test_the_facts_name_the_number_of_weights(name):
    weights = sum(p.numel() for p in build_encoder(name).parameters()) / 1e6
    assert encoder_info(name).parameters == pytest.approx(weights, abs=0.006)
    assert encoder_info(name).weights_mib == pytest.approx(weights * 1e6 * 16 / 2**20, rel=0.001)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_facts_name_the_memory_that_training_keeps(name):
    encoder = build(name).train()
    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = encoder(pictures(2, 1, 112, 112))
    measured = sum(size for where, size in kept.items() if where not in weights) / 2 / 2**20
    assert out.requires_grad
    assert encoder_info(name).activations_mib(112) == pytest.approx(measured, rel=0.03)


@torch.no_grad()
def test_the_last_map_is_what_the_network_returns():
    encoder, x = build(), pictures(2, 1, 64, 96)
    torch.testing.assert_close(encoder(x), encoder.features(x)[-1])


@torch.no_grad()
def test_volumes_are_encoded_too():
    maps = build(dims=3, in_channels=2).features(pictures(1, 2, 32, 64, 48))
    assert sizes(maps) == [(16, 32, 24), (8, 16, 12), (4, 8, 6), (2, 4, 3), (1, 2, 2)]


def test_gradients_reach_the_stem_through_the_shortcuts_alone():
    encoder = build()
    for stage in (encoder.stage1, encoder.stage2, encoder.stage3, encoder.stage4):
        for block in stage:
            torch.nn.init.zeros_(block.bn2.weight)  # closes the residual path
    encoder(pictures(1, 1, 32, 32)).square().sum().backward()
    assert encoder.stem.conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_convolutions_start_as_he_et_al_say(name):
    for module in build(name).modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.08)
            assert module.bias is None


@torch.no_grad()
def test_dropout_acts_between_the_stages_and_only_in_training():
    encoder, x = build(dropout=0.3), pictures(2, 1, 64, 64)
    torch.testing.assert_close(encoder(x), encoder(x), rtol=0, atol=0)
    encoder.drop.train()  # dropout on, batch-norm in evaluation, as the localisation uses it
    first, second = encoder.features(x), encoder.features(x)
    for same in (0, 1):
        torch.testing.assert_close(first[same], second[same], rtol=0, atol=0)
    assert all(not torch.equal(first[i], second[i]) for i in (2, 3, 4))


@torch.no_grad()
@pytest.mark.parametrize("dims", [2, 3])
def test_dropout_drops_whole_maps(dims):
    encoder = build(dropout=0.5, dims=dims)
    encoder.drop.train()
    dropped = encoder.drop(torch.ones(1, 64, *(5, 6, 7)[:dims])).flatten(2)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped.amin(-1) == dropped.amax(-1)).all()


def test_dropout_does_not_change_the_names_of_the_weights():
    assert build(dropout=0.1).state_dict().keys() == build().state_dict().keys()


@torch.no_grad()
@pytest.mark.parametrize(("dims", "name"), [(2, "resnet18"), (2, "resnet50"), (3, "resnet18")])
@pytest.mark.parametrize("stride", [16, 8])
def test_a_finer_output_holds_the_coarse_one_at_every_nth_pixel(dims, name, stride):
    encoder, x = build(name, dims=dims), pictures(1, 1, *(68, 44, 52)[:dims])
    before = copy.deepcopy(encoder.state_dict())
    coarse = encoder(x)
    encoder.set_output_stride(stride)
    fine = encoder(x)
    assert encoder.output_stride == stride
    assert tuple(fine.shape[2:]) == tuple(-(-n // stride) for n in x.shape[2:])
    every = (..., *[slice(None, None, 32 // stride)] * dims)
    torch.testing.assert_close(fine[every], coarse, rtol=1e-3, atol=1e-4)
    for key, value in encoder.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize(("stride", "last"), [(16, [(8, 6), (4, 3), (4, 3)]), (8, [(8, 6), (8, 6), (8, 6)])])
def test_the_decoders_maps_follow_the_output_stride(stride, last):
    encoder = build()
    encoder.set_output_stride(stride)
    assert sizes(encoder.features(pictures(1, 1, 64, 48))) == [(32, 24), (16, 12), *last]


@torch.no_grad()
def test_any_order_of_output_strides_ends_at_the_same_network():
    encoder, x = build("resnet50"), pictures(1, 1, 64, 96)
    expected = {}
    for stride in (32, 16, 8):
        encoder.set_output_stride(stride)
        expected[stride] = encoder(x)
    for stride in (8, 32, 8, 16, 32, 32, 16, 8):
        encoder.set_output_stride(stride)
        torch.testing.assert_close(encoder(x), expected[stride], rtol=0, atol=0)


def test_only_some_parts_are_taken_over():
    trained, encoder = build(seed=1), build(seed=2)
    before = copy.deepcopy(encoder.state_dict())
    load_parts(encoder, trained.state_dict(), ("stem", "stage2"))
    for key, value in encoder.state_dict().items():
        source = trained.state_dict() if key.split(".")[0] in ("stem", "stage2") else before
        torch.testing.assert_close(value, source[key], rtol=0, atol=0)


def test_all_parts_together_are_the_whole_encoder():
    trained, encoder = build("resnet50", seed=1), build("resnet50", seed=2)
    load_parts(encoder, trained.state_dict())
    assert encoder.parts == PARTS == ("stem", "stage1", "stage2", "stage3", "stage4")
    for key, value in encoder.state_dict().items():
        torch.testing.assert_close(value, trained.state_dict()[key], rtol=0, atol=0)


@pytest.mark.parametrize("spoil", ["shape", "missing"])
def test_parts_that_do_not_fit_change_nothing(spoil):
    state, encoder = dict(build(seed=1).state_dict()), build(seed=2)
    if spoil == "shape":
        state["stage4.0.conv1.weight"] = torch.zeros(3, 3)
    else:
        del state["stage4.0.conv1.weight"]
    before = copy.deepcopy(encoder.state_dict())
    with pytest.raises(BadInput, match=r"stage4\.0\.conv1\.weight"):
        load_parts(encoder, state)
    for key, value in encoder.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet19", {}, "choose resnet18 or resnet34"),
        ("resnet18", {"dims": 4}, "choose 2 for slices or 3 for volumes"),
        ("resnet18", {"dropout": 1.0}, "choose 0 to 0.9"),
        ("resnet18", {"in_channels": 0}, "choose 1 to 64"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(name, options, says):
    with pytest.raises(BadSetting, match=says):
        build_encoder(name, **options)


def test_an_impossible_output_stride_is_refused():
    with pytest.raises(BadSetting, match="choose 8, 16 or 32"):
        build().set_output_stride(4)


def test_an_unknown_part_is_refused():
    with pytest.raises(BadSetting, match="choose among stem, stage1"):
        load_parts(build(), {}, ("layer1",))


def test_the_facts_are_there_without_torch():
    code = (
        "import sys; from napari_sortingloss.networks import ENCODERS; "
        "print([e.name for e in ENCODERS], {'torch', 'monai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{list(CHANNELS)} set()"
    assert all(e.title and e.activation_bytes > 0 for e in ENCODERS)
