"""Length units as files spell them, brought to nm, um or mm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

METRES = {
    "nm": 1e-9,
    "um": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
    "inch": 0.0254,
    "angstrom": 1e-10,
    "dm": 0.1,
}
_SPELLINGS = {
    "nm": "nm nanometer nanometers nanometre nanometres",
    "um": "um u micron microns micrometer micrometers micrometre micrometres mikrometer",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "dm": "dm decimeter decimeters decimetre decimetres",
    "m": "m meter meters metre metres",
    "inch": "inch inches in",
    "angstrom": "angstrom angstroms ångström ångstrom å a",
}
_KNOWN = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings.split()}
KEPT = ("nm", "um", "mm")


@dataclass(frozen=True)
class Geometry:
    """How large a voxel is.

    Attributes
    ----------
    voxel_size : tuple of float or None
        Along (z, y, x), in `unit`; None if the file does not say.
    unit : str
        ``"nm"``, ``"um"``, ``"mm"``, or ``""`` if unknown (the numbers then only give the proportions).
    """

    voxel_size: tuple[float, float, float] | None = None
    unit: str = ""


UNKNOWN = Geometry()


def unit_of(text: object) -> str:
    r"""Return the unit behind a spelling such as ``"µm"``, ``"micron"`` or ``"\u00B5m"``; ``""`` if unknown."""
    spelled = str(text).strip().strip("\0").lower()
    for micro in ("\\u00b5", "\\u03bc", "\u00b5", "\u03bc", "\xc2\xb5"):
        spelled = spelled.replace(micro.lower(), "u")
    return _KNOWN.get(spelled, "")


def geometry(sizes: Sequence[float] | None, unit: str | Sequence[str] = "") -> Geometry:
    """Build a `Geometry` from the numbers and the unit (or the three units) of a file.

    Parameters
    ----------
    sizes : sequence of float or None
        The voxel size along (z, y, x).
    unit : str or sequence of str
        As spelled in the file. nm, um and mm are kept; others are converted to whichever of mm and um gives handy
        numbers. An unknown unit becomes ``""``.

    Returns
    -------
    Geometry
        Unknown if a size is missing, zero, negative or not finite, or if all are 1 of no unit.
    """
    if sizes is None or len(sizes) != 3:
        return UNKNOWN
    values = [float(s) for s in sizes]
    if not all(math.isfinite(v) and v > 0 for v in values):
        return UNKNOWN
    units = [unit_of(u) for u in ([unit] * 3 if isinstance(unit, str) else unit)]
    if "" in units:
        return UNKNOWN if values == [1.0, 1.0, 1.0] else Geometry(_triple(values), "")
    if len(set(units)) == 1 and units[0] in KEPT:
        return Geometry(_triple(values), units[0])
    metres = [v * METRES[u] for v, u in zip(values, units, strict=True)]
    target = next((u for u in units if u in KEPT), "mm" if max(metres) >= 1e-5 else "um")
    return Geometry(_triple([round_digits(m / METRES[target]) for m in metres]), target)


def round_digits(value: float, digits: int = 9) -> float:
    """Round to significant digits, so that 5e-6 m is 5 um and not 4.999999999 um."""
    return float(f"{value:.{digits}g}")


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    return (values[0], values[1], values[2])
