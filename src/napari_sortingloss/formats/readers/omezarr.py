"""OME-Zarr 0.4 and 0.5, and plain Zarr arrays: level 0, with its scale and units."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_sortingloss.errors import BadInput, NeedsOption
from napari_sortingloss.formats.naming import stem_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.readers.plain import ArraySource
from napari_sortingloss.formats.refusals import (
    cannot_read,
    damaged,
    extra_axis,
    pick_axes,
    reading,
    refuse_dtype,
)
from napari_sortingloss.formats.units import UNKNOWN, Geometry, geometry

MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def open_zarr(path: Path, options: ReadOptions) -> ArraySource:
    """Open level 0 of the image in a Zarr folder.

    Raises
    ------
    BadInput
        If the folder is damaged, holds several images and none was chosen, or the image has time points or channels.
    """
    import zarr
    import zarr.errors

    what = cannot_read(path)
    if not path.is_dir():
        raise BadInput(
            what, "an OME-Zarr is a folder, but this is a file", "choose the .zarr folder (unpack it first)"
        )
    if not any((path / marker).is_file() for marker in MARKERS):
        raise damaged(what, "its zarr.json is missing")
    with reading(what, zarr.errors.BaseZarrError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = zarr.open(path, mode="r")
        if options.dataset is not None:
            node = _child(node, options.dataset.strip("/"), what)
        names: Sequence[str] | None = None
        found, version, chosen = UNKNOWN, "", node.path
        if isinstance(node, zarr.Group):
            node, image = _image(node, what)
            if image is None:
                array = _only_array(node, what)
            else:
                multiscale, version = image
                first = multiscale["datasets"][0]
                array = _child(node, first["path"], what)
                names, found = _axes(multiscale, first, len(array.shape))
            chosen = array.path
        else:
            array = node
            dimensions = getattr(array.metadata, "dimension_names", None)
            names = [str(n) for n in dimensions] if dimensions and all(dimensions) else None
    refuse_dtype(what, array.dtype)
    axes = _spatial(what, array.shape, names)
    return ArraySource(
        array,
        axes=axes,
        name=stem_of(path),
        path=path,
        format=f"OME-Zarr {version}".strip() if version else "Zarr",
        geometry=found,
        metadata={"dataset": "/" + chosen.strip("/")},
    )


def _child(node: Any, name: str, what: str) -> Any:
    try:
        return node[name]
    except (KeyError, AttributeError, TypeError) as error:
        held = ", ".join(sorted(node.keys())) if hasattr(node, "keys") else "one array only"
        raise NeedsOption(
            what, f"it has no part '{name}'", f"choose one it has ({held or 'none'})"
        ) from error


def _image(group: Any, what: str) -> tuple[Any, tuple[Mapping[str, Any], str] | None]:
    """Return the group with the image and its multiscale with the version; None where there is no OME metadata."""
    for _ in range(3):
        ome = group.attrs.get("ome", group.attrs)
        scales = ome.get("multiscales")
        if scales:
            version = str(ome.get("version") or scales[0].get("version") or "0.4")
            return group, (scales[0], version)
        if "plate" in ome:
            raise BadInput(what, "it is a plate of many images", "choose one image folder inside it")
        if "bioformats2raw.layout" not in ome:
            break
        images = sorted(key for key in group if key.isdigit())
        if len(images) != 1:
            raise NeedsOption(
                what,
                f"it holds {len(images)} images",
                "choose one with the option 'dataset': " + ", ".join(images),
            )
        group = group[images[0]]
    return group, None


def _only_array(group: Any, what: str) -> Any:
    arrays = [a for a in _arrays(group) if a.ndim >= 3 and a.dtype.kind in "biuf"]
    if len(arrays) == 1:
        return arrays[0]
    if not arrays:
        raise BadInput(what, "it holds no 3D array", "choose a Zarr folder with a volume in it")
    listing = ", ".join(f"{a.path} ({' x '.join(map(str, a.shape))} {a.dtype})" for a in arrays[:12])
    raise NeedsOption(
        what, f"it holds {len(arrays)} volumes", f"choose one with the option 'dataset': {listing}"
    )


def _arrays(group: Any, depth: int = 0) -> Iterator[Any]:
    for _, array in sorted(group.arrays()):
        yield array
    if depth < 6:
        for _, inner in sorted(group.groups()):
            yield from _arrays(inner, depth + 1)


def _axes(multiscale: Mapping[str, Any], level: Mapping[str, Any], ndim: int) -> tuple[list[str], Geometry]:
    axes = multiscale.get("axes") or list("tczyx"[-ndim:])
    names = [str(axis["name"] if isinstance(axis, Mapping) else axis).lower() for axis in axes]
    scale = [1.0] * ndim
    stated = False
    for transform in [
        *(level.get("coordinateTransformations") or ()),
        *(multiscale.get("coordinateTransformations") or ()),
    ]:
        if transform.get("type") == "scale":
            scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
            stated = True
    units = [str(axis.get("unit", "")) if isinstance(axis, Mapping) else "" for axis in axes]
    if not stated or not {"z", "y", "x"} <= set(names):
        return names, UNKNOWN
    spatial = [names.index(n) for n in "zyx"]
    return names, geometry([scale[a] for a in spatial], [units[a] for a in spatial])


def _spatial(what: str, shape: Sequence[int], names: Sequence[str] | None) -> tuple[int, int, int]:
    if names is not None and {"z", "y", "x"} <= set(names) and len(names) == len(shape):
        for axis, name in enumerate(names):
            if name not in ("z", "y", "x") and shape[axis] > 1:
                raise extra_axis(what, len(shape), name, shape[axis])
        z, y, x = (names.index(n) for n in "zyx")
        pick_axes(what, [shape[z], shape[y], shape[x]], "zyx")
        return z, y, x
    a, b, c = pick_axes(what, shape, names if names is not None and len(names) == len(shape) else None)
    return a, b, c
