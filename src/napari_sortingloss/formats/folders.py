"""What lies in a folder: volumes, a DICOM series, slices of one volume, or further folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from natsort import natsorted

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.naming import family_of, suffix_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.readers.omezarr import MARKERS
from napari_sortingloss.formats.refusals import collected_log

_JUNK = ("thumbs.db", "desktop.ini", "__macosx", "dicomdir")
_STUDY = "study.json"
"""A folder that holds it is a study of ours, often made beside the files it was made from: copies, not sources."""


@dataclass
class FolderContents:
    """The readable things in a folder, each list in natural order.

    Attributes
    ----------
    volumes : list of Path
        Files and Zarr folders that are volumes by themselves.
    dicom : list of Path
        DICOM files.
    slices : list of Path
        2D images of one kind, where there are neither volumes nor DICOM files.
    raw : list of Path
        Raw files.
    folders : list of Path
        Further folders.
    """

    volumes: list[Path] = field(default_factory=list)
    dicom: list[Path] = field(default_factory=list)
    slices: list[Path] = field(default_factory=list)
    raw: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr hierarchy, by its marker files or its name."""
    return (
        suffix_of(path) == ".zarr"
        or suffix_of(path) == ".ome.zarr"
        or any((path / marker).is_file() for marker in MARKERS)
    )


def in_natural_order(paths: Sequence[Path]) -> list[Path]:
    """Sort so that ``slice_2`` comes before ``slice_10``."""
    return list(natsorted(paths, key=lambda p: p.name.lower()))


def contents(folder: Path, options: ReadOptions) -> FolderContents:
    """Look into a folder (not into its subfolders).

    Hidden files, files of unknown suffix, the voxel files of detached headers, previews beside volumes and studies are
    left out.
    """
    from napari_sortingloss.formats.readers.dicom_headers import is_dicom

    found = FolderContents()
    tiffs: list[Path] = []
    pictures: list[Path] = []
    for path in in_natural_order(list(folder.iterdir())):
        if path.name.startswith(".") or path.name.lower() in _JUNK:
            continue
        if path.is_dir():
            if not (path / _STUDY).is_file():
                (found.volumes if is_zarr(path) else found.folders).append(path)
            continue
        family = family_of(path)
        if family == "tiff":
            tiffs.append(path)
        elif family == "picture":
            pictures.append(path)
        elif family == "raw":
            found.raw.append(path)
        elif family == "dicom" or (not family and is_dicom(path)):
            found.dicom.append(path)
        elif family and not _second_half(path):
            found.volumes.append(path)
    _sort_tiffs(found, tiffs)
    found.raw = _without_detached(found.raw, found.volumes)
    if found.raw and (options.raw_shape is not None or not (found.volumes or found.dicom)):
        found.volumes += found.raw
    if found.volumes or found.dicom:
        found.slices = []
    elif len(pictures) > len(found.slices):
        found.slices = pictures
    return found


def _second_half(path: Path) -> bool:
    """Whether a file is the voxels of a NIfTI pair whose header lies beside it."""
    suffix = suffix_of(path)
    if not suffix.startswith(".img"):
        return False
    stem = path.name[: -len(suffix)]
    return any((path.parent / (stem + header)).is_file() for header in (".hdr", ".hdr.gz"))


def _sort_tiffs(found: FolderContents, tiffs: list[Path]) -> None:
    kinds = {}
    for path in tiffs:
        kinds[path] = is_stack(path)
        if kinds[path] is False:
            break  # the first readable file is one slice: so are, or should be, all others
    if any(kind is False for kind in kinds.values()) and not any(kinds.values()):
        found.slices = tiffs
        return
    found.volumes += [p for p in tiffs if (kinds[p] if p in kinds else is_stack(p)) is not False]


def is_stack(path: Path) -> bool | None:
    """Whether a TIFF file holds more than one slice; None if it cannot be read."""
    from napari_sortingloss.formats.readers.tiff import announced_slices, open_tiff_file

    try:
        with open_tiff_file(path) as tif, collected_log("tifffile"):
            return bool(tif.pages.is_multipage) or announced_slices(tif) > 1
    except BadInput:
        return None


def _without_detached(raws: list[Path], volumes: Sequence[Path]) -> list[Path]:
    if not raws:
        return raws
    texts = []
    for path in volumes:
        if suffix_of(path) in (".mhd", ".nhdr"):
            with path.open("rb") as file:
                texts.append(file.read(2**16))
    return [raw for raw in raws if not any(raw.name.encode() in text for text in texts)]
