"""The sentences with which voxels are refused, in one place so that every format says the same thing the same way."""

from __future__ import annotations

import logging
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from napari_sortingloss.errors import BadInput, OutOfMemory, UserError

_DAMAGE: tuple[type[Exception], ...] = (
    AttributeError,
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)
AXIS_NAMES = {
    "t": "time points",
    "c": "channels",
    "s": "colour samples",
    "z": "slices",
    "y": "rows",
    "x": "columns",
    "r": "scenes",
    "p": "positions",
    "m": "mosaic tiles",
}


def cannot_read(path: Path | str) -> str:
    """Return the opening words of an error about `path`."""
    return f"Cannot read '{path.name or path if isinstance(path, Path) else path}'"


@contextmanager
def reading(what: str, *damage: type[Exception]) -> Iterator[None]:
    """Turn what the system and the format libraries raise into a `BadInput` (the cause stays attached).

    Parameters
    ----------
    what : str
        The opening words, see `cannot_read`.
    *damage : type
        Exceptions of the format's library that mean a damaged file, beyond the usual ones.
    """
    kinds: tuple[type[Exception], ...] = (OSError, *_DAMAGE, *damage)
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        name = Path(str(error.filename)).name if error.filename else "a part of it"
        raise BadInput(
            what, f"'{name}' does not exist", "check the path, or copy the missing file beside it"
        ) from error
    except PermissionError as error:
        raise BadInput(
            what,
            "there is no permission to read it",
            "change its permissions or copy it to a folder of yours",
        ) from error
    except MemoryError as error:
        raise OutOfMemory(
            what, "the memory does not suffice for one piece of it", "close other programs and try again"
        ) from error
    except (EOFError, struct.error) as error:
        raise truncated(what, "it ends too early") from error
    except kinds as error:
        raise damaged(what, _brief(error)) from error


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    text = text.split("; ")[0].rstrip(".")
    return text if 0 < len(text) <= 160 else (text[:157] + "…" if text else "no details")


def damaged(what: str, details: str) -> BadInput:
    """Return the refusal of a file whose content makes no sense."""
    return BadInput(what, f"its content is damaged ({details})", "copy or export it again from the original")


def truncated(what: str, details: str) -> BadInput:
    """Return the refusal of a file that is shorter than it should be."""
    return BadInput(what, f"it is cut off: {details}", "copy or download it again from the original")


def not_this_format(what: str, format_name: str) -> BadInput:
    """Return the refusal of a file whose content is not what its suffix says."""
    return BadInput(
        what,
        f"its content is not {format_name}",
        "check what it is and give it the suffix of its real format",
    )


def two_d(what: str, shape: Sequence[int]) -> BadInput:
    """Return the refusal of a single 2D image."""
    size = " x ".join(map(str, shape))
    return BadInput(
        what,
        f"it holds one 2D image ({size}), not a volume",
        "put all slices of the volume into one folder and add that folder",
    )


def one_slice(what: str, shape: Sequence[int]) -> BadInput:
    """Return the refusal of a volume that is one voxel thin along an axis."""
    size = " x ".join(map(str, shape))
    return BadInput(
        what,
        f"it is only one slice thick ({size} voxels)",
        "choose a file or folder with all slices of the volume",
    )


def colour(what: str) -> BadInput:
    """Return the refusal of colour images."""
    return BadInput(
        what,
        "it is a colour (RGB) image, but a volume has one grey value for each voxel",
        "convert it to greyscale or export a single channel",
    )


def extra_axis(what: str, ndim: int, axis: str, length: int) -> BadInput:
    """Return the refusal of more than three dimensions; `axis` is a letter of `AXIS_NAMES` or a number."""
    meaning = AXIS_NAMES.get(axis.lower())
    label = f"axis '{axis}' has {length} {meaning}" if meaning else f"axis {axis} has {length} entries"
    part = meaning[:-1] if meaning else "entry of that axis"
    return BadInput(
        what,
        f"it has {ndim} dimensions ({label}), but a volume has 3",
        f"export each {part} as a file of its own and add the ones you want",
    )


def refuse_dtype(what: str, dtype: np.dtype) -> None:
    """Raise `BadInput` for element types that are no grey values.

    Raises
    ------
    BadInput
        For complex numbers, records (RGB), text, objects and extended precision.
    """
    if dtype.kind == "c":
        raise BadInput(
            what,
            f"its voxels are complex numbers ({dtype.name})",
            "export the magnitude or the real part as float32",
        )
    if dtype.names is not None or dtype.kind == "V":
        raise colour(what)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise BadInput(
            what,
            f"its voxels are of type {dtype.name}, not plain numbers",
            "export it as 8- or 16-bit integers or as float32",
        )


def pick_axes(what: str, shape: Sequence[int], names: Sequence[str] | None = None) -> tuple[int, ...]:
    """Find the three axes of a volume among those of an array, dropping the ones of length 1.

    Parameters
    ----------
    what : str
        The opening words of the error.
    shape : sequence of int
        The shape of the array.
    names : sequence of str, optional
        One name an axis; axes called z, y or x are never dropped.

    Returns
    -------
    tuple of int
        The positions of the three kept axes, in stored order.

    Raises
    ------
    BadInput
        If the array is 2D, colour, one slice thick, or has a further axis longer than 1.
    """
    letters = [str(n).lower() for n in names] if names is not None else [""] * len(shape)
    keep = list(range(len(shape)))
    for axis in range(len(shape)):
        if len(keep) > 3 and shape[axis] == 1 and letters[axis] not in ("z", "y", "x"):
            keep.remove(axis)
    if names is None and shape and shape[-1] in (3, 4) and len(keep) >= 3 and keep[-1] == len(shape) - 1:
        others = [shape[a] for a in keep[:-1]]
        if len(keep) > 3 or min(others) >= 16:
            raise colour(what)
    if len(keep) > 3:
        extra = [a for a in keep if letters[a] not in ("z", "y", "x")] or keep
        label = letters[extra[0]] or str(extra[0])
        raise extra_axis(what, len(keep), label, shape[extra[0]])
    if len(keep) < 3:
        raise two_d(what, [shape[a] for a in keep])
    found = [shape[a] for a in keep]
    if 0 in found:
        raise BadInput(
            what, f"it is empty (shape {tuple(shape)})", "choose a file or layer that holds voxels"
        )
    if 1 in found:
        raise one_slice(what, found)
    return tuple(keep)


class _Collector(logging.Filter):
    """Keep the messages of one thread and let nothing of them through."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        self.messages.append(record.getMessage())
        return False


@contextmanager
def collected_log(logger: str) -> Iterator[list[str]]:
    """Collect what a library logs in this thread instead of printing it to the terminal."""
    log = logging.getLogger(logger)
    collector = _Collector()
    log.addFilter(collector)
    try:
        yield collector.messages
    finally:
        log.removeFilter(collector)
