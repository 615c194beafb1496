import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection import FasterRCNN
from torchvision.ops import box_iou

from wauve_dist.models.detectors.anchor_coverage import Anchors, FramedBoxes, coverage, fitted_anchors
from wauve_dist.models.detectors.faster_rcnn import LesionDetector

FULL_SCALE = Anchors([32, 64, 128, 256, 512], [0.33, 0.5, 1.0, 2.0, 3.0])


def framed(boxes, frame_sizes):
    return FramedBoxes(np.array(boxes, np.float64), np.array(frame_sizes, np.float64))


def torchvision_s(anchors, image_size):
    settings = dict(num_proposals=10, num_sampled_rois=8, score_threshold=0.1, nms_iou=0.5, max_detections=5)
    network: FasterRCNN = LesionDetector(image_size, anchors.sizes, anchors.ratios, **settings).network
    return network


def test_the_best_anchor_lies_on_the_nearest_cell():
    anchors = Anchors([16, 1000, 1000, 1000, 1000], [1.0])
    boxes = framed(
        [
            (32, 32, 48, 48),  # centred on a cell of P2, every 4 pixels
            (33, 32, 49, 48),  # one pixel off: 15 of 16 columns shared, IoU 15 / 17
            (34, 34, 50, 50),  # half-way between cells along both axes: 14 x 14 shared
            (40, 40, 48, 44),  # within the anchor that is centred two pixels below it
        ],
        [(128, 128)] * 4,
    )
    expected = [1, 15 / 17, 14 * 14 / (2 * 16 * 16 - 14 * 14), 8 * 4 / (16 * 16)]
    np.testing.assert_allclose(anchors.best_ious(boxes), expected)


def test_the_last_cell_lies_one_stride_before_the_padded_frame_s_end():
    # Padded to 128 pixels, P5 has cells at 0, 32, 64 and 96; boxes beyond 96 have no nearer one.
    anchors = Anchors([4, 4, 4, 32, 4], [1.0])
    boxes = framed([(88, 40, 120, 72), (96, 48, 128, 80)], [(120, 120)] * 2)
    assert anchors.best_ious(boxes)[1] == pytest.approx(16 * 32 / (2 * 32 * 32 - 16 * 32))
    assert anchors.best_ious(boxes)[0] == pytest.approx(24 * 24 / (2 * 32 * 32 - 24 * 24))


@given(st.integers(60, 330), st.integers(60, 330), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_overlaps_are_those_with_all_anchors_that_torchvision_s_network_has(height, width, seed):
    rng = np.random.default_rng(seed)
    anchors = Anchors(np.sort(rng.integers(5, 200, 5)).tolist(), rng.uniform(0.3, 3, 2).round(2).tolist())
    corners = np.sort(rng.uniform(0, 1, (20, 2, 2)) * (width, height), axis=1).reshape(20, 4)
    network = NETWORK
    network.rpn.anchor_generator.cell_anchors = [
        network.rpn.anchor_generator.generate_anchors((size,), anchors.ratios) for size in anchors.sizes
    ]
    images, [target] = network.transform([torch.zeros(3, height, width)], [{"boxes": torch.tensor(corners)}])
    sides = [side for side in images.tensors.shape[-2:]]
    maps = [torch.zeros(1, 1, *(-(-side // stride) for side in sides)) for stride in (4, 8, 16, 32, 64)]
    [theirs] = network.rpn.anchor_generator(images, maps)
    expected = box_iou(target["boxes"], theirs.double()).amax(dim=1)
    boxes = framed(corners, [(width, height)] * 20).resized([160])
    np.testing.assert_allclose(boxes.xyxy, target["boxes"], atol=1e-4)
    np.testing.assert_allclose(anchors.best_ious(boxes), expected, atol=1e-5)


NETWORK = torchvision_s(FULL_SCALE, 160).eval()


def test_the_grids_are_those_of_the_network_s_own_feature_maps():
    images, _ = NETWORK.transform([torch.zeros(3, 97, 160)])
    with torch.inference_mode():
        features = NETWORK.backbone(images.tensors)
    assert images.tensors.shape[-2:] == (128, 160)
    assert [tuple(x.shape[-2:]) for x in features.values()] == [
        tuple(-(-side // stride) for side in (128, 160)) for stride in (4, 8, 16, 32, 64)
    ]


def test_boxes_of_several_training_sizes_count_once_at_each():
    boxes = framed([(0, 0, 100, 50)], [(400, 300)]).resized([200, 800])
    assert boxes.xyxy.tolist() == [[0, 0, 50, 25], [0, 0, 200, 100]]
    assert boxes.frame_sizes.tolist() == [[200, 150], [800, 600]]


def lesions(num_boxes=300, smallest=20, largest=60, frame=160, seed=0):
    rng = np.random.default_rng(seed)
    widths = np.exp(rng.uniform(np.log(smallest), np.log(largest), num_boxes))
    sides = np.stack([widths, widths * rng.uniform(0.5, 0.9, num_boxes)], axis=1)
    corners = rng.uniform(0, 1, (num_boxes, 2)) * (frame - sides)
    return framed(np.concatenate([corners, corners + sides], axis=1), [(frame, frame)] * num_boxes)


def test_the_report_gives_sides_shares_and_the_worst_sizes():
    sides = np.array([(10, 8)] * 2 + [(20, 16)] * 16 + [(64, 3), (64, 3)])
    boxes = framed(np.concatenate([np.full((20, 2), 32), 32 + sides], axis=1), [(128, 128)] * 20)
    covered = coverage(Anchors([10, 20, 30, 40, 64], [0.8]), boxes)
    first, second = covered.lines()
    assert "20 training boxes" in first
    assert "width 10 / 20 / 64, height 3 / 16 / 16" in first
    assert "90.0% of them by at least 0.5, " in second
    assert [word for word in second.split() if "x" in word and word[0].isdigit()] == ["64x3", "20x16", "10x8"]
    figures = covered.figures()
    assert figures["boxes"] == 20
    assert figures["iou50_share"] == 0.9
    assert (figures["width_5"], figures["width_50"], figures["height_95"]) == (10, 20, 16)


def test_anchors_that_miss_the_lesions_are_warned_of_with_better_ones():
    boxes = lesions()
    covered = coverage(FULL_SCALE, boxes)
    assert covered.share(0.5) < 0.9
    better = fitted_anchors(boxes, num_ratios=5)
    reached = coverage(better, boxes).share(0.5)
    assert reached > 0.98
    warning = covered.warning()
    assert f"Only {covered.share(0.5):.1%} of the training boxes" in warning
    assert f"--model.anchor_sizes '[{','.join(f'{size:g}' for size in better.sizes)}]'" in warning
    assert f"would reach {reached:.1%}" in warning
    assert coverage(better, boxes).warning() is None


def test_fitted_anchors_rise_from_level_to_level_and_need_no_luck():
    for seed in range(3):
        found = fitted_anchors(lesions(smallest=8, largest=120, seed=seed), num_ratios=3)
        assert found.sizes == sorted(found.sizes)
        assert all(size == int(size) >= 1 for size in found.sizes)
        assert len(found.ratios) == 3
        assert found == fitted_anchors(lesions(smallest=8, largest=120, seed=seed), num_ratios=3)


def test_lesions_all_alike_are_no_trouble():
    boxes = framed([(32, 32, 64, 48)] * 5, [(128, 96)] * 5)
    assert coverage(fitted_anchors(boxes, num_ratios=1), boxes).share(0.7) == 1
