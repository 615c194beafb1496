"""A track: one lesion through adjacent frames, without holes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from wauve_dist.structures.boxes import Float32Array

MAX_GAP = 20
"""Most frames in a row without a box that are bridged; UltraDet (MICCAI 2023) keeps as many, 2/3 s at 30 Hz."""


class Track(NamedTuple):
    """One lesion through ``K`` adjacent frames.

    Attributes:
        track_id: unique in its video.
        frames: int64 [K], consecutive.
        boxes_xyxy: float32 [K, 4], absolute pixels.
        scores: float32 [K], 0..1.
        interpolated: bool [K], True where nobody saw the box and it was put between its neighbours.
    """

    track_id: int
    frames: NDArray[np.int64]
    boxes_xyxy: Float32Array
    scores: Float32Array
    interpolated: NDArray[np.bool_]


def bridged(track_id: int, frames: ArrayLike, boxes_xyxy: ArrayLike, scores: ArrayLike) -> Track:
    """Make a track of the frames where a box was seen, with boxes and scores interpolated linearly between them.

    Args:
        track_id: unique in its video.
        frames: int [K], rising.
        boxes_xyxy: [K, 4].
        scores: [K].
    """
    seen = np.asarray(frames, dtype=np.int64)
    values = np.column_stack([np.asarray(boxes_xyxy, dtype=np.float64), np.asarray(scores, dtype=np.float64)])
    adjacent = np.arange(seen[0], seen[-1] + 1)
    filled = np.column_stack([np.interp(adjacent, seen, column) for column in values.T]).astype(np.float32)
    return Track(track_id, adjacent, filled[:, :4], filled[:, 4], ~np.isin(adjacent, seen))


def track_rows(tracks: Iterable[Track]) -> pd.DataFrame:
    """Rows of ``tracks.parquet`` without their ``video_id``, ordered by track and frame."""
    ordered = sorted(tracks, key=lambda track: track.track_id)
    boxes_xyxy = np.concatenate([track.boxes_xyxy for track in ordered] or [np.empty((0, 4), np.float32)])
    return pd.DataFrame(
        {
            "track_id": np.repeat(
                np.array([track.track_id for track in ordered], np.int64), [len(track.frames) for track in ordered]
            ),
            "frame": np.concatenate([track.frames for track in ordered] or [np.empty(0, np.int64)]),
            **dict(zip(("x1", "y1", "x2", "y2"), boxes_xyxy.T, strict=True)),
            "score": np.concatenate([track.scores for track in ordered] or [np.empty(0, np.float32)]),
            "interpolated": np.concatenate([track.interpolated for track in ordered] or [np.empty(0, np.bool_)]),
        }
    )
