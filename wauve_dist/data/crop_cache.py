"""Lesion crops, cached: every video is decoded once, in one pass, whatever the number of its tracks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from wauve_dist.data.array_cache import cached_arrays
from wauve_dist.data.crops import track_crops
from wauve_dist.data.decoding import VideoError, decode_frames

_BOX_COLUMNS = ["track_id", "frame", "x1", "y1", "x2", "y2"]


class CropRecipe(NamedTuple):
    """Cut all boxes of a video's tracks into one array.

    Attributes:
        video: the video.
        track_ids: int [T].
        frames: int [T].
        boxes_xyxy: float [T, 4]; rows in order of track, then of frame.
        size: side of a crop, S pixels.
        context: see ``crops.crop_roi``.
    """

    video: Path
    track_ids: list[int]
    frames: list[int]
    boxes_xyxy: list[list[float]]
    size: int
    context: float

    @property
    def settings(self) -> dict[str, object]:
        """All but the video."""
        return {name: value for name, value in self._asdict().items() if name != "video"}

    def fill(self, target: Path) -> None:
        """Write uint8 [T, S, S], rows in the recipe's order."""
        row_of = {key: row for row, key in enumerate(zip(self.track_ids, self.frames, strict=True))}
        tracks = pd.DataFrame(self.boxes_xyxy, columns=_BOX_COLUMNS[2:])
        tracks = tracks.assign(track_id=self.track_ids, frame=self.frames)
        array = open_memmap(target, "w+", np.uint8, (len(row_of), self.size, self.size))
        try:
            for track_id, frame, crop in track_crops(decode_frames(self.video), tracks, self.size, self.context):
                array[row_of[track_id, frame]] = crop
        except VideoError:
            raise
        except ValueError as error:
            raise ValueError(f"{self.video}: {error}") from error
        array.flush()


def cached_crops(
    videos: Mapping[str, Path],
    tracks: pd.DataFrame,
    size: int,
    context: float,
    cache_dir: Path,
    num_workers: int,
) -> dict[str, Path]:
    """Return one .npy of crops per video that has tracks, building what is missing.

    Args:
        videos: video_id to its file.
        tracks: rows of the TRACKS table; rows of other videos are left out.
        size: side of a crop, S pixels.
        context: see ``crops.crop_roi``.
        cache_dir: see ``array_cache.cached_arrays``.
        num_workers: see ``array_cache.cached_arrays``.

    Returns:
        video_id to a file of uint8 [T, S, S]; the T rows of the video's tracks in order of track_id, then of frame.

    Raises:
        ValueError: a video cannot be decoded, or is shorter than its tracks.
    """
    recipes = {
        str(video_id): CropRecipe(
            videos[str(video_id)],
            rows["track_id"].tolist(),
            rows["frame"].tolist(),
            rows[_BOX_COLUMNS[2:]].to_numpy(np.float64).tolist(),
            size,
            context,
        )
        for video_id, rows in tracks[tracks["video_id"].isin(list(videos))]
        .sort_values(["video_id", "track_id", "frame"])
        .groupby("video_id")
    }
    paths = cached_arrays(list(recipes.values()), cache_dir, num_workers, "Cutting lesion crops")
    return dict(zip(recipes, paths, strict=True))
