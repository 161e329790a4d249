"""NRRD (.nrrd, .nhdr): a text header and a block of voxels, in the same file or in others."""

from __future__ import annotations

import bz2
import re
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.blocks import (
    Block,
    FileBlock,
    FilesBlock,
    StreamBlock,
    check_gzip_length,
    gzip_stream,
)
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
)
from napari_sortingloss.formats.stored import StoredSource
from napari_sortingloss.formats.units import geometry

_TYPES = {
    "int8": "signed char|int8|int8_t",
    "uint8": "uchar|unsigned char|uint8|uint8_t",
    "int16": "short|short int|signed short|signed short int|int16|int16_t",
    "uint16": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "int32": "int|signed int|int32|int32_t",
    "uint32": "uint|unsigned int|uint32|uint32_t",
    "int64": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "uint64": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "float32": "float",
    "float64": "double",
}
_TYPE_OF = {spelled: name for name, spellings in _TYPES.items() for spelled in spellings.split("|")}
_LIMIT = 2**20
# What each named space needs to become left-posterior-superior.
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_COLOUR_KINDS = ("rgb-color", "rgba-color", "hsv-color", "xyz-color", "3-color", "4-color")
_VECTOR_KINDS = ("vector", "list", "3-vector", "4-vector")


def open_nrrd(path: Path, options: ReadOptions) -> StoredSource:
    """Open an NRRD file; the voxels come out in LPS where the file names a patient space.

    Raises
    ------
    BadInput
        If the file is damaged, cut off, not 3D, colour, or stored as text.
    """
    what = cannot_read(path)
    fields, start = _header(path, what)
    with reading(what):
        counts = [int(n) for n in fields["sizes"].split()]
        dtype_name = _TYPE_OF.get(fields["type"].lower(), "")
        kinds = [k.lower() for k in fields.get("kinds", "").split()]
        vectors = _vectors(fields.get("space directions", ""))
        spacings = [float(s) for s in fields.get("spacings", "").split()]
    if not dtype_name:
        raise BadInput(
            what, f"its voxels are of type '{fields['type']}'", "export it as 16-bit integers or as float32"
        )
    if len(counts) != int(fields.get("dimension", len(counts))):
        raise damaged(what, f"it announces {fields['dimension']} axes and gives {len(counts)} sizes")
    axes = _volume_axes(what, counts, kinds)
    dtype = np.dtype(dtype_name).newbyteorder(">" if fields.get("endian", "").lower() == "big" else "<")
    stored = tuple(counts[a] for a in reversed(axes))

    space = fields.get("space", "").lower()
    layout = AS_STORED
    sizes: list[float] | None = None
    if len(vectors) == len(counts) and all(
        vectors[a] is not None and len(vectors[a] or ()) == 3 for a in axes
    ):
        matrix = np.array([vectors[a] for a in reversed(axes)], dtype=float)
        if space in _SPACES:
            layout = to_lps(matrix * np.array(_SPACES[space], dtype=float))
        sizes = [float(s) for s in np.linalg.norm(matrix, axis=1)]
    elif len(spacings) == len(counts):
        sizes = [spacings[a] for a in reversed(axes)]
    units = re.findall(r'"([^"]*)"', fields.get("space units", "") or fields.get("units", ""))
    unit = next((u for u in units if u), "mm")
    return StoredSource(
        _block(path, what, fields, start, stored, dtype),
        name=stem_of(path),
        path=path,
        format="NRRD",
        layout=layout,
        geometry=geometry(layout.sizes(tuple(sizes)) if sizes else None, unit),
        metadata={"space": space} if space else {},
        scratch=options.scratch,
    )


def _header(path: Path, what: str) -> tuple[dict[str, str], int]:
    with path.open("rb") as file:
        head = file.read(_LIMIT)
    if not head.startswith(b"NRRD"):
        raise not_this_format(what, "NRRD")
    end = re.search(rb"\r?\n\r?\n", head)
    text = head[: end.start()] if end else head
    fields: dict[str, str] = {}
    lines = text.decode("utf-8", "replace").splitlines()[1:]
    for number, line in enumerate(lines):
        if line.startswith("#") or ":=" in line or ":" not in line:
            continue
        key, value = (part.strip() for part in line.split(":", 1))
        key = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}.get(
            key.lower(), key.lower()
        )
        fields[key] = value
        if key == "data file" and value.upper().startswith("LIST"):
            fields["files"] = "\n".join(name.strip() for name in lines[number + 1 :] if name.strip())
            break
    for key in ("type", "sizes", "encoding"):
        if key not in fields:
            raise damaged(what, f"its header lacks '{key}'")
    if end is None and "data file" not in fields:
        raise damaged(what, "its header does not end")
    return fields, end.end() if end else len(head)


def _vectors(text: str) -> list[tuple[float, ...] | None]:
    found: list[tuple[float, ...] | None] = []
    for part in re.findall(r"none|\([^)]*\)", text.lower()):
        found.append(None if part == "none" else tuple(float(v) for v in part.strip("()").split(",")))
    return found


def _volume_axes(what: str, counts: list[int], kinds: list[str]) -> tuple[int, ...]:
    """Return the three spatial axes, fastest first."""
    if len(kinds) == len(counts):
        for axis, kind in enumerate(kinds):
            if kind in _COLOUR_KINDS or (counts[axis] in (3, 4) and kind in _VECTOR_KINDS):
                raise colour(what)
            if counts[axis] > 1 and kind not in ("domain", "space", "???", "none", "time"):
                raise extra_axis(what, len(counts), "c", counts[axis])
            if counts[axis] > 1 and kind == "time" and len(counts) > 3:
                raise extra_axis(what, len(counts), "t", counts[axis])
    slowest_first = pick_axes(what, counts[::-1])
    return tuple(len(counts) - 1 - a for a in reversed(slowest_first))


def _block(
    path: Path, what: str, fields: dict[str, str], start: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Block:
    paths, offset = [path], start
    if "data file" in fields:
        paths, offset = _data_files(path, what, fields), 0
    for skipped in paths:
        if not skipped.is_file():
            raise BadInput(
                what, f"its voxels are in '{skipped.name}', which does not exist", "copy that file beside it"
            )
    encoding = fields["encoding"].lower()
    offset += _skip_lines(paths[0], offset, int(fields.get("line skip", 0)))
    skip = int(fields.get("byte skip", 0))
    if encoding == "raw":
        needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
        offset = max(0, paths[0].stat().st_size - needed // len(paths)) if skip < 0 else offset + skip
        if len(paths) > 1:
            if shape[0] % len(paths):
                raise damaged(what, f"{shape[0]} slices are spread over {len(paths)} files")
            return FilesBlock(paths, offset, shape, dtype)
        return FileBlock(paths[0], offset, shape, dtype)
    if len(paths) == 1 and encoding in ("gzip", "gz"):
        block = StreamBlock(lambda: gzip_stream(paths[0], offset), max(0, skip), shape, dtype, what)
        check_gzip_length(paths[0], max(0, skip) + block.nbytes, offset)
        return block
    if len(paths) == 1 and encoding in ("bzip2", "bz2"):
        return StreamBlock(lambda: _bzip2_stream(paths[0], offset), max(0, skip), shape, dtype, what)
    raise BadInput(
        what, f"its voxels are stored with encoding '{encoding}'", "save it again with encoding raw or gzip"
    )


def _bzip2_stream(path: Path, offset: int) -> BinaryIO:
    file = path.open("rb")
    file.seek(offset)
    return cast(BinaryIO, bz2.BZ2File(file))


def _skip_lines(path: Path, offset: int, lines: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        return sum(len(file.readline(_LIMIT)) for _ in range(lines))


def _data_files(path: Path, what: str, fields: dict[str, str]) -> list[Path]:
    if "files" in fields:
        return [path.parent / name for name in fields["files"].splitlines()]
    value = fields["data file"]
    pattern = re.fullmatch(r"(.*%[0-9]*d.*?)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(\s+\d+)?", value)
    if pattern:
        template, first, last, step = pattern[1], int(pattern[2]), int(pattern[3]), int(pattern[4])
        if step == 0:
            raise damaged(what, f"its data file pattern '{value}' never ends")
        numbers = range(first, last + (1 if step > 0 else -1), step)
        return [path.parent / (template % number) for number in numbers]
    return [path.parent / value]
