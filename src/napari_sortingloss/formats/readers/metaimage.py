"""MetaImage (.mha, .mhd): a text header and a block of voxels, in the same file or in others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.blocks import Block, FileBlock, FilesBlock, StreamBlock, ZlibStream
from napari_sortingloss.formats.naming import stem_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.orientation import AS_STORED, to_lps
from napari_sortingloss.formats.refusals import (
    cannot_read,
    colour,
    damaged,
    extra_axis,
    not_this_format,
    pick_axes,
    reading,
    truncated,
)
from napari_sortingloss.formats.stored import StoredSource
from napari_sortingloss.formats.units import geometry

_TYPES = {
    "MET_CHAR": "int8",
    "MET_UCHAR": "uint8",
    "MET_SHORT": "int16",
    "MET_USHORT": "uint16",
    "MET_INT": "int32",
    "MET_UINT": "uint32",
    "MET_LONG": "int32",
    "MET_ULONG": "uint32",
    "MET_LONG_LONG": "int64",
    "MET_ULONG_LONG": "uint64",
    "MET_FLOAT": "float32",
    "MET_DOUBLE": "float64",
}
_LIMIT = 2**20


def open_metaimage(path: Path, options: ReadOptions) -> StoredSource:
    """Open a MetaImage; its physical frame is LPS, lengths are millimetres.

    Raises
    ------
    BadInput
        If the file is damaged, cut off, not 3D, colour, or stored as text.
    """
    what = cannot_read(path)
    fields, names, start = _header(path, what)
    with reading(what):
        counts = [int(n) for n in fields["dimsize"].split()]
        spacing = [float(s) for s in fields.get("elementspacing", fields.get("elementsize", "")).split()]
        turned = fields.get("transformmatrix", fields.get("rotation", fields.get("orientation", "")))
        matrix = [float(v) for v in turned.split()]
        channels = int(fields.get("elementnumberofchannels", 1))
    if fields["elementtype"].upper() not in _TYPES:
        raise BadInput(
            what,
            f"its voxels are of type '{fields['elementtype']}'",
            "export it as 16-bit integers or as float32",
        )
    if channels in (3, 4):
        raise colour(what)
    if channels != 1:
        raise extra_axis(what, len(counts) + 1, "c", channels)
    order = [len(counts) - 1 - a for a in pick_axes(what, counts[::-1])]  # slowest first
    if sorted(order) != [0, 1, 2]:
        order = [2, 1, 0]
    big = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "False")).lower() == "true"
    dtype = np.dtype(_TYPES[fields["elementtype"].upper()]).newbyteorder(">" if big else "<")

    layout = AS_STORED
    side = len(counts)
    if len(matrix) == side * side:
        directions = np.array(matrix, dtype=float).reshape(side, side)
        layout = to_lps(directions[np.ix_(order, [0, 1, 2])])
    elif not matrix:
        layout = to_lps(np.eye(3)[::-1])
    sizes = tuple(spacing[a] for a in order) if len(spacing) == side else None
    shape = tuple(counts[a] for a in order)
    return StoredSource(
        _block(path, what, fields, names, start, shape, dtype),
        name=stem_of(path),
        path=path,
        format="MetaImage",
        layout=layout,
        geometry=geometry(layout.sizes(sizes) if sizes else None, "mm"),
        scratch=options.scratch,
    )


def _header(path: Path, what: str) -> tuple[dict[str, str], list[str], int]:
    """Return the fields, the names of the data files (none for the same file) and where the header ends."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "elementdatafile" not in fields:
            line = file.readline(4096)
            if not line or file.tell() > _LIMIT:
                missing = "ElementDataFile" if fields else ""
                if not missing:
                    raise not_this_format(what, "MetaImage")
                raise damaged(what, f"its header lacks '{missing}'")
            key, equals, value = line.decode("utf-8", "replace").partition("=")
            if not equals:
                if line.strip():
                    raise not_this_format(what, "MetaImage")
                continue
            fields[key.strip().lower()] = value.strip()
        start = file.tell()
        rest = file.read(_LIMIT) if fields["elementdatafile"].upper().startswith("LIST") else b""
    for key, spelled in (("dimsize", "DimSize"), ("elementtype", "ElementType")):
        if key not in fields:
            raise damaged(what, f"its header lacks '{spelled}'")
    value = fields["elementdatafile"]
    if value.upper() == "LOCAL":
        return fields, [], start
    if rest:
        return fields, [n.strip() for n in rest.decode("utf-8", "replace").splitlines() if n.strip()], 0
    pattern = re.fullmatch(r"(.*%[0-9]*d\S*)\s+(\d+)\s+(\d+)\s+(\d+)", value)
    if pattern:
        step = max(1, int(pattern[4]))
        return fields, [pattern[1] % n for n in range(int(pattern[2]), int(pattern[3]) + 1, step)], 0
    return fields, [value], 0


def _block(
    path: Path,
    what: str,
    fields: dict[str, str],
    names: list[str],
    start: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Block:
    paths = [path.parent / name for name in names] or [path]
    for part in paths:
        if not part.is_file():
            raise BadInput(
                what, f"its voxels are in '{part.name}', which does not exist", "copy that file beside it"
            )
    if fields.get("binarydata", "True").lower() == "false":
        raise BadInput(what, "its voxels are stored as text", "save it again as binary")
    if fields.get("compresseddata", "False").lower() == "true":
        if len(paths) > 1:
            raise BadInput(what, "its voxels are spread over compressed files", "save it again as one .mha")
        announced = int(fields.get("compresseddatasize", 0))
        found = paths[0].stat().st_size - start
        if found < announced:
            raise truncated(what, f"{announced:,} compressed bytes are announced, but {found:,} are there")
        return StreamBlock(lambda: cast(BinaryIO, ZlibStream(paths[0], start)), 0, shape, dtype, what)
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    header = int(fields.get("headersize", 0))
    offset = max(0, paths[0].stat().st_size - needed // len(paths)) if header < 0 else start + header
    if len(paths) == 1:
        return FileBlock(paths[0], offset, shape, dtype)
    if shape[0] % len(paths):
        raise damaged(what, f"{shape[0]} slices are spread over {len(paths)} files")
    return FilesBlock(paths, offset, shape, dtype)
