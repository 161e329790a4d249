"""The loss counts what is known, and is never not a number."""

import pytest
import torch

from napari_sortingloss.segment.finetune.losses import (
    _confusion_by_product,
    confusion,
    cross_entropy,
    dice_loss,
    iou_of,
    segmentation_loss,
)
from napari_sortingloss.slices import IGNORE


def logits_for(labels, kinds, sure=20.0):
    return (
        sure
        * torch.nn.functional.one_hot(labels.long().clamp(max=kinds - 1), kinds).permute(0, 3, 1, 2).float()
    )


@pytest.fixture
def target():
    torch.manual_seed(0)
    return torch.randint(0, 3, (2, 9, 7), dtype=torch.uint8)


def test_a_sure_and_right_network_has_no_loss_and_a_wrong_one_much(target):
    right, wrong = logits_for(target, 3), logits_for((target + 1) % 3, 3)
    assert segmentation_loss(right, target) < 1e-3
    assert segmentation_loss(wrong, target) > 10


def test_unknown_pixels_change_nothing(target):
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 9, 7)
    unknown = target.clone()
    unknown[:, :4] = IGNORE
    other = logits.clone()
    other[:, :, :4] = 50 * torch.randn(2, 3, 4, 7)
    torch.testing.assert_close(segmentation_loss(logits, unknown), segmentation_loss(other, unknown))
    cut = segmentation_loss(logits[:, :, 4:], target[:, 4:])
    torch.testing.assert_close(segmentation_loss(logits, unknown), cut)


def test_a_batch_without_a_known_pixel_has_the_loss_0_and_gradients_of_0():
    logits = torch.randn(2, 3, 5, 4, requires_grad=True)
    for weights in (None, torch.tensor([1.0, 2.0, 3.0])):
        loss = segmentation_loss(logits, torch.full((2, 5, 4), IGNORE, dtype=torch.uint8), weights)
        loss.backward()
        assert loss == 0
        assert (logits.grad == 0).all()


def test_a_class_that_does_not_occur_leaves_dice_alone(target):
    only = (target == 1).to(torch.uint8)
    torch.manual_seed(1)
    two, extra = torch.randn(2, 2, 9, 7), torch.full((2, 1, 9, 7), -50.0)
    torch.testing.assert_close(dice_loss(torch.cat([two, extra], 1), only), dice_loss(two, only))
    assert dice_loss(two, torch.zeros_like(only)) == 0


def test_dice_is_that_of_sets_for_sure_predictions():
    truth = torch.zeros(1, 4, 4, dtype=torch.uint8)
    truth[0, :2] = 1  # 8 pixels
    said = torch.zeros(1, 4, 4, dtype=torch.uint8)
    said[0, 1:4] = 1  # 12 pixels, 4 of them right
    assert float(dice_loss(logits_for(said, 2, 100.0), truth)) == pytest.approx(1 - 2 * 4 / 20)


def test_weights_make_a_class_count_more(target):
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 9, 7)
    weights = torch.tensor([1.0, 5.0, 0.5])
    expected = torch.nn.functional.cross_entropy(logits, target.long(), weight=weights)
    torch.testing.assert_close(cross_entropy(logits, target, weights), expected)


def test_the_loss_is_float32_under_autocast(target):
    logits = torch.randn(2, 3, 9, 7).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert segmentation_loss(logits, target).dtype == torch.float32


def test_confusion_counts_known_pixels_and_iou_follows_from_it():
    target = torch.tensor([[0, 0, 1], [1, 1, IGNORE]], dtype=torch.uint8)
    found = torch.tensor([[0, 1, 1], [1, 0, 2]])
    counts = confusion(found, target, 3)
    assert counts.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    ious = iou_of(counts)
    assert ious[:2].tolist() == pytest.approx([1 / 3, 2 / 4])
    assert ious[2].isnan()


def test_both_ways_of_counting_agree():
    torch.manual_seed(0)
    target = torch.randint(0, 4, (3, 20, 30), dtype=torch.uint8)
    target[target == 3] = IGNORE
    found = torch.randint(0, 3, (3, 20, 30))
    torch.testing.assert_close(_confusion_by_product(found, target, 3), confusion(found, target, 3))
