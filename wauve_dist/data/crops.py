"""Lesion crops: square, centred on the box, with context around it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from wauve_dist.data.decoding import GreyFrame

CROP_VERSION = 1  # part of what names cached crops: raise it whenever the same box gives other pixels


class TrackCrop(NamedTuple):
    """One frame of a track.

    Attributes:
        track_id: the track's number in its video.
        frame: the frame's number in its video, from 0.
        crop: uint8 [S, S].
    """

    track_id: int
    frame: int
    crop: GreyFrame


def roi_square(box_xyxy: tuple[float, float, float, float], context: float) -> tuple[float, float, float]:
    """Return left, top and side of the square region around a box, pixels; see ``crop_roi``."""
    x1, y1, x2, y2 = box_xyxy
    side = context * max(x2 - x1, y2 - y1)
    return (x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side


def crop_roi(frame: GreyFrame, box_xyxy: NDArray[np.floating], size: int, context: float) -> GreyFrame:
    """Cut the square region of interest around a box and resize it, anti-aliased (triangle filter).

    Args:
        frame: uint8 [H, W].
        box_xyxy: [4], absolute pixels, need not be whole numbers and may leave the frame.
        size: side of the crop, S pixels.
        context: side of the region as a multiple of the box's longer side; 1 is the box itself.

    Returns:
        uint8 [S, S]; 0 where the region leaves the frame.

    Raises:
        ValueError: an empty or infinite box.
    """
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    left, top, side = roi_square((x1, y1, x2, y2), context)
    if not (x2 > x1 and y2 > y1 and math.isfinite(side)):
        raise ValueError(f"box [{x1:g}, {y1:g}, {x2:g}, {y2:g}] (x1, y1, x2, y2) is empty. Remove it.")
    # Pixels just outside the region still weigh in where the filter reaches over its edge.
    reach = math.ceil(max(side / size, 1.0)) + 1
    window_left, window_top = math.floor(left) - reach, math.floor(top) - reach
    window_right, window_bottom = math.ceil(left + side) + reach, math.ceil(top + side) + reach
    window = np.zeros((window_bottom - window_top, window_right - window_left), np.uint8)
    height, width = frame.shape
    rows = slice(max(window_top, 0), max(min(window_bottom, height), 0))
    columns = slice(max(window_left, 0), max(min(window_right, width), 0))
    seen = frame[rows, columns]
    if seen.size:
        row, column = rows.start - window_top, columns.start - window_left
        window[row : row + seen.shape[0], column : column + seen.shape[1]] = seen
    region = (left - window_left, top - window_top, left + side - window_left, top + side - window_top)
    return np.array(Image.fromarray(window).resize((size, size), Image.Resampling.BILINEAR, box=region))


def track_crops(
    frames: Iterable[GreyFrame], tracks_of_video: pd.DataFrame, size: int, context: float
) -> Iterator[TrackCrop]:
    """Cut every box of a video's tracks in one pass over its frames, in constant memory.

    The pass goes on to the last frame, so that a decoder that counts its frames gets to say what is missing.

    Args:
        frames: uint8 [H, W] each, in order from frame 0.
        tracks_of_video: columns track_id, frame, x1, y1, x2, y2; any order.
        size: see ``crop_roi``.
        context: see ``crop_roi``.

    Yields:
        The crops in order of frame, then of track.

    Raises:
        ValueError: a track goes on beyond the last frame.
    """
    ordered = tracks_of_video.sort_values(["frame", "track_id"])
    track_ids = ordered["track_id"].to_numpy()
    box_frames = ordered["frame"].to_numpy()
    boxes_xyxy = ordered[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    num_frames, row = 0, 0
    for number, frame in enumerate(frames):
        num_frames = number + 1
        while row < len(ordered) and box_frames[row] == number:
            yield TrackCrop(int(track_ids[row]), number, crop_roi(frame, boxes_xyxy[row], size, context))
            row += 1
    if row < len(ordered):
        raise ValueError(
            f"track {track_ids[row]} has a box in frame {box_frames[row]}, but the video has {num_frames} frames "
            f"(the last is {num_frames - 1}). Were the tracks made from another version of it?"
        )
