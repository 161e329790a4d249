"""Finding and opening volumes; knows the formats by name and imports each only when a file needs it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.naming import (
    FAMILIES,
    PICTURES,
    SUFFIXES,
    TITLES,
    family_of,
    suffix_of,
)
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.refusals import cannot_read, not_this_format, reading
from napari_sortingloss.formats.sniff import content_of
from napari_sortingloss.formats.source import VoxelSource

_ROOM = "napari_sortingloss.formats.readers"
_OPENERS = {
    "tiff": "tiff:open_tiff",
    "nifti": "nifti:open_nifti",
    "dicom": "dicom:open_dicom",
    "nrrd": "nrrd:open_nrrd",
    "meta": "metaimage:open_metaimage",
    "hdf5": "hdf5:open_hdf5",
    "zarr": "omezarr:open_zarr",
    "npy": "plain:open_npy",
    "raw": "plain:open_raw",
}
_PICTURE_KINDS = ("png", "jpeg", "bmp")
_DEEPEST = 6
_LISTED = 8


def open_source(path: Path, options: ReadOptions | None = None) -> VoxelSource:
    """Open a volume: a file, a folder of slices, a folder with a DICOM series, or a Zarr folder.

    Parameters
    ----------
    path : Path
        A file of a DICOM series stands for its whole series.
    options : ReadOptions, optional
        What the file does not say itself.

    Returns
    -------
    VoxelSource

    Raises
    ------
    BadInput
        If it cannot be used as one 3D volume of grey values, in one sentence.
    """
    path, options = Path(path), options or ReadOptions()
    what = cannot_read(path)
    with reading(what):
        _must_exist(path, what)
        if path.is_dir():
            return _open_folder(path, options, what)
        if path.parent.is_dir() and path.name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"):
            return _open("zarr", path.parent, options)
        return _open_file(path, options, what)


def _open(family: str, path: Path, options: ReadOptions) -> VoxelSource:
    module, function = _OPENERS[family].split(":")
    source: VoxelSource = getattr(import_module(f"{_ROOM}.{module}"), function)(path, options)
    return source


def _must_exist(path: Path, what: str) -> None:
    if not path.exists():
        raise BadInput(what, "it does not exist", "check the path")


def _open_file(path: Path, options: ReadOptions, what: str) -> VoxelSource:
    family = family_of(path)
    if path.stat().st_size == 0:
        raise BadInput(what, "the file is empty (0 bytes)", "copy or export it again from the original")
    if family == "zarr":
        return _open("zarr", path, options)
    content = content_of(path) if family != "raw" else ""
    if not family:
        if content in _OPENERS:
            return _open(content, path, options)
        raise _unknown(path, what)
    if content:
        _must_match(path, family, content, what)
    if family == "picture":
        if content not in _PICTURE_KINDS:
            raise not_this_format(what, "PNG, JPEG or BMP")
        from napari_sortingloss.formats.readers.pictures import picture_header
        from napari_sortingloss.formats.refusals import two_d

        raise two_d(what, picture_header(path).shape)
    return _open(family, path, options)


def _unknown(path: Path, what: str) -> BadInput:
    suffix = suffix_of(path)
    why = f"files ending in '{suffix}' are not supported" if suffix else "its name has no suffix"
    if suffix in (".gz", ".zip", ".bz2", ".7z", ".xz", ".tar", ".zst"):
        return BadInput(what, "it is a packed archive", "unpack it and add what is inside")
    return BadInput(what, why, "choose a file of one of these kinds: " + " ".join(SUFFIXES))


def _must_match(path: Path, family: str, content: str, what: str) -> None:
    packed = suffix_of(path).endswith(".gz")
    if family == "picture" and content in _PICTURE_KINDS:
        return
    if family == "nifti" and content == "gzip":
        if not packed:
            raise BadInput(what, "its content is compressed with gzip", f"rename it to '{path.name}.gz'")
        return
    if family == "nifti" and packed:
        raise BadInput(what, "its content is not compressed with gzip", f"rename it to '{path.name[:-3]}'")
    if content != family:
        suffixes = FAMILIES.get(content) or tuple(s for s in PICTURES if s[1:3] == content[:2])
        todo = f"rename it so that it ends in {suffixes[0]}" if suffixes else "unpack it first"
        raise BadInput(what, f"its content is {TITLES[content]}, not {TITLES[family]}", todo)


def _open_folder(folder: Path, options: ReadOptions, what: str) -> VoxelSource:
    from napari_sortingloss.formats.folders import contents, is_zarr

    if is_zarr(folder):
        return _open("zarr", folder, options)
    found = contents(folder, options)
    if found.volumes and not found.dicom and len(found.volumes) == 1:
        return open_source(found.volumes[0], options)
    if found.volumes:
        names = ", ".join(p.name for p in found.volumes[:_LISTED])
        raise BadInput(
            what,
            f"the folder holds {len(found.volumes)} volumes ({names}{', …' if len(found.volumes) > _LISTED else ''})",
            "choose one of them",
        )
    if found.dicom:
        return _open("dicom", folder, options)
    if found.slices:
        from napari_sortingloss.formats.readers.slice_folder import open_slices

        return open_slices(folder, found.slices)
    inner = [p for sub in found.folders for p in _in_folder(sub, options, 1)]
    if len(inner) == 1:
        return open_source(inner[0], options)
    if inner:
        raise BadInput(what, f"the folder holds {len(inner)} volumes", "choose one of them")
    raise _nothing(folder)


def _nothing(folder: Path) -> BadInput:
    empty = not any(not p.name.startswith(".") for p in folder.iterdir())
    return BadInput(
        cannot_read(folder),
        "the folder is empty" if empty else "the folder holds nothing that can be read",
        "choose a folder with volumes or slices of one of these kinds: " + " ".join(SUFFIXES),
    )


def find_sources(paths: Sequence[Path], options: ReadOptions | None = None) -> list[Path]:
    """List the volumes behind files and folders, each a path for `open_source`.

    A folder of slices, a DICOM series and a Zarr folder count as one; a folder of volumes is expanded in natural
    order, with its subfolders; a folder with several DICOM series gives the first file of each. Slices that are given
    one by one stand for their folder. Hidden and unknown files in folders are skipped.

    Raises
    ------
    BadInput
        If a path does not exist or nothing readable is found.
    """
    chosen = options or ReadOptions()
    given = list(dict.fromkeys(Path(p) for p in paths))
    if not given:
        raise BadInput("Cannot add volumes", "no file or folder was given", "choose some")
    found: list[Path] = []
    families: dict[Path, str] = {}
    for path in given:
        with reading(cannot_read(path)):
            _must_exist(path, cannot_read(path))
            if not path.is_dir():
                families[path] = family_of(path) or content_of(path)
    series: set[str] = set()
    for path in given:
        with reading(cannot_read(path)):
            if path in families:
                beside = sum(p.parent == path.parent and families[p] == families[path] for p in families)
                found += _given_file(path, families[path], series) if beside > 1 else [path]
                continue
            inner = _in_folder(path, chosen, 0)
            if not inner:
                raise _nothing(path)
            found += inner
    return list(dict.fromkeys(found))


def _in_folder(folder: Path, options: ReadOptions, depth: int) -> list[Path]:
    from napari_sortingloss.formats.folders import contents, is_zarr

    if is_zarr(folder):
        return [folder]
    found = contents(folder, options)
    sources = list(found.volumes)
    if found.dicom:
        from napari_sortingloss.formats.readers.dicom import find_series

        series = find_series(folder)
        if len(series) == 1 and not found.volumes:
            sources.append(folder)
        else:
            sources += [s.frames[0].path for s in series]
    if found.slices:
        sources.append(folder)
    if depth < _DEEPEST:
        for sub in found.folders:
            sources += _in_folder(sub, options, depth + 1)
    return sources


def _given_file(path: Path, family: str, series: set[str]) -> list[Path]:
    """Replace one of several slices by what they belong to; `series` collects the DICOM series seen so far."""
    from napari_sortingloss.formats.folders import is_stack
    from napari_sortingloss.formats.readers.dicom_headers import group_series

    if family == "dicom":
        new = [s.uid for s in group_series([path]) if s.uid not in series]
        series.update(new)
        return [path] if new else []
    if family in ("picture", *_PICTURE_KINDS):
        return [path.parent]
    if family == "tiff" and path.stat().st_size and is_stack(path) is False:
        return [path.parent]
    return [path]
