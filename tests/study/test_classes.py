"""Label classes: values that are given once, names, colours and keys that nobody mixes up."""

from __future__ import annotations

import pytest

from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.study import Study
from napari_sortingloss.study.classes import (
    BACKGROUND,
    LAST,
    PALETTE,
    LabelClass,
    add_class,
    all_classes,
    read_classes,
    remove_class,
    update_class,
)


def test_classes_get_values_colours_and_keys_in_order(study):
    made = [add_class(study, name) for name in ("bone", "brain", "  lens  of eye ")]
    assert [c.value for c in made] == [1, 2, 3]
    assert [c.color for c in made] == list(PALETTE[:3])
    assert [c.key for c in made] == ["1", "2", "3"]
    assert made[2].name == "lens of eye"
    assert read_classes(Study.open(study.path)) == tuple(made)


def test_what_is_given_counts(study):
    made = add_class(study, "bone", color="#ABCDEF", key="b", value=40)
    assert made == LabelClass(40, "bone", "#abcdef", "b")
    assert add_class(study, "brain", key="").key == ""
    assert read_classes(study)[1].value == 41


def test_a_removed_class_stays_known_and_its_value_is_never_given_again(study):
    add_class(study, "bone")
    second = add_class(study, "brain")
    assert remove_class(study, 2) == second
    assert [c.name for c in read_classes(study)] == ["bone"]
    assert second in all_classes(study)
    again = add_class(study, "brain")
    assert (again.value, again.key, again.color) == (3, "2", second.color)
    with pytest.raises(BadSetting, match="the value 2 was given before"):
        add_class(study, "heart", value=2)
    with pytest.raises(BadSetting, match="none in use"):
        remove_class(study, 2)


def test_names_keys_and_colours_are_checked(study):
    add_class(study, "Bone", key="b")
    with pytest.raises(BadSetting, match="there is a class 'Bone' already"):
        add_class(study, "bone")
    with pytest.raises(BadSetting, match="the key 'b' chooses the class 'Bone'"):
        add_class(study, "brain", key="b")
    with pytest.raises(BadSetting, match="no single key"):
        add_class(study, "brain", key="ab")
    with pytest.raises(BadSetting, match="no colour"):
        add_class(study, "brain", color="red")
    with pytest.raises(BadSetting, match="name is empty"):
        add_class(study, "  ")
    with pytest.raises(BadSetting, match="no value of a class"):
        add_class(study, "brain", value=BACKGROUND)
    assert [c.name for c in read_classes(study)] == ["Bone"]


def test_a_class_can_be_changed_without_touching_the_others(study):
    add_class(study, "bone")
    add_class(study, "brain")
    assert update_class(study, 1, name="BONE", key="x").name == "BONE"
    assert update_class(study, 1, color="#000000") == LabelClass(1, "BONE", "#000000", "x")
    assert read_classes(study)[1] == LabelClass(2, "brain", PALETTE[1], "2")
    with pytest.raises(BadSetting, match="'brain' already"):
        update_class(study, 1, name="Brain")
    with pytest.raises(BadSetting, match=r"choose one of 1 \(BONE\), 2 \(brain\)"):
        update_class(study, 9, name="heart")


def test_the_254th_class_is_the_last_one(study):
    with study.transaction() as document:
        document["classes"] = [
            {"value": v, "name": f"c{v}", "color": "#000000", "key": "", "removed": v % 2 == 0}
            for v in range(2, LAST + 1)
        ]
    assert add_class(study, "the last").value == 1
    with pytest.raises(BadSetting, match="all 254 values were given"):
        add_class(study, "one more")


def test_colours_beyond_the_palette_differ_from_all_others(study):
    colors = [add_class(study, f"class {i}").color for i in range(len(PALETTE) + 6)]
    assert len(set(colors)) == len(colors)


def test_classes_of_an_older_program_are_read(study):
    with study.transaction() as document:
        document["classes"] = [
            {"label": 1, "name": "eye lens", "colour": "#E69F00"},
            {"label": 2, "name": "retina", "colour": "#56b4e9"},
        ]
    assert read_classes(study) == (
        LabelClass(1, "eye lens", "#e69f00", "1"),
        LabelClass(2, "retina", "#56b4e9", "2"),
    )
    add_class(study, "brain")
    assert [c.value for c in read_classes(study)] == [1, 2, 3]


@pytest.mark.parametrize("entry", [{"name": "no value"}, {"value": 300, "name": "x"}, "text"])
def test_a_damaged_entry_is_said_to_be_one(study, entry):
    with study.transaction() as document:
        document["classes"] = [entry]
    with pytest.raises(StudyError, match="damaged"):
        read_classes(study)
