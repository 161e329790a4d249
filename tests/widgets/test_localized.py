"""What the study folder says of localisations: seen when it changes, shown in the table of volumes."""

from __future__ import annotations

from localizing import BOXES, localize, trained

from napari_sortingloss.study.crops.job import CropSettings, crop
from napari_sortingloss.study.localizations.reading import localization_path, update_localization
from napari_sortingloss.widgets.localized import best_of, children_of, crop_of, look_at
from napari_sortingloss.widgets.session.session import look
from napari_sortingloss.widgets.states import about_steps, dots


def test_nothing_is_read_again_that_has_not_changed(study):
    run = trained(study)
    localize(study, "fish_a", run)
    first = look_at(study, study.volumes)
    assert set(first) == {"fish_a"}
    assert look_at(study, study.volumes)["fish_a"][run] is first["fish_a"][run]
    update_localization(study, "fish_a", run, status="accepted")
    second = look_at(study, study.volumes)
    assert second != first
    assert second["fish_a"][run].value.status == "accepted"


def test_an_accepted_one_counts_more_than_a_newer_one(study):
    older, newer = trained(study), trained(study)
    localize(study, "fish_a", older)
    localize(study, "fish_a", newer)
    assert best_of(look_at(study, study.volumes)["fish_a"]).run == newer
    update_localization(study, "fish_a", older, status="accepted")
    assert best_of(look_at(study, study.volumes)["fish_a"]).run == older


def test_a_damaged_one_says_why_and_stops_no_look(study):
    run = trained(study)
    localize(study, "fish_a", run)
    localize(study, "fish_b", run)
    (localization_path(study, "fish_a", run) / "region.json").write_text("[")
    found = look_at(study, study.volumes)
    assert found["fish_a"][run].value is None
    assert "is damaged" in str(found["fish_a"][run].problem)
    assert found["fish_b"][run].value is not None


def test_the_table_of_volumes_tells_found_accepted_and_cropped(study):
    run = trained(study)
    localize(study, "fish_a", run)
    state = look(study).states["fish_a"]
    assert dots(state)[2] == "◐"
    assert "localized: to be checked, keeps 26.7 %" in about_steps(state)[2]
    update_localization(study, "fish_a", run, status="accepted")
    state = look(study).states["fish_a"]
    assert dots(state)[2] == "●"
    list(crop(study, CropSettings(volumes=("fish_a",))))
    state = look(study).states["fish_a"]
    assert "accepted" in about_steps(state)[2]
    assert "cropped as fish_a_crop" in about_steps(state)[2]


def test_a_crop_belongs_to_the_box_it_was_cut_to_and_no_other(study):
    run = trained(study)
    found = localize(study, "fish_a", run)
    list(crop(study, CropSettings(volumes=("fish_a",))))
    records = study.volumes
    children = children_of(records)["fish_a"]
    assert crop_of(found, records["fish_a"], children) == "fish_a_crop"
    (z0, z1), *rest = BOXES["fish_a"]
    assert crop_of(found.replace(box=((z0, z1 - 1), *rest)), records["fish_a"], children) == ""
