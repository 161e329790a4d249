"""Keys by real events: not while a person types, none of napari's, where the focus goes, and the list that says which work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from localizing import localize, statuses, trained
from napari._app_model import get_app_model
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.shortcuts import default_shortcuts
from painting import opened, settled, two_classes
from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMainWindow,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QTextEdit,
    QWidget,
)

from napari_sortingloss.study.classes import read_classes
from napari_sortingloss.widgets.annotate import help
from napari_sortingloss.widgets.annotate.stage import AnnotateWidget
from napari_sortingloss.widgets.localize.stage import LocalizeWidget
from napari_sortingloss.widgets.pretrain.stage import PretrainWidget
from napari_sortingloss.widgets.segment.stage import SegmentWidget
from napari_sortingloss.widgets.session.session import session_of
from napari_sortingloss.widgets.stage import Stage
from napari_sortingloss.widgets.study.stage import StudyWidget
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.toolkit.shortcuts import (
    SHORTCUTS,
    Button,
    Key,
    ShortcutList,
    bind,
    canvas_key,
    keys_of,
    listed,
)
from napari_sortingloss.widgets.workbench import Workbench

CTRL, ALT, SHIFT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
PLAIN = [s for s in SHORTCUTS if not s.mnemonic and s.id not in ("any.help", "any.dismiss")]
TYPED = [s for s in PLAIN if not {"Alt", "Ctrl"} & set(s.keys.split("+")) or s.keys.endswith("Z")]


@pytest.fixture
def window(qtbot: Any) -> Iterator[QMainWindow]:
    """A plain window in front, for widgets that do not need napari's."""
    made = QMainWindow()
    made.resize(420, 700)
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    yield made
    made.close()
    made.deleteLater()


def press(keys: str, widget: QWidget | None = None) -> None:
    """Press keys as a person does: on the widget that has the focus, or on the menu that is open."""
    from qtpy.QtTest import QTest

    combination = QKeySequence(keys)[0]
    QTest.keyClick(
        widget or QApplication.focusWidget(), Qt.Key(combination.key()), combination.keyboardModifiers()
    )


def focus(widget: QWidget, qtbot: Any) -> QWidget:
    qtbot.waitUntil(widget.isVisible)
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus)
    return widget


def click(widget: QWidget, at: QPoint, qtbot: Any) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=at)


# ------------------------------------------------------------------------------------------------------ while one types
@pytest.fixture
def stage(window: QMainWindow) -> Stage:
    """A stage that has nothing but every key of the registry, and notes what they ask for."""
    made = Stage(ViewerModel())
    made.asked = []
    taken = {"F1", "Escape", "Ctrl+Return", "Ctrl+."}
    for shortcut in PLAIN:
        if shortcut.keys not in taken:
            taken.add(shortcut.keys)
            bind(made, shortcut.id, lambda keys=shortcut.keys: made.asked.append(keys))
    window.setCentralWidget(made)
    return made


def spin() -> QSpinBox:
    made = QSpinBox()
    made.setRange(0, 9999)
    made.setKeyboardTracking(False)
    return made


def editable() -> QComboBox:
    made = QComboBox()
    made.addItems(["one", "two"])
    made.setEditable(True)
    return made


EDITORS = {
    "line": QLineEdit,
    "number": spin,
    "menu with a line": editable,
    "text": QPlainTextEdit,
    "rich text": QTextEdit,
}


@pytest.fixture(params=EDITORS)
def editor(request: Any, stage: Stage, qtbot: Any) -> QWidget:
    made = EDITORS[request.param]()
    stage.body.addWidget(made)
    made.show()
    return focus(made, qtbot)


def test_no_single_key_acts_while_a_person_types(stage, editor):
    for shortcut in TYPED:
        press(shortcut.keys)
    assert stage.asked == []


def test_nothing_that_is_typed_reaches_the_window_where_napari_would_give_it_to_the_image(
    stage, editor, window, monkeypatch
):
    seen: list[int] = []
    monkeypatch.setattr(
        type(window), "keyPressEvent", lambda _, event: seen.append(event.key()), raising=False
    )
    for keys in (*(s.keys for s in TYPED), "Enter", "E", "[", "Backspace", "Space", "Down"):
        press(keys)
    assert set(seen) <= {Qt.Key.Key_Control, Qt.Key.Key_Shift}


def test_commands_act_while_a_person_types_and_what_was_typed_counts_first(stage, qtbot):
    number = spin()
    stage.body.addWidget(number)
    started: list[int] = []
    stage.add_button("Start", lambda: started.append(number.value()), primary=True)
    focus(number, qtbot).selectAll()
    qtbot.keyClicks(number, "500")
    assert number.value() == 0
    press("Ctrl+Return")
    assert started == [500]
    assert number.hasFocus()


def test_a_line_that_is_being_typed_is_taken_over_before_a_command(stage, qtbot):
    line, heard = QLineEdit(), []
    line.editingFinished.connect(lambda: heard.append(line.text()))
    stage.body.addWidget(line)
    stage.add_button("Start", lambda: heard.append("started"), primary=True)
    focus(line, qtbot)
    qtbot.keyClicks(line, "0.25")
    press("Ctrl+Return")
    assert heard == ["0.25", "started"]


def test_return_in_a_number_takes_the_number(stage, qtbot):
    number = spin()
    stage.body.addWidget(number)
    focus(number, qtbot).selectAll()
    qtbot.keyClicks(number, "31")
    press("Return")
    assert (number.value(), stage.asked) == (31, [])


def test_escape_dismisses_the_message_from_an_input_and_from_the_panel(stage, qtbot):
    line = QLineEdit("kept")
    stage.body.addWidget(line)
    for widget in (line, stage):
        stage.bar.show_message("notice", "read me")
        focus(widget, qtbot)
        press("Escape")
        assert stage.bar.text == ""
    assert line.text() == "kept"


def test_text_that_can_only_be_read_takes_no_keys_away(stage, qtbot):
    text = QPlainTextEdit("details")
    text.setReadOnly(True)
    stage.body.addWidget(text)
    focus(text, qtbot)
    press("S")
    press("Return")
    assert stage.asked == ["S", "Return"]


def test_keys_belong_to_the_menu_that_is_open(stage, qtbot):
    chosen: list[str] = []
    menu = QMenu(stage)
    menu.addAction("&Skip all").triggered.connect(lambda: chosen.append("skip all"))
    menu.addAction("Other")
    focus(stage, qtbot)
    menu.popup(stage.mapToGlobal(QPoint(20, 20)))
    qtbot.waitUntil(lambda: QApplication.activePopupWidget() is menu)
    press("S", menu)
    assert (chosen, stage.asked) == (["skip all"], [])
    menu.deleteLater()


def test_keys_belong_to_the_list_of_a_menu_that_is_open(stage, qtbot):
    combo = QComboBox()
    combo.addItems(["one", "two", "seven"])
    stage.body.addWidget(combo)
    stage.bar.show_message("notice", "stays")
    focus(combo, qtbot)
    combo.showPopup()
    view = combo.view()
    qtbot.waitUntil(view.hasFocus)
    press("S", view)
    press("Return", view)
    assert (combo.currentText(), stage.asked) == ("seven", [])
    combo.showPopup()
    press("Escape", view)
    qtbot.waitUntil(lambda: not view.isVisible())
    assert stage.bar.text == "stays"


# --------------------------------------------------------------------------------------------------- in the real tables
@pytest.fixture
def volumes(window: QMainWindow, viewer: Any, study: Any, qtbot: Any) -> StudyWidget:
    made = StudyWidget(viewer)
    window.setCentralWidget(made)
    made.session.set_study(study)
    qtbot.waitUntil(lambda: made.table.model_.rowCount() == 2)
    made.table.select(("fish_a",))
    focus(made.table, qtbot)
    return made


def renaming(volumes: StudyWidget, qtbot: Any) -> QLineEdit:
    press("F2")
    qtbot.waitUntil(lambda: isinstance(QApplication.focusWidget(), QLineEdit))
    found = QApplication.focusWidget()
    found.selectAll()
    return found


def test_return_while_renaming_renames_and_shows_nothing(volumes, viewer, qtbot):
    editor = renaming(volumes, qtbot)
    qtbot.keyClicks(editor, "iguana")
    press("Return")
    qtbot.waitUntil(lambda: "iguana" in volumes.session.volumes)
    assert len(viewer.layers) == 0
    qtbot.waitUntil(volumes.table.hasFocus)
    volumes.table.select(("iguana",))
    press("Return")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)


@pytest.mark.parametrize(
    "keys", ["Delete", "F2", "Alt+Return", "Alt+X", "Alt+R", "Ctrl+Return", "S", "Ctrl+Z"]
)
def test_no_key_of_the_table_acts_while_a_volume_is_renamed(volumes, viewer, monkeypatch, keys, qtbot):
    asked: list[str] = []
    for name in ("confirm_removal", "choose_export"):
        monkeypatch.setattr(dialogs, name, lambda *_, name=name: asked.append(name))
    before = volumes.session.volumes["fish_a"].direction
    renaming(volumes, qtbot)
    press(keys)
    qtbot.wait(20)
    assert asked == []
    assert len(viewer.layers) == 0
    assert volumes.session.volumes["fish_a"].direction == before


def test_escape_while_renaming_leaves_the_name_and_the_message(volumes, qtbot):
    volumes.bar.show_message("notice", "stays")
    editor = renaming(volumes, qtbot)
    qtbot.keyClicks(editor, "x")
    press("Escape")
    qtbot.waitUntil(volumes.table.hasFocus)
    assert set(volumes.session.volumes) == {"fish_a", "fish_b"}
    assert volumes.bar.text == "stays"


@pytest.fixture
def painted(window: QMainWindow, viewer: Any, study: Any, qtbot: Any) -> AnnotateWidget:
    two_classes(study)
    made = AnnotateWidget(viewer)
    window.setCentralWidget(made)
    made.session.set_study(study)
    opened(made.annotating, qtbot, "fish_a")
    settled(made.annotating, qtbot)
    qtbot.waitUntil(lambda: made.complete_button.isEnabled())
    return made


def test_the_name_of_a_class_may_hold_every_letter_that_is_a_key(painted, study, qtbot):
    table = painted.classes.table
    table.select(1)
    focus(table, qtbot)
    press("F2")
    qtbot.waitUntil(lambda: isinstance(QApplication.focusWidget(), QLineEdit))
    editor = QApplication.focusWidget()
    editor.selectAll()
    before = painted.annotating.slice_in_view()
    qtbot.keyClicks(editor, "CNMGI 120")
    press("Ctrl+Z")
    press("Ctrl+Shift+Z")
    press("Delete")
    press("Return")
    qtbot.waitUntil(lambda: read_classes(study)[0].name == "CNMGI 120", timeout=5000)
    settled(painted.annotating, qtbot)
    assert painted.annotating.slice_in_view() == before
    assert painted.annotating.status() == "empty"
    assert len(read_classes(study)) == 2


@pytest.fixture
def found(window: QMainWindow, viewer: Any, study: Any, qtbot: Any) -> LocalizeWidget:
    """The Localize stage with both fish to check."""
    run = trained(study)
    for name in ("fish_a", "fish_b"):
        localize(study, name, run)
    made = LocalizeWidget(viewer)
    window.resize(420, 900)
    window.setCentralWidget(made)
    made.session.set_study(study)
    qtbot.waitUntil(lambda: statuses(made) == ["found", "found"])
    qtbot.waitUntil(lambda: made.review.layers.plan is not None)
    return made


def test_no_verdict_is_given_while_a_number_of_the_box_is_typed(found, qtbot):
    for number in (found.panel.sliders.rows["z"].low, found.panel.fraction.box):
        focus(number, qtbot)
        for keys in ("S", "R", "N", "Return"):
            press(keys)
    assert statuses(found) == ["found", "found"]


def test_the_keys_of_the_review_work_at_the_sliders_too(found, qtbot):
    focus(found.panel.fraction.slider, qtbot)
    press("Return")
    qtbot.waitUntil(lambda: statuses(found) == ["accepted", "found"])
    press("S")
    qtbot.waitUntil(lambda: statuses(found) == ["accepted", "skipped"])


def test_no_verdict_is_given_while_a_menu_is_open(found, qtbot):
    focus(found.table, qtbot)
    menu = found.table.context_menu()
    menu.popup(found.table.mapToGlobal(QPoint(5, 5)))
    qtbot.waitUntil(lambda: QApplication.activePopupWidget() is menu)
    press("S", menu)
    press("Escape", menu)
    assert statuses(found) == ["found", "found"]
    menu.deleteLater()


# ----------------------------------------------------------------------------------------------------- where the focus is
def test_a_click_into_the_empty_panel_gives_its_keys_to_the_table(found, qtbot):
    outside = QLineEdit()
    found.window().setMenuWidget(outside)
    focus(outside, qtbot)
    click(found.checked, QPoint(3, 3), qtbot)
    assert found.table.hasFocus()
    press("S")
    qtbot.waitUntil(lambda: statuses(found) == ["skipped", "found"])


@pytest.mark.parametrize("kind", [StudyWidget, PretrainWidget, LocalizeWidget, AnnotateWidget, SegmentWidget])
def test_a_click_into_the_empty_panel_lets_its_keys_work(window, viewer, kind, qtbot):
    made = kind(viewer)
    row = QWidget()
    outside = QLineEdit()
    layout = QHBoxLayout(row)
    layout.addWidget(made, 1)
    layout.addWidget(outside)
    window.setCentralWidget(row)
    made.bar.show_message("notice", "read me")
    focus(outside, qtbot)
    qtbot.waitUntil(made.isVisible)
    click(made.scroll.widget(), QPoint(made.scroll.widget().width() - 3, 200), qtbot)
    press("Escape")
    assert made.bar.text == ""


def test_after_accept_by_mouse_the_keys_of_the_table_go_on(found, qtbot):
    focus(found.table, qtbot)
    click(found.accept_button, found.accept_button.rect().center(), qtbot)
    qtbot.waitUntil(lambda: statuses(found) == ["accepted", "found"])
    assert found.table.hasFocus()
    press("S")
    qtbot.waitUntil(lambda: statuses(found) == ["accepted", "skipped"])


def test_after_accept_by_space_the_next_space_does_not_skip_a_volume(found, qtbot):
    focus(found.accept_button, qtbot)
    press("Space")
    qtbot.waitUntil(lambda: statuses(found) == ["accepted", "found"])
    assert not found.skip_button.hasFocus()
    press("Space")
    assert statuses(found) == ["accepted", "found"]


@pytest.mark.parametrize(
    "go", [lambda b: b.hide(), lambda b: b.setEnabled(False), lambda b: b.parentWidget().hide()]
)
def test_the_focus_goes_home_when_the_button_with_it_goes(found, go, qtbot):
    row = QWidget()
    button, other = QPushButton("gone"), QPushButton("not meant")
    layout = QHBoxLayout(row)
    layout.addWidget(button)
    layout.addWidget(other)
    found.body.addWidget(row)
    focus(button, qtbot)
    go(button)
    assert found.table.hasFocus()


def test_no_button_takes_the_focus_from_a_click(window, viewer, study, qtbot):
    bench = Workbench(viewer)
    window.setCentralWidget(bench)
    trained(study)
    session_of(viewer).set_study(study)
    qtbot.waitUntil(lambda: len(session_of(viewer).runs) == 1)
    for title, stage in bench.stages.items():
        bench.show_stage(title)
        qtbot.wait(20)
        for button in stage.findChildren(QAbstractButton):
            assert not button.focusPolicy() & Qt.FocusPolicy.ClickFocus, (title, button.text())


def test_another_tab_gets_the_focus_where_its_keys_work(window, viewer, study, qtbot):
    run = trained(study)
    localize(study, "fish_a", run)
    bench = Workbench(viewer)
    window.setCentralWidget(bench)
    session_of(viewer).set_study(study)
    table = bench.stages["Localize"].table
    qtbot.waitUntil(lambda: len(table.model_.rows) == 2)
    bar = bench.tabs.tabBar()
    click(bar, bar.tabRect(2).center(), qtbot)
    assert table.hasFocus()
    click(bar, bar.tabRect(0).center(), qtbot)
    assert bench.stages["Study"].table.hasFocus()
    bench.stages["Study"].go_to("Annotate")
    assert (
        bench.stages["Annotate"].isAncestorOf(QApplication.focusWidget())
        or bench.stages["Annotate"].hasFocus()
    )


# ------------------------------------------------------------------------------------------------------ none of napari's
OURS_TOO = {
    "annotate.class": "digits are the classes', as its panel and the status bar say",
    "annotate.new_class": "the same: a new label",
    "annotate.undo": "the same, over sessions",
    "annotate.redo": "the same, over sessions",
}
"""Keys of napari over a Labels layer that are ours on purpose."""
STANDARD = {
    "any.help": "HelpContents",
    "any.dismiss": "Cancel",
    "study.remove": "Delete",
    "annotate.remove": "Delete",
    "annotate.undo": "Undo",
    "annotate.redo": "Redo",
    "study.show": "InsertParagraphSeparator",
    "localize.accept": "InsertParagraphSeparator",
}
"""Keys that mean the same everywhere."""


def of_the_window(viewer: Any) -> dict[str, str]:
    """Return the keys of napari's menus, and of every command of its window, on this platform."""
    found = {
        QKeySequence(str(rule.keybinding)).toString(): rule.command_id for rule in get_app_model().keybindings
    }
    menus = list(viewer.window._qt_window.menuBar().actions())
    found |= {QKeySequence.mnemonic(action.text()).toString(): action.text() for action in menus}
    while menus:
        action = menus.pop()
        menus += action.menu().actions() if action.menu() is not None else []
        found |= {keys.toString(): action.text() for keys in action.shortcuts()}
    found.pop("", None)
    return found


def test_no_key_is_one_of_napari_menus_and_actions(own_viewer):
    napari = of_the_window(own_viewer)
    assert {"Alt+V", "Alt+P", "Alt+S", "Alt+C", "Ctrl+N"} <= set(napari)
    for shortcut in SHORTCUTS:
        keys = QKeySequence(shortcut.keys).toString()
        assert keys not in napari, f"{shortcut.id} is napari's {napari.get(keys)}"


@pytest.mark.parametrize("menu", ["File", "View", "Layers", "Plugins", "Debug", "Window", "Help"])
def test_no_letter_is_one_of_a_menu_that_napari_may_have(menu):
    assert f"Alt+{menu[0]}" not in {s.keys for s in SHORTCUTS}


def test_no_key_over_the_image_is_one_of_napari_there_but_those_that_are_meant_to_be():
    napari = {
        str(key)
        for action, keys in default_shortcuts.items()
        for key in keys
        if "labels" in action
        or action.removeprefix("napari:")
        in ("new_label", "swap_selected_and_background_labels", "decrease_label_id", "increase_label_id")
        or "brush" in action
        or "polygon" in action.rpartition(":")[2].split("_")
    }
    maps = {str(key) for owner in (Labels, ViewerModel) for key in owner.class_keymap}
    assert {"E", "P", "X", "[", "Ctrl+Z"} <= napari | maps
    viewers = {"V", "Shift+V", "Space", "Left", "Right", "Alt+Up", "Alt+Down", "Ctrl+E", "Ctrl+T"}
    for shortcut in SHORTCUTS:
        if shortcut.canvas and shortcut.id not in OURS_TOO:
            assert shortcut.keys not in napari | maps | viewers, shortcut.id


def test_keys_that_mean_something_everywhere_mean_it_here():
    for name in (
        "HelpContents",
        "Cancel",
        "Delete",
        "Undo",
        "Redo",
        "Save",
        "Open",
        "New",
        "Copy",
        "Paste",
        "Cut",
    ):
        standard = {
            keys.toString() for keys in QKeySequence.keyBindings(getattr(QKeySequence.StandardKey, name))
        }
        for shortcut in SHORTCUTS:
            if QKeySequence(shortcut.keys).toString() in standard:
                assert STANDARD.get(shortcut.id) == name, shortcut.id


def test_every_underlined_letter_is_a_key_of_the_registry_and_given_once_in_each_panel(window, viewer):
    bench = Workbench(viewer)
    window.setCentralWidget(bench)
    for title, stage in bench.stages.items():
        given: dict[str, str] = {}
        for button in stage.findChildren(QAbstractButton):
            letter = QKeySequence.mnemonic(button.text()).toString()
            if letter:
                keys = [k for k in button.findChildren(Key) if k.parent() is button]
                assert [k.key().toString() for k in keys] == [letter], (title, button.text())
                assert button.shortcut().isEmpty(), button.text()
                assert given.setdefault(letter, button.text()) == button.text(), (title, letter)
        for label in stage.findChildren(QLabel):
            assert label.buddy() is None or QKeySequence.mnemonic(label.text()).isEmpty()
        mine = {s.id for s in SHORTCUTS if s.mnemonic and s.stage == stage.key}
        assert {k.objectName() for k in stage.findChildren(Key) if k.objectName() in mine} == mine


def test_of_two_panels_side_by_side_with_the_same_letter_the_one_with_the_focus_answers(window, qtbot):
    asked: list[str] = []
    row = QWidget()
    layout = QHBoxLayout(row)
    stages = {name: Stage(ViewerModel()) for name in ("left", "right")}
    between = QLineEdit()
    layout.addWidget(between)
    for name, made in stages.items():
        layout.addWidget(made)
        made.add_button("Pa&use", lambda name=name: asked.append(name), key="pretrain.pause")
    window.setCentralWidget(row)
    for name in ("right", "left", "left", "right"):
        focus(stages[name], qtbot)
        press("Alt+U")
    assert asked == ["right", "left", "left", "right"]
    press("Alt+U", focus(between, qtbot))
    assert len(asked) == 4


def test_the_letter_of_a_button_works_from_anywhere_in_the_window_while_it_is_in_sight(window, stage, qtbot):
    asked: list[str] = []
    button = Button("Pa&use", "pretrain.pause")
    button.clicked.connect(lambda: asked.append("paused"))
    stage.body.addWidget(button)
    outside = QLineEdit()
    window.setMenuWidget(outside)
    focus(outside, qtbot)
    press("Alt+U")
    button.setText("Contin&ue")
    press("Alt+U")
    assert asked == ["paused", "paused"]
    button.setEnabled(False)
    press("Alt+U")
    button.setEnabled(True)
    button.hide()
    press("Alt+U")
    assert asked == ["paused", "paused"]


# ---------------------------------------------------------------------------------------------------------- what F1 lists
def why(panel: Any) -> dict[str, str]:
    return {shortcut.id: reason for shortcut, reason in listed(panel.key, panel)}


def test_the_list_says_what_works_now_and_why_the_rest_does_not(volumes):
    reasons = why(volumes)
    assert reasons["study.show"] == reasons["study.rename"] == reasons["study.new"] == ""
    assert reasons["any.dismiss"] == "There is no message"
    assert reasons["any.cancel"] == "No job is running"
    volumes.table.select(("fish_a", "fish_b"))
    assert why(volumes)["study.show"] == ""
    assert why(volumes)["study.rename"] == "Select one volume first"
    volumes.table.clearSelection()
    assert why(volumes)["study.show"] == "Select a volume first"


def test_keys_of_a_table_without_the_focus_say_where_to_click(volumes, qtbot):
    focus(volumes.header.new_button, qtbot)
    assert why(volumes)["study.show"] == "Click into the table first"


def test_keys_of_what_is_not_in_sight_are_not_listed(window, viewer, qtbot):
    empty = StudyWidget(viewer)
    window.setCentralWidget(empty)
    qtbot.waitUntil(empty.isVisible)
    assert "study.show" not in why(empty)
    assert "study.new" in why(empty)


def test_keys_over_the_image_need_open_annotations(window, viewer):
    closed = AnnotateWidget(viewer)
    window.setCentralWidget(closed)
    assert why(closed)["annotate.class"] == "Open the annotations of a volume first"
    assert closed.canvas_keys() == {}


def test_with_open_annotations_the_list_has_our_keys_and_the_tools_of_napari(painted, keep):
    reasons = why(painted)
    assert reasons["annotate.class"] == reasons["annotate.complete"] == reasons["annotate.polygon"] == ""
    assert reasons["annotate.undo"] == "There is nothing to undo"
    assert reasons["annotate.rename"] == "Click into the table first"
    texts = {label.text() for label in keep(ShortcutList("annotate", painted)).findChildren(QLabel)}
    assert {"Eraser (napari)", "Paint known background (for partial slices)"} <= texts


def test_the_list_of_keys_fits_a_small_screen(keep, monkeypatch, qapp):
    monkeypatch.setattr(ShortcutList, "screen", lambda self: _SmallScreen(), raising=False)
    made = keep(ShortcutList("annotate"))
    assert made.width() <= 640
    assert made.height() <= 360


class _SmallScreen:
    def availableSize(self) -> QSize:
        return QSize(640, 360)


# ---------------------------------------------------------------------------------------------- what is said of the keys
def test_the_panel_and_the_status_bar_of_napari_name_the_keys_as_they_are_here(painted, viewer):
    layer = painted.annotating.layer
    said = painted.classes.tools.text()
    assert "E eraser" in said
    assert "P brush" in said
    assert f"{keys_of('annotate.polygon')} polygon" in said
    assert "0 background (255 in napari)" in said
    for mode in ("erase", "fill", "pan_zoom", "paint"):
        layer.mode = mode
        assert "<1>" not in viewer.help
        assert "E eraser" in viewer.help
        assert "label 255" in viewer.help


def test_a_tool_that_was_given_another_key_in_napari_is_named_by_it(monkeypatch):
    from napari.settings import get_settings

    shortcuts = dict(get_settings().shortcuts.shortcuts)
    eraser = "napari:activate_labels_erase_mode"
    monkeypatch.setattr(
        help,
        "get_settings",
        lambda: _Settings({**shortcuts, eraser: [shortcuts[eraser][0]]}),
    )
    assert help.tool_keys(())["eraser"] == "1"
    assert "eraser" not in help.tool_keys(("1",))


class _Settings:
    def __init__(self, shortcuts: dict[str, Any]) -> None:
        self.shortcuts = self
        self.__dict__["shortcuts"] = type("Shortcuts", (), {"shortcuts": shortcuts})()


def test_the_keys_of_napari_that_are_named_do_what_is_said(own_viewer, study, qtbot):
    two_classes(study)
    made = AnnotateWidget(own_viewer)
    own_viewer.window.add_dock_widget(made)
    main = own_viewer.window._qt_window
    with qtbot.waitActive(main):
        main.show()
        main.activateWindow()
    made.session.set_study(study)
    layer = opened(made.annotating, qtbot, "fish_a")
    canvas = own_viewer.window._qt_viewer.canvas.native
    own_viewer.layers.selection.active = layer
    focus(canvas, qtbot)
    modes: dict[str, str] = {}
    for tool, key in help.tool_keys(made.classes.taken).items():
        press(key, canvas)
        modes[tool] = str(layer.mode)
    assert modes["eraser"] == "erase"
    assert (modes["brush"], modes["fill"], modes["move"]) == ("paint", "fill", "pan_zoom")
    press("2", canvas)
    assert (layer.selected_label, str(layer.mode)) == (2, "paint")
    press("0", canvas)
    assert layer.selected_label == 255
    press(canvas_key("annotate.polygon"), canvas)
    assert str(layer.mode) == "polygon"
