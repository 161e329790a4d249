"""A folder of 2D slices (TIFF, PNG, JPEG, BMP) as one volume, in natural order of the names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.naming import family_of, stem_of
from napari_sortingloss.formats.readers.pictures import picture_header, read_picture
from napari_sortingloss.formats.readers.tiff import open_tiff_file
from napari_sortingloss.formats.readers.tiff_geometry import tiff_geometry
from napari_sortingloss.formats.refusals import (
    cannot_read,
    collected_log,
    colour,
    one_slice,
    pick_axes,
    reading,
    refuse_dtype,
    truncated,
)
from napari_sortingloss.formats.source import VoxelSource, in_threads
from napari_sortingloss.formats.units import UNKNOWN, Geometry


class SliceFolder(VoxelSource):
    """One file a slice; nothing is decoded before it is read."""

    def __init__(self, files: Sequence[Path], tiff: bool, **more: Any) -> None:
        self._files = list(files)
        self._decode = _read_tiff_slice if tiff else read_picture
        super().__init__(**more)

    def _read(self, start: int, stop: int) -> np.ndarray:
        slices = in_threads(self._decode, self._files[start:stop])
        for path, image in zip(self._files[start:stop], slices, strict=True):
            if image.shape != self.shape[1:]:
                raise _differs(self.what, path, self._files[0], image.shape, self.shape[1:])
        return np.stack(slices)


def open_slices(folder: Path, files: Sequence[Path]) -> SliceFolder:
    """Open a folder of slices.

    Parameters
    ----------
    folder : Path
        The folder, which gives the name.
    files : sequence of Path
        Its slices in natural order, all of them TIFF or none.

    Raises
    ------
    BadInput
        If there are fewer than two, one of them is damaged, colour or a stack itself, or they differ in size or type
        (the sentence names the first that does).
    """
    what = cannot_read(folder)
    tiff = family_of(files[0]) == "tiff"
    if len(files) < 2:
        raise one_slice(what, _tiff_header(files[0])[0] if tiff else picture_header(files[0]).shape)
    found, note = UNKNOWN, {}
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    for number, path in enumerate(files):
        if tiff:
            its_shape, its_dtype, its_geometry, its_note = _tiff_header(path)
        else:
            with reading(cannot_read(path)):
                header = picture_header(path)
            its_shape, its_dtype, its_geometry, its_note = header.shape, header.dtype, UNKNOWN, {}
        if number == 0:
            shape, dtype, found, note = its_shape, its_dtype, its_geometry, its_note
        elif its_shape != shape:
            raise _differs(what, path, files[0], its_shape, shape)
        elif its_dtype != dtype:
            raise _differs(what, path, files[0], (its_dtype.name,), (dtype.name,))
    refuse_dtype(what, dtype)
    if not tiff and read_picture(files[0]).dtype == np.bool_:
        dtype = np.dtype(np.bool_)
    pick_axes(what, (len(files), *shape), "zyx")
    kind = "TIFF" if tiff else picture_header(files[0]).kind.upper()
    return SliceFolder(
        files,
        tiff,
        name=stem_of(folder),
        path=folder,
        format=f"{kind} slices",
        shape=(len(files), *shape),
        dtype=dtype,
        geometry=found,
        metadata={"first": files[0].name, "last": files[-1].name, **note},
    )


def _differs(what: str, path: Path, first: Path, has: Sequence[Any], expected: Sequence[Any]) -> BadInput:
    a, b = " x ".join(map(str, has)), " x ".join(map(str, expected))
    return BadInput(
        what,
        f"its slices differ: '{path.name}' is {a}, '{first.name}' is {b}",
        "move files that do not belong to the volume elsewhere, or export all slices alike",
    )


def _tiff_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], Geometry, dict[str, Any]]:
    import tifffile

    what = cannot_read(path)
    if path.stat().st_size == 0:
        raise BadInput(what, "the file is empty (0 bytes)", "copy or export it again from the original")
    with open_tiff_file(path) as tif, reading(what, tifffile.TiffFileError), collected_log("tifffile"):
        page = tif.pages[0]
        if tif.pages.is_multipage:
            raise BadInput(
                what,
                "it has several pages, but lies among single slices",
                "move it to a folder of its own and add it there",
            )
        if page.samplesperpixel > 1 or len(page.shape) != 2:
            raise colour(what)
        reach = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
        if reach > tif.filehandle.size:
            raise truncated(what, "its voxels are missing")
        found, note = tiff_geometry(tif, _OnePage(page), 0)
        return page.shape, np.dtype(page.dtype).newbyteorder("="), found, note


class _OnePage:
    """What `tiff_geometry` looks at, without building the series of a single page."""

    def __init__(self, page: Any) -> None:
        self.keyframe = page


def _read_tiff_slice(path: Path) -> np.ndarray:
    import tifffile

    with reading(cannot_read(path), tifffile.TiffFileError), collected_log("tifffile"):
        with tifffile.TiffFile(path) as tif:
            image: np.ndarray = tif.pages[0].asarray(maxworkers=1)
        return image
