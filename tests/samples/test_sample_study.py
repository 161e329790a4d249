"""The job that makes the sample study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.samples import SAMPLE_CLASSES, Phantom, sample_study
from napari_sortingloss.study import Study
from napari_sortingloss.study.classes import read_classes

FISH = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    path = tmp_path_factory.mktemp("samples") / "new" / "study"
    return path, list(sample_study(path, FISH, scale=0.5))


@pytest.fixture
def study(made: tuple[Path, list[Event]]) -> Study:
    return Study.open(made[0])


def test_the_study_opens_and_holds_the_fish(study: Study) -> None:
    assert list(study.volumes) == ["fish_01", "fish_02", "fish_03"]


def test_the_result_names_the_study_and_its_volumes(made: tuple[Path, list[Event]]) -> None:
    path, events = made
    last = events[-1]
    assert isinstance(last, Result)
    assert last.value["study"] == str(path)
    assert [v["name"] for v in last.value["volumes"]] == ["fish_01", "fish_02", "fish_03"]
    assert all(
        {"shape", "voxel_size", "unit", "axis", "window", "seconds"} <= set(v) for v in last.value["volumes"]
    )


def test_progress_rises_to_the_total_and_says_what_is_done(made: tuple[Path, list[Event]]) -> None:
    steps = [event for event in made[1] if isinstance(event, Progress)]
    assert [s.done for s in steps] == sorted(s.done for s in steps)
    assert steps[0].done == 0
    assert steps[-1].done == steps[-1].total > 0
    assert len({s.total for s in steps}) == 1
    assert any("generating" in s.what for s in steps)


def test_volumes_keep_shape_voxel_size_and_order(study: Study, school: tuple[Phantom, ...]) -> None:
    for phantom in school[:FISH]:
        record = study.volumes[phantom.name]
        assert record.shape == phantom.voxels.shape
        assert record.voxel_size == pytest.approx(phantom.voxel_size)
        assert record.unit == "um"
        assert (record.axis, record.direction) == ("z", "+")


def test_the_stored_voxels_are_the_phantom_in_its_window(study: Study, school: tuple[Phantom, ...]) -> None:
    phantom = school[1]
    low, high = study.volumes[phantom.name].window
    middle = phantom.voxels.shape[0] // 2
    stored = study.volume(phantom.name).read_slices([middle])[0].astype(float)
    expected = np.clip((phantom.voxels[middle].astype(float) - low) / (high - low), 0, 1) * 255
    assert stored == pytest.approx(expected, abs=1.0)


def test_references_are_the_exact_labels(study: Study, school: tuple[Phantom, ...]) -> None:
    for phantom in school[:FISH]:
        name = study.volumes[phantom.name].reference
        labels = zarr.open_group(study.path / "references" / f"{name}.zarr", mode="r")["0"][:]
        np.testing.assert_array_equal(labels, phantom.labels)


def test_classes_with_names_and_colours_are_in_the_study(study: Study) -> None:
    classes = read_classes(study)
    assert [(c.value, c.name, c.color) for c in classes] == list(SAMPLE_CLASSES)
    assert [c.key for c in classes] == list("1234567")


def test_boxes_and_the_upside_down_fish_are_recorded(study: Study, school: tuple[Phantom, ...]) -> None:
    truth = study.settings["sample"]
    for phantom in school[:FISH]:
        assert truth[phantom.name] == {
            "box": [list(span) for span in phantom.box],
            "upside_down": phantom.upside_down,
        }
    assert truth["fish_03"]["upside_down"]


def test_nothing_but_the_study_is_left(made: tuple[Path, list[Event]], study: Study) -> None:
    assert study.path == made[0]
    assert not [p.name for p in study.path.rglob("*") if "part-" in p.name or "sample-" in p.name]
    assert not any(str(study.path) in str(record.source) for record in study.volumes.values())


def test_cancelling_removes_what_was_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "study"
    job = sample_study(path, 2, scale=0.4)
    for event in job:
        if isinstance(event, Progress) and event.what.startswith("fish 2"):
            break
    assert path.exists()
    job.close()
    assert list(tmp_path.iterdir()) == []


def test_cancelling_leaves_an_empty_folder_of_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "study"
    path.mkdir()
    (path / ".note").write_text("mine")
    job = sample_study(path, 1, scale=0.4)
    next(job)
    job.close()
    assert [p.name for p in path.iterdir()] == [".note"]


def test_closing_after_the_result_keeps_the_study(tmp_path: Path) -> None:
    job = sample_study(tmp_path / "study", 1, scale=0.4)
    for event in job:
        if isinstance(event, Result):
            break
    job.close()
    assert list(Study.open(tmp_path / "study").volumes) == ["fish_01"]


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StudyError, match="not empty"):
        list(sample_study(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_existing_study_is_refused_and_left_alone(tmp_path: Path) -> None:
    Study.create(tmp_path / "study")
    with pytest.raises(StudyError, match="study already"):
        list(sample_study(tmp_path / "study"))
    assert Study.open(tmp_path / "study").volumes == {}


@pytest.mark.parametrize("fish", [0, 7])
def test_more_fish_than_there_are_is_one_clear_sentence(tmp_path: Path, fish: int) -> None:
    with pytest.raises(BadSetting, match=f"Cannot make {fish} sample fish: there are 6; choose 1 to 6"):
        list(sample_study(tmp_path / "study", fish))
    assert not (tmp_path / "study").exists()


def test_an_error_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(index: int, **_: float) -> Phantom:
        raise MemoryError

    monkeypatch.setattr("napari_sortingloss.samples.study.make_phantom", broken)
    with pytest.raises(MemoryError):
        list(sample_study(tmp_path / "study", 1))
    assert list(tmp_path.iterdir()) == []
