"""The Study widget as a person uses it: open, add, look, edit, flip, show, and what it says when something is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent, QShortcut
from qtpy.QtWidgets import QLabel

from napari_sortingloss.errors import BadInput, NeedsOption
from napari_sortingloss.events import Result
from napari_sortingloss.study import Study
from napari_sortingloss.study.exchange import add as add_module
from napari_sortingloss.widgets.session.session import Session
from napari_sortingloss.widgets.study.read_options_dialog import ReadingDialog
from napari_sortingloss.widgets.study.stage import StudyWidget
from napari_sortingloss.widgets.study.volume_table import THIN, VolumeTable
from napari_sortingloss.widgets.toolkit import dialogs


@pytest.fixture
def widget(viewer: Any, session: Session) -> StudyWidget:
    made = StudyWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


@pytest.fixture
def full(widget: StudyWidget, opened: Session, qtbot: Any) -> StudyWidget:
    """The widget with two volumes, the first one selected."""
    qtbot.waitUntil(lambda: widget.table.selected() == ("fish_a",))
    return widget


@pytest.fixture
def scan(tmp_path: Path, make_volume: Any) -> Path:
    path = tmp_path / "scan.npy"
    np.save(path, make_volume((12, 16, 20), "uint16"))
    return path


def choose(widget: StudyWidget, qtbot: Any, *paths: Path) -> None:
    widget.choose(list(paths))
    qtbot.waitUntil(lambda: bool(widget.import_panel.candidates) and widget.import_panel.look is not None)


def wait_idle(widget: StudyWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not widget.background.busy and widget.session.jobs.running is None)


# ------------------------------------------------------------------------------------------------- opening and making
def test_without_a_study_it_says_how_to_begin(widget):
    assert "New…" in widget.hint.text()
    assert not widget.hint.isHidden()
    assert widget.table.isHidden()
    assert not widget.show_button.isEnabled()
    assert widget.show_button.toolTip() == "Select a volume first"


def test_new_makes_a_study_and_says_what_to_do_next(widget, tmp_path, monkeypatch, qtbot):
    monkeypatch.setattr(dialogs, "choose_new_study", lambda *_: tmp_path / "made")
    widget.new_study()
    qtbot.waitUntil(lambda: widget.session.study is not None)
    assert (tmp_path / "made" / "study.json").is_file()
    assert widget.header.name.text() == "made"
    assert "empty" in widget.hint.text()


def test_open_shows_the_volumes_of_the_study(widget, study, monkeypatch, qtbot):
    monkeypatch.setattr(dialogs, "choose_study", lambda *_: study.path)
    widget.open_study()
    qtbot.waitUntil(lambda: widget.table.model_.rowCount() == 2)
    model = widget.table.model_
    texts = [model.data(model.index(0, column)) for column in range(5)]
    assert [text.replace(THIN, " ") for text in texts] == [
        "fish_a",
        "24 × 18 × 30",
        "0.25–0.4 mm",
        "z ↑",
        "●○○○○",
    ]
    assert str(study.path) in widget.header.place.toolTip()
    assert "free" in widget.header.place.text()


def test_the_study_appears_among_the_recent_ones(widget, study, qtbot):
    widget.open_path(study.path)
    qtbot.waitUntil(
        lambda: any("study" in a.text() for a in widget.header._recent.actions() if a.isEnabled())
    )


def test_a_folder_that_is_no_study_is_explained_in_the_bar(widget, tmp_path, qtbot):
    widget.open_path(tmp_path)
    qtbot.waitUntil(lambda: widget.bar.level == "error" and bool(widget.bar.text))
    assert "Why:" in widget.bar.text
    assert "What to do:" in widget.bar.text
    assert widget.header.open_button.isEnabled()


def test_the_report_names_versions_study_and_error(full, qapp):
    full.bar.show_error(BadInput("Cannot read 'x.tif'", "it is cut off", "copy it again"))
    full.bar._copy.click()
    text = qapp.clipboard().text()
    for part in ("napari-sortingloss", "numpy", str(full.session.study.path), "it is cut off"):
        assert part in text


# ------------------------------------------------------------------------------------------------------ adding volumes
def test_chosen_files_are_previewed_before_they_are_added(full, scan, qtbot):
    choose(full, qtbot, scan)
    panel = full.import_panel
    assert not panel.isHidden()
    assert full.show_button.text() == "Add 1 volume"
    assert "12 × 16 × 20" in panel.about.text()
    assert not any(picture.empty for picture in panel.axis.strip.pictures)


def test_adding_puts_the_volume_into_the_study_with_the_chosen_settings(full, scan, qtbot):
    choose(full, qtbot, scan)
    panel = full.import_panel
    panel.axis.edit.set_value("x", "-")
    panel.window.edit.set_value("1000:40000")
    panel.downsample.setValue(2)
    panel.voxel_size.set_value((0.5, 0.6, 0.7), "um")
    full.show_selected()
    qtbot.waitUntil(lambda: "scan" in full.session.volumes)
    record = full.session.volumes["scan"]
    assert (record.axis, record.direction, record.downsample, record.unit) == ("x", "-", 2, "um")
    assert record.window == (1000, 40000)
    assert record.voxel_size == pytest.approx((1.0, 1.2, 1.4))
    qtbot.waitUntil(lambda: full.table.selected() == ("scan",))
    qtbot.waitUntil(lambda: "Next: pre-train" in full.bar.text)


def test_dragging_the_window_in_the_histogram_sets_values(full, scan, qtbot):
    choose(full, qtbot, scan)
    full.import_panel.window.histogram._region.setRegion((2000.0, 30000.0))
    assert full.import_panel.window.edit.value() == "2000:30000"
    assert full.import_panel.settings().window == "2000:30000"


def test_switching_to_values_begins_with_what_the_percentiles_came_to(full, scan, qtbot):
    choose(full, qtbot, scan)
    full.import_panel.window.edit.mode.setCurrentIndex(1)
    ends = [float(part) for part in full.import_panel.window.edit.value().split(":")]
    assert ends == pytest.approx(np.percentile(np.load(scan), (1, 99.95)))


def test_a_layer_can_be_added(full, viewer, qtbot, make_volume):
    layer = viewer.add_image(
        make_volume((10, 14, 12), "float32"), name="drawn", scale=(3, 2, 1), units=("um",) * 3
    )
    full.adding.choose_layer(layer)
    full.show_selected()
    qtbot.waitUntil(lambda: "drawn" in full.session.volumes)
    record = full.session.volumes["drawn"]
    assert (record.shape, record.voxel_size, record.unit) == ((10, 14, 12), (3.0, 2.0, 1.0), "um")


def test_layers_that_cannot_be_added_are_offered_greyed_with_the_reason(full, viewer, keep):
    viewer.add_image(np.zeros((4, 5)), name="flat")
    menu = keep(
        dialogs.layer_menu(full, full.from_layer_button, list(viewer.layers), full.adding.choose_layer)
    )
    (entry,) = menu.actions()
    assert not entry.isEnabled()
    assert "2-dimensional" in entry.text()


def test_a_file_that_cannot_be_read_is_explained_and_the_others_are_kept(full, scan, tmp_path, qtbot):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"not a volume")
    choose(full, qtbot, bad, scan)
    assert full.bar.level == "warning"
    assert "bad.nii.gz" in full.bar.text
    assert [c.name for c in full.import_panel.candidates] == ["scan"]


def test_only_bad_files_give_an_error_and_nothing_to_add(full, tmp_path, qtbot):
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"")
    full.choose([bad])
    qtbot.waitUntil(lambda: full.bar.level == "error" and bool(full.bar.text))
    assert full.import_panel.isHidden()


def test_a_file_with_several_volumes_is_added_after_saying_which(full, tmp_path, make_volume, qtbot):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = make_volume((12, 16, 20), "uint16")
        file["filtered"] = make_volume((10, 16, 20), "uint16")
    full.choose([path])
    qtbot.waitUntil(lambda: "holds 2 volumes" in full.bar.text)
    assert full.bar._link.text() == "Say how to read it…"
    dialog = full.adding.say_how_to_read(
        [path], NeedsOption("Cannot read 'two.h5'", "it holds 2", "choose one")
    )
    dialog.form.edits["dataset"].set_value("filtered")
    dialog.again_button.click()
    qtbot.waitUntil(lambda: [c.shape for c in full.import_panel.candidates] == [(10, 16, 20)])
    assert full.import_panel.settings().dataset == "filtered"


def test_a_raw_file_is_added_after_saying_its_shape_and_type(full, tmp_path, make_volume, keep, qtbot):
    path = tmp_path / "scan.raw"
    make_volume((12, 16, 20), "uint16").tofile(path)
    full.choose([path])
    qtbot.waitUntil(lambda: "does not say its own size" in full.bar.text)
    full.bar._link.click()
    (dialog,) = full.findChildren(ReadingDialog)
    dialog.form.edits["raw_shape"].set_value((12, 16, 20))
    dialog.form.edits["raw_dtype"].set_value("uint16")
    dialog.again_button.click()
    qtbot.waitUntil(lambda: [c.shape for c in full.import_panel.candidates] == [(12, 16, 20)])


def test_a_setting_that_does_not_fit_is_said_on_the_button(full, scan, qtbot):
    choose(full, qtbot, scan)
    full.import_panel.voxel_size.boxes[0].setText("0.5")
    full.import_panel.changed.emit()
    assert not full.show_button.isEnabled()
    assert "z, y and x" in full.show_button.toolTip()


def test_cancelling_an_import_leaves_nothing_half_visible(full, tmp_path, make_volume, monkeypatch, qtbot):
    real = add_module.add

    def slowly(*given):
        for event in real(*given):
            time.sleep(0.3)
            yield event

    monkeypatch.setattr(add_module, "add", slowly)
    path = tmp_path / "long.npy"
    np.save(path, make_volume((40, 128, 96), "float32"))
    choose(full, qtbot, path)
    full.show_selected()
    qtbot.waitUntil(lambda: full.session.jobs.running is not None)
    full.strip.cancel_running()
    qtbot.waitUntil(lambda: full.session.jobs.running is None)
    assert "long" not in Study.open(full.session.study.path).volumes
    assert not list((full.session.study.path / "volumes").glob("*part*"))


def test_dropped_files_are_chosen_and_a_dropped_study_is_opened(widget, scan, study, qtbot):
    def drop(path: Path) -> None:
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path))])
        event = QDropEvent(
            QPointF(5, 5),
            Qt.DropAction.CopyAction,
            data,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        widget.dropEvent(event)

    drop(study.path)
    qtbot.waitUntil(lambda: widget.session.study is not None)
    drop(scan)
    qtbot.waitUntil(lambda: len(widget.import_panel.candidates) == 1)
    wait_idle(widget, qtbot)


def test_a_second_job_waits_in_the_strip(full, scan, qtbot):
    import time

    from napari_sortingloss.events import Progress

    def endless() -> Iterator[Any]:
        while True:
            yield Progress(done=1, total=4, what="step 1", seconds_left=90)
            time.sleep(0.01)

    job = full.session.jobs.submit("Training", endless)
    choose(full, qtbot, scan)
    full.show_selected()
    qtbot.waitUntil(lambda: job.progress is not None and len(full.strip.rows) == 2)
    first, second = full.strip.rows
    assert "25 %" in first._label.toolTip()
    assert "about 2 min left" in first._label.toolTip()
    assert "Training" in second._label.toolTip()
    job.cancel()
    qtbot.waitUntil(lambda: "scan" in full.session.volumes)


# ------------------------------------------------------------------------------------------------- looking and editing
def test_show_puts_the_selected_volumes_into_the_viewer(full, viewer, qtbot):
    full.table.select(("fish_a", "fish_b"))
    assert full.show_button.text() == "Show 2"
    full.show_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert [layer.name for layer in viewer.layers] == ["fish_a", "fish_b"]


def test_the_selected_volume_becomes_the_current_one_and_the_other_way_round(full, qtbot):
    full.table.select(("fish_b",))
    assert full.session.current_volume == "fish_b"
    full.session.set_current_volume("fish_a")
    assert full.table.selected() == ("fish_a",)


def test_the_strip_shows_slices_from_one_end_to_the_other(full, qtbot):
    qtbot.waitUntil(lambda: not full.details.strip.pictures[0].empty)
    assert [c.text() for c in full.details.strip.captions] == ["1", "6", "11", "16", "21"]


def test_axis_and_direction_are_edited_without_copying(full, qtbot):
    before = (full.session.study.path / "volumes" / "fish_a.zarr").stat().st_mtime_ns
    full.details.axis.set_value("y", "-")
    full.details.axis.changed.emit()
    qtbot.waitUntil(lambda: full.session.volumes["fish_a"].axis == "y")
    assert full.session.volumes["fish_a"].direction == "-"
    assert (full.session.study.path / "volumes" / "fish_a.zarr").stat().st_mtime_ns == before


def test_a_voxel_size_can_be_corrected_and_the_open_layer_follows(full, viewer, qtbot):
    full.show_selected()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    box = full.details.voxel_size.boxes[0]
    box.setText("0.8")
    box.editingFinished.emit()
    qtbot.waitUntil(lambda: viewer.layers[0].scale[0] == pytest.approx(0.8))
    assert full.session.study.volumes["fish_a"].voxel_size == pytest.approx((0.8, 0.25, 0.3))


@pytest.mark.parametrize("typed", ["-3", "0", "wide", "", "1e400"])
def test_a_voxel_size_that_makes_no_sense_is_refused_in_the_bar_and_goes_back(full, typed, qtbot):
    box = full.details.voxel_size.boxes[1]
    box.clear()
    qtbot.keyClicks(box, typed)
    assert box.text() == typed
    assert bool(box.property("wrong")) is bool(typed)
    box.editingFinished.emit()
    assert full.bar.level == "error"
    assert box.text() == "0.25"
    assert not box.property("wrong")
    assert full.session.study.volumes["fish_a"].voxel_size[1] == 0.25


def test_what_the_file_said_comes_back_with_one_click(full, qtbot):
    offer = full.details.size_row.as_in_file
    assert offer.isHidden()
    box = full.details.voxel_size.boxes[0]
    box.setText("0.8")
    box.editingFinished.emit()
    qtbot.waitUntil(lambda: not offer.isHidden())
    assert offer.text() == "As in the file: 0.4 × 0.25 × 0.3 mm"
    offer.click()
    qtbot.waitUntil(lambda: full.session.volumes["fish_a"].voxel_size == (0.4, 0.25, 0.3))
    qtbot.waitUntil(lambda: offer.isHidden())


def test_three_sizes_can_be_typed_one_after_the_other(own_viewer, study, qtbot):
    study.update_volume("fish_a", voxel_size=(1.0, 1.0, 1.0), unit="")
    widget = StudyWidget(own_viewer)
    own_viewer.window.add_dock_widget(widget)
    with qtbot.waitActive(own_viewer.window._qt_window):
        own_viewer.window._qt_window.show()
        own_viewer.window._qt_window.activateWindow()
    widget.open_path(study.path)
    qtbot.waitUntil(lambda: widget.table.selected() == ("fish_a",))
    widget.details.voxel_size.boxes[0].setFocus()
    qtbot.waitUntil(widget.details.voxel_size.boxes[0].hasFocus)
    for text in ("0.5", "0.4", "0.3"):
        assert not widget.bar.text
        qtbot.keyClicks(own_viewer.window._qt_window.focusWidget(), text)
        qtbot.keyClick(own_viewer.window._qt_window.focusWidget(), Qt.Key.Key_Tab)
    qtbot.waitUntil(lambda: widget.session.volumes["fish_a"].voxel_size == (0.5, 0.4, 0.3))
    assert widget.session.volumes["fish_a"].unit == "mm"


def test_a_volume_is_renamed_in_place_and_its_layer_follows(full, viewer, qtbot):
    full.show_selected()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    model = full.table.model_
    model.setData(model.index(0, 0), "head")
    qtbot.waitUntil(lambda: "head" in full.session.volumes)
    assert viewer.layers[0].name == "head"


def test_a_name_that_is_taken_is_refused_in_the_bar(full, qtbot):
    model = full.table.model_
    model.setData(model.index(0, 0), "fish_b")
    qtbot.waitUntil(lambda: full.bar.level == "error" and bool(full.bar.text))
    assert list(full.session.volumes) == ["fish_a", "fish_b"]


def test_a_volume_is_removed_only_after_a_yes(full, viewer, monkeypatch, qtbot):
    full.show_selected()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    monkeypatch.setattr(dialogs, "confirm_removal", lambda *_: False)
    full.table.remove_requested.emit(("fish_a",))
    monkeypatch.setattr(dialogs, "confirm_removal", lambda *_: True)
    assert list(full.session.study.volumes) == ["fish_a", "fish_b"]
    full.table.remove_requested.emit(("fish_a",))
    qtbot.waitUntil(lambda: list(full.session.volumes) == ["fish_b"])
    assert len(viewer.layers) == 0


def test_export_writes_a_file_and_says_where(full, tmp_path, monkeypatch, qtbot):
    target = tmp_path / "out.ome.tif"
    monkeypatch.setattr(dialogs, "choose_export", lambda *_: target)
    full.table.export_requested.emit(("fish_a",))
    qtbot.waitUntil(lambda: full.bar.level == "success" and bool(full.bar.text))
    assert target.is_file()
    assert str(target) in full.bar.text


# ------------------------------------------------------------------------------------------------ upside-down volumes
def mark_flipped(study: Study, name: str) -> None:
    entry = {
        "axis": "z",
        "direction": "+",
        "flipped": True,
        "mean_displacement": 9.0,
        "random_displacement": 8.0,
    }
    with study.new_run("pretrain", "sorting", {}) as writer:
        document = {"step": 1, "slices": 16, "volumes": {name: {"name": name, **entry}}}
        (writer.run.path / "order.json").write_text(json.dumps(document))


def test_a_volume_that_looks_upside_down_is_marked_and_flipped_with_one_click(
    full, study, qtbot, monkeypatch
):
    ordered: list[str] = []
    monkeypatch.setattr(full.actions_, "_order", lambda study, run, name: ordered.append(name))
    mark_flipped(study, "fish_b")
    full.session.refresh()
    qtbot.waitUntil(lambda: full.session.states["fish_b"].flipped)
    model = full.table.model_
    assert model.data(model.index(1, 0)) == "fish_b"
    cell = full.table.indexWidget(model.index(1, 1))
    assert cell.findChild(QLabel).text() == "⚠ upside down?"
    cell.findChild(type(full.show_button)).click()
    qtbot.waitUntil(lambda: full.session.volumes["fish_b"].direction == "-")
    qtbot.waitUntil(lambda: not full.session.states["fish_b"].flipped)
    assert model.data(model.index(1, 3)) == "z ↓"
    assert ordered == ["fish_b"]


@pytest.mark.parametrize(
    ("spearman", "level", "said"),
    [
        (0.66, "success", "fish_b is flipped; its slices now run the right way (Spearman 0.66)."),
        (0.1, "notice", "the network cannot tell which way its slices run (Spearman 0.10)."),
        (-0.7, "warning", "its slices come out in reverse (Spearman -0.70): it was right before."),
    ],
)
def test_after_a_flip_the_bar_says_what_came_of_it(full, study, monkeypatch, qtbot, spearman, level, said):
    def ordered(study: Study, settings: Any) -> Iterator[Any]:
        (name,) = settings.volumes
        yield Result(value={"volumes": [{"name": name, "spearman": spearman, "flipped": spearman < -0.5}]})

    monkeypatch.setattr("napari_sortingloss.pretext.jobs.order.order", ordered)
    mark_flipped(study, "fish_b")
    full.session.refresh()
    qtbot.waitUntil(lambda: full.session.states["fish_b"].flipped)
    full.actions_.flip("fish_b")
    qtbot.waitUntil(lambda: full.bar.text.endswith(said), timeout=20_000)
    assert full.bar.level == level


def test_ordering_again_that_fails_is_explained_and_the_flip_stays(full, study, monkeypatch, qtbot):
    def no_weights(*_: Any) -> Iterator[Any]:
        raise BadInput("Cannot order the volumes", "the run has no weights yet", "wait for it")
        yield

    monkeypatch.setattr("napari_sortingloss.pretext.jobs.order.order", no_weights)
    mark_flipped(study, "fish_a")
    full.session.refresh()
    qtbot.waitUntil(lambda: full.session.states["fish_a"].flipped)
    full.actions_.flip("fish_a")
    qtbot.waitUntil(lambda: full.bar.level == "error" and bool(full.bar.text))
    assert full.session.study.volumes["fish_a"].direction == "-"


# ------------------------------------------------------------------------------------------------------------ by hand
def test_the_context_menu_offers_what_fits_the_selection(full, keep):
    def enabled() -> dict[str, bool]:
        return {a.text().split("\t")[0]: a.isEnabled() for a in keep(full.table.context_menu()).actions()}

    assert all(enabled().values())
    full.table.select(("fish_a", "fish_b"))
    two = enabled()
    assert two["Show"]
    assert two["Remove from study…"]
    assert not two["Rename"]
    assert not two["Export volume…"]


def test_a_narrow_table_shortens_columns_and_at_last_scrolls_but_hides_none(keep, study, qtbot):
    table = keep(VolumeTable())
    table.set_rows(study.volumes, {})
    table.show()
    natural = [max(table.sizeHintForColumn(c), table.horizontalHeader().sectionSizeHint(c)) for c in range(5)]
    for width in (sum(natural) + 200, sum(natural) - 20, 200):
        table.resize(width, 200)
        qtbot.waitUntil(lambda width=width: table.width() == width)
        shown = [table.columnWidth(column) for column in range(5)]
        assert not any(table.isColumnHidden(column) for column in range(5))
        assert shown[3:] == natural[3:]
        assert shown[0] >= min(natural[0], 90)
        assert shown[2] >= 48
        scrolls = sum(shown) > table.viewport().width()
        qtbot.waitUntil(lambda scrolls=scrolls: table.horizontalScrollBar().isVisible() is scrolls)
        assert scrolls is (width == 200)


def test_every_control_can_be_reached_by_keyboard_and_has_a_name(full):
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QTableView

    full.bar.show_message("success", "Done.", "Next ▸", lambda: None, other=("Other ▸", lambda: None))
    for control in (*full.findChildren(QAbstractButton), *full.findChildren(QComboBox)):
        qt_s_own = isinstance(control.parent(), QTableView) or control.objectName().startswith("qt_")
        name = control.accessibleName() or getattr(control, "text", lambda: "")()
        assert name or qt_s_own, f"{control} in {control.parent()}"


def test_the_underlined_letters_do_what_the_list_of_keys_says(own_viewer, monkeypatch, qtbot):
    asked: list[str] = []
    for name in ("choose_study", "choose_new_study", "choose_files", "choose_folder", "layer_menu"):
        answer = [] if name == "choose_files" else None
        monkeypatch.setattr(
            dialogs, name, lambda *_, name=name, answer=answer: (asked.append(name), answer)[1]
        )
    widget = StudyWidget(own_viewer)
    own_viewer.window.add_dock_widget(widget)
    with qtbot.waitActive(own_viewer.window._qt_window):
        own_viewer.window._qt_window.show()
        own_viewer.window._qt_window.activateWindow()
    widget.header.new_button.setFocus()
    qtbot.waitUntil(lambda: widget.header.new_button.hasFocus())
    for key in "ONAEY":
        qtbot.keyClick(
            widget.header.new_button, getattr(Qt.Key, f"Key_{key}"), Qt.KeyboardModifier.AltModifier
        )
    qtbot.waitUntil(lambda: len(asked) == 5)
    assert asked == ["choose_study", "choose_new_study", "choose_files", "choose_folder", "layer_menu"]


def test_keys_in_the_table_act_on_the_selected_volume(full, viewer, monkeypatch, qtbot):
    asked: list[Any] = []
    monkeypatch.setattr(dialogs, "confirm_removal", lambda _, names: asked.append(names))
    full.table.remove_requested.emit(full.table.selected())
    shortcuts = {s.objectName(): s for s in full.table.findChildren(QShortcut)}
    shortcuts["study.show"].activated.emit()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    assert asked == [("fish_a",)]
    assert set(shortcuts) == {
        "study.show", "study.edit", "study.rename", "study.remove", "study.export", "study.flip"
    }  # fmt: skip


def test_both_themes_restyle_the_panel(full, viewer):
    sheets = set()
    for theme in ("light", "dark"):
        viewer.theme = theme
        sheets.add(full.styleSheet())
        assert full.colors.dark == (theme == "dark")
    assert len(sheets) == 2


def test_tab_goes_from_top_to_bottom_and_ends_at_the_primary_button(own_viewer, qtbot):
    widget = StudyWidget(own_viewer)
    own_viewer.window.add_dock_widget(widget)
    own_viewer.window._qt_window.show()
    order, step = [], widget.header.open_button
    while step is not widget.show_button and len(order) < 200:
        order.append(step)
        step = step.nextInFocusChain()
    assert widget.header.new_button in order
    assert order.index(widget.header.new_button) < order.index(widget.add_files_button)
    assert order[-1] is widget.discard_button
