"""Exports from the window: every file that was written is named, and none is replaced without asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import segmenting as seg
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_sortingloss.study import Study
from napari_sortingloss.widgets.exporting import export, said_written
from napari_sortingloss.widgets.study.stage import StudyWidget
from napari_sortingloss.widgets.toolkit import dialogs


@pytest.fixture
def stage(viewer: Any, opened: Any, study: Study) -> StudyWidget:
    seg.paint(study)
    made = StudyWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


def surfaces(stage: StudyWidget, to: Path) -> None:
    study = stage.session.study
    export(stage, study, "Exporting", to, volume="fish_a", what="mesh", source="annotations")


def test_all_surfaces_that_were_written_are_named(stage, tmp_path, qtbot):
    surfaces(stage, tmp_path / "fish.ply")
    qtbot.waitUntil(lambda: "Written" in stage.bar.text, timeout=20_000)
    assert stage.bar.text == f"Written to {tmp_path}: fish_body.ply, fish_spine.ply"
    assert {path.name for path in tmp_path.glob("*.ply")} == {"fish_body.ply", "fish_spine.ply"}


def test_a_file_that_nobody_was_asked_about_is_replaced_only_when_a_person_says_so(stage, tmp_path, qtbot):
    other = tmp_path / "fish_spine.ply"
    other.write_text("somebody's work")
    surfaces(stage, tmp_path / "fish.ply")
    qtbot.waitUntil(lambda: "exists already" in stage.bar.text, timeout=20_000)
    assert other.read_text() == "somebody's work"
    assert not (tmp_path / "fish_body.ply").exists()
    stage.bar._link.click()
    qtbot.waitUntil(lambda: "Written" in stage.bar.text, timeout=20_000)
    assert other.read_bytes().startswith(b"ply")


def test_a_file_that_the_dialog_has_asked_about_is_replaced(stage, tmp_path, qtbot):
    target = tmp_path / "fish.tif"
    target.write_text("old")
    export(stage, stage.session.study, "Exporting", target, volume="fish_a")
    qtbot.waitUntil(lambda: stage.bar.text == f"Written to {target}", timeout=20_000)
    assert target.stat().st_size > 1000


@pytest.mark.parametrize(("answer", "found"), [("Yes", "fish.ome.tif"), ("Cancel", None)])
def test_a_file_whose_suffix_the_dialog_adds_is_asked_about(stage, tmp_path, monkeypatch, answer, found):
    (tmp_path / "fish.ome.tif").write_text("old")
    chosen = (str(tmp_path / "fish"), "OME-TIFF (*.ome.tif)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: chosen)
    button = getattr(QMessageBox.StandardButton, answer)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: button)
    path = dialogs.choose_export(stage, "fish")
    assert (path.name if path is not None else None) == found


def test_one_file_is_named_with_its_folder():
    assert said_written({"path": "/data/a.tif"}) == "Written to /data/a.tif"
