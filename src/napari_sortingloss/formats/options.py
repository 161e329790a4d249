"""What a person can say about files that do not describe themselves well enough."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from napari_sortingloss.settings import Setting, Settings

RawType = Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


@dataclass(frozen=True)
class ReadOptions(Settings):
    """How to read volumes from files; the defaults suit every file that describes itself."""

    dataset: Annotated[
        str | None,
        Setting(
            help="Which part of the file to read: a dataset of HDF5 or Zarr, a series of TIFF or DICOM.",
            when="Give it when a file holds several volumes.",
            more=True,
        ),
    ] = None
    raw_shape: Annotated[
        tuple[int, ...] | None,
        Setting(
            help="Size of a raw file as slices, rows, columns (z, y, x).",
            when="Needed for .raw, .bin, .vol and .dat files.",
            unit="voxels",
            more=True,
        ),
    ] = None
    raw_dtype: Annotated[
        RawType | None,
        Setting(help="Number type of a raw file.", when="Needed for raw files.", more=True),
    ] = None
    raw_offset: Annotated[
        int,
        Setting(
            help="Bytes before the first voxel of a raw file.",
            when="Change it when the file begins with a header.",
            unit="bytes",
            low=0,
            more=True,
        ),
    ] = 0
    raw_big_endian: Annotated[
        bool,
        Setting(
            help="Whether a raw file stores the high byte first.",
            when="Try it when a 16-bit raw volume looks like noise.",
            more=True,
        ),
    ] = False
    scratch: Annotated[
        Path | None,
        Setting(
            help="Folder for temporary files; the system's own otherwise.",
            when="Give one on a large disk when compressed volumes with turned axes do not fit.",
            more=True,
            hidden=True,
        ),
    ] = None
