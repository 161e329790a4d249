"""What can be exported from a study, and which options go with what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.settings import Setting, Settings

What = Literal["volume", "crop", "uncertainty", "labels", "mesh", "hull"]
Source = Literal["prediction", "annotations", "reference"]

MESHES = (".ply", ".stl", ".obj")
"""The suffixes of surfaces."""


@dataclass(frozen=True)
class ExportSettings(Settings):
    """What to write, and where to."""

    volume: Annotated[str, Setting(help="The volume's name.", hidden=True)]
    to: Annotated[
        Path,
        Setting(
            help="The file to write; its suffix chooses the format: .ome.tif, .tif, .nii, .nii.gz, .nrrd, .seg.nrrd or "
            ".ome.zarr, for surfaces .ply, .stl or .obj.",
            hidden=True,
        ),
    ]
    what: Annotated[
        What,
        Setting(
            help="What to write of it: its voxels as the study holds them, 8 bit; only those in the box of its "
            "specimen; the map of the uncertainty of that, 32 bit; labels; the surfaces of labels; or the hull of the "
            "specimen as a surface."
        ),
    ] = "volume"
    source: Annotated[
        Source, Setting(help="Which labels: what a run predicted, what was painted, or the reference.")
    ] = "prediction"
    classes: Annotated[
        tuple[str, ...],
        Setting(help="Only these classes, by name or value.", when="Left empty, all of them."),
    ] = ()
    frame: Annotated[
        Literal["own", "original"],
        Setting(
            help="For labels of a crop: as large as the crop, or as the volume it was cut from, with background around."
        ),
    ] = "own"
    unpainted: Annotated[
        Literal["background", "unknown"],
        Setting(
            help="What 0 means in painted labels: background, whether somebody said so or not; or what nobody knows, "
            "known background then being 255.",
            more=True,
        ),
    ] = "background"
    margin: Annotated[
        int,
        Setting(help="What is added to the box of a crop on every side.", unit="voxels", low=0, high=100_000),
    ] = 0
    run: Annotated[
        str | None,
        Setting(
            help="Whose prediction, box, hull or uncertainty: a run's id, the start of it, or its name.",
            when="Left empty, the newest prediction, and of boxes the newest that was accepted, or else the newest.",
        ),
    ] = None
    smooth: Annotated[
        int,
        Setting(
            help="How often a surface is smoothed; 0 leaves the steps of the voxels. It does not shrink.",
            low=0,
            high=200,
            more=True,
        ),
    ] = 10
    detail: Annotated[
        int,
        Setting(
            help="The largest box that a surface is taken from; of larger ones every second, fourth ... voxel is used.",
            when="Lower it where memory is short: a million voxels take about 10 MB.",
            unit="million voxels",
            low=1,
            high=100_000,
            more=True,
        ),
    ] = 64
    overwrite: Annotated[bool, Setting(help="Replace the file if it exists.")] = False

    def refuse_meaningless(self) -> None:
        """Refuse options that say nothing about what is written.

        Raises
        ------
        BadSetting
        """
        labels, painted = self.what in ("labels", "mesh"), self.source == "annotations"
        for name, given, fits, wanted in (
            ("margin", self.margin != 0, self.what == "crop", "crop"),
            ("source", self.source != "prediction", labels, "labels or mesh"),
            ("classes", bool(self.classes), labels, "labels or mesh"),
            ("frame", self.frame != "own", self.what == "labels", "labels"),
            ("smooth", self.smooth != 10, self.what == "mesh", "mesh"),
            ("detail", self.detail != 64, self.what == "mesh", "mesh"),
            ("run", self.run is not None, self.what != "volume", "crop, uncertainty, labels, mesh or hull"),
        ):
            if given and not fits:
                raise BadSetting(
                    f"Cannot use the option '{name}' for '{self.volume}'",
                    f"it says nothing about what is written, the {self.what}",
                    f"leave it out or choose {wanted} (option 'what')",
                )
        for name, given, fits, wanted in (
            ("run", labels and self.run is not None, self.source == "prediction", "prediction"),
            ("unpainted", self.unpainted != "background", painted and self.what == "labels", "annotations"),
        ):
            if given and not fits:
                raise BadSetting(
                    f"Cannot use the option '{name}' for '{self.volume}'",
                    f"it says nothing about the {self.what} of its {self.source}",
                    f"leave it out or choose {wanted} (option 'source')",
                )
