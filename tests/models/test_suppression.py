import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from wauve_dist.models.detectors.suppression import suppress, suppressors

IOUS = st.sampled_from([0.3, 0.5, 0.7])


def random_boxes(num_sets, num_boxes, seed):
    """Boxes that overlap much, best first."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(num_sets, num_boxes, 4, generator=generator) * torch.tensor([60, 60, 40, 40])
    return torch.cat([corners[..., :2], corners[..., :2] + corners[..., 2:]], dim=2)


def torchvision_s(boxes, candidates, iou):
    """Torchvision's, set by set."""
    keep = torch.zeros_like(candidates)
    for number, (of_set, is_candidate) in enumerate(zip(boxes, candidates, strict=True)):
        present = is_candidate.nonzero()[:, 0]
        scores = torch.linspace(1, 0, len(present))
        keep[number, present[nms(of_set[present], scores, iou)]] = True
    return keep


@given(st.integers(1, 4), st.integers(1, 100), IOUS, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_the_boxes_kept_are_torchvision_s(num_sets, num_boxes, iou, seed):
    boxes = random_boxes(num_sets, num_boxes, seed)
    candidates = torch.rand(num_sets, num_boxes, generator=torch.Generator().manual_seed(seed)) < 0.8
    keep, is_settled = suppress(suppressors(boxes, iou), candidates, num_rounds=num_boxes)
    assert is_settled
    assert torch.equal(keep, torchvision_s(boxes, candidates, iou))


@given(st.integers(2, 80), IOUS, st.integers(0, 1000), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_rounds_that_were_too_few_are_told(num_boxes, iou, seed, num_rounds):
    boxes, candidates = random_boxes(2, num_boxes, seed), torch.ones(2, num_boxes, dtype=torch.bool)
    keep, is_settled = suppress(suppressors(boxes, iou), candidates, num_rounds)
    if is_settled or num_rounds >= num_boxes:
        assert torch.equal(keep, torchvision_s(boxes, candidates, iou))


def staircase(num_boxes):
    """Each box overlaps only the one before and the one after it: every second one is kept."""
    left = 4.0 * torch.arange(num_boxes)
    return torch.stack([left, torch.zeros(num_boxes), left + 10, torch.full((num_boxes,), 10.0)], dim=1)[None]


@pytest.mark.parametrize("num_boxes", [1, 2, 31, 32, 33, 70])
def test_the_longest_chain_takes_as_many_rounds_as_boxes(num_boxes):
    boxes, candidates = staircase(num_boxes), torch.ones(1, num_boxes, dtype=torch.bool)
    bits = suppressors(boxes, 0.4)  # neighbours share 6 of 14 pixels
    for num_rounds in range(1, num_boxes):
        assert not suppress(bits, candidates, num_rounds)[1]
    keep, is_settled = suppress(bits, candidates, num_boxes)
    assert is_settled
    assert keep[0].tolist() == [number % 2 == 0 for number in range(num_boxes)]


def test_a_box_that_is_no_candidate_suppresses_nothing():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8]]])
    keep, _ = suppress(suppressors(boxes, 0.5), torch.tensor([[False, True, True]]), num_rounds=3)
    assert keep.tolist() == [[False, True, False]]


def test_an_overlap_of_exactly_the_threshold_is_none():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 2]]])  # IoU 0.5
    for iou, kept in ((0.5, 2), (0.49, 1)):
        assert suppress(suppressors(boxes, iou), torch.ones(1, 2, dtype=torch.bool), 2)[0].sum() == kept


def test_boxes_without_area_or_without_a_number_overlap_nothing():
    boxes = torch.tensor([[[1.0, 1, 1, 1], [1, 1, 1, 1], [float("nan")] * 4, [0, 0, 2, 2]]])
    assert suppressors(boxes, 0.5)[0, :4].tolist() == [[0]] * 4


def test_sets_that_are_compared_in_pieces_are_compared_alike(monkeypatch):
    boxes = random_boxes(5, 40, seed=0)
    whole = suppressors(boxes, 0.5)
    monkeypatch.setattr("wauve_dist.models.detectors.suppression._LARGEST_CHUNK", 2 * 64 * 64)
    assert torch.equal(suppressors(boxes, 0.5), whole)
