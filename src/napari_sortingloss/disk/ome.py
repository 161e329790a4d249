"""The OME-Zarr 0.5 attributes of a stored volume, as viewers outside this program expect them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_sortingloss.disk.atomic import plain

PROVENANCE = "napari-sortingloss"
"""The attribute that holds where a volume came from and what was done to it."""

_LONG = {
    "mm": "millimeter",
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "nm": "nanometer",
    "cm": "centimeter",
    "m": "meter",
    "pm": "picometer",
    "Å": "angstrom",
    "in": "inch",
}


def unit_name(unit: str) -> str:
    """Return the long name that OME-Zarr asks for, e.g. ``"micrometer"`` for ``"um"``."""
    return _LONG.get(unit, unit)


def level_transforms(
    voxel_size: Sequence[float], factors: Sequence[Sequence[int]]
) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return (scale, translation) of each level in physical units.

    The centre of a voxel made of two lies half a voxel further in: that is the translation.
    """
    return [
        (
            tuple(s * f for s, f in zip(voxel_size, factor, strict=True)),
            tuple(s * (f - 1) / 2 for s, f in zip(voxel_size, factor, strict=True)),
        )
        for factor in factors
    ]


def group_metadata(
    name: str,
    voxel_size: Sequence[float],
    unit: str,
    factors: Sequence[Sequence[int]],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the Zarr v3 metadata (zarr.json) of a multiscale group.

    Parameters
    ----------
    name : str
    voxel_size : sequence of float
        (z, y, x) in `unit`.
    unit : str
        Short or long name; empty where unknown.
    factors : sequence of (z, y, x)
        How many voxels of the full level make one of each level.
    provenance : mapping
        Stored beside the OME attributes.
    """
    axes: list[dict[str, str]] = [{"name": axis, "type": "space"} for axis in "zyx"]
    if unit:
        axes = [{**axis, "unit": unit_name(unit)} for axis in axes]
    datasets = []
    for level, (scale, translation) in enumerate(level_transforms(voxel_size, factors)):
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": list(scale)}]
        if any(translation):
            transforms.append({"type": "translation", "translation": list(translation)})
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    multiscale = {
        "name": name,
        "axes": axes,
        "datasets": datasets,
        "type": "mean",
        "metadata": {"description": "levels are means of 2 voxels along each halved axis"},
    }
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}, PROVENANCE: dict(provenance)}
    document: dict[str, Any] = plain({"zarr_format": 3, "node_type": "group", "attributes": attributes})
    return document


def label_metadata(
    name: str,
    voxel_size: Sequence[float],
    unit: str,
    factors: Sequence[Sequence[int]],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the metadata of a group whose levels take every second voxel, so that no value arises that was not there.

    See `group_metadata`; `formats.label_names.image_label` says what the values mean.
    """
    document = group_metadata(name, voxel_size, unit, factors, provenance)
    multiscale = document["attributes"]["ome"]["multiscales"][0]
    multiscale.update(
        type="nearest", metadata={"description": "levels take every second voxel of a halved axis"}
    )
    for dataset in multiscale["datasets"]:
        dataset["coordinateTransformations"] = dataset["coordinateTransformations"][:1]
    return document
