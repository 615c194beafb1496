"""Lesion crops: square, centred on the box, with context around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wauve_dist.data.decoding import Decoder, GreyFrame, GreyView
from wauve_dist.structures.sectors import Sector

# Part of what names cached crops: raise a decoder's whenever the same box gives other pixels with it.
CROP_VERSIONS: Mapping[Decoder, int] = {"pyav": 1, "dali": 2}


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


class CutFrame(NamedTuple):
    """What is kept of a frame that goes by.

    Attributes:
        number: of the frame in its video, from 0.
        crops: of the boxes in it, in order of track.
        whole: uint8 [H, W], if the whole frame was asked for.
    """

    number: int
    crops: list[TrackCrop]
    whole: GreyFrame | None


class TrackBox(NamedTuple):
    """A box of a track in some frame.

    Attributes:
        track_id: the track's number in its video.
        box_xyxy: float64 [4], absolute pixels.
    """

    track_id: int
    box_xyxy: NDArray[np.float64]


BoxesByFrame: TypeAlias = Mapping[int, Sequence[TrackBox]]
"""Number of a frame to its boxes, in order of track."""


class RoiWindow(NamedTuple):
    """The pixels that a crop is made of; those outside the frame count as black.

    Attributes:
        left: first column, of the frame.
        top: first row.
        width: columns.
        height: rows.
        region_xyxy: the region of interest within the window, in its pixels, not whole numbers.
    """

    left: int
    top: int
    width: int
    height: int
    region_xyxy: tuple[float, float, float, float]


def roi_square(box_xyxy: tuple[float, float, float, float], context: float) -> tuple[float, float, float]:
    """Return left, top and side of the square region around a box, pixels; see ``crop_roi``."""
    x1, y1, x2, y2 = box_xyxy
    side = context * max(x2 - x1, y2 - y1)
    return (x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side


def roi_window(box_xyxy: NDArray[np.floating], size: int, context: float) -> RoiWindow:
    """Return the pixels that ``crop_roi`` makes a crop of; see there for arguments and errors."""
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    left, top, side = roi_square((x1, y1, x2, y2), context)
    if not (x2 > x1 and y2 > y1 and math.isfinite(side)):
        raise ValueError(f"box [{x1:g}, {y1:g}, {x2:g}, {y2:g}] (x1, y1, x2, y2) is empty. Remove it.")
    # Pixels just outside the region still weigh in where the filter reaches over its edge.
    reach = math.ceil(max(side / size, 1.0)) + 1
    first_column, first_row = math.floor(left) - reach, math.floor(top) - reach
    return RoiWindow(
        first_column,
        first_row,
        math.ceil(left + side) + reach - first_column,
        math.ceil(top + side) + reach - first_row,
        (left - first_column, top - first_row, left + side - first_column, top + side - first_row),
    )


def crop_roi(
    frame: GreyFrame | GreyView,
    box_xyxy: NDArray[np.floating],
    size: int,
    context: float,
    sector: Sector | None = None,
) -> GreyFrame:
    """Cut the square region of interest around a box and resize it, anti-aliased (triangle filter).

    Args:
        frame: uint8 [H, W].
        box_xyxy: [4], absolute pixels, need not be whole numbers and may leave the frame.
        size: side of the crop, S pixels.
        context: side of the region as a multiple of the box's longer side; 1 is the box itself.
        sector: all of the frame that may be seen; None shows the whole.

    Returns:
        uint8 [S, S]; 0 where the region leaves the frame or the sector.

    Raises:
        ValueError: an empty or infinite box.
    """
    left, top, width, height, region_xyxy = roi_window(box_xyxy, size, context)
    window = np.zeros((height, width), np.uint8)
    x1, y1, x2, y2 = sector or Sector(0, 0, frame.shape[1], frame.shape[0])
    rows = slice(max(top, y1), max(min(top + height, y2), y1))
    columns = slice(max(left, x1), max(min(left + width, x2), x1))
    seen = frame[rows, columns]
    if seen.size:
        row, column = rows.start - top, columns.start - left
        window[row : row + seen.shape[0], column : column + seen.shape[1]] = seen
    return np.array(Image.fromarray(window).resize((size, size), Image.Resampling.BILINEAR, box=region_xyxy))
