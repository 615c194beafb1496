"""Annotated frames, cached: the few frames of a video that a detector learns from, out of one pass over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from wauve_dist.data.array_cache import cached_arrays
from wauve_dist.data.decoding import decode_frames


class FrameRecipe(NamedTuple):
    """Keep some frames of a video.

    Attributes:
        video: the video.
        frames: increasing frame numbers, K of them.
        width: of the frames that the boxes were drawn on, pixels.
        height: likewise.
    """

    video: Path
    frames: list[int]
    width: int
    height: int

    @property
    def settings(self) -> dict[str, object]:
        """All but the video."""
        return {name: value for name, value in self._asdict().items() if name != "video"}

    def fill(self, target: Path) -> None:
        """Write uint8 [K, H, W]."""
        array = open_memmap(target, "w+", np.uint8, (len(self.frames), self.height, self.width))
        row_of = {frame: row for row, frame in enumerate(self.frames)}
        num_frames = 0
        for number, frame in enumerate(decode_frames(self.video)):
            if frame.shape != (self.height, self.width):
                raise ValueError(
                    f"{self.video}: its frames are {frame.shape[1]}x{frame.shape[0]} pixels, its annotations were "
                    f"drawn on {self.width}x{self.height}. Give the video that was annotated, or scale its boxes."
                )
            if number in row_of:
                array[row_of[number]] = frame
            num_frames = number + 1
        if self.frames[-1] >= num_frames:
            raise ValueError(
                f"{self.video}: frame {self.frames[-1]} is annotated, but the video has {num_frames} frames (the last "
                f"is {num_frames - 1}; frames count from 0). Give the video that was annotated, or correct frame_id."
            )
        array.flush()


def cached_frames(
    videos: Mapping[str, Path], frames: pd.DataFrame, cache_dir: Path, num_workers: int
) -> dict[str, Path]:
    """Return one .npy of frames per video that has any, building what is missing.

    Args:
        videos: video_id to its file.
        frames: columns video_id, frame, width, height; only videos of ``videos``.
        cache_dir: see ``array_cache.cached_arrays``.
        num_workers: see ``array_cache.cached_arrays``.

    Returns:
        video_id to a file of uint8 [K, H, W], the video's K frames in order.

    Raises:
        ValueError: a video cannot be decoded, is shorter than its annotations, or has another frame size.
    """
    recipes = {}
    for video_id, rows in frames.sort_values(["video_id", "frame"]).groupby("video_id"):
        path = videos[str(video_id)]
        if len(sizes := rows[["width", "height"]].drop_duplicates()) > 1:
            raise ValueError(
                f"{path}: its annotations give frames of several sizes ({sizes.to_numpy().tolist()}). "
                "Correct width and height in images."
            )
        width, height = sizes.iloc[0].astype(int)
        recipes[str(video_id)] = FrameRecipe(path, rows["frame"].tolist(), int(width), int(height))
    paths = cached_arrays(list(recipes.values()), cache_dir, num_workers, "Decoding annotated frames")
    return dict(zip(recipes, paths, strict=True))
