"""A stored localisation in memory: another share gives another region, the same settings the same again."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sortingloss.errors import StudyError
from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.intervals import INSIDE
from napari_sortingloss.localize.review import HALF, load
from napari_sortingloss.study.localizations.reading import Localization, LocalizationWriter, read_localization

BLOCK = (slice(3, 8), slice(2, 6), slice(3, 9))
GRID = Grid((10, 9, 12), (3.0, 3.0, 3.0), (1.0, 1.0, 1.0))


@pytest.fixture
def stored(study):
    """Store maps as a job would, for fish_a."""

    def write(evidence=None, **about):
        rng = np.random.default_rng(0)
        values = rng.random(GRID.shape, np.float32)
        values[BLOCK] += 2
        shape = study.volume("fish_a").shape
        box = ((0, 5), (0, 6), (0, 7))
        found = Localization(
            volume="fish_a",
            run="r-1",
            created="",
            shape=shape,
            box=box,
            found=box,
            **{"threshold": 1.5, **about},
        )
        with LocalizationWriter(study, "fish_a", "r-1") as writer:
            writer.uncertainty(values, GRID.to_json())
            if evidence is not None:
                writer.evidence(evidence, Grid.of_voxels(shape).to_json())
            writer.commit(found)
        return load(study, "fish_a", "r-1")

    return write


@pytest.fixture
def score(study):
    """A refined map on the voxels: half-way at the border of a block."""
    values = np.full(study.volume("fish_a").shape, 0.1, np.float32)
    values[10:20, 8:18, 9:30] = 0.95
    values[12:14, 10:12, 12:14] = 2.5
    return values


def test_the_stored_threshold_gives_the_region_again(stored):
    region = stored().region()
    expected = np.zeros(GRID.shape, bool)
    expected[BLOCK] = True
    np.testing.assert_array_equal(region.mask, expected)
    assert region.box == ((9, 24), (6, 18), (9, 27))


def test_a_threshold_that_was_no_number_is_found_anew(stored):
    review = stored(threshold=float("nan"))
    assert review.region().box == ((9, 24), (6, 18), (9, 27))


def test_what_was_not_refined_is_cut_from_the_uncertainty_by_otsu(stored):
    review = stored()
    assert not review.refined
    assert review.evidence_grid == review.grid == GRID
    np.testing.assert_array_equal(review.evidence, review.uncertainty)
    region = review.with_fraction(None)
    assert 0.9 < region.threshold < 2
    assert region.box == ((9, 24), (6, 18), (9, 27))


def test_what_was_refined_is_cut_half_way(stored, score):
    review = stored(evidence=score, threshold=0.2)
    assert review.refined
    region = review.with_fraction(None)
    assert region.threshold == HALF
    assert region.box == ((10, 20), (8, 18), (9, 30))
    np.testing.assert_array_equal(review.evidence, score)
    assert review.uncertainty.shape == GRID.shape


def test_curves_along_the_axes_keep_their_own_threshold(stored):
    region = stored(statistic="certainty").with_fraction(None)
    assert region.threshold == INSIDE


def test_a_share_of_the_volume_gives_the_highest_values(stored):
    review = stored()
    region = review.with_fraction(0.05)
    assert (review.uncertainty > region.threshold).mean() == pytest.approx(0.05, abs=0.5 / 1080)
    assert region.mask.sum() <= round(0.05 * 1080)


def test_a_larger_share_never_gives_a_smaller_region(stored):
    review = stored()
    counts = [int(review.with_fraction(f).mask.sum()) for f in (0.01, 0.05, 0.1, 0.3, 0.9)]
    assert counts == sorted(counts)


def test_the_box_is_in_voxels_of_the_volume_as_it_is_now(study, stored):
    stored()
    study.update_volume("fish_a", axis="x", direction="-", voxel_size=(2.0, 1.0, 4.0))
    review = load(study, "fish_a", "r-1")
    assert review.record.axis == "x"
    assert review.region().box == ((9, 24), (6, 18), (9, 27))


def test_the_newest_is_taken_where_no_run_is_named(study, stored):
    stored()
    assert load(study, "fish_a").localization.run == "r-1"


def test_what_was_not_localised_cannot_be_reviewed(study):
    with pytest.raises(StudyError, match="it has not been localised yet; localise it first"):
        load(study, "fish_b")


@pytest.mark.parametrize("volume", ["fish_a", "fish_b"])
@pytest.mark.parametrize("refine", [True, False])
def test_what_the_job_stored_comes_out_the_same(study, runs, ask, volume, refine):
    ask(volume, refine=refine, passes=3, every=1)
    review, found = load(study, volume), read_localization(study, volume, runs.sorting)
    for region in (review.region(), review.with_fraction(None)):
        assert region.threshold == pytest.approx(found.threshold, rel=1e-6)
        # The map that is kept may be coarser than the one that the job cut.
        cell = max(review.evidence_grid.scale)
        assert np.abs(np.array(region.box) - found.box).max() <= cell
        assert review.evidence_grid.box_of(region.mask, found.shape) == region.box
        assert region.fraction == pytest.approx(found.fraction, abs=0.02)


def test_a_kept_map_that_is_coarser_than_the_job_saw_gives_the_box_within_its_cells(
    study, runs, ask, store, make_fish, monkeypatch
):
    from napari_sortingloss.localize import job, maps

    def seen(trained, volume, settings):
        """Instead of the network, which two steps have taught nothing."""
        coarse = (volume.read_slab(0, volume.shape[0]) > 60)[1::3, 1::3, 1::3].astype(np.float32)
        return coarse, Grid(coarse.shape, (3.0,) * 3, (1.0,) * 3)
        yield

    monkeypatch.setattr(maps, "uncertainty_map", seen)
    monkeypatch.setattr(job, "SHOWN", 12_000)
    store(study, "larger", make_fish((45, 40, 52)))
    ask("larger")
    review, found = load(study, "larger"), read_localization(study, "larger", runs.sorting)
    assert review.refined
    assert review.evidence.size <= 12_000
    assert np.abs(np.array(found.box) - ((9, 37), (8, 33), (11, 42))).max() <= 2
    box = np.array(review.region().box)
    assert (np.abs(box - found.box) <= np.array(review.evidence_grid.scale)[:, None]).all()
