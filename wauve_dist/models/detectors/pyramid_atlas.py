"""RoIAlign over all levels of a pyramid in one call.

Torchvision calls RoIAlign once a level, with the boxes that belong there, whose number the host has to ask for. Here
all levels lie side by side in one large map, the atlas, and each box looks at its level's place in it, so that one call
takes all boxes whatever their levels.

A level's last row and column are repeated twice in the atlas. Torchvision samples between the centre of the last cell
and the level's edge as if it were repeated so, and samples beyond the edge, which a box narrower than a cell can reach,
count as zero: these are taken out of the mean afterwards.

Shapes: N frames, P boxes of a frame, M = N P, L levels, C channels, S x S bins of a box; boxes are xyxy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align

_BORDER = 2
_FEWEST_CELLS = 1.0  # of torchvision's RoIAlign: smaller boxes are taken to be so wide


def atlas_places(shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return top and left of each level in the atlas: the first above, the others side by side below it.

    Args:
        shapes: height and width of each level, the largest first.
    """
    (height, _), *others = shapes
    left, places = 0, [(0, 0)]
    for _, width in others:
        places.append((height + _BORDER, left))
        left += width + _BORDER
    return places


def build_atlas(levels_NCHW: Sequence[Tensor]) -> Tensor:
    """Lay the levels of a pyramid into one map, float [N, C, H, W]."""
    shapes = [(level.shape[2], level.shape[3]) for level in levels_NCHW]
    places = atlas_places(shapes)
    corners = [
        (top + height + _BORDER, left + width + _BORDER)
        for (top, left), (height, width) in zip(places, shapes, strict=True)
    ]
    bottom, right = map(max, zip(*corners, strict=True))
    atlas = levels_NCHW[0].new_zeros((*levels_NCHW[0].shape[:2], bottom, right))
    for level, (top, left), (end_y, end_x) in zip(levels_NCHW, places, corners, strict=True):
        last_y, last_x = end_y - _BORDER, end_x - _BORDER
        atlas[:, :, top:last_y, left:last_x] = level
        atlas[:, :, top:last_y, last_x:end_x] = level[:, :, :, -1:]
        atlas[:, :, last_y:end_y, left:end_x] = atlas[:, :, last_y - 1 : last_y, left:end_x]
    return atlas


def pool_boxes(atlas_NCHW: Tensor, places_L5: Tensor, boxes_NP4: Tensor, pooler: MultiScaleRoIAlign) -> Tensor:
    """Pool the features of boxes, each from the level for its size (Lin et al. 2017, equation 1): [M, C, S, S].

    Args:
        atlas_NCHW: of ``build_atlas``.
        places_L5: float32, of each level its cells a pixel of the frame, its left and top in the atlas, its width and
            height.
        boxes_NP4: float32, in pixels of the frames.
        pooler: whose way of pooling is followed; without scales of its own.
    """
    low_NP2, high_NP2 = boxes_NP4[..., :2], boxes_NP4[..., 2:]
    sides_NP = (high_NP2 - low_NP2).prod(dim=2).sqrt()
    levels_NP = (pooler.canonical_level + torch.log2(sides_NP / pooler.canonical_scale) + pooler.map_levels.eps).floor()
    first, last = pooler.map_levels.k_min, pooler.map_levels.k_max
    places_NP5 = places_L5[levels_NP.clamp(first, last).long() - first]
    scales_NP1, corners_NP2, limits_NP2 = places_NP5[..., :1], places_NP5[..., 1:3], places_NP5[..., 3:]
    low_NP2, high_NP2 = low_NP2 * scales_NP1, high_NP2 * scales_NP1
    frames_NP1 = torch.arange(len(boxes_NP4), device=boxes_NP4.device).view(-1, 1, 1).expand_as(scales_NP1)
    rois_NP5 = torch.cat([frames_NP1, low_NP2 + corners_NP2, high_NP2 + corners_NP2], dim=2)
    features_MCSS: Tensor = roi_align(
        atlas_NCHW, rois_NP5.flatten(0, 1), pooler.output_size, sampling_ratio=pooler.sampling_ratio
    )
    inside_x, inside_y = (
        _share_within(low_NP2[..., axis], high_NP2[..., axis], limits_NP2[..., axis], bins, pooler.sampling_ratio)
        for axis, bins in ((0, pooler.output_size[1]), (1, pooler.output_size[0]))
    )
    inside_NPSS = inside_y.unsqueeze(3) * inside_x.unsqueeze(2)
    return features_MCSS * inside_NPSS.flatten(0, 1).unsqueeze(1).to(features_MCSS.dtype)


def _share_within(low_NP: Tensor, high_NP: Tensor, limit_NP: Tensor, num_bins: int, num_samples: int) -> Tensor:
    """Return the share of the samples of each bin that lie before the level's edge, along one axis: [N, P, S]."""
    number = torch.arange(num_bins * num_samples, device=low_NP.device)
    sides_NP1 = (high_NP - low_NP).clamp(min=_FEWEST_CELLS).unsqueeze(2)
    samples = low_NP.unsqueeze(2) + (number + 0.5) / (num_bins * num_samples) * sides_NP1
    is_within = samples <= limit_NP.unsqueeze(2)
    return is_within.view(*low_NP.shape, num_bins, num_samples).float().mean(dim=3)
