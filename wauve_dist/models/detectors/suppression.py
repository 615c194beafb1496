"""Non-maximum suppression of many sets of boxes at once, with shapes that do not depend on what is found.

Greedy suppression keeps a box unless a better one that it keeps overlaps it. So the kept boxes are the only solution of

    keep[j] = no better box i with keep[i] that overlaps box j

and putting a guess into the right-hand side again and again ends there: after t rounds every box is right that the
longest chain of better and better overlapping boxes reaches in t steps. That is Cluster-NMS (Zheng et al. 2021,
"Enhancing geometric factors in model learning and inference for object detection and instance segmentation"), which
stops when nothing changes; a GPU would have to tell the host so after every round. Here the number of rounds is given,
and whether they sufficed is told with the result. Among a detector's 2,000 boxes a level up to 20 were needed so far.

Shapes: B sets, K boxes of a set, best first, W words of 32 bits that hold a bit for each (in some, K is 32 W).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_WORD_BITS = 32
_LARGEST_CHUNK = 1 << 25  # pairs of boxes compared at once: 128 MiB a temporary value


def suppress(suppressors_BKW: Tensor, candidates_BK: Tensor, num_rounds: int) -> tuple[Tensor, Tensor]:
    """Suppress what overlaps a better box that is kept.

    Args:
        suppressors_BKW: of ``suppressors``.
        candidates_BK: bool; other boxes are not there.
        num_rounds: at least 1; K are always enough.

    Returns:
        bool [B, K], the boxes that are kept, and bool [], whether the rounds were enough for that to be right.
    """
    num_boxes, bits = candidates_BK.shape[1], _bits(candidates_BK.device)
    candidates_BK = keep_BK = before_BK = F.pad(candidates_BK, (0, -num_boxes % _WORD_BITS))
    for _ in range(num_rounds):
        before_BK = keep_BK
        is_hit_BK = (suppressors_BKW & _packed(keep_BK, bits).unsqueeze(1)).any(dim=2)
        keep_BK = candidates_BK & ~is_hit_BK
    return keep_BK[:, :num_boxes], (keep_BK == before_BK).all()


def suppressors(boxes_BK4: Tensor, iou: float) -> Tensor:
    """Find which better boxes overlap each box: int32 [B, 32 W, W], in row j bit i is set where box i suppresses box j.

    Args:
        boxes_BK4: xyxy, best first.
        iou: overlaps beyond this suppress.
    """
    boxes_BK4 = F.pad(boxes_BK4, (0, 0, 0, -boxes_BK4.shape[1] % _WORD_BITS))
    step = max(1, _LARGEST_CHUNK // boxes_BK4.shape[1] ** 2)
    return torch.cat([_suppressors(boxes_BK4[first : first + step], iou) for first in range(0, len(boxes_BK4), step)])


def _suppressors(boxes_BK4: Tensor, iou: float) -> Tensor:
    low_BK2, high_BK2 = boxes_BK4[..., :2], boxes_BK4[..., 2:]
    area_BK = (high_BK2 - low_BK2).prod(dim=2)
    width_BKK, height_BKK = (
        torch.minimum(high_BK2[:, :, None, axis], high_BK2[:, None, :, axis])
        - torch.maximum(low_BK2[:, :, None, axis], low_BK2[:, None, :, axis])
        for axis in (0, 1)
    )
    shared_BKK = width_BKK.clamp(min=0) * height_BKK.clamp(min=0)
    overlaps_BKK = shared_BKK / (area_BK[:, :, None] + area_BK[:, None, :] - shared_BKK) > iou
    return _packed(overlaps_BKK.tril(-1), _bits(boxes_BK4.device))


def _packed(flags: Tensor, bits: Tensor) -> Tensor:
    """Put bool [..., 32 W] into int32 [..., W]."""
    return (flags.view(*flags.shape[:-1], -1, _WORD_BITS) * bits).sum(dim=-1, dtype=torch.int32)


def _bits(device: torch.device) -> Tensor:
    return torch.ones(_WORD_BITS, dtype=torch.int32, device=device) << torch.arange(
        _WORD_BITS, dtype=torch.int32, device=device
    )
