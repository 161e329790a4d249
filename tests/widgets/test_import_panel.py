"""Files on their way into a study: what is seen and said of them before Add, and what is made of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDragLeaveEvent

from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.study.exchange import add as add_module
from napari_sortingloss.study.exchange.add_settings import AddSettings
from napari_sortingloss.study.exchange.convert import Stage
from napari_sortingloss.widgets.session.session import Session
from napari_sortingloss.widgets.study import new_study, survey
from napari_sortingloss.widgets.study.import_panel import ImportPanel
from napari_sortingloss.widgets.study.stage import StudyWidget
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.toolkit.fields import WholeBox

SHAPE = (12, 16, 20)


@pytest.fixture
def widget(viewer: Any, session: Session) -> StudyWidget:
    made = StudyWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


@pytest.fixture
def full(widget: StudyWidget, opened: Session, qtbot: Any) -> StudyWidget:
    """The widget with a study of two volumes."""
    qtbot.waitUntil(lambda: widget.table.selected() == ("fish_a",))
    return widget


@pytest.fixture
def save(tmp_path: Path, make_volume: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Write a volume into a folder of its own."""
    folder = tmp_path / "scans"
    folder.mkdir()

    def write(name: str, data: np.ndarray | None = None, dtype: str = "uint16") -> Path:
        np.save(folder / f"{name}.npy", make_volume(SHAPE, dtype) if data is None else data)
        return folder / f"{name}.npy"

    return write


@pytest.fixture
def mixed(save: Callable[..., Path]) -> list[Path]:
    """A volume in Hounsfield units and two of 8 bit."""
    chest = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 1400 - 900).astype(np.int16)
    return [save("chest", chest), save("iguana", dtype="uint8"), save("tooth", dtype="uint8")]


def choose(widget: StudyWidget, qtbot: Any, *paths: Path) -> ImportPanel:
    """Choose files and wait until all were looked at."""
    panel = widget.import_panel
    count = len(panel.candidates) + len(paths)
    widget.choose(list(paths))
    qtbot.waitUntil(
        lambda: len(panel.candidates) == count == len(panel.batch.looks) and not panel._soon.isActive()
    )
    return panel


def long_along(axis: int) -> np.ndarray:
    """A noisy cigar."""
    grid = np.meshgrid(*(np.linspace(-1, 1, 40 if i == axis else 16) for i in range(3)), indexing="ij")
    body = sum((g / 0.8) ** 2 for g in grid) < 1
    return (body * 150 + np.random.default_rng(0).integers(0, 20, body.shape)).astype(np.uint8)


# ------------------------------------------------------------------------------------------------------ the window
def test_it_is_said_for_how_many_files_the_window_holds(full, mixed, qtbot):
    panel = choose(full, qtbot, mixed[0])
    assert panel.window.whom.isHidden()
    assert panel.window.own.isHidden()
    choose(full, qtbot, *mixed[1:])
    assert panel.window.whom.text() == "for all 3"
    assert not panel.window.whom.isHidden()


def test_files_that_a_window_does_not_suit_are_named_and_one_click_away(full, mixed, qtbot):
    panel = choose(full, qtbot, *mixed)
    assert "window" not in panel.checks.text()
    panel.window.edit.set_value("-900:500")
    assert "⚠ 2 of 3 files fill less than a third of the window" in panel.checks.text()
    assert [panel.which.itemText(i) for i in range(3)] == ["chest", "iguana ⚠", "tooth ⚠"]
    panel.checks.linkActivated.emit("2")
    assert panel.current is not None
    assert panel.current.name == "tooth"


def test_a_file_may_have_a_window_of_its_own(full, mixed, qtbot):
    panel = choose(full, qtbot, *mixed)
    panel.window.edit.set_value("-900:500")
    panel.which.setCurrentIndex(1)
    panel.window.own.click()
    panel.window.edit.set_value("0:255")
    assert panel.window.whom.text() == "for this file only"
    assert [panel.which.itemText(i) for i in range(3)] == ["chest", "iguana · own window", "tooth ⚠"]
    panel.which.setCurrentIndex(0)
    assert panel.window.edit.value() == "-900:500"
    assert panel.window.whom.text() == "for the 2 others"
    full.show_selected()
    qtbot.waitUntil(lambda: "tooth" in full.session.volumes)
    windows = {name: record.window for name, record in full.session.volumes.items()}
    assert (windows["chest"], windows["iguana"], windows["tooth"]) == ((-900, 500), (0, 255), (-900, 500))
    qtbot.waitUntil(lambda: "1 of 2 volumes fills less than a third" in full.bar.text)


def test_a_file_goes_back_to_the_common_window(full, mixed, qtbot):
    panel = choose(full, qtbot, *mixed)
    panel.window.own.click()
    panel.window.edit.set_value("0:255")
    panel.window.own.click()
    assert panel.window.edit.value() == AddSettings().window
    assert panel.windows() == {}


def test_files_that_a_window_does_not_suit_get_percentiles_by_one_click(full, mixed, qtbot):
    panel = choose(full, qtbot, *mixed)
    panel.window.edit.set_value("-900:500")
    panel.checks.linkActivated.emit("percentiles")
    assert panel.windows() == {str(path): AddSettings().window for path in mixed[1:]}
    assert "window" not in panel.checks.text()


def test_a_window_upside_down_is_said_beside_it_and_not_added(full, mixed, qtbot):
    panel = choose(full, qtbot, mixed[0])
    panel.window.edit.set_value("500:-900")
    assert panel.window.whom.text() == "⚠ its lower end is not below its upper end"
    assert not panel.window.whom.isHidden()
    assert not full.show_button.isEnabled()


# -------------------------------------------------------------------------------------------------- looking at files
@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read, in order."""
    read: list[str] = []
    real = survey.look_at

    def counted(candidate: Any, options: ReadOptions) -> Any:
        read.append(candidate.name)
        return real(candidate, options)

    monkeypatch.setattr(survey, "look_at", counted)
    return read


def test_each_file_is_read_once_whatever_is_changed(full, mixed, looks, qtbot):
    panel = choose(full, qtbot, *mixed)
    for index in (1, 2, 0):
        panel.which.setCurrentIndex(index)
    panel.window.edit.set_value("0:255")
    panel.axis._take("x")
    panel.downsample.setValue(2)
    panel.voxel_size.set_value((0.4, 0.25, 0.3), "mm")
    qtbot.wait(50)
    assert sorted(looks) == ["chest", "iguana", "tooth"]


def test_only_files_for_which_it_matters_are_read_again_in_another_way(full, mixed, looks, tmp_path, qtbot):
    raw = tmp_path / "scan.raw"
    np.arange(np.prod(SHAPE), dtype=np.uint16).tofile(raw)
    panel = choose(full, qtbot, mixed[0])
    full.choose([raw], ReadOptions(raw_shape=SHAPE, raw_dtype="uint16"))
    qtbot.waitUntil(lambda: len(panel.batch.looks) == 2)
    assert looks == ["chest", "scan"]
    looks.clear()
    panel.more.edits["raw_dtype"].set_value("int16")
    qtbot.waitUntil(
        lambda: [c.dtype for c in panel.candidates] == ["int16", "int16"] and len(panel.batch.looks) == 2
    )
    assert looks == ["scan"]


def test_a_file_that_turns_out_unreadable_says_why_and_the_others_are_looked_at(
    full, mixed, monkeypatch, qtbot
):
    from napari_sortingloss.errors import BadInput

    real = survey.look_at

    def broken(candidate: Any, options: ReadOptions) -> Any:
        if candidate.name == "chest":
            raise BadInput("Cannot read 'chest.npy'", "it is cut off", "copy it again")
        return real(candidate, options)

    monkeypatch.setattr(survey, "look_at", broken)
    panel = full.import_panel
    full.choose(mixed)
    qtbot.waitUntil(lambda: len(panel.batch.looks) == 2)
    assert "it is cut off" in panel.about.text()
    assert panel.axis.strip.pictures[2].text == "no preview"


def test_what_was_being_read_for_a_discarded_batch_is_dropped(full, mixed, qtbot):
    full.choose(mixed)
    qtbot.waitUntil(lambda: bool(full.import_panel.candidates))
    full.discard()
    qtbot.waitUntil(lambda: not full.background.busy)
    assert not full.import_panel.batch.looks


def test_old_pictures_are_let_go_but_what_was_measured_stays(full, mixed, monkeypatch, looks, qtbot):
    monkeypatch.setattr("napari_sortingloss.widgets.study.batch.KEPT_BYTES", 1)
    panel = choose(full, qtbot, *mixed)
    assert sum(one.preview.voxels.size > 0 for one in panel.batch.looks.values()) == 1
    panel.window.edit.set_value("-900:500")
    assert "2 of 3 files" in panel.checks.text()
    panel.which.setCurrentIndex(1)
    qtbot.waitUntil(lambda: panel.look is not None)


# ------------------------------------------------------------------------------------------------------- the slices
def test_five_slices_follow_axis_and_direction_at_once(full, save, qtbot):
    data = np.zeros((12, 16, 20), np.uint8)
    data += np.arange(20, dtype=np.uint8) * 12  # brighter along x
    panel = choose(full, qtbot, save("ramp", data))

    def captions_and_greys() -> tuple[list[str], list[int]]:
        greys = [picture._image.pixelColor(1, 1).red() for picture in panel.axis.strip.pictures]
        return [caption.text() for caption in panel.axis.strip.captions], greys

    assert len(set(captions_and_greys()[1])) == 1
    panel.axis.edit.set_value("x", "+")
    panel.axis.edit.changed.emit()
    captions, greys = captions_and_greys()
    assert captions == ["1", "5", "9", "13", "17"]
    assert greys == sorted(greys)
    panel.axis.edit.set_value("x", "-")
    panel.axis.edit.changed.emit()
    assert captions_and_greys()[0] == captions
    assert captions_and_greys()[1] == sorted(captions_and_greys()[1], reverse=True)


def test_the_axis_that_stands_out_is_proposed_with_its_reason(full, save, qtbot):
    panel = choose(full, qtbot, save("cigar", long_along(1)))
    assert panel.settings().axis == "y"
    assert "Proposed: the specimen is" in panel.axis.proposal.text()
    assert "along y" in panel.axis.proposal.text()


def test_an_axis_that_a_person_chose_is_kept_and_the_proposal_said(full, save, qtbot):
    panel = choose(full, qtbot, save("first", long_along(1)))
    panel.axis.edit.set_value("x", "+")
    panel.axis.edit.changed.emit()
    choose(full, qtbot, save("second", long_along(1)))
    assert panel.settings().axis == "x"
    assert "⚠ y stands out" in panel.axis.proposal.text()
    panel.axis.proposal.linkActivated.emit("y")
    assert panel.settings().axis == "y"
    assert "Proposed" in panel.axis.proposal.text()


def test_where_nothing_stands_out_the_axis_is_z(full, save, qtbot):
    panel = choose(
        full, qtbot, save("noise", np.random.default_rng(0).integers(0, 255, (16, 16, 16), np.uint8))
    )
    assert panel.settings().axis == "z"
    assert panel.axis.proposal.text().startswith("No axis stands out")


def test_the_one_file_that_runs_otherwise_is_named(full, save, qtbot):
    panel = choose(
        full, qtbot, *(save(f"z{i}", long_along(0)) for i in range(2)), save("other", long_along(2))
    )
    assert panel.settings().axis == "z"
    assert "Another axis than z stands out in" in panel.checks.text()
    assert "other" in panel.checks.text()


# ---------------------------------------------------------------------------------------------- what is worth a look
def test_files_unlike_the_study_are_said_before_they_are_added(full, mixed, qtbot):
    panel = choose(full, qtbot, mixed[1])
    assert "The voxel size of 1 of 3 volumes (e.g. iguana) is not known" in panel.checks.text()
    panel.voxel_size.set_value((0.4, 0.25, 0.3), "um")
    panel.voxel_size.changed.emit()
    assert "The voxels are of different sizes" in panel.checks.text()
    panel.voxel_size.set_value((0.4, 0.25, 0.3), "mm")
    panel.axis.edit.set_value("x", "+")
    panel.axis.edit.changed.emit()
    assert "ordered along different axes: x (1, e.g. iguana), z (2, e.g. fish_a)" in panel.checks.text()


def test_a_typed_voxel_size_says_for_whom_it_holds_and_the_files_own_comes_back(
    full, mixed, viewer, make_volume, qtbot
):
    panel = choose(full, qtbot, *mixed)
    layer = viewer.add_image(make_volume(SHAPE), name="drawn", scale=(3, 2, 1), units=("um",) * 3)
    full.adding.choose_layer(layer)
    row = panel.size_row
    assert row.as_in_file.isHidden()
    panel.voxel_size.boxes[0].setText("0.4")
    panel.voxel_size.boxes[1].setText("0.25")
    panel.voxel_size.boxes[2].setText("0.3")
    panel.voxel_size.boxes[2].editingFinished.emit()
    assert row.remark.text() == "for all 4; their files differ"
    row.as_in_file.click()
    assert panel.settings().voxel_size is None
    assert row.as_in_file.isHidden()
    qtbot.waitUntil(lambda: len(panel.batch.looks) == 4)


def test_a_minus_is_not_swallowed_but_marked_and_refused(full, mixed, qtbot):
    panel = choose(full, qtbot, mixed[0])
    box = panel.voxel_size.boxes[0]
    qtbot.keyClicks(box, "-3")
    box.editingFinished.emit()
    assert box.text() == "-3"
    assert box.property("wrong")
    assert panel.size_row.remark.text() == "⚠ a voxel has a size above 0"
    assert not full.show_button.isEnabled()
    assert "-3" in full.show_button.toolTip()


def test_a_number_box_does_not_turn_minus_three_into_three(keep, qtbot):
    box = keep(WholeBox())
    box.setRange(1, 64)
    box.setValue(5)
    box.selectAll()
    qtbot.keyClicks(box, "-3")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert box.value() == 5


def test_fields_for_reading_are_shown_only_where_a_file_needs_them(full, mixed, tmp_path, qtbot):
    panel = choose(full, qtbot, mixed[0])
    form = panel.more.edits["raw_shape"].widget.parentWidget().layout()
    fields = ("dataset", "raw_shape", "raw_dtype", "raw_offset", "raw_big_endian")
    assert not any(form.isRowVisible(panel.more.edits[name].widget) for name in fields)
    raws = [tmp_path / "a.raw", tmp_path / "b.raw"]
    for raw in raws:
        np.arange(np.prod(SHAPE), dtype=np.uint16).tofile(raw)
    full.choose(raws, ReadOptions(raw_shape=SHAPE, raw_dtype="uint16"))
    qtbot.waitUntil(lambda: len(panel.batch.looks) == 3)
    shown = [name for name in fields if form.isRowVisible(panel.more.edits[name].widget)]
    assert shown == list(fields[1:])
    assert form.labelForField(panel.more.edits["raw_shape"].widget).text() == "Raw shape, for all 2"


# --------------------------------------------------------------------------------------------------------- the batch
def test_more_files_are_added_to_those_chosen_and_none_twice(full, mixed, qtbot):
    panel = choose(full, qtbot, *mixed[:2])
    assert not full.add_row.isHidden()
    choose(full, qtbot, mixed[2])
    assert [one.name for one in panel.candidates] == ["chest", "iguana", "tooth"]
    assert panel.which.currentIndex() == 0
    full.choose([mixed[1], mixed[1].parent / "." / mixed[0].name])
    qtbot.waitUntil(lambda: "chosen already" in full.bar.text)
    assert len(panel.candidates) == 3


def test_a_layer_joins_the_files(full, mixed, viewer, make_volume, qtbot):
    panel = choose(full, qtbot, mixed[0])
    layer = viewer.add_image(make_volume(SHAPE), name="drawn", scale=(3, 2, 1), units=("um",) * 3)
    full.adding.choose_layer(layer)
    full.adding.choose_layer(layer)
    assert [one.name for one in panel.candidates] == ["chest", "drawn"]
    full.show_selected()
    qtbot.waitUntil(lambda: {"chest", "drawn"} <= set(full.session.volumes))


def change_everything(panel: ImportPanel) -> None:
    panel.axis.edit.set_value("x", "-")
    panel.axis.edit.changed.emit()
    panel.window.edit.set_value("0:255")
    panel.downsample.setValue(2)
    panel.voxel_size.set_value((0.4, 0.25, 0.3), "um")
    panel.more.edits["raw_offset"].set_value(7)
    panel.more.edits["dataset"].set_value("raw")
    panel.more.edits["name"].set_value("mine")
    panel.window.own.click()


def settings_and_windows(panel: ImportPanel) -> tuple[Any, ...]:
    return panel.settings().replace(paths=()), panel.windows()


@pytest.mark.parametrize("how", ["discard", "show_selected"])
def test_discard_and_add_forget_all_that_was_chosen(full, save, how, qtbot):
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 16), np.uint8)
    panel = choose(full, qtbot, save("one", noise))
    change_everything(panel)
    getattr(full, how)()
    assert panel.isHidden()
    choose(full, qtbot, save("two", noise))
    assert settings_and_windows(panel) == (AddSettings(), {})
    assert panel.window.edit.value() == AddSettings().window
    assert full.show_button.text() == "Add 1 volume"
    qtbot.waitUntil(lambda: how == "discard" or "mine" in full.session.volumes)


def test_all_that_cannot_be_read_are_named_with_their_reasons_behind_details(full, mixed, tmp_path, qtbot):
    bad = [tmp_path / name for name in ("a.tif", "b.nii.gz", "c.h5")]
    for path in bad:
        path.write_bytes(b"")
    choose(full, qtbot, mixed[0])
    full.choose([*bad, mixed[1]])
    qtbot.waitUntil(lambda: full.bar.text == "3 cannot be read and are left out: a.tif, b.nii.gz, c.h5.")
    assert full.bar.level == "warning"
    full.bar._details_button.click()
    details = full.bar._details.toPlainText().splitlines()
    assert [line.split(":")[0] for line in details] == [f"Cannot read '{path.name}'" for path in bad]
    assert all("empty" in line for line in details)


def test_only_files_that_cannot_be_read_are_named_too(full, tmp_path, qtbot):
    bad = [tmp_path / name for name in ("a.tif", "b.nii.gz")]
    for path in bad:
        path.write_bytes(b"")
    full.choose(bad)
    qtbot.waitUntil(lambda: "a.tif, b.nii.gz" in full.bar.text)
    assert full.bar.level == "error"


def test_volumes_that_could_not_be_added_are_all_named(full):
    failed = [{"path": f"/data/{name}.tif", "error": f"{name} is cut off"} for name in "abc"]
    full.adding.after({"volumes": [{"name": "fish_b"}], "failed": failed})
    assert full.bar.text.startswith("1 volume added. 3 could not be: a.tif, b.tif, c.tif.")
    full.bar._details_button.click()
    assert full.bar._details.toPlainText().splitlines() == ["a is cut off", "b is cut off", "c is cut off"]


def test_where_all_fail_while_they_are_added_all_are_named(full, save, qtbot):
    flat = np.full(SHAPE, 7, np.uint8)
    choose(full, qtbot, save("one", flat), save("two", flat))
    full.show_selected()
    qtbot.waitUntil(lambda: full.bar.text == "Nothing was added. Cannot add 'one.npy'; Cannot add 'two.npy'.")
    full.bar._details_button.click()
    assert full.bar._details.toPlainText().count("every voxel has the value 7") == 2


def test_slices_that_are_chosen_one_by_one_are_one_volume(full, tmp_path, make_volume, qtbot):
    paths = [tmp_path / f"slice_{i}.tif" for i in range(5)]
    for path, image in zip(paths, make_volume((5, 16, 20)), strict=True):
        tifffile.imwrite(path, image)
    full.choose(paths)
    qtbot.waitUntil(lambda: [one.shape for one in full.import_panel.candidates] == [(5, 16, 20)])
    assert not full.bar.text
    qtbot.waitUntil(lambda: full.import_panel.look is not None)


def test_a_study_among_files_is_said_to_be_left_out(full, study, mixed, qtbot):
    full.choose([study.path, mixed[0]])
    qtbot.waitUntil(lambda: "'study' is a study: open it by itself." in full.bar.text)
    qtbot.waitUntil(lambda: full.import_panel.look is not None)


# ------------------------------------------------------------------------------------------------ after they are added
def test_the_first_volume_is_shown_while_the_others_are_being_added(full, mixed, viewer, monkeypatch, qtbot):
    waiting: list[bool] = []
    real = add_module.convert

    def held(study: Any, source: Any, *given: Any) -> Any:
        while source.name == "iguana" and not waiting:
            time.sleep(0.05)
            yield Stage("waiting", 0.0)
        return (yield from real(study, source, *given))

    monkeypatch.setattr(add_module, "convert", held)
    choose(full, qtbot, *mixed)
    full.show_selected()
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers if layer.visible] == ["chest"])
    assert full.session.jobs.running is not None
    assert full.table.selected() == ("chest",)
    waiting.append(True)
    qtbot.waitUntil(lambda: "3 volumes added" in full.bar.text)


def test_a_person_at_work_elsewhere_is_not_disturbed(full, mixed, viewer, monkeypatch, qtbot):
    full.show_selected()
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers if layer.visible] == ["fish_a"])
    monkeypatch.setattr(StudyWidget, "in_sight", property(lambda self: False))
    choose(full, qtbot, mixed[0])
    full.show_selected()
    qtbot.waitUntil(lambda: "1 volume added" in full.bar.text)
    qtbot.waitUntil(lambda: not full.background.busy)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["fish_a"]


def test_the_bar_offers_painting_and_pre_training(full, mixed, qtbot):
    asked: list[str] = []
    full.session.stage_requested.connect(asked.append)
    choose(full, qtbot, mixed[0])
    full.show_selected()
    qtbot.waitUntil(lambda: "or paint a slice" in full.bar.text)
    full.session.set_current_volume("fish_b")
    paint, pretrain = full.bar._links[:2]
    assert [paint.text(), pretrain.text()] == ["Paint a slice ▸", "Pre-train ▸"]
    paint.click()
    assert (asked, full.session.current_volume) == (["Annotate"], "chest")
    assert not full.bar.text
    full.adding.after({"volumes": [{"name": "chest"}]})
    pretrain.click()
    assert asked == ["Annotate", "Pre-train"]


# ----------------------------------------------------------------------------------------------- before a study is open
def test_without_a_study_one_is_proposed_beside_the_files_and_made_by_the_same_click(widget, mixed, qtbot):
    panel = choose(widget, qtbot, *mixed)
    line = panel.new_study
    qtbot.waitUntil(lambda: line.place is not None)
    assert not line.isHidden()
    assert line.place.folder == mixed[0].parent / "scans-study"
    assert line.name.text() == "scans-study"
    assert widget.show_button.text() == "Make the study, add 3"
    assert widget.show_button.isEnabled()
    widget.show_button.click()
    qtbot.waitUntil(lambda: len(widget.session.volumes) == 3)
    assert widget.session.study.path == mixed[0].parent / "scans-study"
    assert panel.new_study.isHidden()


def test_name_and_place_of_the_new_study_can_be_changed(widget, mixed, tmp_path, monkeypatch, qtbot):
    line = choose(widget, qtbot, mixed[0]).new_study
    qtbot.waitUntil(lambda: line.place is not None)
    line.name.selectAll()
    qtbot.keyClicks(line.name, "lizards")
    qtbot.waitUntil(lambda: line.place is not None and line.place.folder == mixed[0].parent / "lizards")
    monkeypatch.setattr(dialogs, "choose_new_study", lambda *_, **__: tmp_path / "elsewhere" / "mine")
    line.elsewhere.click()
    qtbot.waitUntil(lambda: line.place is not None and line.place.folder == tmp_path / "elsewhere" / "mine")
    assert line.name.text() == "mine"
    qtbot.waitUntil(lambda: widget.show_button.isEnabled())
    widget.show_button.click()
    qtbot.waitUntil(lambda: "chest" in widget.session.volumes)
    assert widget.session.study.path == tmp_path / "elsewhere" / "mine"


@pytest.mark.parametrize(
    ("typed", "said"), [("", "a name"), ("a/b", "a name"), ("taken", "something of that name")]
)
def test_a_name_that_cannot_be_is_said_and_nothing_is_made(widget, mixed, typed, said, qtbot):
    (mixed[0].parent / "taken").write_text("")
    line = choose(widget, qtbot, mixed[0]).new_study
    qtbot.waitUntil(lambda: line.place is not None)
    line.name.selectAll()
    qtbot.keyClick(line.name, Qt.Key.Key_Delete)
    qtbot.keyClicks(line.name, typed)
    qtbot.waitUntil(lambda: line.place is not None and said in line.remark.text())
    assert not widget.show_button.isEnabled()
    assert said in widget.show_button.toolTip()


def test_where_nothing_can_be_written_beside_the_files_the_home_folder_is_proposed(tmp_path, monkeypatch):
    scans, home = tmp_path / "scans", tmp_path / "home"
    scans.mkdir()
    home.mkdir()
    monkeypatch.setattr(new_study.os, "access", lambda path, mode: Path(path) != scans)
    place = new_study.propose([scans / "a.nii"], home)
    assert place.folder == home / "scans-study"
    assert place.remark == f"In your home folder: nothing can be written to '{scans}'."
    assert place.problem == ""


def test_a_folder_has_its_study_beside_it_and_a_name_that_is_free(tmp_path):
    (tmp_path / "lizards").mkdir()
    (tmp_path / "lizards-study").mkdir()
    assert new_study.propose([tmp_path / "lizards"], tmp_path).folder == tmp_path / "lizards-study-2"
    assert new_study.propose([], tmp_path).folder == tmp_path / "my-study"


def test_a_study_that_cannot_be_made_is_explained_and_the_files_stay_chosen(widget, mixed, qtbot):
    panel = choose(widget, qtbot, mixed[0])
    qtbot.waitUntil(lambda: panel.new_study.place is not None)
    (mixed[0].parent / "scans-study").write_text("in the way")
    widget.show_button.click()
    qtbot.waitUntil(lambda: "there is a file of that name" in widget.bar.text)
    assert [one.name for one in panel.candidates] == ["chest"]
    assert widget.show_button.isEnabled()


def test_where_to_drop_files_is_shown_while_they_are_dragged(widget, mixed):
    assert "Drop CT volumes here" in widget.hint.text()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(mixed[0]))])
    action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    enter = QDragEnterEvent(QPoint(5, 5), action, data, button, Qt.KeyboardModifier.NoModifier)
    widget.dragEnterEvent(enter)
    assert enter.isAccepted()
    assert not widget.drop_here.isHidden()
    assert widget.drop_here.geometry() == widget.rect()
    widget.dragLeaveEvent(QDragLeaveEvent())
    assert widget.drop_here.isHidden()
