"""Multi-page TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks as volumes, read page by page or as one plain block."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadInput, NeedsOption
from napari_sortingloss.formats.blocks import FileBlock
from napari_sortingloss.formats.naming import stem_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.readers.plain import ArraySource
from napari_sortingloss.formats.readers.tiff_geometry import tiff_geometry
from napari_sortingloss.formats.refusals import (
    AXIS_NAMES,
    cannot_read,
    collected_log,
    colour,
    damaged,
    extra_axis,
    not_this_format,
    one_slice,
    reading,
    refuse_dtype,
    truncated,
    two_d,
)
from napari_sortingloss.formats.source import VoxelSource, in_threads
from napari_sortingloss.formats.stored import StoredSource

_STACKS = "ZIQTR"  # axes that may count the slices of a volume; time, because many programs call a stack that
_CUT = re.compile(r"invalid page offset|corrupted tag list|missing data (offset|bytecounts)", re.IGNORECASE)


class TiffPages(VoxelSource):
    """The pages of a series, decoded one by one."""

    def __init__(self, tif: Any, pages: list[Any], **more: Any) -> None:
        self._tif, self._pages = tif, pages
        tif.filehandle.set_lock(True)
        super().__init__(**more)

    def _read(self, start: int, stop: int) -> np.ndarray:
        with collected_log("tifffile"):
            pages = self._pages[start:stop]
            if all(page.compression == 1 for page in pages):
                return np.stack([page.asarray() for page in pages])
            return np.stack(in_threads(lambda page: page.asarray(maxworkers=1), pages))

    def close(self) -> None:
        """Let go of the file."""
        self._tif.close()


def open_tiff(path: Path, options: ReadOptions) -> VoxelSource:
    """Open a TIFF file that holds a volume.

    Raises
    ------
    BadInput
        If it is damaged, cut off, a single 2D image, colour, has time points or channels, or holds several volumes of
        which none was chosen.
    """
    import tifffile

    what = cannot_read(path)
    tif = open_tiff_file(path)
    try:
        with reading(what), collected_log("tifffile") as log:
            try:
                everything, count = list(tif.series), len(tif.pages)
                if _are_slices(tif, everything):
                    tif.close()
                    tif = tifffile.TiffFile(path, is_shaped=False)
                    everything = list(tif.series)
            except tifffile.TiffFileError as error:
                raise _broken(what, path, str(error), log) from error
            index, series = _choose(what, tif, everything, options.dataset, log)
            if _cut(log, path):
                raise truncated(what, f"only {count} of its pages are there")
            source = _source(what, path, tif, index, series)
    except BaseException:
        tif.close()
        raise
    return source


def open_tiff_file(path: Path) -> Any:
    """Open a `tifffile.TiffFile`, refusing what is none.

    Raises
    ------
    BadInput
        If the content is not TIFF, or cut off within the first page.
    """
    import tifffile

    what = cannot_read(path)
    with reading(what), collected_log("tifffile") as log:
        try:
            return tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            raise _broken(what, path, str(error), log) from error


def _broken(what: str, path: Path, text: str, log: list[str]) -> BadInput:
    if "not a TIFF" in text:
        return not_this_format(what, "TIFF")
    if "corrupted IFD" in text or _cut(log, path):
        return truncated(what, "its list of pages is incomplete")
    return damaged(what, text)


def _cut(log: list[str], path: Path) -> bool:
    """Whether tifffile complained about something that lies beyond the end of the file."""
    size = path.stat().st_size
    for message in log:
        beyond = re.search(r"invalid value offset (\d+)", message)
        if _CUT.search(message) or (beyond and int(beyond[1]) >= size):
            return True
    return False


def _are_slices(tif: Any, everything: list[Any]) -> bool:
    """Whether the file was written a page at a time, each page with a description of its own, but all alike."""
    return (
        tif.is_shaped
        and len(everything) == len(tif.pages) > 1
        and len({(series.shape, series.dtype) for series in everything}) == 1
        and not _stack_axes(everything[0])
    )


def _stack_axes(series: Any) -> str:
    return "".join(a for a, n in zip(series.axes, series.shape, strict=True) if a not in "YXS" and n > 1)


def _is_volume(series: Any) -> bool:
    axes = _stack_axes(series)
    return len(axes) == 1 and axes in _STACKS and "S" not in series.axes and min(series.shape) > 1


def _choose(
    what: str, tif: Any, everything: list[Any], wanted: str | None, log: list[str]
) -> tuple[int, Any]:
    if not everything:
        raise damaged(what, "it holds no images")
    listing = ", ".join(f"{i} ({' x '.join(map(str, s.shape))} {s.dtype})" for i, s in enumerate(everything))
    if wanted is not None:
        if not wanted.isdigit() or int(wanted) >= len(everything):
            raise NeedsOption(what, f"it has no series '{wanted}'", f"choose one of {listing}")
        return int(wanted), everything[int(wanted)]
    volumes = [i for i, s in enumerate(everything) if _is_volume(s)]
    if len(volumes) == 1:
        return volumes[0], everything[volumes[0]]
    if len(volumes) > 1:
        raise NeedsOption(
            what,
            f"it holds {len(volumes)} volumes",
            f"choose one of its series with the option 'dataset': {listing}",
        )
    flat = [s for s in everything if not _stack_axes(s)]
    if (
        len(flat) > 1
        and len(flat) == len(everything)
        and len(tif.pages) > 1
        and not _CUT.search(" ".join(log))
    ):
        a, b = flat[0], flat[1]
        raise BadInput(
            what,
            f"its pages differ in size or type ({' x '.join(map(str, a.shape))} {a.dtype}, then "
            f"{' x '.join(map(str, b.shape))} {b.dtype})",
            "export it again with all slices of one size",
        )
    return 0, everything[0]


def _source(what: str, path: Path, tif: Any, index: int, series: Any) -> VoxelSource:
    if "S" in series.axes:
        raise colour(what)
    axes = _stack_axes(series)
    expected = announced_slices(tif)
    if expected > 1 and not axes:
        raise truncated(what, f"it announces {expected} slices, but holds 1")
    if not axes:
        raise two_d(what, series.shape)
    if len(axes) > 1 or axes not in _STACKS:
        worst = next((a for a in axes if a in "CTP"), next((a for a in axes if a != "Z"), axes))
        number = series.axes.index(worst)
        label = worst if worst.lower() in AXIS_NAMES else str(number)
        raise extra_axis(what, len(axes) + 2, label, series.shape[number])
    shape = tuple(n for a, n in zip(series.axes, series.shape, strict=True) if a in axes + "YX")
    if len(shape) != 3 or min(shape) < 2:
        raise one_slice(what, series.shape)
    dtype = np.dtype(series.dtype)
    refuse_dtype(what, dtype)

    found, note = tiff_geometry(tif, series, index)
    kind = "OME-TIFF" if tif.is_ome else "ImageJ TIFF" if tif.is_imagej else "TIFF"
    about: dict[str, Any] = {
        "name": stem_of(path),
        "path": path,
        "format": kind,
        "geometry": found,
        "metadata": {**note, **({"series": index} if len(tif.series) > 1 else {})},
    }
    end = tif.filehandle.size
    if series.dataoffset is not None and series.keyframe.is_final:
        block = FileBlock(path, int(series.dataoffset), shape, dtype.newbyteorder(tif.byteorder))
        tif.close()
        return StoredSource(block, **about)
    pages = [series[i] for i in range(len(series.pages))] if len(series.pages) == shape[0] else []
    if not pages:
        return _chunked(tif, series, about)
    for number, page in enumerate(pages):
        if page is None:
            raise truncated(what, f"slice {number} of {shape[0]} is missing")
        reach = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
        if page.parent is tif and reach > end:
            raise truncated(what, f"the voxels of slice {number} of {shape[0]} are missing")
    return TiffPages(tif, pages, shape=shape, dtype=dtype, **about)


def announced_slices(tif: Any) -> int:
    """Return how many slices the metadata promise, 0 if they say nothing."""
    if tif.is_imagej:
        return int((tif.imagej_metadata or {}).get("images", 0))
    if tif.is_shaped:
        shape = (tif.shaped_metadata or [{}])[0].get("shape", ())
        return int(shape[0]) if len(shape) == 3 else 0
    return 0


def _chunked(tif: Any, series: Any, about: dict[str, Any]) -> VoxelSource:
    """Read pages that are volumes themselves (tiles with a depth) through tifffile's view as a Zarr array."""
    import zarr

    array = zarr.open(series.aszarr(level=0), mode="r")
    kept = [a for a, n in enumerate(array.shape) if n > 1]

    class Chunked(ArraySource):
        def close(self) -> None:
            tif.close()

    return Chunked(array, axes=(kept[0], kept[1], kept[2]), **about)
