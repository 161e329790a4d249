"""DICOM series and multi-frame files as volumes: sorted by position, in LPS, with rescaled grey values."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadInput, NeedsOption
from napari_sortingloss.formats.blocks import Block
from napari_sortingloss.formats.naming import family_of, stem_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.orientation import AS_STORED, Layout, to_lps
from napari_sortingloss.formats.readers.dicom_headers import Frame, Series, group_series, is_dicom
from napari_sortingloss.formats.refusals import cannot_read, collected_log, one_slice, reading
from napari_sortingloss.formats.stored import StoredSource
from napari_sortingloss.formats.units import UNKNOWN, Geometry, geometry

_TYPES = (np.uint8, np.uint16, np.int16, np.int32, np.uint32)
_UNEVEN = 0.1  # a gap may differ by this part of the usual one
_ALIGNED = 1e-3


class _FramesBlock(Block):
    """The frames of a series in order, decoded and rescaled when they are read."""

    any_axis = False

    def __init__(self, frames: Sequence[Frame], dtype: np.dtype[Any]) -> None:
        self._frames = list(frames)
        super().__init__((len(frames), *frames[0].shape), dtype)

    def read(self, axis: int, low: int, high: int) -> np.ndarray:
        if axis != 0:
            raise ValueError("frames are read along their slowest axis only")
        out = np.empty((high - low, *self.shape[1:]), self.dtype)
        for plane, frame in zip(out, self._frames[low:high], strict=True):
            with (
                reading(cannot_read(frame.path)),
                warnings.catch_warnings(),
                collected_log("pydicom"),
            ):
                warnings.simplefilter("ignore")
                plane[...] = _decode(frame)
        return out

    def close(self) -> None:
        return


def _decode(frame: Frame) -> np.ndarray:
    """Return the grey values of a frame; GDCM (in SimpleITK) decodes compressed files, it knows the most codecs."""
    from pydicom.pixels import pixel_array

    if frame.frames > 1 or frame.plain:
        stored: np.ndarray = pixel_array(frame.path, index=frame.index)
        if (frame.slope, frame.intercept) == (1.0, 0.0):
            return stored
        return stored * frame.slope + frame.intercept
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(frame.path))
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        image: np.ndarray = sitk.GetArrayFromImage(reader.Execute())  # GDCM has rescaled it
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
    return image.reshape(frame.shape)


def dicom_files(folder: Path) -> list[Path]:
    """List the DICOM files directly in a folder: by suffix, or by content where there is no known suffix."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
            continue
        family = family_of(path)
        if (family == "dicom" and path.stat().st_size > 0) or (not family and is_dicom(path)):
            found.append(path)
    return found


def find_series(folder: Path) -> list[Series]:
    """Group the DICOM files of a folder by series; single images beside whole series (scouts) are left out.

    Raises
    ------
    BadInput
        If a file is damaged.
    """
    everything = group_series(dicom_files(folder))
    stacks = [s for s in everything if len(s.frames) > 1]
    return stacks or everything


def open_dicom(path: Path, options: ReadOptions) -> StoredSource:
    """Open the series in a folder, the series that a file belongs to, or a multi-frame file.

    Raises
    ------
    BadInput
        If there is no series or no single one, slices are missing or unevenly spaced, several images lie at one
        position, or images are damaged, differ in size or are in colour.
    """
    what = cannot_read(path)
    series = _one(what, find_series(path), options.dataset) if path.is_dir() else _of_file(what, path)
    return _open_series(what, path, series, options)


def _of_file(what: str, path: Path) -> Series:
    mine = group_series([path])
    if not mine:
        raise BadInput(what, "it is DICOM but holds no image", "choose the folder with the images")
    if mine[0].frames[0].frames > 1:
        return mine[0]
    beside = group_series(sorted({*dicom_files(path.parent), path}))
    return next(s for s in beside if s.uid == mine[0].uid)


def _one(what: str, found: list[Series], wanted: str | None) -> Series:
    if not found:
        raise BadInput(what, "it holds no DICOM images", "choose the folder with the images")
    if wanted is not None:
        chosen = [s for s in found if wanted in (s.uid, s.number)]
        if len(chosen) != 1:
            raise NeedsOption(
                what, f"it has no series '{wanted}'", "choose one of " + ", ".join(s.label for s in found)
            )
        return chosen[0]
    if len(found) > 1:
        raise NeedsOption(
            what,
            f"it holds {len(found)} series: " + ", ".join(s.label for s in found),
            "choose one file of the series you want, or its number with the option 'dataset'",
        )
    return found[0]


def _open_series(what: str, path: Path, series: Series, options: ReadOptions) -> StoredSource:
    frames = list(series.frames)
    first = frames[0]
    for frame in frames:
        if frame.shape != first.shape:
            raise _differs(what, frame, first, "size", frame.shape, first.shape)
        if _turned(frame, first):
            raise _differs(what, frame, first, "orientation", frame.orientation, first.orientation)
    if len(frames) < 2:
        raise one_slice(what, (1, *first.shape))
    frames, gap, layout = _sorted(what, frames)
    folder = path if path.is_dir() else path.parent
    multi = first.frames > 1
    several = not path.is_dir() and not multi
    metadata = {
        "series": series.uid,
        "series_number": series.number,
        "description": series.description,
        "modality": series.modality,
        "images": len(frames),
    }
    return StoredSource(
        _FramesBlock(frames, _dtype(frames)),
        name=_name(path, folder, series, several, multi),
        path=path,
        format="DICOM series" if not multi else "multi-frame DICOM",
        layout=layout,
        geometry=_sizes(first, gap, layout),
        metadata={key: value for key, value in metadata.items() if value},
        scratch=options.scratch,
    )


def _name(path: Path, folder: Path, series: Series, several: bool, multi: bool) -> str:
    if multi and not path.is_dir():
        return stem_of(path)
    name = stem_of(folder.resolve())
    if several and len(find_series(folder)) > 1:
        return f"{name}_{series.number or series.uid.rsplit('.', 1)[-1]}"
    return name


def _turned(frame: Frame, first: Frame) -> bool:
    if frame.orientation is None or first.orientation is None:
        return frame.orientation is not first.orientation
    return bool(np.abs(np.subtract(frame.orientation, first.orientation)).max() > _ALIGNED)


def _differs(what: str, frame: Frame, first: Frame, kind: str, has: Any, expected: Any) -> BadInput:
    def said(value: Any) -> str:
        return "unknown" if value is None else " x ".join(f"{v:g}" for v in value)

    return BadInput(
        what,
        f"its images differ in {kind}: '{frame.path.name}' has {said(has)}, '{first.path.name}' {said(expected)}",
        "move images that do not belong to the series elsewhere",
    )


def _sorted(what: str, frames: list[Frame]) -> tuple[list[Frame], float | None, Layout]:
    """Sort by position (or by number, where there are no positions); return the distance of slices, too."""
    orientation = frames[0].orientation
    if orientation is None or any(f.position is None for f in frames):
        return _by_number(what, frames), frames[0].between, AS_STORED
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(across, down)
    depths = np.array([np.dot(np.asarray(f.position, dtype=float), normal) for f in frames])
    order = np.argsort(depths, kind="stable")
    depths = depths[order]
    ordered = [frames[i] for i in order]
    gaps = np.diff(depths)
    usual = float(np.median(gaps[gaps > _ALIGNED])) if (gaps > _ALIGNED).any() else 0.0
    if (gaps <= _ALIGNED).any():
        if usual:
            each = Counter(np.round(depths / max(usual, _ALIGNED)).astype(int)).most_common(1)[0][1]
        else:
            each = len(frames)
        raise BadInput(
            what,
            f"up to {each} images lie at the same position (time points, phases or echoes)",
            "export each of them as a series of its own and add the ones you want",
        )
    wide = int(np.argmax(gaps))
    if gaps[wide] > 1.5 * usual:
        missing = round(float(gaps[wide]) / usual) - 1
        places = int((gaps > 1.5 * usual).sum())
        where = f"between '{ordered[wide].path.name}' and '{ordered[wide + 1].path.name}'"
        more = f", and {places - 1} more gaps" if places > 1 else ""
        raise BadInput(
            what,
            f"about {missing} slice{'s' if missing > 1 else ''} missing {where} "
            f"({gaps[wide]:.3g} mm apart instead of {usual:.3g} mm{more})",
            "copy the missing files beside the others",
        )
    odd = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[odd] - usual) > _UNEVEN * usual:
        raise BadInput(
            what,
            f"its slices are unevenly spaced ('{ordered[odd].path.name}' and '{ordered[odd + 1].path.name}' are "
            f"{gaps[odd]:.3g} mm apart, most are {usual:.3g} mm)",
            "resample it to even spacing in the program it comes from",
        )
    return ordered, float(np.mean(gaps)), to_lps(np.stack([normal, down, across]))


def _by_number(what: str, frames: list[Frame]) -> list[Frame]:
    ordered = sorted(frames, key=lambda f: (f.number is None, f.number or 0, f.path.name, f.index))
    for one, two in pairwise(ordered):
        if one.number is not None and two.number is not None and two.number - one.number > 1:
            raise BadInput(
                what,
                f"slices are missing between '{one.path.name}' (number {one.number}) and '{two.path.name}' "
                f"(number {two.number})",
                "copy the missing files beside the others",
            )
    return ordered


def _sizes(first: Frame, gap: float | None, layout: Layout) -> Geometry:
    if first.spacing is None or gap is None:
        return UNKNOWN
    return geometry(layout.sizes((abs(gap), first.spacing[0], first.spacing[1])), "mm")


def _dtype(frames: list[Frame]) -> np.dtype[Any]:
    """Return the narrowest type that holds every rescaled value exactly, float32 where they are fractions."""
    numbers = {(f.slope, f.intercept, f.low, f.high) for f in frames}
    if not all(float(s).is_integer() and float(i).is_integer() for s, i, _, _ in numbers):
        return np.dtype(np.float32)
    ends = [end * s + i for s, i, low, high in numbers for end in (low, high)]
    for kind in _TYPES:
        if np.iinfo(kind).min <= min(ends) and max(ends) <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.float64)
