"""Decoded frames that become grey where they are looked at, because to convert a whole one takes its time.

Video stores luma, mostly from 16 to 235. Of FFmpeg's planar formats the first plane is luma, and what makes it grey
levels from 0 to 255 depends on a pixel's own value alone. So a table that FFmpeg itself has filled gives its pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from wauve_dist.data.decoding.video import GreyFrame

_LUMA_FIRST = frozenset(
    ["gray", "nv12", *(f"yuv{kind}{sampling}p" for kind in ("", "j") for sampling in ("420", "422", "440", "444"))]
)


class GreyView:
    """A frame, grey on demand: ``view[rows, columns]`` is a uint8 array of these, ``view[:, :]`` the whole.

    Args:
        luma: uint8 [H, W]; not copied.
        levels: 256 grey levels, of each luma; None where they are the same.

    Attributes:
        shape: H and W.
    """

    def __init__(self, luma: NDArray[np.uint8], levels: tuple[int, ...] | None = None) -> None:
        self._luma, self._levels = luma, levels
        self.shape: tuple[int, int] = luma.shape[0], luma.shape[1]

    def __getitem__(self, region: tuple[slice, slice]) -> GreyFrame:
        luma = self._luma[region]
        if self._levels is None or luma.size == 0:
            return np.array(luma)
        return np.array(Image.fromarray(luma).point(self._levels))


def grey_view(frame: VideoFrame) -> GreyView:
    """Look at a frame that FFmpeg has decoded."""
    plane = frame.planes[0]
    if frame.format.name not in _LUMA_FIRST or plane.line_size < 0:  # some raw videos are stored upside down
        return GreyView(np.asarray(frame.to_ndarray(format="gray"), np.uint8))
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return GreyView(luma, _levels(frame.format.name, frame.color_range))


@lru_cache(maxsize=64)
def _levels(pixel_format: str, color_range: int) -> tuple[int, ...] | None:
    ramp = VideoFrame(256, 16, pixel_format)
    ramp.color_range = color_range
    for number, plane in enumerate(ramp.planes):
        values = np.full((plane.buffer_size // plane.line_size, plane.line_size), 128, np.uint8)
        if number == 0:
            values[:, :256] = np.arange(256)
        plane.update(values.tobytes())
    levels = tuple(ramp.to_ndarray(format="gray")[0].tolist())
    return None if levels == tuple(range(256)) else levels
