"""The figures computed on the device equal those of the plain definitions, volume by volume."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sortingloss.pretext import displacement as d
from napari_sortingloss.pretext.sorting.batch_figures import batch_figures


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-2, 2), min_size=2, max_size=12), st.integers(1, 3), st.randoms())
def test_they_are_the_definitions_averaged_over_the_slices_of_all_volumes(scores, volumes, random):
    n = len(scores)
    positions, groups = np.array(random.sample(range(99), n)), np.arange(n) % volumes
    figures = batch_figures(torch.tensor(scores).float(), torch.tensor(positions), torch.tensor(groups))
    parts = [(positions[groups == g], np.array(scores)[groups == g]) for g in np.unique(groups)]
    sizes = np.array([len(p) for p, _ in parts])
    pairs = sizes * (sizes - 1)

    def mean(values, weights):
        return np.average(values, weights=weights) if sum(weights) else 0.5

    assert figures["mean_displacement"].item() == pytest.approx(
        mean([d.mean_displacement(*part) for part in parts], sizes), abs=1e-5
    )
    assert figures["random_displacement"].item() == pytest.approx(
        mean([d.random_displacement(k) for k in sizes], sizes), abs=1e-5
    )
    assert figures["pairwise_accuracy"].item() == pytest.approx(
        mean([d.pairwise_accuracy(*part) for part in parts], pairs), abs=1e-5
    )
    for group, part in enumerate(parts):
        rho = figures["spearman"][torch.tensor(groups) == group]
        assert rho.numpy() == pytest.approx(d.spearman(*part), abs=1e-5)


def test_a_collapsed_encoder_shows_as_chance():
    figures = batch_figures(torch.zeros(16), torch.randperm(16), torch.zeros(16))
    assert figures["mean_displacement"].item() == pytest.approx(5.3125)
    assert figures["pairwise_accuracy"].item() == 0.5
    assert (figures["spearman"] == 0).all()
