"""What the headers of DICOM files say: which images there are, where they lie, how their values are scaled."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sortingloss.formats.refusals import (
    cannot_read,
    collected_log,
    colour,
    not_this_format,
    reading,
    truncated,
)

_TAGS = (
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "InstanceNumber",
    "Modality",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SamplesPerPixel",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SharedFunctionalGroupsSequence",
    "SpacingBetweenSlices",
    "TransferSyntaxUID",
)
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """One 2D image: a file, or one frame of a multi-frame file.

    Attributes
    ----------
    path : Path
    index : int
        The frame's number in the file.
    shape : tuple of int
        (rows, columns).
    number : int or None
        InstanceNumber (plus the frame's number).
    position, orientation, spacing : tuple of float or None
        As in DICOM: ImagePositionPatient, ImageOrientationPatient, PixelSpacing (rows, columns); mm.
    slope, intercept : float
    low, high : int
        The range that the stored bits can hold.
    frames : int
        How many frames the file holds.
    plain : bool
        Whether the pixels are stored without compression.
    between : float or None
        SpacingBetweenSlices, mm.
    """

    path: Path
    index: int
    shape: tuple[int, int]
    number: int | None
    position: Numbers | None
    orientation: Numbers | None
    spacing: Numbers | None
    slope: float
    intercept: float
    low: int
    high: int
    frames: int
    plain: bool
    between: float | None


@dataclass(frozen=True)
class Series:
    """The images of one series in one folder."""

    uid: str
    number: str
    description: str
    modality: str
    frames: tuple[Frame, ...]

    @property
    def label(self) -> str:
        """How an error names the series."""
        words = f" '{self.description}'" if self.description else ""
        return f"{self.number or self.uid}{words} ({len(self.frames)} images, '{self.frames[0].path.name}')"


def is_dicom(path: Path) -> bool:
    """Whether the content is DICOM with its usual preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_header(path: Path) -> tuple[Any, int]:
    """Read the header of one file without its pixels, and how many bytes follow it.

    Raises
    ------
    BadInput
        If it is not DICOM, or cut off within the header.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    what = cannot_read(path)
    with reading(what), warnings.catch_warnings(), collected_log("pydicom"), path.open("rb") as file:
        warnings.simplefilter("ignore")
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        except InvalidDicomError as error:
            raise not_this_format(what, "DICOM") from error
        return header, path.stat().st_size - file.tell()


def group_series(paths: Iterable[Path]) -> list[Series]:
    """Read the headers of files and group their images by series, ordered by series number.

    Files without an image (directories, reports, structures) are left out.

    Raises
    ------
    BadInput
        If a file is damaged, cut off or in colour.
    """
    found: dict[str, list[Frame]] = defaultdict(list)
    about: dict[str, Any] = {}
    for path in paths:
        header, rest = read_header(path)
        if "Rows" not in header or "Columns" not in header:
            continue
        uid = str(header.get("SeriesInstanceUID", ""))
        with reading(cannot_read(path)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[uid] += _frames(path, header, rest)
        about.setdefault(uid, header)
    series = [
        Series(
            uid,
            str(about[uid].get("SeriesNumber", "") or ""),
            str(about[uid].get("SeriesDescription", "") or "").strip(),
            str(about[uid].get("Modality", "") or ""),
            tuple(frames),
        )
        for uid, frames in found.items()
    ]
    return sorted(series, key=lambda s: (int(s.number) if s.number.lstrip("-").isdigit() else 0, s.uid))


def _frames(path: Path, header: Any, rest: int) -> list[Frame]:
    what = cannot_read(path)
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise colour(what)
    count = int(header.get("NumberOfFrames", 1) or 1)
    rows, columns = int(header.Rows), int(header.Columns)
    allocated = int(header.get("BitsAllocated", 16))
    stored = int(header.get("BitsStored", allocated))
    syntax = str(getattr(header, "file_meta", {}).get("TransferSyntaxUID", _UNCOMPRESSED[0]))
    if syntax in _UNCOMPRESSED and rest < count * rows * columns * allocated // 8:
        raise truncated(what, "the end of its pixels is missing")
    signed = bool(header.get("PixelRepresentation", 0))
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    number = header.get("InstanceNumber")
    between = header.get("SpacingBetweenSlices")
    frames = []
    for index in range(count):
        slope = _value(header, index, "PixelValueTransformationSequence", "RescaleSlope")
        intercept = _value(header, index, "PixelValueTransformationSequence", "RescaleIntercept")
        frames.append(
            Frame(
                path,
                index,
                (rows, columns),
                None if number is None else int(number) + index,
                _numbers(_value(header, index, "PlanePositionSequence", "ImagePositionPatient"), 3),
                _numbers(_value(header, index, "PlaneOrientationSequence", "ImageOrientationPatient"), 6),
                _numbers(_value(header, index, "PixelMeasuresSequence", "PixelSpacing"), 2),
                1.0 if slope is None else float(slope),
                0.0 if intercept is None else float(intercept),
                low,
                high,
                count,
                syntax in _UNCOMPRESSED,
                None if between is None else float(between),
            )
        )
    return frames


def _value(header: Any, index: int, group: str, name: str) -> Any:
    """Find a value in the frame's own group, in the shared one, or in the header itself."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for holder in [*per_frame[index : index + 1], *shared[:1]]:
        inner = holder.get(group)
        if inner and inner[0].get(name) is not None:
            return inner[0].get(name)
    return header.get(name)


def _numbers(value: Any, count: int) -> Numbers | None:
    if value is None or isinstance(value, str) or len(value) != count:
        return None
    return tuple(float(v) for v in value)
