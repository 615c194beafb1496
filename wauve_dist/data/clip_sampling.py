"""Clips as rows of a video's array of crops: drawn at random for training, by the paper's rules for evaluation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from wauve_dist.structures.clips import Clip


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
    """A clip within its video's array of crops: as many rows as it has frames, from ``first_row`` on."""

    track_id: int
    clip_index: int
    first_row: int


def track_spans(track_ids: Sequence[int], frames: Sequence[int], clip_length: int) -> list[TrackSpan]:
    """List the tracks of a video that are long enough for a clip.

    Args:
        track_ids: [T], in order of track, then of frame, as the crops are stored.
        frames: [T], likewise.
        clip_length: frames of a clip.

    Raises:
        ValueError: a track skips a frame, so that its crops are not adjacent.
    """
    ids, first_rows, lengths = np.unique(np.asarray(track_ids), return_index=True, return_counts=True)
    spans = []
    for track_id, first_row, num_frames in zip(ids.tolist(), first_rows.tolist(), lengths.tolist(), strict=True):
        last_row = first_row + num_frames - 1
        if frames[last_row] - frames[first_row] != num_frames - 1:
            raise ValueError(
                f"track {track_id} skips frames: {num_frames} boxes from frame {frames[first_row]} to "
                f"{frames[last_row]}. Interpolate its gaps, or split it there."
            )
        if num_frames >= clip_length:
            spans.append(TrackSpan(track_id, first_row, num_frames))
    return spans


def windows_of(clips: Sequence[Clip], track_ids: Sequence[int], frames: Sequence[int]) -> list[ClipWindow]:
    """Find clips in the crops of their video.

    Args:
        clips: of the video's tracks.
        track_ids: [T], of the crops.
        frames: [T], of the crops.
    """
    row_of = {key: row for row, key in enumerate(zip(track_ids, frames, strict=True))}
    return [ClipWindow(clip.track_id, clip.clip_index, row_of[clip.track_id, clip.start_frame]) for clip in clips]


def random_clip(spans: Sequence[TrackSpan], clip_length: int, draw: int, rng: np.random.Generator) -> ClipWindow:
    """Draw a clip; every window of adjacent frames in every track is equally likely.

    Args:
        spans: tracks of a video, at least one.
        clip_length: frames of a clip, no more than any of the tracks has.
        draw: number of the draw, which becomes the clip's index.
        rng: decides.
    """
    # Plain integers: on a handful of tracks they are three times as fast as arrays, and this runs for every clip.
    window_ends = list(accumulate(span.num_frames - clip_length + 1 for span in spans))
    window = int(rng.integers(window_ends[-1]))
    number = bisect_right(window_ends, window)
    offset = window - (window_ends[number - 1] if number else 0)
    return ClipWindow(spans[number].track_id, draw, spans[number].first_row + offset)
