"""One physical scale for volumes of different size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from napari_sortingloss.slices.fit import fit_slice, fitted_shape
from napari_sortingloss.slices.reader import common_field, field_of_view, load_slices


@dataclass
class Scan:
    """A volume whose slices are white."""

    slice_shape: tuple[int, int]
    slice_voxel_size: tuple[float, float] = (0.2, 0.25)
    unit: str = "mm"

    def read_slices(self, positions: list[int]) -> np.ndarray:
        return np.full((len(positions), *self.slice_shape), 255, np.uint8)


def test_the_field_of_view_is_the_longer_physical_side() -> None:
    assert field_of_view(Scan((50, 30))) == pytest.approx(10.0)
    assert field_of_view(Scan((50, 60))) == pytest.approx(15.0)


def test_units_are_brought_to_millimetres() -> None:
    assert field_of_view(Scan((50, 30), (200.0, 250.0), "um")) == pytest.approx(10.0)


def test_the_common_field_is_that_of_the_largest_volume() -> None:
    assert common_field([Scan((50, 30)), Scan((80, 30))]) == pytest.approx(16.0)


@pytest.mark.parametrize(
    "volumes",
    [
        [Scan((50, 30)), Scan((50, 30), unit="")],
        [Scan((50, 30)), Scan((151, 30))],
        [],
    ],
    ids=["a unit is not known", "too unlike", "none"],
)
def test_there_is_no_common_field_where_it_would_mean_nothing(volumes: list[Scan]) -> None:
    assert common_field(volumes) == 0.0


def test_a_millimetre_is_as_many_pixels_in_a_small_volume_as_in_a_large_one() -> None:
    small, large = (load_slices(scan, [0], 64, field=16.0)[0] for scan in (Scan((40, 32)), Scan((80, 64))))
    assert np.count_nonzero(small.any(axis=1)) * 2 == np.count_nonzero(large.any(axis=1)) == 64


def test_a_slice_larger_than_the_field_fills_the_square() -> None:
    assert fitted_shape((100, 50), (0.2, 0.2), 64, field=10.0) == (64, 32)


def test_without_a_field_every_slice_fills_the_square() -> None:
    assert fit_slice(np.full((20, 10), 255, np.uint8), (0.5, 0.25), 40).any(axis=1).all()


def test_an_unknown_unit_ignores_the_field() -> None:
    filled = load_slices(Scan((40, 32), unit=""), [0], 64, field=1000.0)[0]
    assert filled.any(axis=1).all()
