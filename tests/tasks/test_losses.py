"""Each loss against its published formula, worked out by hand in plain Python."""

import math

import pytest
import torch
from torch.nn import functional as F

from wauve_dist.tasks.losses import classification_loss

LOGITS, LABELS = [2.0, -1.0, 0.3, -3.0], [1.0, 1.0, 0.0, 0.0]
PLAIN = {"pos_weight": 1.0, "label_smoothing": 0.0, "focal_gamma": 0.0}


def loss_of(labels=LABELS, **changes):
    return float(classification_loss(torch.tensor(LOGITS), torch.tensor(labels), **{**PLAIN, **changes}))


def by_hand(labels, term):
    """Mean over clips of a function of the probability and the label."""
    return sum(term(1 / (1 + math.exp(-logit)), label) for logit, label in zip(LOGITS, labels, strict=True)) / 4


def cross_entropy(p, target):
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def test_without_extras_it_is_torch_s_binary_cross_entropy_gradient_included():
    ours, theirs = (torch.tensor(LOGITS, requires_grad=True) for _ in range(2))
    loss = classification_loss(ours, torch.tensor(LABELS), **PLAIN)
    expected = F.binary_cross_entropy_with_logits(theirs, torch.tensor(LABELS))
    loss.backward()
    expected.backward()
    assert torch.equal(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=0)


def test_a_malignant_clip_of_weight_3_counts_three_times():
    assert loss_of(pos_weight=3.0) == pytest.approx(by_hand(LABELS, lambda p, y: (3 if y else 1) * cross_entropy(p, y)))


def test_smoothing_by_a_fifth_trains_towards_nine_tenths_and_one_tenth():
    assert loss_of(label_smoothing=0.2) == pytest.approx(
        by_hand(LABELS, lambda p, y: cross_entropy(p, 0.9 if y else 0.1))
    )


def test_the_focal_loss_weighs_by_the_squared_distance_to_the_label():
    assert loss_of(focal_gamma=2.0) == pytest.approx(by_hand(LABELS, lambda p, y: (y - p) ** 2 * cross_entropy(p, y)))


def test_a_mixed_label_lies_between():
    mixed = [0.25, 1.0, 0.0, 0.5]
    assert loss_of(mixed) == pytest.approx(by_hand(mixed, cross_entropy))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_certain_clips_have_finite_losses_and_gradients(gamma):
    logits = torch.tensor([200.0, -200.0, 200.0, -200.0], requires_grad=True)
    loss = classification_loss(logits, torch.tensor(LABELS), 1.0, 0.0, gamma)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
