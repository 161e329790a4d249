"""What a look at the study finds of predictions: whole, growing, damaged."""

from __future__ import annotations

import pytest
import segmenting as seg
from segmenting import paint, predict_one, trained

from napari_sortingloss.errors import StudyError
from napari_sortingloss.study import Study
from napari_sortingloss.study.predictions.reading import prediction_path, remove_growing
from napari_sortingloss.widgets.predicted import look_at_predictions


@pytest.fixture
def run(study: Study) -> str:
    paint(study, ("fish_a",))
    return trained(study)


def test_a_whole_prediction_is_seen_and_seen_again_only_where_it_changed(study, run):
    predict_one(study, "fish_a", run)
    first = look_at_predictions(study, study.volumes)
    assert first["fish_a"][run].complete
    assert "fish_b" not in first
    again = look_at_predictions(study, study.volumes)
    assert again == first
    assert again["fish_a"][run] is first["fish_a"][run]
    predict_one(study, "fish_a", run, shift=1)
    assert look_at_predictions(study, study.volumes) != first


def test_a_growing_prediction_is_seen_with_its_share_and_can_be_removed_once_nobody_is_at_it(study, run):
    writing = seg.predicting(study, "fish_a", run)
    next(writing)
    look = look_at_predictions(study, study.volumes)["fish_a"][run]
    assert not look.complete
    assert look.share == 1.0
    with pytest.raises(StudyError, match="being made"):
        remove_growing(study, "fish_a", run)
    writing.close()
    remove_growing(study, "fish_a", run)
    assert look_at_predictions(study, study.volumes) == {}


def test_a_damaged_prediction_is_listed_with_what_is_wrong(study, run):
    predict_one(study, "fish_a", run)
    (prediction_path(study, "fish_a", run) / "zarr.json").write_text("{")
    look = look_at_predictions(study, study.volumes)["fish_a"][run]
    assert look.value is None
    assert "damaged" in str(look.problem)
