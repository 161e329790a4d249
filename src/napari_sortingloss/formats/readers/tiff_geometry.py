"""Voxel sizes in TIFF files: OME-XML, ImageJ's calibration, or the plain resolution tags where they are plausible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sortingloss.formats.units import METRES, UNKNOWN, Geometry, geometry, unit_of

# Dots per inch that programs write when they know nothing about the object.
_DPI = (
    1,
    50,
    72,
    75,
    90,
    92,
    96,
    100,
    120,
    144,
    150,
    180,
    200,
    240,
    254,
    300,
    350,
    360,
    400,
    600,
    720,
    1200,
    2400,
)
_PLAUSIBLE = (5e-9, 2e-3)  # metres a voxel
_RESOLUTION_UNITS = {2: "inch", 3: "cm"}
Z_ASSUMED = "the file gives no distance of slices; taken equal to the pixel size"


def tiff_geometry(tif: Any, series: Any, index: int) -> tuple[Geometry, dict[str, Any]]:
    """Find the voxel size of one series of an open TIFF file.

    Parameters
    ----------
    tif : tifffile.TiffFile
    series : tifffile.TiffPageSeries
    index : int
        The number of the series in the file.

    Returns
    -------
    Geometry
    dict
        A note for the metadata where a number had to be assumed.
    """
    if tif.is_ome and tif.ome_metadata:
        found = _ome(tif.ome_metadata, index)
        if found is not None:
            return found
    if tif.is_imagej:
        return _imagej(tif.imagej_metadata or {}, series.keyframe), {}
    return _tags(series.keyframe)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _ome(xml: str, index: int) -> tuple[Geometry, dict[str, Any]] | None:
    import tifffile

    try:
        images = _listed(tifffile.xml2dict(xml)["OME"]["Image"])
        pixels: Mapping[str, Any] = _listed(images[min(index, len(images) - 1)]["Pixels"])[0]
    except (KeyError, IndexError, TypeError, SyntaxError):
        return None
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "ZYX"]
    if sizes[1] is None or sizes[2] is None:
        return UNKNOWN, {}
    units = [str(pixels.get(f"PhysicalSize{axis}Unit", "um")) for axis in "ZYX"]
    if sizes[0] is None:
        return geometry([float(sizes[1]), float(sizes[1]), float(sizes[2])], [units[1], *units[1:]]), {
            "voxel_size_note": Z_ASSUMED
        }
    return geometry([float(s) for s in sizes if s is not None], units), {}


def _resolution(page: Any) -> tuple[float, float] | None:
    """Return the pixels a unit along (y, x), or None."""
    found = []
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        try:
            number, divisor = tag.value
            found.append(number / divisor)
        except (AttributeError, TypeError, ValueError, ZeroDivisionError):
            return None
    return (found[0], found[1]) if min(found) > 0 else None


def _imagej(metadata: Mapping[str, Any], page: Any) -> Geometry:
    resolution = _resolution(page)
    unit = str(metadata.get("unit", ""))
    spacing = abs(float(metadata.get("spacing", 0) or 0)) or 1.0
    if resolution is None:
        return geometry([spacing, 1.0, 1.0], "")
    return geometry([spacing, 1 / resolution[0], 1 / resolution[1]], unit if unit_of(unit) else "")


def _tags(page: Any) -> tuple[Geometry, dict[str, Any]]:
    resolution = _resolution(page)
    tag = page.tags.get("ResolutionUnit")
    unit = _RESOLUTION_UNITS.get(int(tag.value), "") if tag is not None else ""
    if resolution is None or not unit:
        return UNKNOWN, {}
    sizes = [METRES[unit] / r for r in resolution]
    dots = [METRES["inch"] / s for s in sizes]
    screen = all(any(abs(d - known) < 0.02 * known for known in _DPI) for d in dots)
    if screen or not all(_PLAUSIBLE[0] <= s <= _PLAUSIBLE[1] for s in sizes):
        return UNKNOWN, {}
    rows, columns = sizes
    return geometry([rows, rows, columns], "m"), {"voxel_size_note": Z_ASSUMED}
