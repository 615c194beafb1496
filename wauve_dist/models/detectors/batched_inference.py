"""Faster R-CNN on a whole batch at once, with shapes that do not depend on what is found.

Torchvision's detector goes through the frames of a batch one by one once their features are computed, and asks the GPU
dozens of times how many boxes are left. Here boxes that drop out are masked, and all frames go through the same few
calls: the host queues them without ever waiting, and copies the result once. The steps are torchvision's (Ren et al.
2015; Lin et al. 2017), on the same modules and weights:

    images → pyramid → on each level the best K anchors → boxes → suppression → best P of all levels: the proposals
           → features of each proposal → score, box → suppression → best D: the detections

So are the results, but for rounding: torchvision shifts levels apart before it compares their boxes. In half precision,
boxes and scores stay float32 here; torchvision rounds anchors with the features, in bfloat16 by up to 2 pixels.

Shapes: N frames, C channels, H, W a level's grid, A anchors of a level, L levels, K candidates of a level, P proposals
and D detections of a frame, M = N P; boxes are xyxy in pixels of the resized and padded frame.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator

from wauve_dist.models.detectors.network_input import NetworkInput
from wauve_dist.models.detectors.pyramid_atlas import atlas_places, build_atlas, pool_boxes
from wauve_dist.models.detectors.suppression import suppress, suppressors

_STRIDES = (4, 8, 16, 32, 64)  # of the pyramid's levels
_ABSENT = -1.0  # score of what is not there
_LESION = 1
_SMALLEST_DETECTION = 1e-2  # pixels, of torchvision's RoIHeads
_FIRST_ROUNDS = 32


class _Grids(NamedTuple):
    """What depends on the size of the padded frames only.

    Attributes:
        anchors: [A, 4] of each level.
        places: [levels that are pooled from, 5]; see ``pool_boxes``.
    """

    anchors: list[Tensor]
    places: Tensor


class BatchedInference:
    """Runs a Faster R-CNN that knows one class.

    Args:
        network: in evaluation mode when called.

    Attributes:
        num_rounds: of suppression; twice as many from a batch on that they do not suffice for.
    """

    def __init__(self, network: FasterRCNN) -> None:
        self._network = network
        generator = network.rpn.anchor_generator
        self._anchors = AnchorGenerator(generator.sizes, generator.aspect_ratios)
        self._grids: tuple[object, _Grids] | None = None
        self._detections = self.detections
        self.num_rounds = _FIRST_ROUNDS

    def compile(self) -> None:
        """Compile the calls for a batch as one graph, anew for each number and size of frames; takes minutes."""
        self._detections = torch.compile(self.detections, fullgraph=True, dynamic=False, mode="reduce-overhead")

    def __call__(self, given: NetworkInput) -> Tensor:
        """Find lesions; waits for the device once, to copy the result.

        Returns:
            float32 [N, D, 5] in host memory: box in pixels of the frame itself, score; best first, and behind them
            rows with a negative score.
        """
        while True:
            found_ND5, is_settled = self._detections(given, self.grids(given.images), self.num_rounds)
            on_host = torch.cat([found_ND5.flatten(), is_settled.view(1)]).cpu()
            if on_host[-1]:
                return on_host[:-1].view(found_ND5.shape)
            self.num_rounds *= 2

    def grids(self, images_N1HW: Tensor) -> _Grids:
        """Return anchors and places for frames of that size; those of the last size are kept."""
        key = (images_N1HW.shape[2:], images_N1HW.device)
        if self._grids is None or self._grids[0] != key:
            self._grids = key, self._new_grids(*key)
        return self._grids[1]

    def detections(self, given: NetworkInput, grids: _Grids, num_rounds: int) -> tuple[Tensor, Tensor]:
        """Find lesions without waiting for the device: one graph of calls for frames of one size.

        Returns:
            float32 [N, D, 5] as above, on the device; and bool [], whether the rounds sufficed for it to be right.
        """
        stem = self._network.backbone.body.conv1
        pyramid = list(self._network.backbone(given.images.expand(-1, stem.in_channels, -1, -1)).values())
        limits_N14 = given.sizes.repeat(1, 2).unsqueeze(1)
        proposals_NP4, are_there_NP, is_settled = self._proposals(pyramid, grids, limits_N14, num_rounds)
        boxes_NP4, scores_NP = self._judged(pyramid, grids, proposals_NP4, limits_N14)
        heads = self._network.roi_heads
        is_candidate_NP = are_there_NP & (scores_NP > heads.score_thresh) & _at_least(boxes_NP4, _SMALLEST_DETECTION)
        scores_NP, best_NP = scores_NP.masked_fill(~is_candidate_NP, _ABSENT).sort(dim=1, descending=True, stable=True)
        boxes_NP4 = _rows(boxes_NP4, best_NP)
        keep_NP, is_settled_too = suppress(suppressors(boxes_NP4, heads.nms_thresh), scores_NP >= 0, num_rounds)
        found_NP5 = torch.cat(
            [boxes_NP4 * given.scales.repeat(1, 2).unsqueeze(1), scores_NP.masked_fill(~keep_NP, _ABSENT).unsqueeze(2)],
            dim=2,
        )
        return _rows(found_NP5, _first(keep_NP, heads.detections_per_img)), is_settled & is_settled_too

    def _proposals(
        self, pyramid: list[Tensor], grids: _Grids, limits_N14: Tensor, num_rounds: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return regions [N, P, 4], best first; bool [N, P], which are there; bool [], whether the rounds sufficed."""
        rpn = self._network.rpn
        boxes, scores = [], []
        for logits_NCHW, codes_NCHW, anchors_A4 in zip(*rpn.head(pyramid), grids.anchors, strict=True):
            logits_NA = logits_NCHW.permute(0, 2, 3, 1).flatten(1)
            codes_NA4 = codes_NCHW.permute(0, 2, 3, 1).reshape(*logits_NA.shape, 4)
            best = logits_NA.topk(min(rpn.pre_nms_top_n(), logits_NA.shape[1]), dim=1)
            codes_NK4 = _rows(codes_NA4, best.indices).float()
            boxes.append(_clipped(_decoded(codes_NK4, anchors_A4[best.indices], rpn.box_coder), limits_N14))
            scores.append(best.values.float().sigmoid())
        most = max(level.shape[1] for level in scores)
        boxes_BK4 = torch.stack([F.pad(level, (0, 0, 0, most - level.shape[1])) for level in boxes], 1).flatten(0, 1)
        scores_BK = torch.stack([F.pad(level, (0, most - level.shape[1]), value=_ABSENT) for level in scores], 1)
        scores_BK = scores_BK.flatten(0, 1)
        is_candidate_BK = (scores_BK >= rpn.score_thresh) & _at_least(boxes_BK4, rpn.min_size)
        keep_BK, is_settled = suppress(suppressors(boxes_BK4, rpn.nms_thresh), is_candidate_BK, num_rounds)
        # Frames again, each with the boxes of all its levels.
        shape = (len(limits_N14), -1)
        scores_NP, best_NP = (
            scores_BK.masked_fill(~keep_BK, _ABSENT).view(shape).sort(dim=1, descending=True, stable=True)
        )
        best_NP, are_there_NP = best_NP[:, : rpn.post_nms_top_n()], scores_NP[:, : rpn.post_nms_top_n()] >= 0
        boxes_NP4 = _rows(boxes_BK4.view(*shape, 4), best_NP)
        return boxes_NP4.masked_fill(~are_there_NP.unsqueeze(2), 0), are_there_NP, is_settled

    def _judged(
        self, pyramid: list[Tensor], grids: _Grids, proposals_NP4: Tensor, limits_N14: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the box that each proposal becomes, [N, P, 4], and its score, [N, P]."""
        heads = self._network.roi_heads
        atlas = build_atlas(pyramid[: len(grids.places)])
        pooled_MCSS = pool_boxes(atlas, grids.places, proposals_NP4, heads.box_roi_pool)
        logits_M2, codes_M8 = heads.box_predictor(heads.box_head(pooled_MCSS))
        codes_NP4 = codes_M8.float().view(len(codes_M8), -1, 4)[:, _LESION].view_as(proposals_NP4)
        boxes_NP4 = _clipped(_decoded(codes_NP4, proposals_NP4, heads.box_coder), limits_N14)
        return boxes_NP4, logits_M2.float().softmax(dim=1)[:, _LESION].view(proposals_NP4.shape[:2])

    def _new_grids(self, size: torch.Size, device: torch.device) -> _Grids:
        height, width = size
        pooler = self._network.roi_heads.box_roi_pool
        shapes = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in _STRIDES]
        strides = [(height // rows, width // columns) for rows, columns in shapes]
        self._anchors.set_cell_anchors(torch.float32, device)
        pooled = shapes[: len(pooler.scales)]
        places = [
            (scale, left, top, columns, rows)
            for scale, (top, left), (rows, columns) in zip(pooler.scales, atlas_places(pooled), pooled, strict=True)
        ]
        return _Grids(self._anchors.grid_anchors(shapes, strides), torch.tensor(places, device=device))


def _decoded(codes_NK4: Tensor, boxes_NK4: Tensor, coder: BoxCoder) -> Tensor:
    """Move and scale boxes as the network says (Girshick et al. 2014, appendix C)."""
    low_NK2, sides_NK2 = boxes_NK4[..., :2], boxes_NK4[..., 2:] - boxes_NK4[..., :2]
    shift_x, shift_y, log_width, log_height = (
        code / weight for code, weight in zip(codes_NK4.unbind(2), coder.weights, strict=True)
    )
    centres_NK2 = torch.stack([shift_x, shift_y], dim=2) * sides_NK2 + (low_NK2 + 0.5 * sides_NK2)
    factors_NK2 = torch.stack([log_width, log_height], dim=2).clamp(max=coder.bbox_xform_clip).exp()
    halves_NK2 = 0.5 * (factors_NK2 * sides_NK2)
    return torch.cat([centres_NK2 - halves_NK2, centres_NK2 + halves_NK2], dim=2)


def _clipped(boxes_NK4: Tensor, limits_N14: Tensor) -> Tensor:
    return boxes_NK4.clamp(min=0).minimum(limits_N14)


def _at_least(boxes: Tensor, side: float) -> Tensor:
    """Tell which boxes [..., 4] are that large."""
    return (boxes[..., 2:] - boxes[..., :2] >= side).all(dim=-1)


def _rows(values_NKX: Tensor, index_NP: Tensor) -> Tensor:
    """Pick rows of each frame: [N, P, X]."""
    return values_NKX.gather(1, index_NP.unsqueeze(2).expand(-1, -1, values_NKX.shape[2]))


def _first(flags_NP: Tensor, count: int) -> Tensor:
    """Return where each frame's first ``count`` set flags are, in order; then, where there are fewer, some others."""
    return (~flags_NP).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
