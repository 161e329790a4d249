"""The ranking losses against hand-computed cases and plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sortingloss.pretext.displacement import mean_displacement
from napari_sortingloss.pretext.sorting.ranking import RANKINGS, ranking_loss

NAMES = sorted(RANKINGS)


def groups_of(positions, groups):
    groups = [0] * len(positions) if groups is None else groups
    return [[i for i in range(len(groups)) if groups[i] == g] for g in sorted(set(groups))]


def pairs_of(positions, groups):
    return [(i, j) for m in groups_of(positions, groups) for i in m for j in m if positions[i] > positions[j]]


def loop_margin(z, positions, groups, m=0.2):
    values = [max(0.0, m - (z[i] - z[j])) for i, j in pairs_of(positions, groups)]
    return sum(values) / max(len(values), 1)


def loop_logistic(z, positions, groups):
    values = [math.log1p(math.exp(-(z[i] - z[j]))) for i, j in pairs_of(positions, groups)]
    return sum(values) / max(len(values), 1)


def loop_listmle(z, positions, groups):
    total, count = 0.0, 0
    for members in groups_of(positions, groups):
        left = sorted(members, key=lambda i: positions[i])
        if len(left) > 1:
            count += len(left)
            while left:
                total -= math.log(math.exp(z[left[-1]]) / sum(math.exp(z[i]) for i in left))
                left.pop()
    return total / max(count, 1)


def loop_softrank(z, positions, groups):
    values = []
    for members in groups_of(positions, groups):
        for i in members if len(members) > 1 else []:
            believed = sum(1 / (1 + math.exp(-(z[i] - z[j]) / 0.5)) for j in members if j != i)
            true = sum(positions[i] > positions[j] for j in members)
            values.append(((believed - true) / (len(members) - 1)) ** 2)
    return sum(values) / max(len(values), 1)


LOOPS = {"margin": loop_margin, "logistic": loop_logistic, "listmle": loop_listmle, "softrank": loop_softrank}


@st.composite
def batches(draw):
    n = draw(st.integers(1, 9))
    z = draw(st.lists(st.floats(-4, 4, width=32), min_size=n, max_size=n))
    positions = draw(st.permutations(range(n)))
    groups = draw(st.none() | st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return z, list(positions), groups


def tensors(z, positions, groups):
    scores = torch.tensor(z, dtype=torch.float32, requires_grad=True)
    return scores, torch.tensor(positions), None if groups is None else torch.tensor(groups)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(batches())
def test_the_vectorised_loss_equals_the_plain_loop(name, batch):
    assert ranking_loss(name)(*tensors(*batch)).item() == pytest.approx(LOOPS[name](*batch), abs=1e-5)


def test_the_margin_loss_of_three_slices_computed_by_hand():
    # pairs (2 over 0): 0.2 - (0.5 - 0.1) < 0 -> 0; (1 over 0): 0.2 - 0.3 -> 0; (2 over 1): 0.2 - 0.1 -> 0.1
    loss = ranking_loss("margin")(torch.tensor([0.1, 0.4, 0.5]), torch.tensor([3, 5, 9]), None)
    assert loss.item() == pytest.approx(0.1 / 3)


def test_the_margin_is_a_setting():
    loss = ranking_loss("margin", 1.0)(torch.tensor([0.0, 0.0]), torch.tensor([3, 5]), None)
    assert loss.item() == pytest.approx(1.0)


def test_a_collapsed_encoder_pays_the_whole_margin():
    assert ranking_loss("margin")(torch.zeros(16), torch.arange(16), None).item() == pytest.approx(0.2)


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_step_is_taken_towards_the_wrong_order(name):
    scores, positions, _ = tensors(np.zeros(6), [4, 0, 5, 2, 1, 3], None)
    ranking_loss(name)(scores, positions, None).backward()
    step = -scores.grad
    assert mean_displacement(positions.numpy(), step.numpy()) == 0


@pytest.mark.parametrize("name", NAMES)
def test_descending_the_loss_sorts_two_volumes_independently(name):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(12, generator=generator, requires_grad=True)
    positions = torch.randperm(12, generator=generator)
    groups = torch.arange(12) % 2
    for _ in range(400):
        (gradient,) = torch.autograd.grad(ranking_loss(name)(scores, positions, groups), scores)
        scores = (scores - 2.0 * gradient).detach().requires_grad_()
    for group in (0, 1):
        kept = (groups == group).numpy()
        assert mean_displacement(positions.numpy()[kept], scores.detach().numpy()[kept]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_slices_of_different_volumes_never_touch_each_other(name):
    scores, positions, groups = tensors([0.3, -0.2, 0.9, 0.1], [0, 1, 0, 1], [0, 0, 1, 1])
    apart = torch.stack([ranking_loss(name)(scores[m], positions[m], None) for m in ([0, 1], [2, 3])]).mean()
    assert ranking_loss(name)(scores, positions, groups).item() == pytest.approx(apart.item(), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_in_which_the_slices_are_listed_does_not_matter(name):
    scores, positions, groups = tensors(np.linspace(-1, 1, 8), [4, 0, 6, 2, 7, 1, 3, 5], [0, 1] * 4)
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    expected = ranking_loss(name)(scores, positions, groups).item()
    shuffled = ranking_loss(name)(scores[order], positions[order], groups[order])
    assert shuffled.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_adding_the_same_number_to_every_score_changes_nothing(name):
    scores, positions, _ = tensors([0.3, -0.2, 0.9], [1, 0, 2], None)
    loss = ranking_loss(name)
    expected = loss(scores, positions, None).item()
    assert loss(scores + 5.0, positions, None).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("groups", [None, [0, 1, 2]])
def test_without_any_pair_the_loss_is_zero_and_so_is_its_gradient(name, groups):
    n = 1 if groups is None else 3
    scores, positions, found = tensors([2.0] * n, list(range(n)), groups)
    loss = ranking_loss(name)(scores, positions, found)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(n))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_costs_nothing(name):
    scores = torch.zeros(0, requires_grad=True)
    loss = ranking_loss(name)(scores, torch.zeros(0), None)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_huge_scores_give_finite_losses_and_gradients(name):
    scores, positions, _ = tensors([1e4, -1e4, 0.0], [0, 1, 2], None)
    loss = ranking_loss(name)(scores, positions, None)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_computed_in_float32_under_autocast(name):
    scores = torch.tensor([100.0, 100.5, 100.1], requires_grad=True)
    positions = torch.tensor([0, 1, 2])
    expected = ranking_loss(name)(scores, positions, None)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ranking_loss(name)(scores, positions, None)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
