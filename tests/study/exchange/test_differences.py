"""What is said of volumes that do not go together, before anybody trains on them."""

from __future__ import annotations

from napari_sortingloss.study import VolumeRecord
from napari_sortingloss.study.exchange.differences import differences


def volume(name: str, axis="z", voxel_size=(0.4, 0.25, 0.3), unit="mm") -> VolumeRecord:
    return VolumeRecord(name, (24, 18, 30), voxel_size, unit, axis)


def test_of_volumes_that_are_alike_nothing_is_said():
    assert differences([]) == []
    assert differences([volume("a")]) == []
    assert differences([volume("a"), volume("b", voxel_size=(400, 250, 300), unit="um")]) == []
    assert differences([volume("a"), volume("b", voxel_size=(0.5, 0.4, 0.3))]) == []


def test_different_axes_are_named_with_an_example():
    (said,) = differences([volume("a"), volume("b", "y"), volume("c", "y")])
    assert "along different axes: y (2, e.g. b), z (1, e.g. a)" in said


def test_volumes_without_a_known_size_cannot_be_brought_to_one_scale():
    (said,) = differences([volume("a"), volume("b", unit="")])
    assert said == (
        "The voxel size of 1 of 2 volumes (e.g. b) is not known: their slices cannot be brought to one scale."
    )
    (said,) = differences([volume("a", unit=""), volume("b", unit="")])
    assert "of all 2 volumes (e.g. a)" in said


def test_a_unit_that_was_mistaken_shows_in_the_sizes():
    (said,) = differences([volume("a"), volume("b", unit="um"), volume("c")])
    assert "from 0.000311 mm (b) to 0.311 mm (a)" in said


def test_one_volume_of_unknown_size_alone_is_no_difference():
    assert differences([volume("a", unit="")]) == []
