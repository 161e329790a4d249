"""Weights in files: safetensors with the input the network expects, written atomically, read without running code."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import safetensors.torch
from torch import Tensor, nn

from napari_sortingloss.disk.atomic import sync_folder
from napari_sortingloss.errors import BadInput, UserError, readable_os_errors
from napari_sortingloss.networks.encoders.resnet import Encoder, build_encoder, load_parts

KEY = "napari_sortingloss"
"""The name of the entry in the file's metadata that holds the `InputSpec`."""

_CHOOSE = "choose an encoder.safetensors or model.safetensors of a run"

_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}


@dataclass(frozen=True)
class InputSpec:
    """What a network expects to be given.

    Attributes
    ----------
    encoder : str
        Name of the encoder, one of ``ENCODERS``.
    size : int
        Side of the square slice in pixels it was trained on.
    field_of_view : float
        Side of that square in mm; 0 where each slice filled it.
    axis : str
        The ordering axes of the volumes it was trained on, e.g. ``"z"`` or ``"xz"``.
    dims : {2, 3}
    in_channels : int
    dropout : float
        Dropout between the stages.
    mean, std : float
        What is subtracted from grey values in [0, 1], and by what the difference is divided.
    windows : dict of str to (float, float)
        For each training volume the intensity window that became [0, 255], in its own units.
    network : str
        For a segmentation network one of ``SEGMENTERS``; empty for an encoder alone.
    decoder_norm : str
        The normalisation of its decoder.
    classes : dict of str to (str, str)
        What its channels mean, behind that of the background: value in label images, to name and colour.
    pixel_size : float
        Side of a pixel in mm at which it looks at slices; 0 where it takes voxels as they are.
    """

    encoder: str
    size: int
    field_of_view: float = 0.0
    axis: str = "z"
    dims: int = 2
    in_channels: int = 1
    dropout: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)
    network: str = ""
    decoder_norm: str = ""
    classes: dict[str, tuple[str, str]] = field(default_factory=dict)
    pixel_size: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        pairs: dict[str, Mapping[str, Any]] = {"windows": self.windows, "classes": self.classes}
        return {**asdict(self), **{n: {k: list(p) for k, p in d.items()} for n, d in pairs.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`; fields of a newer version are dropped.

        Raises
        ------
        ValueError
            If a value is missing or of the wrong kind.
        """
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        try:
            known["windows"] = {
                str(k): (float(a), float(b)) for k, (a, b) in dict(known.get("windows", {})).items()
            }
            known["classes"] = {
                str(int(k)): (str(a), str(b)) for k, (a, b) in dict(known.get("classes", {})).items()
            }
            spec = cls(**known)
        except (TypeError, ValueError) as error:
            raise ValueError(str(error)) from error
        for f in fields(cls):
            value = getattr(spec, f.name)
            if not isinstance(value, _KINDS.get(str(f.type), dict)) or isinstance(value, bool):
                raise ValueError(f"'{f.name}' is {value!r}")
        if not 0 <= spec.pixel_size < 1e9:
            raise ValueError(f"pixel size {spec.pixel_size}")
        if spec.size < 1 or not spec.std > 0:
            raise ValueError(f"size {spec.size} and standard deviation {spec.std} must be positive")
        return spec


def save_weights(path: Path, module: nn.Module, spec: InputSpec) -> None:
    """Write the weights of a network so that the file is either complete or not there.

    Parameters
    ----------
    path : Path
        The file to write or replace, ``.safetensors``.
    module : torch.nn.Module
        An `Encoder`, or a network with one as its ``encoder``.
    spec : InputSpec
        What it expects to be given.

    Raises
    ------
    UserError
        If the disk is full or the place cannot be written to.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with readable_os_errors(f"Cannot save the weights '{path.name}'"):
        try:
            _write(part, tensors, {KEY: json.dumps(spec.to_json())})
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        sync_folder(path.parent)


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a new safetensors file to the disk.

    The library writes it itself: making the bytes first keeps the interpreter's lock all the while (0.3 s for ResNet-152),
    and with it the window.
    """
    path.touch(exist_ok=False)
    mode = path.stat().st_mode
    try:
        safetensors.torch.save_file(tensors, path, metadata)
    except safetensors.SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    path.chmod(mode)  # the library makes files for the owner's eyes only
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def load_weights(path: Path) -> tuple[dict[str, Tensor], InputSpec]:
    """Read weights and the input they expect.

    Parameters
    ----------
    path : Path
        A file written by `save_weights`.

    Returns
    -------
    state : dict of str to Tensor
        On the CPU.
    spec : InputSpec

    Raises
    ------
    BadInput
        If the file is missing, damaged or not one of ours. Nothing in it is ever run.
    UserError
        If it cannot be read.
    """
    what = f"Cannot load the weights '{path.name}'"
    if not path.is_file():
        raise BadInput(what, "there is no such file", _CHOOSE)
    with readable_os_errors(what):
        data = path.read_bytes()
    text = _metadata(data, what).get(KEY)
    if text is None:
        raise BadInput(what, "it does not say what input the network expects", _CHOOSE)
    try:
        spec = InputSpec.from_json(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(what, f"its description of the input is damaged ({error})", _CHOOSE) from error
    try:
        return safetensors.torch.load(data), spec
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BadInput(what, f"its tensors are damaged ({error})", _CHOOSE) from error


def load_encoder(path: Path) -> tuple[Encoder, InputSpec]:
    """Rebuild a trained encoder from its file, or from the file of a network that holds one.

    Parameters
    ----------
    path : Path
        A file written by `save_weights`.

    Returns
    -------
    encoder : Encoder
        On the CPU, in training mode as when freshly built.
    spec : InputSpec

    Raises
    ------
    BadInput
        As `load_weights`, or if the weights do not fit the encoder that the file names.
    """
    state, spec = load_weights(path)
    what = f"Cannot load the weights '{path.name}'"
    prefix = "encoder."
    inner = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    try:
        encoder = build_encoder(
            spec.encoder, dropout=spec.dropout, dims=spec.dims, in_channels=spec.in_channels
        )
    except UserError as error:
        raise BadInput(
            what, f"it was made for an encoder this version does not know ({error})", _CHOOSE
        ) from error
    try:
        load_parts(encoder, inner or state)
    except BadInput as error:
        raise BadInput(what, f"they do not fit {spec.encoder}, {error.why}", _CHOOSE) from error
    return encoder, spec


def _metadata(data: bytes, what: str) -> dict[str, str]:
    """Return the metadata of a safetensors file after checking that it is one and complete."""
    length = int.from_bytes(data[:8], "little")
    if data[8:9] != b"{":
        if data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and data[1:2] <= b"\x05"):  # a zip or a pickle
            why = "it is a PyTorch or pickle file, which could run code on this computer when opened"
            raise BadInput(what, why, _CHOOSE)
        raise BadInput(what, "it is not a safetensors file", _CHOOSE)
    if len(data) < 8 + length:
        raise BadInput(what, "the file is cut off", "copy it again, or choose another run")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = dict(header.pop("__metadata__", {}))
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise BadInput(what, "it is not a safetensors file", _CHOOSE) from error
    if len(data) < 8 + length + end:
        raise BadInput(what, "the file is cut off", "copy it again, or choose another run")
    return metadata
