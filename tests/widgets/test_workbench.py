"""The plugin as napari sees it: its menu, its sample, its stages as tabs, and no torch before a job starts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QLabel, QProgressDialog

from napari_sortingloss import samples
from napari_sortingloss.errors import UserError
from napari_sortingloss.events import Event, Progress
from napari_sortingloss.study import Study
from napari_sortingloss.widgets import reader, sample
from napari_sortingloss.widgets.session.session import session_of
from napari_sortingloss.widgets.stages import STAGES
from napari_sortingloss.widgets.toolkit.shortcuts import SHORTCUTS, ShortcutList
from napari_sortingloss.widgets.workbench import Workbench

OPEN_ALL = """
import sys, warnings
import napari, napari.viewer
viewer = napari.viewer.Viewer(show=False)
for title in ("Study", "Pre-train", "Localize", "Annotate", "Segment", "Workbench"):
    viewer.window.add_plugin_dock_widget("napari-sortingloss", title)
heavy = {"torch", "monai", "lightning_fabric", "albumentations", "cv2", "SimpleITK", "nibabel"} & set(sys.modules)
viewer.window._qt_window._save_current_window_settings = lambda: None
viewer.close()
print("heavy:", sorted(heavy))
"""


def test_opening_every_widget_from_the_menu_loads_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", OPEN_ALL], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout


def test_the_manifest_offers_each_stage_and_the_workbench():
    manifest = PluginManifest.from_distribution("napari-sortingloss")
    titles = [widget.display_name for widget in manifest.contributions.widgets]
    assert titles == [*STAGES, "Workbench"]
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name))


def test_the_workbench_has_a_tab_for_each_stage_and_follows_links_between_them(viewer, qtbot):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench)
    assert [bench.tabs.tabText(i) for i in range(bench.tabs.count())] == list(STAGES)
    bench.stages["Study"].go_to("Pre-train")
    assert bench.tabs.currentWidget() is bench.stages["Pre-train"]


def test_without_a_workbench_a_link_opens_the_other_stage_as_a_dock(viewer):
    session_of(viewer).show_stage("Study")
    assert "Study (napari-sortingloss)" in viewer.window.dock_widgets


def test_all_stages_follow_the_same_study(viewer, study, qtbot):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench)
    session_of(viewer).set_study(study)
    sessions = {id(stage.session) for stage in bench.stages.values()}
    assert len(sessions) == 1
    qtbot.waitUntil(lambda: bench.stages["Study"].table.model_.rowCount() == 2)


def test_every_key_is_given_once_within_a_stage_and_is_in_the_list(keep, viewer):
    for stage in ("study", "pretrain", "localize", "annotate", "segment"):
        keys = [s.keys for s in SHORTCUTS if s.stage in (stage, "any")]
        assert len(keys) == len(set(keys))
    listed = keep(ShortcutList("study")).findChildren(QLabel)
    texts = {label.text() for label in listed}
    assert {s.what for s in SHORTCUTS if s.stage in ("study", "any")} <= texts


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch, make_volume: Any) -> list[int]:
    """Make the sample study of small volumes; counts how often it was made."""
    made: list[int] = []

    def small(path: Path) -> Iterator[Event]:
        from napari_sortingloss.formats import array_source
        from napari_sortingloss.study.exchange.add import AddSettings, add

        made.append(1)
        study = Study.create(path)
        sources = [array_source(make_volume(), f"fish_0{i + 1}") for i in range(samples.COUNT)]
        yield from add(study, AddSettings(), sources)

    monkeypatch.setattr(samples, "sample_study", small)
    return made


def test_open_sample_shows_the_first_fish_and_opens_the_study(viewer, small_sample, qtbot):
    for _ in range(2):
        viewer.open_sample("napari-sortingloss", "phantom_fish")
        assert [layer.name for layer in viewer.layers] == ["fish_01"]
    session = session_of(viewer)
    qtbot.waitUntil(lambda: len(session.volumes) == samples.COUNT)
    assert "Study (napari-sortingloss)" in viewer.window.dock_widgets
    assert small_sample == [1]


def test_without_a_window_the_sample_is_layer_data(small_sample, monkeypatch):
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    ((data, options, kind),) = sample.phantom_fish()
    assert (kind, options["name"]) == ("image", "fish_01")
    assert np.asarray(data[0]).max() > 0


def test_making_the_sample_can_be_cancelled(viewer, monkeypatch, qapp):
    def endless(path: Path) -> Iterator[Event]:
        while True:
            yield Progress(done=1, total=10, what="fish 1 of 6")
            time.sleep(0.005)

    def cancel() -> None:
        for window in QApplication.topLevelWidgets():
            if isinstance(window, QProgressDialog):
                window.cancel()

    monkeypatch.setattr(samples, "sample_study", endless)
    QTimer.singleShot(400, cancel)
    with pytest.raises(UserError, match="cancelled"):
        viewer.open_sample("napari-sortingloss", "phantom_fish")


def test_dropping_a_study_json_onto_napari_opens_the_study(viewer, study, qtbot):
    viewer.open(str(study.path / "study.json"), plugin="napari-sortingloss")
    qtbot.waitUntil(lambda: session_of(viewer).study is not None)
    assert session_of(viewer).study.path == study.path
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == ["fish_a"])


def test_no_other_file_is_claimed(tmp_path):
    (tmp_path / "study.json").write_text('{"something": "else"}')
    assert reader.get_reader(str(tmp_path / "study.json")) is None
    assert reader.get_reader(str(tmp_path / "image.tif")) is None
    assert reader.get_reader([str(tmp_path / "study.json")] * 2) is None


def test_the_separate_window_wants_exactly_one_study(capsys):
    from napari_sortingloss.widgets.open_study import main

    assert main([]) == 2
    assert "study folder" in capsys.readouterr().err
