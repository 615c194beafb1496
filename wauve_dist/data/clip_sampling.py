"""Clips as rows of a video's array of crops: drawn at random for training, by the paper's rules for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wauve_dist.data.clip_timing import ClipTiming
from wauve_dist.structures.clips import Clip

_BALANCE_STREAM = 2
_CLIP_STREAM = 1  # keeps the draws apart from the order of samples, which has the same seed and epoch
_JITTER_STREAM = 3


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


class DrawnClips(NamedTuple):
    """N random clips of T frames, each array int64 [N].

    Attributes:
        videos: number of the clip's video.
        track_ids: of its track.
        clip_indices: number of the draw among those of its video.
        rows: int64 [N, T], its frames in its video's array of crops, in order of time.
        seeds: at least 1, for whatever else is random about it.
    """

    videos: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    clip_indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    seeds: NDArray[np.int64]


class RandomClips:
    """Random clips, the same number of every video; within a video every place for one is equally likely.

    A clip is a function of (seed, epoch, sample). All draws of an epoch are made at once and whole batches looked up:
    a generator of its own for every sample would take half as long as copying its clip.

    Args:
        spans_of_videos: the tracks of each video, at least one.
        clip_length: frames of a clip, T, no more than any of the tracks has.
        clips_per_video: draws per video and epoch.
        seed: of all draws.
        timing: of a clip's frames.
    """

    def __init__(
        self,
        spans_of_videos: Sequence[Sequence[TrackSpan]],
        clip_length: int,
        clips_per_video: int,
        seed: int,
        timing: ClipTiming,
    ) -> None:
        spans = np.array([span for spans in spans_of_videos for span in spans], np.int64).reshape(-1, 3)
        self._track_ids, self._first_rows, num_frames = spans.T
        self._strides = timing.strides_within(num_frames, clip_length)
        # The windows of all videos are numbered one after the other.
        windows_before = np.append(0, np.cumsum(num_frames - timing.num_covered(self._strides, clip_length) + 1))
        self._first_windows, spans_before = windows_before[:-1], np.cumsum([0, *map(len, spans_of_videos)])
        self._windows_before_video = windows_before[spans_before]
        self._clip_length, self._clips_per_video, self._seed = clip_length, clips_per_video, seed
        self._jitter = timing.jitter
        self._draws_of_epoch: tuple[int, NDArray[np.int64]] | None = None
        self._moves_of_epoch: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return (len(self._windows_before_video) - 1) * self._clips_per_video

    def draw(self, epoch: int, samples: NDArray[np.int64]) -> DrawnClips:
        """Return the clips of some samples, 0 to ``len(self) - 1`` each, [N]."""
        videos, clip_indices = np.divmod(samples, self._clips_per_video)
        draws, seeds = self._draws(epoch)[samples].T
        first, end = self._windows_before_video[videos], self._windows_before_video[videos + 1]
        windows = first + draws % (end - first)  # of 2**62 draws, no window gets more than a few above its share
        spans = np.searchsorted(self._first_windows, windows, "right") - 1
        first_rows, strides = self._first_rows[spans] + windows - self._first_windows[spans], self._strides[spans, None]
        rows = first_rows[:, None] + strides * np.arange(self._clip_length)
        if self._jitter:
            rows += self._moves(epoch)[samples] % strides
        return DrawnClips(videos, self._track_ids[spans], clip_indices, rows, seeds)

    def _draws(self, epoch: int) -> NDArray[np.int64]:
        if self._draws_of_epoch is None or self._draws_of_epoch[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, _CLIP_STREAM])
            self._draws_of_epoch = epoch, rng.integers(1, 2**62, (len(self), 2))
        return self._draws_of_epoch[1]

    def _moves(self, epoch: int) -> NDArray[np.int64]:
        if self._moves_of_epoch is None or self._moves_of_epoch[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, _JITTER_STREAM])
            self._moves_of_epoch = epoch, rng.integers(0, 2**62, (len(self), self._clip_length))
        return self._moves_of_epoch[1]


def balanced(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Repeat the members of smaller groups until each group is as large as the largest.

    Every member is there, and none more than once more often than another of its group.

    Args:
        groups: of each item.
        seed: decides who is repeated once more where numbers do not divide.

    Returns:
        Indices of ``groups``, ascending.
    """
    _, codes, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    rng = np.random.default_rng([seed, _BALANCE_STREAM])
    chosen = []
    for code, count in enumerate(counts.tolist()):
        members = np.flatnonzero(codes == code)
        repeats, rest = divmod(int(counts.max()), count)
        chosen += [np.repeat(members, repeats), rng.choice(members, rest, replace=False)]
    return np.sort(np.concatenate(chosen))
