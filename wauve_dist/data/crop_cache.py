"""Lesion crops for the cache: every video is decoded once, in one pass, whatever the number of its tracks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wauve_dist.data.crops import CROP_VERSIONS
from wauve_dist.data.decoding import Decoder, VideoError
from wauve_dist.data.track_crops import cut_video
from wauve_dist.structures.sectors import Sector

_BOX_COLUMNS = ["x1", "y1", "x2", "y2"]


class CropRecipe(NamedTuple):
    """Cut all boxes of a video's tracks into one array.

    Attributes:
        video: the video.
        track_ids: int [T].
        frames: int [T].
        boxes_xyxy: float [T, 4]; rows in order of track, then of frame.
        size: side of a crop, S pixels.
        context: see ``crops.crop_roi``.
        decoder: of the video; part of what names the crops, for pixels may differ by some grey levels.
        sector: of the video; crops are black outside. None shows the whole screen.
    """

    video: Path
    track_ids: list[int]
    frames: list[int]
    boxes_xyxy: list[list[float]]
    size: int
    context: float
    decoder: Decoder = "pyav"
    sector: Sector | None = None

    @property
    def settings(self) -> dict[str, object]:
        """All but the video, and the version of the code that cuts."""
        settings = {name: value for name, value in self._asdict().items() if name != "video"}
        return {**settings, "version": CROP_VERSIONS[self.decoder]}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array."""
        return len(self.frames), self.size, self.size

    def fill(self, array: NDArray[np.uint8]) -> None:
        """Write uint8 [T, S, S], rows in the recipe's order."""
        row_of = {key: row for row, key in enumerate(zip(self.track_ids, self.frames, strict=True))}
        tracks = pd.DataFrame(self.boxes_xyxy, columns=_BOX_COLUMNS)
        tracks = tracks.assign(track_id=self.track_ids, frame=self.frames)
        try:
            for cut in cut_video(self.video, tracks, self.size, self.context, self.decoder, self.sector):
                for track_id, frame, crop in cut.crops:
                    array[row_of[track_id, frame]] = crop
        except VideoError:
            raise
        except ValueError as error:
            raise ValueError(f"{self.video}: {error}") from error


def crop_recipes(
    videos: Mapping[str, Path],
    tracks: pd.DataFrame,
    size: int,
    context: float,
    decoder: Decoder = "pyav",
    sectors: Mapping[str, Sector] = MappingProxyType({}),
) -> dict[str, CropRecipe]:
    """Say what to cut out of every video that has tracks.

    Args:
        videos: video_id to its file.
        tracks: rows of the TRACKS table; rows of other videos are left out.
        size: side of a crop, S pixels.
        context: see ``crops.crop_roi``.
        decoder: of the videos.
        sectors: video_id to its sector; whole screens where there is none.
    """
    ordered = tracks[tracks["video_id"].isin(list(videos))].sort_values(["video_id", "track_id", "frame"])
    video_ids, starts = np.unique(ordered["video_id"].to_numpy(object), return_index=True)
    columns = [ordered["track_id"], ordered["frame"], ordered[_BOX_COLUMNS].astype(np.float64)]
    parts = (np.split(column.to_numpy(), starts[1:]) for column in columns)
    return {
        video_id: CropRecipe(
            videos[video_id],
            ids.tolist(),
            frames.tolist(),
            boxes_xyxy.tolist(),
            size,
            context,
            decoder,
            sectors.get(video_id),
        )
        for video_id, ids, frames, boxes_xyxy in zip(video_ids, *parts, strict=False)  # no tracks: one empty part
    }
