"""A preview is asked for and shown through files, whole or not at all."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_sortingloss.study.runs.live_preview import (
    PreviewPicture,
    PreviewRequest,
    read_preview,
    read_request,
    remove_preview_after,
    request_preview,
    request_stamp,
    write_preview,
)


@pytest.fixture
def run(tmp_path):
    return SimpleNamespace(path=tmp_path, id="segmentation-1")


@pytest.fixture
def picture():
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    return PreviewPicture(5, PreviewRequest("fish ü", "y", 17), labels, 255 - labels)


def test_a_request_arrives_and_the_last_one_counts(run):
    assert read_request(run.path) is None
    assert request_stamp(run.path) == 0
    request_preview(run, "fish_1", "z", 3)
    first = request_stamp(run.path)
    request_preview(run, "fish_2", "x", 4)
    assert read_request(run.path) == PreviewRequest("fish_2", "x", 4)
    assert request_stamp(run.path) > first > 0


@pytest.mark.parametrize("text", ["", "[]", '{"volume": "a", "axis": "q", "index": 1}', '{"axis": "z"}'])
def test_a_request_that_makes_no_sense_is_none(run, text):
    (run.path / "preview_request.json").write_text(text)
    assert read_request(run.path) is None


def test_a_picture_comes_back_as_it_was(run, picture):
    assert read_preview(run) is None
    assert write_preview(run.path, picture) == "preview.npz"
    found = read_preview(run)
    assert (found.step, found.slice) == (5, picture.slice)
    np.testing.assert_array_equal(found.labels, picture.labels)
    np.testing.assert_array_equal(found.confidence, picture.confidence)
    assert [path.name for path in run.path.iterdir()] == ["preview.npz"]


def test_a_damaged_picture_is_none(run, picture):
    write_preview(run.path, picture)
    path = run.path / "preview.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert read_preview(run) is None


def test_only_a_picture_of_a_later_step_goes(run, picture):
    write_preview(run.path, picture)
    remove_preview_after(run.path, 5)
    assert read_preview(run) is not None
    remove_preview_after(run.path, 4)
    assert read_preview(run) is None
