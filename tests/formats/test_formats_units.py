"""Spellings of units, and conversion."""

import pytest

from napari_sortingloss.formats.units import geometry, unit_of


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [
        ("um", "um"),
        ("µm", "um"),
        ("μm", "um"),
        ("\\u00B5m", "um"),
        ("micron", "um"),
        ("Microns", "um"),
        ("micrometer", "um"),
        ("micrometre", "um"),
        (" mm\0", "mm"),
        ("MILLIMETER", "mm"),
        ("nanometer", "nm"),
        ("cm", "cm"),
        ("m", "m"),
        ("meter", "m"),
        ("inch", "inch"),
        ("Å", "angstrom"),
        ("pixel", ""),
        ("", ""),
    ],
    ids=ascii,
)
def test_units_are_recognised_however_they_are_spelled(spelling, unit):
    assert unit_of(spelling) == unit


@pytest.mark.parametrize(
    ("sizes", "unit", "expected", "name"),
    [
        ((2.5, 0.75, 0.5), "mm", (2.5, 0.75, 0.5), "mm"),
        ((2.5e-6, 5e-7, 1e-6), "m", (2.5, 0.5, 1.0), "um"),
        ((2.5e-4, 5e-5, 1e-4), "m", (0.25, 0.05, 0.1), "mm"),
        ((0.25, 0.05, 0.1), "cm", (2.5, 0.5, 1.0), "mm"),
        ((0.1, 0.2, 0.3), "inch", (2.54, 5.08, 7.62), "mm"),
        ((12, 5, 4), "nm", (12.0, 5.0, 4.0), "nm"),
        ((3, 2, 1), "pixel", (3.0, 2.0, 1.0), ""),
    ],
)
def test_sizes_are_brought_to_handy_units(sizes, unit, expected, name):
    found = geometry(sizes, unit)
    assert found.unit == name
    assert found.voxel_size == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [None, (0, 1, 1), (-1, 1, 1), (float("nan"), 1, 1), (1, 1), (1, 1, 1)])
def test_impossible_sizes_are_unknown(sizes):
    assert geometry(sizes, "").voxel_size is None
