"""Which layers a person sees: those of the volume shown and of the stage in sight, as they chose them there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import segmenting as seg
from localizing import BOXES, localize, trained
from segmenting import mine, predict_one, see

from napari_sortingloss.study import Study
from napari_sortingloss.widgets.viewer import layers
from napari_sortingloss.widgets.viewer.stage_layers import stage_layers_of
from napari_sortingloss.widgets.viewer.view import slice_in_view
from napari_sortingloss.widgets.workbench import Workbench


def plans(study: Study, *names: str) -> list[layers.LayerPlan]:
    return [layers.plan(study.volume(name)) for name in names]


def overlay(viewer: Any, study: Study, volume: str, content: str, shape=(4, 5, 6)) -> Any:
    mark = {"study": str(study.path), "volume": volume, "content": content}
    return viewer.add_image(np.zeros(shape), name=f"{volume} · {content}", metadata={layers.MARK: mark})


# ------------------------------------------------------------------------------------------------- showing a volume
def test_a_volume_is_shown_in_its_middle_and_fills_the_canvas(viewer, study):
    layers.show(viewer, plans(study, "fish_a"))
    camera = viewer.scene.camera
    camera.zoom, camera.center = 0.01, (0, 900, 900)
    (layer,) = layers.show(viewer, plans(study, "fish_b"))
    record = study.volumes["fish_b"]
    assert slice_in_view(viewer, layer.units, record.voxel_size, record.offset)[:2] == (0, 10)
    height, width = (26 * 0.25, 16 * 0.3)
    zoom = camera.zoom
    layers.fit(viewer, [layer])
    assert camera.zoom == zoom
    assert camera.center[1:] == pytest.approx((height / 2, width / 2), abs=0.3)


def test_the_slice_of_a_volume_that_was_in_view_stays(viewer, study):
    (layer,) = layers.show(viewer, plans(study, "fish_a"))
    viewer.dims.set_point(0, 3 * 0.4)
    layers.show(viewer, plans(study, "fish_a"))
    assert slice_in_view(viewer, layer.units, (0.4, 0.25, 0.3), (0, 0, 0))[1] == 3


def test_what_was_shown_of_another_volume_goes_and_what_is_not_ours_stays(viewer, study, qtbot):
    layers.show(viewer, plans(study, "fish_a"))
    theirs = viewer.add_points(np.zeros((1, 3)), name="theirs")
    for content in ("uncertainty", "region"):
        overlay(viewer, study, "fish_a", content, (24, 18, 30))
    layers.show(viewer, plans(study, "fish_b"))
    qtbot.waitUntil(lambda: sorted(mine(viewer)) == ["fish_b", "theirs"])
    assert theirs.visible


def test_the_slider_is_as_long_as_the_volume_that_is_shown(viewer, study, qtbot):
    layers.show(viewer, plans(study, "fish_a"))
    with study.transaction() as document:
        document["volumes"]["fish_b"]["voxel_size"] = [0.001, 0.25, 0.3]
    layers.show(viewer, plans(study, "fish_b"))
    qtbot.waitUntil(lambda: viewer.dims.nsteps[0] == 20)


def test_volumes_that_are_shown_together_stay_together(viewer, study):
    layers.show(viewer, plans(study, "fish_a", "fish_b"))
    assert [layer.visible for layer in viewer.layers] == [True, True]


def test_a_study_that_is_opened_shows_its_first_volume_and_no_more_of_the_one_before(
    viewer, session, study, tmp_path, qtbot, make_volume
):
    session.open_path(study.path)
    qtbot.waitUntil(lambda: mine(viewer) == ["fish_a"])
    other = Study.create(tmp_path / "other")
    session.open_path(other.path)
    qtbot.waitUntil(lambda: session.study is not None and session.study.path == other.path)
    qtbot.waitUntil(lambda: mine(viewer) == [])


# -------------------------------------------------------------------------------------------------- stage by stage
@pytest.fixture
def bench(viewer: Any, study: Study, opened: Any, qtbot: Any) -> Workbench:
    """All stages over a volume that is localised, painted and predicted."""
    run = trained(study)
    seg.paint(study)
    for name in BOXES:
        localize(study, name, run)
        predict_one(study, name, seg.trained(study))
    dock, made = viewer.window.add_plugin_dock_widget("napari-sortingloss", "Workbench")
    dock.setFloating(True)
    dock.show()  # a window of its own: that of the viewer is never shown in tests
    see(made.stages["Segment"], qtbot, lambda: len(opened.predictions) == 2 and len(opened.localized) == 2)
    return made


def visible(viewer: Any) -> set[str]:
    """Return the contents that are seen beside the volume."""
    return {layer.metadata[layers.MARK]["content"] for layer in layers.ours(viewer) if layer.visible} - {
        "volume"
    }


def visit(bench: Workbench, title: str, qtbot: Any, wanted: set[str]) -> None:
    bench.show_stage(title)
    viewer = bench.stages[title].session.viewer
    qtbot.waitUntil(lambda: visible(viewer) == wanted, timeout=20_000)


def test_each_stage_shows_its_own_layers_and_hides_the_others(bench, viewer, qtbot):
    visit(bench, "Localize", qtbot, {"uncertainty", "region", "box"})
    visit(bench, "Annotate", qtbot, {"annotations"})
    visit(bench, "Segment", qtbot, {"annotations", "prediction"})
    visit(bench, "Study", qtbot, set())
    visit(bench, "Localize", qtbot, {"uncertainty", "region", "box"})


def test_what_a_person_chose_in_a_stage_is_so_again_when_they_come_back(bench, viewer, qtbot):
    visit(bench, "Localize", qtbot, {"uncertainty", "region", "box"})
    viewer.layers["fish_a · uncertainty"].visible = False
    visit(bench, "Annotate", qtbot, {"annotations"})
    viewer.layers["fish_a · box"].visible = True
    visit(bench, "Localize", qtbot, {"region", "box"})
    visit(bench, "Annotate", qtbot, {"annotations", "box"})


def test_painting_goes_on_after_a_look_at_another_stage(bench, viewer, qtbot):
    visit(bench, "Annotate", qtbot, {"annotations"})
    visit(bench, "Localize", qtbot, {"uncertainty", "region", "box"})
    assert viewer.layers.selection.active.name == "fish_a · box"
    visit(bench, "Annotate", qtbot, {"annotations"})
    assert viewer.layers.selection.active.name == "fish_a · annotations"
    assert viewer.layers.selection.active.mode == "paint"


def test_no_key_or_stroke_reaches_a_layer_that_nobody_sees(bench, viewer, qtbot):
    visit(bench, "Annotate", qtbot, {"annotations"})
    visit(bench, "Study", qtbot, set())
    assert viewer.layers.selection.active.name == "fish_a"


def test_turning_to_3d_in_another_stage_shows_no_hull(bench, viewer, qtbot):
    visit(bench, "Localize", qtbot, {"uncertainty", "region", "box"})
    visit(bench, "Study", qtbot, set())
    viewer.dims.ndisplay = 3
    assert visible(viewer) == set()
    viewer.dims.ndisplay = 2


def test_the_next_volume_is_shown_as_the_one_before_was(bench, viewer, session, qtbot):
    visit(bench, "Localize", qtbot, {"uncertainty", "region", "box"})
    viewer.layers["fish_a · region"].visible = False
    session.set_current_volume("fish_b")
    qtbot.waitUntil(lambda: "fish_b · box" in mine(viewer))
    assert visible(viewer) == {"uncertainty", "box"}
    qtbot.waitUntil(lambda: not any("fish_a" in name for name in mine(viewer)))


def test_a_volume_that_is_not_localised_is_not_shown_with_the_box_of_another(bench, viewer, study, qtbot):
    visit(bench, "Localize", qtbot, {"uncertainty", "region", "box"})
    bench.stages["Localize"].session.localized = {}
    bench.stages["Localize"].session.set_current_volume("fish_b")
    qtbot.waitUntil(lambda: mine(viewer) == ["fish_b"])


def test_layers_without_any_stage_in_sight_are_left_as_they_are_made(viewer, study):
    stage_layers_of(viewer)
    assert overlay(viewer, study, "fish_a", "uncertainty").visible
