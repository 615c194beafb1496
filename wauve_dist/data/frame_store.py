"""Annotated frames for the cache: the few frames of a video that a detector learns from, out of one pass over it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wauve_dist.data.decoding import Decoder, check_sector, decode_views
from wauve_dist.structures.sectors import Sector


class FrameRecipe(NamedTuple):
    """Keep some frames of a video.

    Attributes:
        video: the video.
        frames: increasing frame numbers, K of them.
        width: of the frames that the boxes were drawn on, pixels.
        height: likewise.
        decoder: of the video; part of what names the frames, for pixels may differ by a grey level.
        sector: of the video; frames are cut to it. None keeps them whole.
    """

    video: Path
    frames: list[int]
    width: int
    height: int
    decoder: Decoder = "pyav"
    sector: Sector | None = None

    @property
    def settings(self) -> dict[str, object]:
        """All but the video."""
        return {name: value for name, value in self._asdict().items() if name != "video"}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array."""
        x1, y1, x2, y2 = self.sector or (0, 0, self.width, self.height)
        return len(self.frames), y2 - y1, x2 - x1

    def fill(self, array: NDArray[np.uint8]) -> None:
        """Write uint8 [K, H, W], of the sector if there is one."""
        row_of = {frame: row for row, frame in enumerate(self.frames)}
        num_frames = 0
        for number, frame in enumerate(decode_views(self.video, self.decoder)):
            if frame.shape != (self.height, self.width):
                raise ValueError(
                    f"{self.video}: its frames are {frame.shape[1]}x{frame.shape[0]} pixels, its annotations were "
                    f"drawn on {self.width}x{self.height}. Give the video that was annotated, or scale its boxes."
                )
            if number in row_of:
                whole = frame[:, :]
                array[row_of[number]] = whole if self.sector is None else self.sector.cut(whole)
            num_frames = number + 1
        if self.frames[-1] >= num_frames:
            raise ValueError(
                f"{self.video}: frame {self.frames[-1]} is annotated, but the video has {num_frames} frames (the last "
                f"is {num_frames - 1}; frames count from 0). Give the video that was annotated, or correct frame_id."
            )


def frame_recipes(
    videos: Mapping[str, Path],
    frames: pd.DataFrame,
    frames_per_video: int,
    decoder: Decoder = "pyav",
    sectors: Mapping[str, Sector] = MappingProxyType({}),
) -> dict[str, FrameRecipe]:
    """Say which frames to keep of every video that has annotated ones.

    Args:
        videos: video_id to its file.
        frames: annotated frames, columns video_id, frame, width, height; rows of other videos are left out.
        frames_per_video: most frames per video; spread evenly over its annotated ones, the first and last included.
        decoder: of the videos.
        sectors: video_id to its sector; whole frames where there is none.

    Raises:
        ValueError: a video's annotations give several frame sizes, or its sector leaves its frames.
    """
    frames_of: dict[str, list[int]] = defaultdict(list)
    size_of: dict[str, tuple[int, int]] = {}
    for row in frames.sort_values(["video_id", "frame"]).itertuples():
        if row.video_id not in videos:
            continue
        frames_of[row.video_id].append(int(row.frame))
        size = (int(row.width), int(row.height))
        if size != size_of.setdefault(row.video_id, size):
            raise ValueError(
                f"{videos[row.video_id]}: its annotations give frames of {size_of[row.video_id]} and of {size} (width, "
                "height). Correct width and height in images."
            )
        if row.video_id in sectors:
            check_sector(videos[row.video_id], sectors[row.video_id], *size)
    return {
        video_id: FrameRecipe(
            videos[video_id],
            _evenly_spaced(numbers, frames_per_video),
            *size_of[video_id],
            decoder,
            sectors.get(video_id),
        )
        for video_id, numbers in frames_of.items()
    }


def _evenly_spaced(numbers: list[int], num_kept: int) -> list[int]:
    kept = np.linspace(0, len(numbers) - 1, min(num_kept, len(numbers))).round().astype(int)
    return [numbers[index] for index in kept]
