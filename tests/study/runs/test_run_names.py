"""Names that people give to runs: kept beside the run, unique in a study, and understood wherever a run is asked for."""

from __future__ import annotations

import pytest

from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.study import Study
from napari_sortingloss.study.runs.names import NAME_FILE, fitting_runs


@pytest.fixture
def study(study_dir) -> Study:
    return Study.create(study_dir)


def new_run(study: Study, name: str = "", task: str = "sorting") -> str:
    with study.new_run("pretrain", task, {}, name) as writer:
        return writer.run.id


def test_a_run_is_named_when_it_begins_or_later_and_keeps_its_id_and_folder(study):
    first, second = new_run(study, "  all  fish "), new_run(study)
    assert study.run(first).name == "all fish"
    assert study.run(second).name == ""
    study.name_run(second, "tough")
    again = Study.open(study.path).run(second)
    assert (again.id, again.name, again.path.name) == (second, "tough", second)


def test_an_empty_name_takes_the_name_away(study):
    run = new_run(study, "all fish")
    study.name_run(run, " ")
    assert study.run(run).name == ""
    assert not (study.path / "runs" / run / NAME_FILE).exists()


def test_a_run_that_goes_on_can_be_named(study):
    with study.new_run("pretrain", "sorting", {}) as writer:
        study.name_run(writer.run.id, "still going")
        assert writer.run.name == "still going"


@pytest.mark.parametrize("name", ["all fish", "ALL FISH", "scratch", "x" * 61, "two\x00words"])
def test_a_name_that_is_taken_or_stands_for_something_else_is_refused_in_one_sentence(study, name):
    new_run(study, "all fish")
    other = new_run(study)
    for act in (lambda: study.name_run(other, name), lambda: new_run(study, name)):
        with pytest.raises(BadSetting) as caught:
            act()
        assert str(caught.value).count(". ") == 0
    assert len(study.runs()) == 2
    assert study.run(other).name == ""


def test_the_id_of_another_run_is_no_name_but_the_own_name_is(study):
    run, other = new_run(study, "mine"), new_run(study)
    with pytest.raises(BadSetting, match="the id of another run"):
        study.name_run(run, other)
    study.name_run(run, "Mine")
    assert study.run(run).name == "Mine"


def test_a_run_is_found_by_its_name_where_only_one_has_it(study):
    run = new_run(study, "all fish")
    new_run(study)
    assert study.run("all fish").id == run
    assert study.run("All Fish").id == run
    (study.path / "runs" / new_run(study) / NAME_FILE).write_text('{"name": "all fish"}')  # copied by hand
    with pytest.raises(StudyError, match=r"these fit .*\('all fish'\)"):
        study.run("all fish")


def test_a_whole_id_goes_before_a_name_and_a_name_before_the_beginning_of_an_id(study):
    first, second = new_run(study), new_run(study, "sorting")
    assert study.run("sorting").id == second
    assert study.run(first).id == first


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 3}', '{"other": 1}'])
def test_a_damaged_name_is_no_reason_to_fail(study, content):
    run = new_run(study, "all fish")
    (study.path / "runs" / run / NAME_FILE).write_text(content)
    assert study.run(run).name in ("", "3")


def test_results_are_found_by_the_name_of_their_run_even_if_others_are_gone(study):
    run = new_run(study, "all fish")
    assert fitting_runs(study.path, [run, "gone-1", "gone-2"], "all fish") == [run]
    assert fitting_runs(study.path, [run, "gone-1", "gone-2"], "gone") == ["gone-1", "gone-2"]
    assert fitting_runs(study.path, ["gone-1"], "all fish") == []
