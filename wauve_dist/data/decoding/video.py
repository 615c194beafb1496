"""What every decoder returns and raises."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

# One B-mode frame: uint8 [H, W], 0 black to 255 white.
GreyFrame: TypeAlias = NDArray[np.uint8]


class VideoError(ValueError):
    """A video cannot be used; the message names the file, what is wrong with it and the remedy."""


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
