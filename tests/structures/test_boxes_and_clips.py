import numpy as np
import torch
from torchvision.ops import box_iou as torchvision_box_iou

from wauve_dist.structures.boxes import box_area, box_iou
from wauve_dist.structures.clips import clip_starts


def test_iou_is_torchvision_s_on_random_boxes():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (2, 40, 2, 2)).astype(np.float32)
    first, second = np.sort(corners, axis=2).reshape(2, 40, 4)
    expected = torchvision_box_iou(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    np.testing.assert_allclose(box_iou(first, second), expected, atol=1e-6)


def test_empty_and_disjoint_boxes_overlap_by_zero():
    boxes = np.array([[0, 0, 0, 0], [0, 0, 2, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_array_equal(box_iou(boxes, boxes), np.diag([0, 1, 1]))
    np.testing.assert_array_equal(box_area(np.array([[3, 3, 1, 9]], np.float32)), [0])
    assert box_iou(np.empty((0, 4), np.float32), boxes).shape == (0, 3)


def test_clips_are_consecutive_and_the_remainder_gives_none():
    assert list(clip_starts(first_frame=5, num_frames=7)) == []
    assert list(clip_starts(5, 8)) == [5]
    assert list(clip_starts(5, 23)) == [5, 13]
    assert list(clip_starts(5, 24)) == [5, 13, 21]
