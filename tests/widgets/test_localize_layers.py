"""A localisation as layers: each in its place, replaced in place, and nobody else's layer touched."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.study.localizations.reading import Hull, Localization
from napari_sortingloss.widgets.localize.layers import LocalizeLayers, _found, localize_layers_of, plan
from napari_sortingloss.widgets.viewer import layers

BOX = ((4, 20), (3, 15), (6, 24))
CORNERS = np.array([[z, y, x] for z in (-0.5, 19.5) for y in (2.5, 14.5) for x in (5.5, 23.5)])
FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 5, 7], [4, 7, 6], [0, 1, 5], [0, 5, 4], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 3, 7], [1, 7, 5]]
)  # fmt: skip


def planned(study: Any, name: str = "fish_a", box: Any = BOX, **changes: Any) -> Any:
    record = study.volumes[name]
    grid, fine = Grid.of_voxels(record.shape, 4), Grid.of_voxels(record.shape, 2)
    values = np.linspace(0, 1, int(np.prod(grid.shape)), dtype=np.float32).reshape(grid.shape)
    mask = np.zeros(fine.shape, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    found = Localization(
        volume=name,
        run="run",
        created="now",
        shape=record.shape,
        box=box,
        found=box,
        hull=changes.pop("hull", Hull(CORNERS, FACES)),
        uncertainty_grid=grid.to_json(),
    )
    record = dataclasses.replace(record, **changes)
    return plan(study, found, (values, grid), (mask, fine), record)


@pytest.fixture
def viewer(viewer):
    """The shared viewer, with no memory of what another test made visible."""
    _found.pop(viewer, None)
    yield viewer
    viewer.dims.ndisplay = 2


@pytest.fixture
def shown(viewer, study) -> LocalizeLayers:
    layers.show(viewer, [layers.plan(study.volume("fish_a"))], into_view=False)
    made = localize_layers_of(viewer)
    made.show(planned(study))
    return made


def test_a_localisation_is_four_layers_named_after_volume_and_content(shown, viewer):
    kinds = [(layer.name, type(layer).__name__) for layer in viewer.layers]
    assert kinds == [
        ("fish_a", "Image"),
        ("fish_a · uncertainty", "Image"),
        ("fish_a · region", "Labels"),
        ("fish_a · hull", "Surface"),
        ("fish_a · box", "Shapes"),
    ]
    for layer in viewer.layers:
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
        assert tuple(layer.axis_labels) == ("z", "y", "x")


@pytest.mark.parametrize("offset", [(0, 0, 0), (5, 7, 2)])
def test_each_layer_lies_where_its_grid_says_also_in_a_crop(viewer, study, voxel_size, offset):
    made = localize_layers_of(viewer)
    made.show(planned(study, offset=offset, parent="whole" if any(offset) else None))
    place = np.array(offset) * voxel_size
    uncertainty, region, hull = (made.layers[name] for name in ("uncertainty", "region", "hull"))
    np.testing.assert_allclose(uncertainty.scale, np.array(voxel_size) * 4)
    np.testing.assert_allclose(uncertainty.translate, place + np.array(voxel_size) * 1.5)
    np.testing.assert_allclose(region.scale, np.array(voxel_size) * 2)
    np.testing.assert_allclose(region.translate, place + np.array(voxel_size) * 0.5)
    np.testing.assert_allclose(hull.scale, voxel_size)
    np.testing.assert_allclose(
        hull.data_to_world([19.5, 2.5, 23.5]), place + np.array([19.5, 2.5, 23.5]) * voxel_size
    )
    edges = np.array([made.layers["box"].data_to_world(point) for point in made.layers["box"].data[0]])
    assert edges[:, 1].min() == pytest.approx((offset[1] + 2.5) * voxel_size[1])


def test_the_sliders_of_the_volume_stay_as_they_are(shown, viewer):
    assert tuple(viewer.dims.nsteps) == (24, 18, 30)
    assert [axis.start for axis in viewer.dims.range] == [0, 0, 0]
    viewer.dims.ndisplay = 3
    assert tuple(viewer.dims.nsteps) == (24, 18, 30)


def test_the_hull_lies_in_the_volume_and_its_faces_look_outwards(shown):
    vertices, faces = shown.layers["hull"].data[:2]
    assert vertices.min() >= 0
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    outwards = (np.cross(b - a, c - a) * ((a + b + c) / 3 - vertices.mean(axis=0))).sum(axis=1)
    assert (outwards > 0).all()


def test_another_volume_takes_over_the_layers_and_the_looks_a_person_gave_them(shown, viewer, study):
    before = list(viewer.layers)
    shown.layers["region"].visible = False
    shown.layers["uncertainty"].opacity = 0.8
    shown.layers["uncertainty"].colormap = "viridis"
    shown.show(planned(study, "fish_b", ((2, 9), (3, 15), (1, 8))))
    assert list(viewer.layers) == before
    assert [layer.name for layer in viewer.layers][1:] == [
        f"fish_b · {content}" for content in ("uncertainty", "region", "hull", "box")
    ]
    assert not shown.layers["region"].visible
    assert shown.layers["uncertainty"].opacity == 0.8
    assert shown.layers["uncertainty"].colormap.name == "viridis"
    assert shown.box == ((2, 9), (3, 15), (1, 8))
    assert shown.layers["uncertainty"].data.shape == (5, 6, 4)  # the seventh point lies beyond the volume


def test_contrast_that_a_person_set_stays_until_another_volume_is_shown(shown, study):
    layer = shown.layers["uncertainty"]
    first = tuple(layer.contrast_limits)
    layer.contrast_limits = (0.2, 0.4)
    shown.show(planned(study))
    assert tuple(layer.contrast_limits) == (0.2, 0.4)
    shown.show(planned(study, "fish_b", ((2, 9), (3, 15), (1, 8))))
    assert tuple(layer.contrast_limits) == pytest.approx(first, abs=0.05)


def test_a_flat_or_empty_map_is_shown_without_complaint(viewer, study):
    made = localize_layers_of(viewer)
    for value in (0.0, float("nan")):
        ready = planned(study)
        flat = np.full_like(ready.uncertainty.data, value)
        record = study.volumes["fish_a"]
        grid = Grid.of_voxels(record.shape, 4)
        found = Localization(
            volume="fish_a", run="r", created="n", shape=record.shape, box=NO_BOX, found=NO_BOX
        )
        made.show(plan(study, found, (flat, grid), (np.zeros(grid.shape, bool), grid), record))
        low, high = made.layers["uncertainty"].contrast_limits
        assert low < high
        assert "hull" not in made.layers
        assert made.layers["box"].nshapes == 0


def test_another_volume_is_shown_in_a_slice_of_its_box_the_same_one_where_it_was(shown, viewer, study):
    assert shown.slice_in_view() == ("z", 11)
    viewer.dims.set_current_step(0, 22)
    shown.show(planned(study))
    assert shown.slice_in_view() == ("z", 22)
    shown.show(planned(study, "fish_b", ((2, 9), (3, 15), (1, 8))))
    assert shown.slice_in_view() == ("z", 5)
    shown.show(planned(study, "fish_b", ((2, 9), (3, 15), (1, 8)), offset=(30, 3, 4)))
    shown.look_at_box()
    assert shown.slice_in_view() == ("z", 5)


def test_the_layers_stay_above_a_volume_shown_after_them(shown, viewer, study):
    layers.show(viewer, [layers.plan(study.volume("fish_b"))])
    theirs = viewer.add_points(np.zeros((1, 3)))
    shown.show(planned(study, "fish_b", ((2, 9), (3, 15), (1, 8))))
    names = [layer.name for layer in viewer.layers]
    assert names.index("fish_b") < names.index("fish_b · uncertainty")
    assert names[-1] == "fish_b · box"
    assert theirs in viewer.layers


def test_in_3d_the_hull_is_seen_and_what_a_person_chose_is_remembered_for_both_views(shown, viewer):
    def visible() -> dict[str, bool]:
        return {name: layer.visible for name, layer in shown.layers.items()}

    shown.layers["region"].visible = False
    viewer.dims.ndisplay = 3
    assert visible() == {"uncertainty": False, "region": False, "hull": True, "box": True}
    shown.layers["uncertainty"].visible = True
    viewer.dims.ndisplay = 2
    assert visible() == {"uncertainty": True, "region": False, "hull": False, "box": True}
    viewer.dims.ndisplay = 3
    assert visible()["uncertainty"]


def test_another_threshold_exchanges_region_and_hull_only(shown, study):
    grid = Grid.of_voxels((24, 18, 30), 4)
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 1:3, 1:3] = True
    uncertainty = shown.layers["uncertainty"].data
    shown.update_region(mask, grid, Hull(CORNERS / 2, FACES))
    assert shown.layers["region"].data.sum() == 8
    assert tuple(shown.layers["region"].scale) == pytest.approx((1.6, 1.0, 1.2))
    assert shown.layers["hull"].data[0].max() == pytest.approx(23.5 / 2)
    assert shown.layers["uncertainty"].data is uncertainty
    shown.update_region(np.zeros(grid.shape, bool), grid, None)
    assert "hull" not in shown.layers
    shown.update_region(mask, grid, Hull(CORNERS, FACES))
    assert list(shown.layers["box"].name.split(" · ")) == ["fish_a", "box"]
    stack = localize_stack(shown)
    assert stack.index("hull") < stack.index("box")


def localize_stack(shown: LocalizeLayers) -> list[str]:
    viewer = shown._viewer()
    return [layer.name.split(" · ")[-1] for layer in viewer.layers]


def test_a_dragged_box_is_told(shown):
    told: list[Any] = []
    shown.box_dragged.connect(told.append)
    layer = shown.layers["box"]
    points = np.array(layer.data[0])
    points[:, 2] += 0.3 / 0.4 * 2
    layer.data = [(points, "rectangle")]
    assert told == [((4, 20), (3, 15), (8, 26))]
    assert shown.box == told[0]
    shown.set_box(BOX)
    assert shown.box == BOX
    assert len(told) == 1


def test_a_layer_that_was_removed_comes_back_with_the_next_localisation(shown, viewer, study):
    for content in ("box", "region", "uncertainty"):
        viewer.layers.remove(shown.layers[content])
    shown.set_box(((5, 6), (5, 6), (5, 6)))
    shown.update_region(np.zeros((3, 3, 3), bool), Grid((3, 3, 3), (8, 6, 10), (4, 3, 5)), None)
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    assert [layer.name for layer in viewer.layers] == ["fish_a"]
    shown.show(planned(study))
    assert len(viewer.layers) == 5


def test_taking_the_localisation_away_leaves_all_else(shown, viewer, qtbot):
    theirs = viewer.add_labels(np.zeros((4, 5, 6), int), name="fish_a · region")
    shown.remove("fish_b")
    assert len(viewer.layers) == 6
    shown.remove("fish_a")
    assert shown.layers == {}
    assert viewer.layers[0].name == "fish_a"
    assert list(viewer.layers)[1:] == [theirs]


def test_a_localisation_taken_away_can_be_shown_again_at_once(shown, viewer, study, qtbot):
    shown.remove()
    shown.show(planned(study))
    ours = list(shown.layers.values())
    qtbot.waitUntil(lambda: len(viewer.layers) == 5)
    assert len(ours) == 4
    assert all(layer in viewer.layers for layer in ours)


def test_there_is_one_for_each_viewer_and_it_ends_with_a_removed_volume(shown, viewer, study, qtbot):
    assert localize_layers_of(viewer) is shown
    layers.rename(viewer, str(study.path), "fish_a", "fish_c")
    assert shown.layers["box"].name == "fish_c · box"
    layers.rename(viewer, str(study.path), "fish_c", None)
    qtbot.waitUntil(lambda: not len(viewer.layers))
    assert not shown.layers


def test_stepping_tells_the_slice_of_the_volume(shown, viewer, study):
    told: list[Any] = []
    shown.stepped.connect(lambda *what: told.append(what))
    viewer.dims.set_current_step(0, 9)
    assert told[-1] == ("z", 9)
    viewer.dims.order = (2, 0, 1)
    viewer.dims.set_current_step(2, 13)
    assert told[-1] == ("x", 13)
    viewer.dims.ndisplay = 3
    assert told[-1][1] is None


def test_showing_makes_the_box_ready_to_be_dragged(shown, viewer):
    assert viewer.layers.selection.active is shown.layers["box"]
    assert shown.layers["box"].mode == "select"
