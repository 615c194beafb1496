"""Boxes that published files get wrong: negative sides, corners outside the frame."""

from __future__ import annotations

import numpy as np
import pandas as pd


def repair_boxes(boxes: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Swap corners that stand in the wrong order, clip to the frame, leave out what is empty then.

    Args:
        boxes: columns x1, y1, x2, y2 (pixels), width and height (of the frame, pixels).

    Returns:
        The boxes that are left, and notes with counts.
    """
    x1, x2 = np.sort(boxes[["x1", "x2"]].to_numpy(float), axis=1).T
    y1, y2 = np.sort(boxes[["y1", "y2"]].to_numpy(float), axis=1).T
    swapped = (x1 != boxes["x1"]) | (y1 != boxes["y1"])
    width, height = boxes["width"].to_numpy(float), boxes["height"].to_numpy(float)
    clipped = {"x1": np.clip(x1, 0, width), "y1": np.clip(y1, 0, height)}
    clipped |= {"x2": np.clip(x2, 0, width), "y2": np.clip(y2, 0, height)}
    repaired = boxes.assign(**clipped)
    outside = (clipped["x1"] != x1) | (clipped["y1"] != y1) | (clipped["x2"] != x2) | (clipped["y2"] != y2)
    empty = (repaired["x2"] <= repaired["x1"]) | (repaired["y2"] <= repaired["y1"])
    notes = [
        f"{int(swapped.sum())} boxes of negative width or height: corners put in order.",
        f"{int(outside.sum())} boxes that left their frame: clipped to it.",
        f"{int(empty.sum())} boxes empty after that: left out.",
    ]
    return repaired[~empty], notes
