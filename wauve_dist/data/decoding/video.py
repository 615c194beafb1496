"""What every decoder returns and raises."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wauve_dist.structures.sectors import Sector
from wauve_dist.structures.tables import SECTOR_COLUMNS

# One B-mode frame: uint8 [H, W], 0 black to 255 white.
GreyFrame: TypeAlias = NDArray[np.uint8]


class VideoError(ValueError):
    """A video cannot be used; the message names the file, what is wrong with it and the remedy."""


def check_sector(path: Path, sector: Sector, width: int, height: int) -> None:
    """Hold the sector that a manifest gives a video against the size of its frames, pixels.

    Raises:
        VideoError: it is empty or leaves the frames.
    """
    if not sector.lies_within(width, height):
        raise VideoError(
            f"{path}: {', '.join(SECTOR_COLUMNS)} = {', '.join(map(str, sector))} is no rectangle within its "
            f"{width}x{height} pixels. Correct the manifest, or empty these cells and have the scan found: "
            "launch/prepare.py sectors."
        )


class VideoInfo(NamedTuple):
    """What a checked video holds.

    Attributes:
        num_frames: frames that decoding will yield.
        width: pixels.
        height: pixels.
        fps: average frames per second; None for images, which have no clock.
        codec: FFmpeg's name of the codec ("h264"), or Pillow's of the image format ("png").
    """

    num_frames: int
    width: int
    height: int
    fps: float | None
    codec: str
