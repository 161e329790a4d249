"""How numbers are said."""

from __future__ import annotations

import pytest

from napari_sortingloss import wording


@pytest.mark.parametrize(
    ("value", "text"), [(512, "512 B"), (24e9, "24.0 GB"), (6_200_000_000, "6.2 GB"), (412e6, "412 MB")]
)
def test_sizes_have_a_fitting_unit(value, text):
    assert wording.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (20, "20 s"), (240, "about 4 min"), (9000, "about 2.5 h"), (3e5, "about 3.5 days")],
)
def test_times_are_about_right_not_exact(seconds, text):
    assert wording.duration(seconds) == text


def test_shapes_name_each_of_their_three_axes():
    assert wording.voxels((64, 128, 128)) == "64 × 128 × 128"


def test_voxel_sizes_name_each_axis_only_where_they_differ():
    assert wording.voxel_size((0.4, 0.25, 0.3), "mm") == "0.4 × 0.25 × 0.3 mm"
    assert wording.voxel_size((25, 25, 25), "um") == "25 µm"


def test_where_there_is_little_room_a_voxel_size_is_a_range():
    assert wording.voxel_sizes((0.4, 0.25, 0.3), "mm") == "0.25–0.4 mm"
    assert wording.voxel_sizes((25, 25.00001, 25), "um") == "25 µm"


def test_intensities_have_no_exponent():
    assert [wording.number(v) for v in (31220.4, -0.2489, 0)] == ["31,220", "-0.249", "0"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234, "mm", "1.2 mm²"),
        (0.0004, "mm", "400 µm²"),
        (250_000, "um", "0.25 mm²"),
        (340, "", "340 px²"),
        (42.4, "mm", "42 mm²"),
    ],
)
def test_areas_are_in_the_unit_that_reads_best(value, unit, text):
    assert wording.area(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "just now"), (2.2, "2 s ago"), (185, "3 min ago"), (2e5, "2 days ago")]
)
def test_moments_are_so_long_ago(seconds, text):
    assert wording.ago(seconds) == text
