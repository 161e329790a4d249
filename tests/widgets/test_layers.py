"""Volumes as layers: right scale, units and names; our own layers are replaced, others' are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput
from napari_sortingloss.widgets.viewer import layers


def shown(viewer: Any, study: Any, *names: str) -> list[Any]:
    return layers.show(viewer, [layers.plan(study.volume(name)) for name in names])


def test_a_volume_is_shown_with_scale_units_axes_and_contrast(viewer, study, voxel_size):
    (layer,) = shown(viewer, study, "fish_a")
    assert layer.name == "fish_a"
    assert layer.multiscale or len(layer.data) == 1
    assert layer.data[0].shape == (24, 18, 30)
    assert tuple(layer.scale) == pytest.approx(voxel_size)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    assert tuple(layer.contrast_limits) == (0, 255)


def test_what_is_shown_is_what_is_stored(viewer, study):
    (layer,) = shown(viewer, study, "fish_b")
    np.testing.assert_array_equal(np.asarray(layer.data[0]), study.volume("fish_b").read_slab(0, 20))


def test_showing_again_replaces_our_layer_in_place_and_keeps_what_the_person_set(viewer, study):
    (first,) = shown(viewer, study, "fish_a")
    first.contrast_limits = (10, 90)
    study.update_volume("fish_a", voxel_size=(0.5, 0.6, 0.7))
    (second,) = shown(viewer, study, "fish_a")
    assert second is first
    assert len(viewer.layers) == 1
    assert tuple(first.scale) == pytest.approx((0.5, 0.6, 0.7))
    assert tuple(first.contrast_limits) == (10, 90)


def test_nobody_elses_layer_is_touched_even_when_it_has_our_name(viewer, study):
    theirs = viewer.add_image(np.zeros((4, 5, 6)), name="fish_a")
    shown(viewer, study, "fish_a")
    layers.rename(viewer, str(study.path), "fish_a", None)
    assert list(viewer.layers) == [theirs]
    assert theirs.data.shape == (4, 5, 6)


def test_a_layer_follows_its_volume_when_that_is_renamed(viewer, study):
    (layer,) = shown(viewer, study, "fish_a")
    layers.rename(viewer, str(study.path), "fish_a", "fish_new")
    assert layer.name == "fish_new"
    assert layers.find(viewer, {"study": str(study.path), "volume": "fish_new", "content": "volume"}) is layer


@pytest.mark.parametrize(("axis", "order"), [("z", (0, 1, 2)), ("y", (1, 0, 2)), ("x", (2, 0, 1))])
def test_the_slider_steps_along_the_ordering_axis(viewer, study, axis, order):
    study.update_volume("fish_a", axis=axis)
    shown(viewer, study, "fish_a")
    assert tuple(viewer.dims.order) == order


def test_a_volume_without_unit_and_one_with_share_the_viewer(viewer, study):
    study.update_volume("fish_b", unit="")
    first, second = shown(viewer, study, "fish_a", "fish_b")
    assert len(viewer.layers) == 2
    assert viewer.layers.extent.world.shape == (2, 3)
    assert str(first.units[0]) == "millimeter"
    assert str(second.units[0]) in ("pixel", "millimeter")


def test_a_cropped_volume_lies_where_it_was_cut_from(viewer, study, voxel_size):
    with study.transaction() as document:
        document["volumes"]["fish_b"]["offset"] = [2, 4, 6]
    (layer,) = shown(viewer, study, "fish_b")
    assert tuple(layer.translate) == pytest.approx(
        tuple(o * s for o, s in zip((2, 4, 6), voxel_size, strict=True))
    )


def test_an_open_layer_becomes_a_volume_with_its_scale(viewer):
    layer = viewer.add_image(np.zeros((4, 5, 6)), name="scan", scale=(3, 2, 1), units=("um",) * 3)
    found = layers.read_layer(layer)
    assert (found.name, found.voxel_size, found.unit) == ("scan", (3.0, 2.0, 1.0), "um")


def test_a_layer_in_pixels_has_no_unit(viewer):
    assert layers.read_layer(viewer.add_image(np.zeros((4, 5, 6)))).unit == ""


def test_layers_that_are_no_volumes_say_why(viewer, study):
    flat = viewer.add_image(np.zeros((4, 5)), name="flat")
    colour = viewer.add_image(np.zeros((4, 5, 6, 3), np.uint8), rgb=True)
    points = viewer.add_points(np.zeros((1, 3)))
    (ours,) = shown(viewer, study, "fish_a")
    reasons = [layers.usable(layer) for layer in (flat, colour, points, ours)]
    assert all(reasons)
    assert "2-dimensional" in reasons[0]
    with pytest.raises(BadInput, match="flat"):
        layers.read_layer(flat)
