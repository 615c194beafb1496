"""Which 8 adjacent frames of which track: drawn at random for training, by the paper's rule for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from wauve_dist.structures.clips import CLIP_LENGTH, clip_starts


class TrackSpan(NamedTuple):
    """A track within its video's array of crops.

    Attributes:
        track_id: the track's number in its video.
        first_row: row of the track's first crop.
        num_frames: number of its crops, which follow each other.
    """

    track_id: int
    first_row: int
    num_frames: int


class ClipWindow(NamedTuple):
    """A clip within its video's array of crops: ``CLIP_LENGTH`` rows from ``first_row`` on."""

    track_id: int
    clip_index: int
    first_row: int


def track_spans(tracks_of_video: pd.DataFrame) -> list[TrackSpan]:
    """List the tracks of a video that are long enough for a clip.

    Args:
        tracks_of_video: columns track_id, frame, in order of track, then of frame, as ``crop_cache`` stores them.

    Raises:
        ValueError: a track skips a frame, so that its crops are not adjacent.
    """
    spans, first_row = [], 0
    for track_id, rows in tracks_of_video.groupby("track_id"):
        frames = rows["frame"].to_numpy()
        if gaps := np.flatnonzero(np.diff(frames) != 1).tolist():
            raise ValueError(
                f"track {track_id} of video {rows['video_id'].iloc[0]!r} skips from frame {frames[gaps[0]]} to "
                f"{frames[gaps[0] + 1]}. Interpolate the gap, or split the track there."
            )
        if len(frames) >= CLIP_LENGTH:
            spans.append(TrackSpan(int(track_id), first_row, len(frames)))
        first_row += len(frames)
    return spans


def every_clip(spans: Sequence[TrackSpan]) -> list[ClipWindow]:
    """List the clips that the paper's rule makes of a video."""
    return [
        ClipWindow(span.track_id, index, row)
        for span in spans
        for index, row in enumerate(clip_starts(span.first_row, span.num_frames))
    ]


def random_clip(spans: Sequence[TrackSpan], draw: int, rng: np.random.Generator) -> ClipWindow:
    """Draw a clip; every window of adjacent frames in every track is equally likely.

    Args:
        spans: tracks of a video, at least one.
        draw: number of the draw, which becomes the clip's index.
        rng: decides.
    """
    num_windows = np.array([span.num_frames - CLIP_LENGTH + 1 for span in spans])
    window = int(rng.integers(num_windows.sum()))
    number = int(np.searchsorted(np.cumsum(num_windows), window, side="right"))
    offset = window - int(num_windows[:number].sum())
    return ClipWindow(spans[number].track_id, draw, spans[number].first_row + offset)
