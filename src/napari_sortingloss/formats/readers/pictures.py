"""PNG, JPEG and BMP: the size of a picture from its first bytes, and its grey values."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.refusals import cannot_read, colour, damaged, truncated

_TAIL = 1024


@dataclass(frozen=True)
class PictureHeader:
    """What the first bytes of a picture say.

    Attributes
    ----------
    kind : str
        ``"png"``, ``"jpeg"`` or ``"bmp"``.
    shape : tuple of int
        (rows, columns).
    bits : int
        Bits of a grey value: 8 or 16.
    """

    kind: str
    shape: tuple[int, int]
    bits: int = 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its grey values."""
        return np.dtype(np.uint16 if self.bits == 16 else np.uint8)


def picture_header(path: Path) -> PictureHeader:
    """Read the size and depth of a picture without decoding it.

    Raises
    ------
    BadInput
        If it is no PNG, JPEG or BMP, or cut off.
    """
    what = cannot_read(path)
    with path.open("rb") as file:
        head = file.read(64)
        if not head:
            raise BadInput(what, "the file is empty (0 bytes)", "copy or export it again from the original")
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            if len(head) < 26:
                raise truncated(what, "its header is incomplete")
            if b"IEND" not in tail:
                raise truncated(what, "the end of the picture is missing")
            columns, rows, bits = struct.unpack(">IIB", head[16:25])
            return PictureHeader("png", (rows, columns), 16 if bits == 16 else 8)
        if head.startswith(b"BM") and len(head) >= 34:
            start, columns, rows = *struct.unpack("<I", head[10:14]), *struct.unpack("<ii", head[18:26])
            bits, packing = struct.unpack("<HI", head[28:34])
            if packing == 0 and size < start + (columns * bits + 31) // 32 * 4 * abs(rows):
                raise truncated(what, "the end of the picture is missing")
            return PictureHeader("bmp", (abs(rows), columns))
        if head.startswith(b"\xff\xd8"):
            if b"\xff\xd9" not in tail:
                raise truncated(what, "the end of the picture is missing")
            return _jpeg_header(file, what)
    raise BadInput(
        what,
        "its content is not PNG, JPEG or BMP",
        "check what it is and give it the suffix of its real format",
    )


def _jpeg_header(file: Any, what: str) -> PictureHeader:
    position = 2
    while True:
        file.seek(position)
        marker = file.read(9)
        if len(marker) < 9:
            raise truncated(what, "its header is incomplete")
        if marker[0] != 0xFF:
            raise damaged(what, "its JPEG markers are wrong")
        code = marker[1]
        if code == 0xFF:
            position += 1
            continue
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            bits, rows, columns = struct.unpack(">BHH", marker[4:9])
            return PictureHeader("jpeg", (rows, columns), 16 if bits > 8 else 8)
        position += 2 + struct.unpack(">H", marker[2:4])[0]


def read_picture(path: Path) -> np.ndarray:
    """Decode the grey values of a picture; grey stored as three equal channels is taken as grey.

    Returns
    -------
    numpy.ndarray
        (rows, columns), uint8 or uint16.

    Raises
    ------
    BadInput
        If it is damaged, or its channels differ.
    """
    import imagecodecs

    what = cannot_read(path)
    header = picture_header(path)
    decode = {
        "png": imagecodecs.png_decode,
        "jpeg": imagecodecs.jpeg8_decode if header.bits == 8 else imagecodecs.jpeg_decode,
        "bmp": imagecodecs.bmp_decode,
    }[header.kind]
    try:
        image: np.ndarray = decode(path.read_bytes())
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise damaged(what, str(error) or "it cannot be decoded") from error
    if image.ndim == 3:
        channels = image.shape[2]
        grey = image[:, :, 0]
        if channels >= 3 and not (
            np.array_equal(grey, image[:, :, 1]) and np.array_equal(grey, image[:, :, 2])
        ):
            raise colour(what)
        image = grey
    if image.shape != header.shape:
        raise damaged(what, f"its size is {image.shape}, its header says {header.shape}")
    return image
