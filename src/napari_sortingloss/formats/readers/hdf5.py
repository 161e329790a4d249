"""HDF5 and NeXus: the dataset is given, or found as NeXus' default signal or as the only 3D one in the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadInput, NeedsOption
from napari_sortingloss.formats.naming import stem_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.readers.plain import ArraySource
from napari_sortingloss.formats.refusals import cannot_read, pick_axes, reading, refuse_dtype, truncated
from napari_sortingloss.formats.units import UNKNOWN, Geometry, geometry

_SIZE_ATTRIBUTES = ("voxel_size", "voxelsize", "voxel_spacing", "spacing", "resolution", "pixel_size")
_LISTED = 12


class _Hdf5Source(ArraySource):
    """An `ArraySource` that owns the file of its dataset."""

    def __init__(self, file: Any, dataset: Any, **more: Any) -> None:
        self._file = file
        super().__init__(dataset, **more)

    def close(self) -> None:
        self._file.close()


def open_hdf5(path: Path, options: ReadOptions) -> ArraySource:
    """Open one dataset of an HDF5 or NeXus file.

    Raises
    ------
    BadInput
        If the file is damaged or cut off, or no dataset - or no single one - is a volume.
    """
    import h5py
    import hdf5plugin

    del hdf5plugin  # importing it is what teaches h5py the compression filters
    what = cannot_read(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise truncated(what, "the file is shorter than HDF5 says") from error
        if "lock" in str(error).lower():
            raise BadInput(
                what, "another program is writing to it", "close it there, then try again"
            ) from error
        with reading(what):
            raise
    try:
        with reading(what):
            dataset = _choose(file, what, options.dataset)
            refuse_dtype(what, dataset.dtype)
            axes = pick_axes(what, dataset.shape)
            found = _geometry(dataset, axes)
            return _Hdf5Source(
                file,
                dataset,
                axes=(axes[0], axes[1], axes[2]),
                name=stem_of(path),
                path=path,
                format="NeXus" if "default" in file.attrs or _entries(file) else "HDF5",
                geometry=found,
                metadata={"dataset": dataset.name},
            )
    except BaseException:
        file.close()
        raise


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _entries(file: Any) -> list[Any]:
    return [
        item
        for item in (file.get(key) for key in file)
        if item is not None and _text(item.attrs.get("NX_class", "")) == "NXentry"
    ]


def _choose(file: Any, what: str, wanted: str | None) -> Any:
    import h5py

    if wanted is not None:
        found = file.get(wanted)
        if isinstance(found, h5py.Dataset):
            return found
        volumes = _datasets(file)
        if found is None or not (inside := [d for d in volumes if _volume(d) and _is_inside(d, found)]):
            why = f"it has no dataset '{wanted}'" if found is None else f"'{wanted}' holds no 3D dataset"
            raise NeedsOption(what, why, "choose one of " + _listing(volumes))
        if len(inside) == 1:
            return inside[0]
        raise NeedsOption(what, f"'{wanted}' holds several", "choose one of " + _listing(inside))
    signal = _nexus_signal(file)
    if signal is not None:
        return signal
    everything = _datasets(file)
    volumes = [d for d in everything if _volume(d)]
    if len(volumes) == 1:
        return volumes[0]
    if volumes:
        raise NeedsOption(
            what,
            f"it holds {len(volumes)} volumes",
            "choose one with the option 'dataset': " + _listing(volumes),
        )
    numeric = [d for d in everything if len(d.shape) > 1]
    if len(numeric) == 1:
        return numeric[0]  # refused later, with a sentence about its own shape
    raise BadInput(
        what,
        "it holds no 3D dataset of numbers" + (f" ({_listing(everything)})" if everything else ""),
        "choose a file with a volume in it",
    )


def _is_inside(dataset: Any, group: Any) -> bool:
    return bool(dataset.name.startswith(group.name.rstrip("/") + "/"))


def _datasets(file: Any) -> list[Any]:
    import h5py

    found: list[Any] = []

    def visit(_name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            found.append(item)

    file.visititems(visit)
    return found


def _volume(dataset: Any) -> bool:
    return dataset.dtype.kind in "biuf" and sum(n > 1 for n in dataset.shape) == 3 == sum(
        n != 1 for n in dataset.shape
    )


def _listing(datasets: Sequence[Any]) -> str:
    names = [f"{d.name} ({' x '.join(map(str, d.shape))} {d.dtype})" for d in datasets[:_LISTED]]
    return ", ".join(names) + (", …" if len(datasets) > _LISTED else "")


def _nexus_signal(file: Any) -> Any:
    """Follow the ``default`` attributes to an NXdata and its ``signal``; None where the file has none."""
    import h5py

    group = file
    for _ in range(8):
        default = group.attrs.get("default")
        step = group.get(_text(default)) if default is not None else None
        if not isinstance(step, h5py.Group):
            break
        group = step
    groups = [group] if group is not file else []
    for entry in _entries(file):
        groups += [g for g in entry.values() if isinstance(g, h5py.Group)]
    signals: list[Any] = []
    for candidate in groups:
        signal = candidate.attrs.get("signal")
        found = candidate.get(_text(signal)) if signal is not None else None
        if found is None:
            found = next((d for d in candidate.values() if _marked(d)), None)
        if isinstance(found, h5py.Dataset) and _volume(found):
            if candidate is group and group is not file:
                return found
            signals.append(found)
    return signals[0] if len({d.id.__hash__() for d in signals}) == 1 else None


def _marked(item: Any) -> bool:
    """Whether a dataset is the signal in the older convention (an attribute of its own)."""
    return hasattr(item, "shape") and _text(item.attrs.get("signal", "")) == "1"


def _geometry(dataset: Any, axes: Sequence[int]) -> Geometry:
    attributes = dataset.attrs
    if "element_size_um" in attributes:
        sizes = np.asarray(attributes["element_size_um"], dtype=float).reshape(-1)
        if len(sizes) == 3:
            return geometry([float(s) for s in sizes], "um")
    for key in _SIZE_ATTRIBUTES:
        for name in attributes:
            if name.lower() == key and np.asarray(attributes[name]).dtype.kind in "iuf":
                sizes = np.asarray(attributes[name], dtype=float).reshape(-1)
                triple = [float(sizes[0])] * 3 if len(sizes) == 1 else [float(s) for s in sizes]
                unit = next((_text(attributes[u]) for u in attributes if "unit" in u.lower()), "")
                return geometry(triple, unit)
    return _nexus_axes(dataset, axes)


def _nexus_axes(dataset: Any, axes: Sequence[int]) -> Geometry:
    names = dataset.parent.attrs.get("axes")
    if names is None:
        return UNKNOWN
    labels = [_text(n) for n in np.atleast_1d(names)]
    if len(labels) == 1:
        labels = labels[0].strip("[]").replace(":", ",").split(",")
    if len(labels) != len(dataset.shape):
        return UNKNOWN
    sizes, units = [], []
    for axis in axes:
        scale = dataset.parent.get(labels[axis].strip())
        if scale is None or scale.shape != (dataset.shape[axis],):
            return UNKNOWN
        ends = np.asarray(scale[[0, -1]], dtype=float)
        sizes.append(abs(float(ends[1] - ends[0])) / (dataset.shape[axis] - 1))
        units.append(_text(scale.attrs.get("units", "")))
    return geometry(sizes, units)
