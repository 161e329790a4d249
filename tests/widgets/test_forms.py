"""Forms made from settings: value in, value out, one change signal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.settings import Setting, Settings
from napari_sortingloss.widgets.toolkit.forms import Form


@dataclass(frozen=True)
class Everything(Settings):
    run: Annotated[str, Setting("Which run.", hidden=True)]
    steps: Annotated[int, Setting("How many.", "Raise it.", unit="steps", low=1, high=9000)] = 1000
    rate: Annotated[float, Setting("How fast.", low=1e-8, high=1.0)] = 3e-4
    mode: Annotated[Literal["fast", "slow"], Setting("How.")] = "fast"
    shuffle: Annotated[bool, Setting("Whether.")] = True
    note: Annotated[str, Setting("What to remember.")] = ""
    memory: Annotated[int | None, Setting("At most.", low=1, unit="GB", more=True)] = None
    size: Annotated[tuple[float, float, float] | None, Setting("Voxel size.", more=True)] = None
    extra: Annotated[Path | None, Setting("A file.", label="Extra file", more=True)] = None
    refine: Annotated[bool | None, Setting("Whether to refine.", more=True)] = None


@pytest.fixture
def form(keep: Any) -> Form:
    return keep(Form(Everything))


def test_a_fresh_form_gives_the_defaults(form):
    assert form.value(run="a") == Everything(run="a")


def test_what_is_set_comes_out_again(form):
    settings = Everything("b", 12, 0.05, "slow", False, "hello", 8, (0.4, 0.25, 0.3), Path("labels.nii.gz"))
    form.set_value(settings)
    assert form.value() == settings


def test_nothing_chosen_is_none(form):
    form.set_value(Everything("b", memory=4, size=(1.0, 2.0, 3.0), extra=Path("x")))
    form.set_value(Everything("b"))
    assert form.value() == Everything("b")


@pytest.mark.parametrize("choice", [None, True, False])
def test_yes_no_and_neither_are_three_things(form, choice):
    form.set_value(Everything("b", refine=choice))
    assert form.value().refine is choice


def test_one_signal_for_one_change_whoever_makes_it(form):
    changes: list[bool] = []
    form.changed.connect(lambda: changes.append(True))
    form.edits["steps"].widget.setValue(5)
    form.set_value(Everything("b", steps=7, rate=0.1))
    assert len(changes) == 2


def test_fields_say_their_unit_and_when_to_change_them(form):
    box = form.edits["steps"].widget
    assert box.suffix() == " steps"
    assert "How many. Raise it." in box.toolTip()
    assert (box.minimum(), box.maximum()) == (1, 9000)


def test_hidden_fields_are_left_out_and_rare_ones_are_folded(form):
    assert "run" not in form.edits
    assert not form.fold.is_open
    assert form.edits["memory"].widget.isHidden() is False
    form.fold.set_open(True)
    assert form.fold.is_open


def test_small_numbers_are_written_short_and_may_be_typed_in_any_usual_way(form):
    box = form.edits["rate"].widget
    assert box.text() == "0.0003"
    box.lineEdit().setText("1e-3")
    box.interpretText()
    assert form.value(run="a").rate == pytest.approx(1e-3)


def test_a_value_that_does_not_fit_is_named(form):
    form.edits["size"].widget.setText("0.4 0.25")
    error = form.error(run="a")
    assert isinstance(error, BadSetting)
    assert "3 values" in str(error)


def test_what_is_missing_is_named(form):
    with pytest.raises(TypeError, match="run"):
        form.value()


def test_given_defaults_replace_those_of_the_class(keep):
    form = keep(Form(Everything, exclude={"note"}, defaults={"steps": 50, "note": "kept"}))
    settings = form.value(run="a")
    assert (settings.steps, settings.note) == (50, "kept")


def test_the_wheel_scrolls_the_panel_and_changes_no_number(form, qtbot):
    box = form.edits["steps"].widget
    turn = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(0, 120), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    assert turn.type() == QEvent.Type.Wheel
    QApplication.sendEvent(box, turn)
    assert box.value() == 1000
