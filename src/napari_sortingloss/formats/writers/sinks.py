"""Volumes written slab by slab: OME-TIFF, NIfTI, NRRD and OME-Zarr 0.5."""

from __future__ import annotations

import gzip
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast
from xml.sax.saxutils import quoteattr

import numpy as np

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.label_names import LabelName, image_label, nrrd_segments
from napari_sortingloss.formats.units import Geometry

_BIG = 2**32 - 2**25
_CHUNK = (32, 256, 256)
_OME_TYPES = {
    "uint8": "uint8",
    "int8": "int8",
    "uint16": "uint16",
    "int16": "int16",
    "uint32": "uint32",
    "int32": "int32",
    "float32": "float",
    "float64": "double",
}
_OME_UNITS = {"nm": "nm", "um": "µm", "mm": "mm"}
_ZARR_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter"}


class Sink(ABC):
    """Where slabs go; `target` is a temporary name that the caller renames when all is written."""

    types: Sequence[str] = tuple(_OME_TYPES)
    compressed = False

    def __init__(
        self,
        target: Path,
        name: str,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        geometry: Geometry,
        origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
        labels: Sequence[LabelName] = (),
    ) -> None:
        self.target, self.name, self.shape, self.dtype, self.geometry = target, name, shape, dtype, geometry
        self.origin, self.labels = origin, labels
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """Open the target and write what comes before the voxels."""

    @abstractmethod
    def write(self, slab: np.ndarray) -> None:
        """Append a contiguous slab (n, y, x) of the sink's dtype."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file; safe to call again, and after an error."""


class TiffSink(Sink):
    """An uncompressed OME-TIFF, one page a slice; BigTIFF from 4 GB on."""

    def _begin(self) -> None:
        import tifffile

        size = int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize
        self._tif: Any = tifffile.TiffWriter(self.target, bigtiff=size + 1024 * self.shape[0] > _BIG)
        self._description: bytes | None = self._ome().encode()

    def _ome(self) -> str:
        z, y, x = self.shape
        sizes = ""
        if self.geometry.voxel_size is not None and self.geometry.unit:
            unit = _OME_UNITS[self.geometry.unit]
            for axis, size in zip("ZYX", self.geometry.voxel_size, strict=True):
                sizes += f' PhysicalSize{axis}="{size!r}" PhysicalSize{axis}Unit="{unit}"'
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 '
            'http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd" Creator="napari-sortingloss">'
            f'<Image ID="Image:0" Name={quoteattr(self.name)}>'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{_OME_TYPES[self.dtype.name]}" '
            f'SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="1" SizeT="1"{sizes}>'
            '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f'<TiffData IFD="0" PlaneCount="{z}"/>{self._planes()}</Pixels></Image></OME>'
        )

    def _planes(self) -> str:
        """Say where each slice lies; nothing where the first voxel lies at 0, as a reader takes it."""
        if not any(self.origin):
            return ""
        sizes, place = self.geometry.voxel_size or (1.0, 1.0, 1.0), self.origin
        unit = _OME_UNITS.get(self.geometry.unit, "pixel")
        if unit == "pixel":
            place = (place[0] / sizes[0], place[1] / sizes[1], place[2] / sizes[2])
            sizes = (1.0, 1.0, 1.0)
        across = (
            f'PositionX="{place[2]!r}" PositionXUnit="{unit}" PositionY="{place[1]!r}" PositionYUnit="{unit}"'
        )
        return "".join(
            f'<Plane TheZ="{z}" TheC="0" TheT="0" {across} '
            f'PositionZ="{place[0] + z * sizes[0]!r}" PositionZUnit="{unit}"/>'
            for z in range(self.shape[0])
        )

    def write(self, slab: np.ndarray) -> None:
        """Append one page for each slice."""
        for page in slab:
            self._tif.write(
                page,
                photometric="minisblack",
                description=self._description,
                metadata=None,
                software="napari-sortingloss",
                contiguous=False,
            )
            self._description = None

    def close(self) -> None:
        """Finish the file."""
        self._tif.close()


class NiftiSink(Sink):
    """NIfTI-1 (NIfTI-2 for axes above 32767), whose affine says that the array is LPS."""

    def _begin(self) -> None:
        from nibabel.nifti1 import Nifti1Header
        from nibabel.nifti2 import Nifti2Header

        z, y, x = self.shape
        header: Any = (Nifti2Header if max(self.shape) > 32767 else Nifti1Header)()
        sizes, unit = self.geometry.voxel_size or (1.0, 1.0, 1.0), self.geometry.unit
        place = self.origin
        if unit == "nm":
            sizes, unit = (sizes[0] / 1000, sizes[1] / 1000, sizes[2] / 1000), "um"
            place = (place[0] / 1000, place[1] / 1000, place[2] / 1000)
        header.set_data_dtype(self.dtype)
        header.set_data_shape((x, y, z))
        header.set_xyzt_units({"um": "micron", "mm": "mm"}.get(unit, "unknown"))
        affine = np.diag([-sizes[2], -sizes[1], sizes[0], 1.0])
        affine[:3, 3] = [-place[2], -place[1], place[0]]
        header.set_sform(affine, code=1)
        header.set_qform(affine, code=1)
        header.set_slope_inter(1, 0)
        start = 544 if isinstance(header, Nifti2Header) else 352
        header["vox_offset"] = start
        self._raw = self.target.open("wb")
        self._file: IO[bytes] = _packed(self._raw) if self.compressed else self._raw
        self._file.write(header.binaryblock.ljust(start, b"\0"))

    def write(self, slab: np.ndarray) -> None:
        """Append the voxels."""
        self._file.write(slab.data)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
        self._raw.close()


class PackedNiftiSink(NiftiSink):
    """NIfTI compressed with gzip."""

    compressed = True


_NRRD_TYPES = {"float32": "float", "float64": "double"}


class NrrdSink(Sink):
    """NRRD compressed with gzip, in LPS; labels are named as the segmentations of 3D Slicer are (``.seg.nrrd``)."""

    types = (*_OME_TYPES, "int64", "uint64")
    compressed = True

    def _begin(self) -> None:
        z, y, x = self.shape
        lines = [
            "NRRD0005",
            "# Complete NRRD file format specification at:",
            "# http://teem.sourceforge.net/nrrd/format.html",
            f"type: {_NRRD_TYPES.get(self.dtype.name, self.dtype.name)}",
            "dimension: 3",
            "space: left-posterior-superior",
            f"sizes: {x} {y} {z}",
            *self._place(),
            "kinds: domain domain domain",
            *([f"endian: {sys.byteorder}"] if self.dtype.itemsize > 1 else []),
            "encoding: gzip",
            *nrrd_segments(self.labels, self.shape),
        ]
        self._raw = self.target.open("wb")
        self._raw.write(("\n".join(lines) + "\n\n").encode())
        self._file = _packed(self._raw)

    def _place(self) -> list[str]:
        sizes = self.geometry.voxel_size or (1.0, 1.0, 1.0)
        directions = " ".join(
            "(" + ",".join(repr(size) if i == axis else "0" for i in range(3)) + ")"
            for axis, size in enumerate(reversed(sizes))
        )
        lines = [f"space directions: {directions}"]
        if self.geometry.unit:
            lines.append("space units: " + " ".join([f'"{self.geometry.unit}"'] * 3))
        return [*lines, "space origin: (" + ",".join(repr(float(o)) for o in reversed(self.origin)) + ")"]

    def write(self, slab: np.ndarray) -> None:
        """Append the voxels."""
        self._file.write(slab.data)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
        self._raw.close()


def _packed(raw: IO[bytes]) -> IO[bytes]:
    """Return what compresses into an open file; the same bytes give the same file."""
    return cast(IO[bytes], gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0))


class ZarrSink(Sink):
    """OME-Zarr 0.5 with one level, compressed with zstd."""

    types = (*_OME_TYPES, "int64", "uint64")
    compressed = True

    def _begin(self) -> None:
        import zarr

        unit = _ZARR_UNITS.get(self.geometry.unit)
        axes = [{"name": n, "type": "space", **({"unit": unit} if unit else {})} for n in "zyx"]
        transforms: list[dict[str, Any]] = [
            {"type": "scale", "scale": list(self.geometry.voxel_size or (1.0, 1.0, 1.0))}
        ]
        if any(self.origin):
            transforms.append({"type": "translation", "translation": list(self.origin)})
        multiscale: dict[str, Any] = {
            "name": self.name,
            "axes": axes,
            "datasets": [{"path": "0", "coordinateTransformations": transforms}],
        }
        ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
        if self.labels:
            multiscale["type"] = "nearest"
            ome["image-label"] = image_label(self.labels)
        group = zarr.create_group(self.target, zarr_format=3, attributes={"ome": ome})
        chunks = tuple(min(c, n) for c, n in zip(_CHUNK, self.shape, strict=True))
        self._array: Any = group.create_array(
            "0", shape=self.shape, chunks=chunks, dtype=self.dtype, dimension_names=["z", "y", "x"]
        )
        self._depth = chunks[0]
        self._waiting: list[np.ndarray] = []
        self._held = 0
        self._done = 0

    def write(self, slab: np.ndarray) -> None:
        """Write what completes rows of chunks, keep the rest until later."""
        self._waiting.append(slab)
        self._held += len(slab)
        if self._held >= self._depth:
            self._flush(self._held - self._held % self._depth)
        elif self._done + self._held == self.shape[0]:
            self._flush(self._held)

    def _flush(self, count: int) -> None:
        block = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        for low in range(0, count, self._depth):
            high = min(count, low + self._depth)
            self._array[self._done + low : self._done + high] = block[low:high]
        self._waiting = [block[count:].copy()] if count < len(block) else []
        self._done += count
        self._held -= count
        if self._held and self._done + self._held == self.shape[0]:
            self._flush(self._held)

    def close(self) -> None:
        """Drop what was kept; nothing after the last slab."""
        self._waiting = []


def refuse_type(what: str, sink: type[Sink], dtype: np.dtype[Any]) -> None:
    """Raise `BadInput` where a format cannot hold a number type."""
    if dtype.name not in sink.types:
        raise BadInput(
            what, f"this format cannot hold voxels of type {dtype.name}", "convert them to uint16 or float32"
        )


def sync(path: Path) -> None:
    """Make sure that a file, or every file of a folder, is on the disk."""
    if path.is_dir():
        for part in path.iterdir():
            sync(part)
        if os.name == "nt":
            return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
