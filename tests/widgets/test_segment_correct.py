"""Taking a predicted slice over fills what is not painted, and begins the slice even where nothing was predicted."""

from __future__ import annotations

import numpy as np
import pytest
from segmenting import paint

from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.widgets.segment.correction import fill
from napari_sortingloss.widgets.viewer.slice_layer import SliceAt


@pytest.fixture
def editor(study):
    paint(study, ("fish_a",))
    with AnnotationEditor(study, "fish_a") as made:
        yield made


def test_what_is_painted_stays_and_the_rest_is_filled(editor):
    _, h, w = editor.labels.shape
    editor.put_slice("z", 9, np.pad(np.ones((2, 2), np.uint8), ((0, h - 2), (0, w - 2))))
    fill(editor, SliceAt("fish_a", "z", 9), np.full((h, w), 2, np.uint8), "run")
    found = editor.annotations.read_slice("z", 9)
    assert (found[:2, :2] == 1).all()
    assert (found == 2).sum() == h * w - 4
    assert editor.annotations.status("z", 9) == "partial"


def test_a_slice_where_nothing_was_predicted_is_begun_too(editor):
    _, h, w = editor.labels.shape
    fill(editor, SliceAt("fish_a", "z", 9), np.zeros((h, w), np.uint8), "run")
    assert editor.annotations.status("z", 9) == "partial"


def test_a_complete_slice_stays_complete(editor):
    _, h, w = editor.labels.shape
    fill(editor, SliceAt("fish_a", "z", 5), np.full((h, w), 2, np.uint8), "run")
    assert editor.annotations.status("z", 5) == "complete"
