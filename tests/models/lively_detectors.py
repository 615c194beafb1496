"""Detectors whose scores and boxes spread as after a training, and frames that tell them apart."""

import torch
from independent_i3d import with_random_norms
from torch import nn

SETTINGS = {
    "image_size": 128,
    "anchor_sizes": [8, 16, 32, 64, 96],
    "anchor_ratios": [0.33, 1.0, 3.0],
    "num_proposals": 60,
    "num_sampled_rois": 16,
    "score_threshold": 0.05,
    "nms_iou": 0.5,
    "max_detections": 10,
}


def lively(detector):
    """Give a new detector norms that differ, and scores and boxes that spread."""
    with_random_norms(detector)
    predictor, rpn = detector.network.roi_heads.box_predictor, detector.network.rpn.head
    for layer, std in ((predictor.cls_score, 0.1), (predictor.bbox_pred, 0.1), (rpn.cls_logits, 0.1)):
        nn.init.normal_(layer.weight, std=std)
    return detector


def make_frames(*sizes):
    """Make frames of grey blobs and speckle: in flat ones boxes would have the same scores, in no order."""
    generator = torch.Generator().manual_seed(1)
    frames = []
    for size in sizes:
        blobs = nn.functional.interpolate(torch.rand(1, 1, 6, 6, generator=generator), size, mode="bilinear")[0, 0]
        frames.append((200 * blobs + 50 * torch.rand(size, generator=generator)).to(torch.uint8))
    return frames


def assert_same_detections(found, expected, score_atol=1e-3):
    """Allow 1e-3 of a pixel, and of the scores' range; both round on their own."""
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours["boxes"], theirs["boxes"], atol=1e-3, rtol=0)
        torch.testing.assert_close(ours["scores"], theirs["scores"], atol=score_atol, rtol=0)
