"""Suffixes: which format a name promises, and what is left of a name without them."""

from __future__ import annotations

from pathlib import Path

TIFF = (".tif", ".tiff", ".ome.tif", ".ome.tiff", ".btf", ".tf8")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
NIFTI = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
DICOM = (".dcm", ".dicom", ".ima")
NRRD = (".nrrd", ".nhdr", ".seg.nrrd")
META = (".mha", ".mhd")
HDF5 = (".h5", ".hdf5", ".hdf", ".he5", ".nxs", ".nx", ".nexus")
ZARR = (".zarr", ".ome.zarr")
RAW = (".raw", ".bin", ".vol", ".dat")
NPY = (".npy",)

FAMILIES: dict[str, tuple[str, ...]] = {
    "tiff": TIFF,
    "nifti": NIFTI,
    "dicom": DICOM,
    "nrrd": NRRD,
    "meta": META,
    "hdf5": HDF5,
    "zarr": ZARR,
    "npy": NPY,
    "raw": RAW,
    "picture": PICTURES,
}
TITLES = {
    "tiff": "TIFF",
    "nifti": "NIfTI",
    "dicom": "DICOM",
    "nrrd": "NRRD",
    "meta": "MetaImage",
    "hdf5": "HDF5",
    "zarr": "OME-Zarr",
    "npy": "NumPy",
    "raw": "raw voxels",
    "picture": "a picture",
    "png": "PNG",
    "jpeg": "JPEG",
    "bmp": "BMP",
    "gzip": "gzip",
    "zip": "ZIP",
}
SUFFIXES: tuple[str, ...] = tuple(s for suffixes in FAMILIES.values() for s in suffixes)
"""Every suffix that can be read, for file dialogs."""

_RAW_FIELDS = ("raw_shape", "raw_dtype", "raw_offset", "raw_big_endian")
_READING = {"raw": _RAW_FIELDS, **dict.fromkeys(("hdf5", "zarr", "tiff", "dicom", ""), ("dataset",))}

_BY_LENGTH = sorted(SUFFIXES, key=len, reverse=True)


def suffix_of(path: Path) -> str:
    """Return the known suffix of a name, the longest that fits, in lower case; else its last suffix."""
    name = path.name.lower()
    return next((s for s in _BY_LENGTH if name.endswith(s)), path.suffix.lower())


def family_of(path: Path) -> str:
    """Return the format family that a name promises, or ``""``."""
    suffix = suffix_of(path)
    return next((family for family, suffixes in FAMILIES.items() if suffix in suffixes), "")


def reading_fields(path: Path) -> tuple[str, ...]:
    """Return which fields of `ReadOptions` can matter for a file, by its name; a folder may be a DICOM series."""
    return _READING.get(family_of(path), ())


def stem_of(path: Path) -> str:
    """Return a name without its format's suffix: ``A_J`` for ``A_J.nii.gz``; folders keep theirs unless ``.zarr``."""
    name, suffix = path.resolve().name if path.name in ("", ".", "..") else path.name, suffix_of(path)
    known = suffix in SUFFIXES and (suffix in ZARR or not path.is_dir())
    if not known:
        known = not path.is_dir() and 0 < len(suffix) <= 5 and not suffix[1:].isdigit()
    stem = name[: -len(suffix)] if known and suffix else name
    return stem or name
