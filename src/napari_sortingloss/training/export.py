"""Writes the encoder of a run as safetensors with the input it expects, for localisation and fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from napari_sortingloss.networks.weights import InputSpec, save_weights
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

FILE, MODEL_FILE = "encoder.safetensors", "model.safetensors"


def input_spec(settings: TrainSettings, volumes: Sequence[Volume]) -> InputSpec:
    """Describe the input of an encoder that was trained on slices.

    Parameters
    ----------
    settings : TrainSettings
    volumes : sequence of Volume
        What it was trained on: their ordering axes and intensity windows are recorded.
    """
    return InputSpec(
        encoder=settings.encoder,
        size=settings.size,
        field_of_view=settings.field_of_view or 0.0,
        axis="".join(sorted({volume.axis for volume in volumes})),
        dropout=settings.dropout,
        windows={v.name: (float(v.record.window[0]), float(v.record.window[1])) for v in volumes},
    )


def export_encoder(folder: Path, network: nn.Module, spec: InputSpec) -> None:
    """Write the encoder of a network into the run's folder.

    Raises
    ------
    UserError
        If the disk is full or cannot be written to.
    """
    save_weights(folder / FILE, network.get_submodule("encoder"), spec)


def export_model(folder: Path, network: nn.Module, spec: InputSpec) -> None:
    """Write a whole network into the run's folder.

    Raises
    ------
    UserError
        If the disk is full or cannot be written to.
    """
    save_weights(folder / MODEL_FILE, network, spec)
