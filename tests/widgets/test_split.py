"""Which volumes are proposed for validation, what becomes of a choice when volumes come and go, and the dialog."""

from __future__ import annotations

from qtpy.QtWidgets import QDialogButtonBox

from napari_sortingloss.widgets.runs.split import ASIDE, TRAIN, VALIDATE, Split, SplitDialog, adapt, propose

NAMES = tuple(f"fish_{i:02d}" for i in range(1, 12))


def test_few_volumes_all_train():
    assert propose(NAMES[:3]) == Split(NAMES[:3])


def test_every_fifth_of_many_is_kept_out():
    split = propose(NAMES)
    assert split.validate == ("fish_04", "fish_09")
    assert sorted(split.train + split.validate) == list(NAMES)
    assert split.said() == "9 train · 2 validate"
    assert propose([str(i) for i in range(38)]).said() == "30 train · 8 validate"
    assert propose(NAMES[:4]).said() == "3 train · 1 validate"


def test_a_choice_stays_when_volumes_come_and_go():
    chosen = Split(("a", "b"), ("c",))
    assert adapt(chosen, ("b", "c", "d", "new"), known=("a", "b", "c", "d")) == Split(("b", "new"), ("c",))


def test_the_dialog_sorts_the_selected_volumes(keep):
    dialog = keep(SplitDialog(("a", "b", "c", "d"), Split(("a", "b"), ("c",))))
    assert [dialog.split().of(n) for n in "abcd"] == [TRAIN, TRAIN, VALIDATE, ASIDE]
    dialog.tree.topLevelItem(0).setSelected(True)
    dialog.tree.topLevelItem(3).setSelected(True)
    dialog.use_selected(VALIDATE)
    assert dialog.split() == Split(("b",), ("a", "c", "d"))
    assert dialog.said == "1 train · 3 validate"


def test_a_double_click_turns_a_volume_to_its_next_use(keep):
    dialog = keep(SplitDialog(("a",), Split(("a",))))
    dialog.tree.itemDoubleClicked.emit(dialog.tree.topLevelItem(0), 1)
    assert dialog.split().validate == ("a",)


def test_without_a_training_volume_the_dialog_cannot_be_accepted_and_says_why(keep):
    dialog = keep(SplitDialog(("a", "b"), Split(("a",))))
    dialog.set_split(Split((), ("a",)))
    ok = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
    assert not ok.isEnabled()
    assert "At least one" in ok.toolTip()
    assert dialog.said == "0 train · 1 validate · 1 volume left out"
