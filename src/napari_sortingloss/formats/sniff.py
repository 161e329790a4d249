"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import struct
from pathlib import Path

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def content_of(path: Path) -> str:
    """Return the family or the picture kind that the content shows, a key of `naming.TITLES`; ``""`` if unknown."""
    with path.open("rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    if head[:4] in _TIFF:
        return "tiff"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"BM") and len(head) > 26 and struct.unpack("<I", head[2:6])[0] in (size, 0):
        return "bmp"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"NRRD000"):
        return "nrrd"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[128:132] == b"DICM":
        return "dicom"
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "nifti"
    if head.lstrip()[:10].startswith((b"ObjectType", b"NDims")):
        return "meta"
    return ""
