"""Where on the screen the scan is: what a scanner writes around it, and into it, may name a patient.

Tissue moves under the probe and speckle changes with it, text and logos stand still. So the scan is the largest
connected region whose pixels change over the video; its convex hull also takes in what stays black, such as deep
shadow. What is written into the picture never gets darker than its ink: fine marks that stand out of the darkest value
of every pixel.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage, spatial

from wauve_dist.data.decoding import GreyFrame

_MIN_CHANGE = 24  # grey levels; compression changes still pixels by less, speckle by more
_MIN_AREA = 0.04  # of the frame; less is a clock or a cursor
_BRIDGE = 0.012  # of the frame's short side: narrower gaps within the scan are closed, narrower bridges out of it cut
_MIN_INK = 60  # grey levels above the darkest that its surroundings get
_MAX_STROKE = 0.03  # of the frame's short side; wider marks are tissue
_INK_MARGIN = 2  # pixels around ink that its smoothed edge and compression reach


def find_scan_sector(frames: Iterable[GreyFrame]) -> NDArray[np.bool_] | None:
    """Find the scan in all frames of a video, in constant memory.

    Args:
        frames: uint8 [H, W] each.

    Returns:
        bool [H, W], true where a pixel shows the scan and nothing is written over it; None where too little of the
        picture changes to tell, as in a still image.
    """
    darkest: GreyFrame | None = None
    brightest = np.empty(0, np.uint8)
    for frame in frames:
        if darkest is None:
            darkest, brightest = frame.copy(), frame.copy()
        np.minimum(darkest, frame, out=darkest)
        np.maximum(brightest, frame, out=brightest)
    if darkest is None:
        return None
    side = min(darkest.shape)
    disk = _disk(max(1, round(_BRIDGE * side)))
    changing = _closed(brightest - darkest >= _MIN_CHANGE, disk)
    regions, num_regions = ndimage.label(ndimage.binary_opening(changing, disk))
    areas = np.bincount(regions.ravel(), minlength=2)[1:]
    if num_regions == 0 or areas.max() < _MIN_AREA * darkest.size:
        return None
    strokes = ndimage.white_tophat(darkest, max(3, round(_MAX_STROKE * side)))
    ink: NDArray[np.bool_] = ndimage.binary_dilation(strokes >= _MIN_INK, _disk(_INK_MARGIN))
    return _hull(regions == 1 + areas.argmax()) & ~ink


def _closed(mask: NDArray[np.bool_], disk: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close gaps, also those at the border of the picture."""
    reach = len(disk)
    closed: NDArray[np.bool_] = ndimage.binary_closing(np.pad(mask, reach), disk)
    return closed[reach:-reach, reach:-reach]


def _hull(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the convex hull of a region that is more than a line."""
    points = np.argwhere(region)[:, ::-1]
    corners = points[spatial.ConvexHull(points).vertices].tolist()
    filled = Image.new("1", region.shape[::-1])
    ImageDraw.Draw(filled).polygon([(x, y) for x, y in corners], fill=1, outline=1)
    return np.array(filled, np.bool_)


def _disk(radius: int) -> NDArray[np.bool_]:
    y, x = np.indices((2 * radius + 1, 2 * radius + 1)) - radius
    disk: NDArray[np.bool_] = x**2 + y**2 <= (radius + 0.5) ** 2
    return disk
