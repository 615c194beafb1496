"""Boxes: always ``boxes_xyxy``, absolute pixels, x to the right, y down, x2 and y2 exclusive.

Other forms (COCO's ``x, y, width, height``) exist only where a file is read or written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


class Detections(NamedTuple):
    """What the detector found in one frame.

    Attributes:
        boxes_xyxy: float32 [K, 4], pixels of the original frame.
        scores: float32 [K], 0..1.
    """

    boxes_xyxy: Float32Array
    scores: Float32Array


def box_iou(first_xyxy: NDArray[np.floating], second_xyxy: NDArray[np.floating]) -> Float32Array:
    """Intersection over union of every pair.

    Args:
        first_xyxy: [N, 4].
        second_xyxy: [M, 4].

    Returns:
        float32 [N, M], 0..1; 0 where both boxes are empty.
    """
    # Side by side, not as an axis of length two, over which NumPy's loops are slow.
    left, top, right, bottom = first_xyxy.T[:, :, None]
    other_left, other_top, other_right, other_bottom = second_xyxy.T[:, None, :]
    width = np.maximum(np.minimum(right, other_right) - np.maximum(left, other_left), 0)
    height = np.maximum(np.minimum(bottom, other_bottom) - np.maximum(top, other_top), 0)
    intersection = width * height
    union = box_area(first_xyxy)[:, None] + box_area(second_xyxy)[None, :] - intersection
    iou: Float32Array = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0).astype(np.float32)
    return iou


def box_area(boxes_xyxy: NDArray[np.floating]) -> NDArray[np.floating]:
    """Areas in square pixels: [N, 4] to [N]; negative sides count as zero."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])
