"""A study can be made, opened, moved and refused; what is wrong with it is said in one sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.errors import BadSetting, OutOfSpace, UserError
from napari_sortingloss.study import SCHEMA_VERSION, Study, StudyError, VolumeRecord
from napari_sortingloss.study.schema import tidy_name


def document(study: Study) -> dict:
    return json.loads((study.path / "study.json").read_text())


def spoil(study: Study, **changes: object) -> bytes:
    file = study.path / "study.json"
    file.write_text(json.dumps({**document(study), **changes}))
    return file.read_bytes()


def test_a_new_study_is_empty_and_opens_again(study_dir: Path) -> None:
    made = Study.create(study_dir / "deeper" / "fishes")
    opened = Study.open(made.path)
    assert (opened.name, opened.volumes, opened.runs(), opened.classes) == ("fishes", {}, [], [])
    assert document(made)["schema_version"] == SCHEMA_VERSION


def test_a_study_can_be_opened_by_its_file(study: Study) -> None:
    assert Study.open(study.path / "study.json").path == study.path


def test_a_study_is_not_made_over_another(study: Study) -> None:
    before = document(study)
    with pytest.raises(StudyError, match="there is a study already; open it"):
        Study.create(study.path)
    assert document(study) == before


def test_a_study_is_not_made_in_a_folder_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StudyError, match="the folder is not empty"):
        Study.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_study_is_not_made_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StudyError, match="there is a file of that name"):
        Study.create(tmp_path / "file")
    with pytest.raises(StudyError, match="there is a file of that name"):
        Study.create(tmp_path / "file" / "below")


def test_a_missing_folder_a_file_and_a_plain_folder_are_no_studies(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for name, why in (
        ("nowhere", "there is no such folder"),
        ("file", "it is a file, not a folder"),
        ("", "the folder holds no 'study.json'"),
    ):
        with pytest.raises(StudyError, match=why):
            Study.open(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not readable as JSON"),
        (b'{"schema_version": 1, "volu', "not readable as JSON"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"{}", "it has no schema version"),
        (b'{"schema_version": "one"}', "it has no schema version"),
        (b'{"schema_version": 1, "classes": [], "settings": {}}', "'volumes' is missing or malformed"),
        (
            b'{"schema_version": 1, "classes": [], "settings": {}, "volumes": {"fish": {"shape": [1, 2]}}}',
            "the entry of volume 'fish' is malformed",
        ),
        (
            b'{"schema_version": 1, "classes": [], "settings": {}, "volumes": {"fish": 7}}',
            "the entry of volume 'fish' is malformed",
        ),
    ],
)
def test_a_damaged_study_says_so_and_is_left_as_it_is(study: Study, content: bytes, why: str) -> None:
    file = study.path / "study.json"
    file.write_bytes(content)
    with pytest.raises(StudyError, match=why):
        Study.open(study.path)
    with pytest.raises(StudyError, match=why), study.transaction() as changed:
        changed["volumes"] = {}
    assert file.read_bytes() == content


def test_a_newer_study_asks_for_an_update_and_is_left_as_it_is(study: Study) -> None:
    content = spoil(study, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(StudyError, match=r"a newer program wrote it .* update napari-sortingloss\."):
        Study.open(study.path)
    assert (study.path / "study.json").read_bytes() == content


def test_the_sentence_about_a_damaged_study_is_one_line(study: Study) -> None:
    (study.path / "study.json").write_bytes(b"{")
    with pytest.raises(StudyError) as caught:
        Study.open(study.path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("are untouched.")


def test_no_permission_is_said_in_a_sentence(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StudyError, match="there is no permission to read it"):
        Study.open(study.path)


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"no permission for .*; change its permissions"):
        Study.create(tmp_path / "new")


def test_a_full_disk_leaves_the_old_document(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    before = document(study)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace, match="the disk is full"), study.transaction() as changed:
        changed["settings"]["colour"] = "red"
    assert document(study) == before
    assert not list(study.path.glob(".study.json*"))


def test_a_moved_study_opens_with_its_volumes_and_runs(
    study: Study, store: Callable[..., VolumeRecord], voxels: np.ndarray, tmp_path: Path
) -> None:
    store(source={"path": str(tmp_path / "gone" / "fish.tif")})
    study.new_run("pretrain", "sorting", {"steps": 3}).close()
    moved = tmp_path / "elsewhere"
    shutil.move(study.path, moved)
    opened = Study.open(moved)
    np.testing.assert_array_equal(opened.volume("fish").read_slab(0, 37), voxels)
    assert [run.settings for run in opened.runs()] == [{"steps": 3}]
    held = [f.read_text() for f in moved.rglob("*.json")]
    assert not any(str(study.path) in text for text in held)


def test_unknown_keys_survive_a_change(study: Study, store: Callable[..., VolumeRecord]) -> None:
    store()
    with study.transaction() as changed:
        changed["later"] = {"a": 1}
        changed["volumes"]["fish"]["quality"] = "good"
    study.update_volume("fish", direction="-")
    assert document(study)["later"] == {"a": 1}
    assert document(study)["volumes"]["fish"]["quality"] == "good"


def test_a_change_that_fails_half_way_is_not_written(study: Study) -> None:
    with pytest.raises(ZeroDivisionError), study.transaction() as changed:
        changed["settings"]["colour"] = 1 / 0
    assert document(study)["settings"] == {}


def test_a_change_that_would_damage_the_study_is_refused(study: Study) -> None:
    with pytest.raises(StudyError, match="the change is not valid"), study.transaction() as changed:
        changed["volumes"]["fish"] = {"shape": [1]}
    assert document(study)["volumes"] == {}


def test_changes_cannot_be_nested(study: Study) -> None:
    with pytest.raises(RuntimeError, match="nested"), study.transaction(), study.transaction():
        pass
    with study.transaction() as changed:
        changed["settings"]["colour"] = "red"
    assert study.settings == {"colour": "red"}


def test_what_another_program_changed_is_seen(study: Study) -> None:
    assert study.settings == {}
    with Study.open(study.path).transaction() as changed:
        changed["settings"]["colour"] = "red"
    assert study.settings == {"colour": "red"}


def test_a_volume_without_its_folder_does_not_stop_the_study(
    study: Study, store: Callable[..., VolumeRecord], voxels: np.ndarray
) -> None:
    store("fish")
    store("frog")
    shutil.rmtree(study.volume_path("fish"))
    opened = Study.open(study.path)
    np.testing.assert_array_equal(opened.volume("frog").read_slab(0, 37), voxels)
    with pytest.raises(StudyError, match=r"Cannot read volume 'fish': its folder .* is missing"):
        opened.volume("fish").read_slices([0])


def test_opening_a_study_imports_no_heavy_library() -> None:
    code = (
        "import sys; from napari_sortingloss.study import Study; "
        "print([m for m in ('torch', 'zarr', 'dask', 'tifffile', 'SimpleITK', 'nibabel', 'qtpy', 'napari') "
        "if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "tidy"),
    [
        ("fish", "fish"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..hidden ", "hidden"),
        ("", "volume"),
        ("con", "con_"),
        ("scan [1]*", "scan _1__"),
        ("nul.zarr", "nul.zarr_"),
    ],
)
def test_names_become_folders_on_any_system(name: str, tidy: str) -> None:
    assert tidy_name(name) == tidy


def test_a_free_name_is_not_used_or_being_written(study: Study, store: Callable[..., VolumeRecord]) -> None:
    from napari_sortingloss.study import VolumeWriter

    store("fish")
    assert study.free_name("FISH") == "FISH-2"
    with VolumeWriter(study, VolumeRecord("fish-2", (1, 2, 3))):
        assert study.free_name("fish") == "fish-3"
    assert study.free_name("fish") == "fish-2"


def test_a_record_with_an_impossible_value_is_refused() -> None:
    for changes in ({"axis": "w"}, {"direction": "up"}, {"voxel_size": (1, 0, 1)}, {"name": "a/b"}):
        with pytest.raises(BadSetting):
            VolumeRecord(**{"name": "fish", "shape": (1, 2, 3), **changes})
