"""What a person decides about an import; light enough to build a form from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.settings import Field, Setting
from napari_sortingloss.study.exchange.window import parse_window
from napari_sortingloss.study.schema import check_name

if TYPE_CHECKING:
    from napari_sortingloss.formats.units import Geometry


@dataclass(frozen=True)
class AddSettings(ReadOptions):
    """What to import and how; the reading options of the formats are among its fields.

    Raises
    ------
    BadSetting
        On construction, if the window cannot be understood or a voxel size is not positive.
    """

    paths: Annotated[
        tuple[Path, ...], Setting(help="Files and folders to read volumes from.", hidden=True)
    ] = ()
    axis: Annotated[
        Literal["z", "y", "x"],
        Setting(
            help="The ordering axis: slices across it have a natural order.",
            when="Choose the long axis of the specimen, never one along which it is mirror-symmetric.",
            label="Ordering axis",
        ),
    ] = "z"
    direction: Annotated[
        Literal["+", "-"],
        Setting(
            help="Whether slices are counted along the array (+) or against it (-).",
            when="Flip it for a specimen that was scanned the other way round.",
        ),
    ] = "+"
    window: Annotated[
        str,
        Setting(
            help="The intensities that become black and white: two percentiles or two values.",
            when="Write p1:p99.95, or -900:500 for Hounsfield units and whenever volumes must stay comparable.",
        ),
    ] = "p1:p99.95"
    downsample: Annotated[
        int,
        Setting(
            help="How many voxels along each axis are averaged into one.",
            when="Take 2 or more for volumes that are larger than what you want to see in them.",
            low=1,
            high=64,
        ),
    ] = 1
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        Setting(
            help="Size of a voxel of the file along z, y and x (before downsampling); else what the file says.",
            when="Give it when the file says nothing or something wrong.",
            more=True,
        ),
    ] = None
    unit: Annotated[
        Literal["nm", "um", "mm"] | None,
        Setting(
            help="The unit of the voxel size; else what the file says, or mm for a voxel size given here.",
            more=True,
        ),
    ] = None
    reference: Annotated[
        Path | None,
        Setting(
            help="A file with labels of the whole volume, or a folder with one such file for each volume, named like it.",
            when="Give it to score results against it; training never sees it.",
            more=True,
        ),
    ] = None
    name: Annotated[
        str | None,
        Setting(
            help="Name of the volume in the study; else that of the file.",
            when="For a single volume.",
            more=True,
        ),
    ] = None

    scratch: Annotated[
        Path | None,
        Setting(
            help="Folder for temporary files; the study's own folder otherwise.",
            when="Give one on another disk when compressed volumes with turned axes do not fit.",
            more=True,
            hidden=True,
        ),
    ] = None

    @classmethod
    def fields(cls) -> tuple[Field, ...]:
        """Describe every field, those that matter for any file first."""
        reading = {field.name for field in ReadOptions.fields()}
        return tuple(sorted(super().fields(), key=lambda field: field.name in reading))

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_window(self.window)
        if self.name is not None:
            check_name(self.name)
        size = self.voxel_size
        if size is not None and (len(size) != 3 or not all(math.isfinite(s) and s > 0 for s in size)):
            raise BadSetting(
                f"Cannot use the voxel size {' x '.join(f'{s:g}' for s in size)}",
                "it is not three numbers above 0",
                "give the sizes along z, y and x",
            )

    def geometry(self, found: Geometry) -> tuple[tuple[float, float, float], str]:
        """Return the (z, y, x) voxel size and the unit of what comes of a file that says `found`."""
        z, y, x = self.voxel_size or found.voxel_size or (1.0, 1.0, 1.0)
        unit = self.unit or found.unit or ("mm" if self.voxel_size else "")
        n = self.downsample
        return (z * n, y * n, x * n), unit
