"""A trained network is asked about slices of any size and voxel size, as a whole or in tiles."""

import numpy as np
import pytest
import torch

from napari_sortingloss.errors import BadInput, OutOfMemory
from napari_sortingloss.segment.finetune.job import finetune
from napari_sortingloss.segment.segmenter import (
    EVERY_POSE,
    SMALLEST_TILE,
    Segmenter,
    build_network,
    load_segmenter,
    open_model,
)
from napari_sortingloss.segment.settings import FinetuneSettings

MM = ((1.0, 1.0), "mm")


@pytest.fixture
def settings():
    return FinetuneSettings(classes=("1 #ff0000 rod", "4 #00ff00 body"))


@pytest.fixture
def segmenter(settings):
    torch.manual_seed(0)
    network = build_network(settings).eval()
    return Segmenter(network, settings.label_classes(), 7, 0.0, False)


def slices(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


class Local(torch.nn.Module):
    """Stands in for the network: what it says of a pixel depends on that pixel alone."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(8.0))
        self.pixels = []

    def forward(self, x):
        self.pixels.append(x.numel())
        return torch.cat([0 * x, self.scale * x - 4, 4 - self.scale * x], 1)


@pytest.fixture
def local(settings):
    return Segmenter(Local(), settings.label_classes(), 0, 0.0, False)


def test_probabilities_have_the_size_of_the_slices_and_add_up(segmenter):
    found = segmenter.predict(slices(3, 45, 70), *MM)
    assert found.shape == (3, 3, 45, 70)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_slices_are_brought_to_the_pixel_size_and_back(local):
    local.pixel_size = 0.5
    shown = np.repeat(np.repeat(slices(2, 10, 15), 4, 1), 2, 2)  # blocks of 4 x 2 voxels
    found = local.predict(shown, (0.125, 0.25), "mm")
    assert local.network.pixels == [2 * 10 * 15]
    assert found.shape == (2, 3, 40, 30)
    local.pixel_size, local.network.pixels = 0.0, []
    plain = local.predict(shown, (0.125, 0.25), "mm")
    inner = np.s_[:, :, 2::4, :]
    np.testing.assert_allclose(found[inner].mean(), plain[inner].mean(), atol=0.02)
    local.pixel_size = 0.5
    assert local.predict(shown, (0.125, 0.25), "").shape == (2, 3, 40, 30)
    assert local.network.pixels[-1] == shown.size  # without a unit the voxels are taken as they are


def test_portions_and_tiles_say_what_the_whole_says(local):
    shown = slices(3, 300, 420)
    whole = local.predict(shown, *MM)
    local.pixels_at_once, local.network.pixels = 2 * 300 * 420, []
    np.testing.assert_allclose(local.predict(shown, *MM), whole, rtol=1e-5, atol=1e-6)
    assert len(local.network.pixels) == 2
    local.pixels_at_once, local.network.pixels = SMALLEST_TILE**2, []
    np.testing.assert_allclose(local.predict(shown, *MM), whole, rtol=1e-5, atol=1e-6)
    assert max(local.network.pixels) <= SMALLEST_TILE**2
    assert len(local.network.pixels) > 3


def test_memory_that_does_not_suffice_makes_the_pieces_smaller(local):
    shown = slices(1, 600, 700)
    whole = local.predict(shown, *MM)
    real = local.network.forward

    def greedy(x):
        if x.numel() > 70_000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(x)

    local.network.forward = greedy
    np.testing.assert_allclose(local.predict(shown, *MM), whole, rtol=1e-5, atol=1e-6)
    assert local.pixels_at_once == SMALLEST_TILE**2
    local.network.forward = lambda x: greedy(torch.zeros(10**6))
    with pytest.raises(OutOfMemory, match="Cannot segment"):
        local.predict(shown, *MM)


def test_a_slice_that_fits_reaches_the_network_without_a_copy(local, monkeypatch):
    from napari_sortingloss.segment import segmenter as module

    seen = []
    real = module.as_pictures
    monkeypatch.setattr(module, "as_pictures", lambda t: (seen.append(t.data_ptr()), real(t))[1])
    shown = slices(2, 40, 50)
    local.predict(shown, *MM)
    assert seen == [shown.ctypes.data]


@pytest.mark.parametrize(("pose", "mirrored"), [("turned", False), ("turned and mirrored", True)])
def test_in_every_pose_a_turned_slice_is_seen_as_the_slice_is(segmenter, pose, mirrored):
    shown = slices(2, 40, 70)
    turned = np.rot90(shown, 1, (1, 2))
    turned = turned[:, :, ::-1] if mirrored else turned
    segmenter.network.head.weight.data *= 100  # fresh, it hardly says anything
    segmenter.poses = EVERY_POSE[pose]
    expected = np.rot90(segmenter.predict(shown, *MM), 1, (2, 3))
    expected = expected[..., ::-1] if mirrored else expected
    np.testing.assert_allclose(segmenter.predict(turned, *MM), expected, atol=1e-4)
    segmenter.poses = EVERY_POSE["as stored"]
    assert np.abs(segmenter.predict(turned, *MM) - expected).max() > 1e-2


def test_slices_are_embedded_one_by_one(segmenter):
    shown = slices(3, 64, 64)
    found = segmenter.embed(shown, *MM)
    assert found.shape == (3, 512)
    np.testing.assert_allclose(found[1:2], segmenter.embed(shown[1:2], *MM), rtol=1e-3, atol=1e-4)


def test_a_run_is_loaded_with_its_classes(annotated_study, tiny):
    run = annotated_study.run(list(finetune(annotated_study, FinetuneSettings(**tiny)))[-1].value["run"])
    volume = annotated_study.volume("c")
    with load_segmenter(run, "last", "cpu", 1) as segmenter:
        assert [(c.value, c.name) for c in segmenter.classes] == [(1, "rod"), (2, "body")]
        assert segmenter.step == 3
        found = segmenter.predict(volume.read_slices([3, 4]), volume.slice_voxel_size, volume.unit)
        again = segmenter.predict(volume.read_slices([3, 4]), volume.slice_voxel_size, volume.unit)
    np.testing.assert_array_equal(found, again)
    assert found.shape == (2, 3, 40, 50)


def test_a_run_that_cannot_segment_is_said(annotated_study):
    with (
        annotated_study.new_run("pretrain", "sorting", {}) as writer,
        pytest.raises(BadInput, match="is no fine-tuning"),
        load_segmenter(writer.run),
    ):
        pass


def test_a_model_file_alone_says_what_its_run_says(annotated_study, tiny):
    settings = FinetuneSettings(**tiny, network="deeplabv3plus", pixel_size=0.3)
    run = annotated_study.run(list(finetune(annotated_study, settings))[-1].value["run"])
    shown, about = slices(2, 40, 52), ((0.25, 0.26), "mm")
    with (
        load_segmenter(run, "best", "cpu", 1) as own,
        open_model(run.path / "model.safetensors", "cpu", 1) as sent,
    ):
        assert sent.classes == own.classes
        assert sent.pixel_size == own.pixel_size == 0.3
        # The run computes in float32, as it was told to; the file in what the machine is best at.
        np.testing.assert_allclose(sent.predict(shown, *about), own.predict(shown, *about), atol=0.01)


def test_an_encoder_alone_cannot_segment(tmp_path):
    from napari_sortingloss.networks.encoders.resnet import build_encoder
    from napari_sortingloss.networks.weights import InputSpec, save_weights

    path = tmp_path / "encoder.safetensors"
    save_weights(path, build_encoder("resnet18"), InputSpec(encoder="resnet18", size=32))
    with pytest.raises(BadInput, match="an encoder alone"), open_model(path, "cpu", 1):
        pass


def test_a_model_whose_weights_are_of_another_network_is_said(tmp_path, segmenter):
    from napari_sortingloss.networks.weights import InputSpec, save_weights

    path = tmp_path / "model.safetensors"
    spec = InputSpec(
        encoder="resnet18", size=32, network="unet", decoder_norm="group", classes={"1": ("rod", "#ff0000")}
    )
    save_weights(path, segmenter.network, spec)  # of two classes
    with pytest.raises(BadInput, match="does not know"), open_model(path, "cpu", 1):
        pass
