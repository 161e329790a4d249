"""Weight files: complete or not there, read without running code, one clear sentence for every bad one."""

from __future__ import annotations

import io
import json
import os
import pickle

import pytest
import safetensors.torch
import torch

from napari_sortingloss.errors import BadInput, OutOfSpace, UserError
from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.networks.weights import KEY, InputSpec, load_encoder, load_weights, save_weights

SPEC = InputSpec(
    "resnet18",
    size=112,
    axis="xz",
    dropout=0.1,
    mean=0.2,
    std=0.25,
    windows={"fish_01": (-900.0, 500.0), "fish_02": (3.5, 60000.0)},
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_encoder("resnet18", dropout=0.1)


@pytest.fixture
def file(tmp_path, encoder):
    path = tmp_path / "encoder.safetensors"
    save_weights(path, encoder, SPEC)
    return path


def write(path, tensors, metadata):
    path.write_bytes(safetensors.torch.save(tensors, metadata))


def test_what_is_saved_comes_back_exactly(file, encoder):
    loaded, spec = load_encoder(file)
    assert spec == SPEC
    assert loaded.name == "resnet18"
    assert loaded.dropout == 0.1
    for key, value in loaded.state_dict().items():
        torch.testing.assert_close(value, encoder.state_dict()[key], rtol=0, atol=0)


def test_any_safetensors_program_can_read_the_file(file, encoder):
    assert safetensors.torch.load_file(file).keys() == encoder.state_dict().keys()


def test_the_encoder_is_found_inside_a_whole_network(tmp_path, encoder):
    network = torch.nn.ModuleDict({"encoder": encoder, "head": torch.nn.Linear(512, 1)})
    save_weights(tmp_path / "model.safetensors", network, SPEC)
    loaded, _ = load_encoder(tmp_path / "model.safetensors")
    torch.testing.assert_close(loaded.stem.conv.weight, encoder.stem.conv.weight, rtol=0, atol=0)


def test_weights_in_another_memory_layout_are_saved_the_same(tmp_path, file):
    torch.manual_seed(0)
    other = build_encoder("resnet18", dropout=0.1).to(memory_format=torch.channels_last)
    save_weights(tmp_path / "b.safetensors", other, SPEC)
    assert (tmp_path / "b.safetensors").read_bytes() == file.read_bytes()


def test_a_volume_encoder_with_more_channels_comes_back(tmp_path):
    saved = build_encoder("resnet18", dims=3, in_channels=2)
    save_weights(tmp_path / "e.safetensors", saved, InputSpec("resnet18", 64, dims=3, in_channels=2))
    loaded, _ = load_encoder(tmp_path / "e.safetensors")
    torch.testing.assert_close(loaded.stem.conv.weight, saved.stem.conv.weight, rtol=0, atol=0)


def test_a_failed_write_leaves_the_old_file_and_no_other(file, encoder, monkeypatch):
    before = file.read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OutOfSpace, match="the disk is full"):
        save_weights(file, encoder, SPEC)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_disk_that_is_full_while_the_tensors_are_written_says_so(file, encoder, monkeypatch):
    before = file.read_bytes()

    def no_space(*_):
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", no_space)
    with pytest.raises(OutOfSpace, match="the disk is full"):
        save_weights(file, encoder, SPEC)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_weights_are_readable_for_whom_other_files_are(file):
    other = file.with_name("other")
    other.touch()
    assert file.stat().st_mode == other.stat().st_mode


def test_a_place_that_does_not_exist_is_one_sentence(tmp_path, encoder):
    with pytest.raises(UserError, match=r"^Cannot save the weights 'e.safetensors': .*; .*\.$"):
        save_weights(tmp_path / "gone" / "e.safetensors", encoder, SPEC)


def test_fields_of_a_newer_version_are_dropped(file):
    assert InputSpec.from_json(SPEC.to_json() | {"colour": "blue"}) == SPEC


class Malicious:
    ran = False

    def __reduce__(self):
        return setattr, (Malicious, "ran", True)


def pickled(legacy):
    buffer = io.BytesIO()
    torch.save({"w": Malicious()}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [pickled(False), pickled(True), pickle.dumps(Malicious())])
def test_a_pickle_is_refused_and_never_run(tmp_path, content):
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="could run code on this computer"):
        load_weights(path)
    assert not Malicious.ran


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"GIF89a" * 100, b"\x10\0\0\0\0\0\0\0{not json at all", b"\xff" * 64]
)
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="it is not a safetensors file"):
        load_weights(path)


@pytest.mark.parametrize("kept", [40, 2000, 1_000_000, -1])
def test_a_file_that_was_cut_off_is_refused(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(BadInput, match="the file is cut off"):
        load_weights(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="there is no such file"):
        load_weights(tmp_path / "encoder.safetensors")


def test_weights_of_another_program_are_refused(tmp_path, encoder):
    path = tmp_path / "encoder.safetensors"
    write(path, encoder.state_dict(), {"format": "pt"})
    with pytest.raises(BadInput, match="it does not say what input the network expects"):
        load_weights(path)


@pytest.mark.parametrize(
    "spec",
    [
        "{",
        "[]",
        "3",
        "{}",
        json.dumps(SPEC.to_json() | {"size": "large"}),
        json.dumps(SPEC.to_json() | {"size": 0}),
        json.dumps(SPEC.to_json() | {"size": True}),
        json.dumps(SPEC.to_json() | {"std": 0.0}),
        json.dumps(SPEC.to_json() | {"windows": {"a": [1]}}),
        json.dumps(SPEC.to_json() | {"windows": 5}),
    ],
)
def test_a_damaged_description_is_refused(tmp_path, spec):
    path = tmp_path / "encoder.safetensors"
    write(path, {"w": torch.zeros(1)}, {KEY: spec})
    with pytest.raises(BadInput, match="its description of the input is damaged"):
        load_weights(path)


def test_an_encoder_this_version_does_not_know_is_refused(tmp_path, encoder):
    path = tmp_path / "encoder.safetensors"
    save_weights(path, encoder, InputSpec("resnet9000", 112))
    with pytest.raises(BadInput, match="'resnet9000'"):
        load_encoder(path)


@pytest.mark.parametrize("named", ["resnet34", "resnet50"])
def test_weights_of_another_encoder_than_named_are_refused(tmp_path, encoder, named):
    path = tmp_path / "encoder.safetensors"
    save_weights(path, encoder, InputSpec(named, 112))
    with pytest.raises(BadInput, match=f"they do not fit {named}"):
        load_encoder(path)


def test_weights_of_another_number_of_channels_are_refused(tmp_path, encoder):
    path = tmp_path / "encoder.safetensors"
    save_weights(path, encoder, InputSpec("resnet18", 112, in_channels=3))
    with pytest.raises(BadInput, match=r"shape \(64, 1, 7, 7\) instead of \(64, 3, 7, 7\)"):
        load_encoder(path)


@pytest.mark.parametrize("damage", ["dtype", "offsets"])
def test_damaged_tensors_are_refused(file, damage):
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    entry = header["stem.conv.weight"]
    if damage == "dtype":
        entry["dtype"] = "Q7"
    else:
        entry["data_offsets"] = [entry["data_offsets"][0] + 4, entry["data_offsets"][1]]
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(BadInput, match="its tensors are damaged"):
        load_weights(file)
