"""Boxes to tracks, online: frame in, finished tracks out.

Kalman prediction, Hungarian assignment on the intersection over union, and two rounds of it as in ByteTrack (Zhang et
al. 2022): sure boxes first, then unsure ones for the tracks that found none, so that a lesion is followed where its
contrast fades while unsure boxes alone never start a track. The scores and the gap are those of UltraDet (MICCAI
2023), by the authors of WAUVE.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from wauve_dist.structures.boxes import Detections, Float32Array, box_iou
from wauve_dist.structures.clips import CLIP_LENGTH
from wauve_dist.tracking.motion import BoxMotion
from wauve_dist.tracking.tracks import MAX_GAP, Track, bridged, track_rows


@dataclass(frozen=True)
class LinkerSettings:
    """When boxes belong together.

    Attributes:
        min_score: boxes below are noise and ignored; 0..1.
        new_score: a box must reach it to start a track, 0..1; those between the two only prolong one.
        match_iou: least overlap of a box with the track's predicted box, 0..1. SORT's 0.3, not UltraDet's 0.5: when
            the sides of a box jitter by 15 % of its size, 0.5 loses most tracks and 0.3 none.
        max_gap: most frames in a row without a box that are bridged; a longer gap ends the track.
        min_length: least number of boxes seen in a track. Bridged frames do not count: they are no evidence.

    Raises:
        ValueError: a setting outside its range.
    """

    min_score: float = 0.05
    new_score: float = 0.2
    match_iou: float = 0.3
    max_gap: int = MAX_GAP
    min_length: int = CLIP_LENGTH

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= self.new_score <= 1:
            raise ValueError(
                f"min_score={self.min_score:g} and new_score={self.new_score:g} must lie between 0 and 1, and "
                "min_score must not exceed new_score. Lower the first or raise the second."
            )
        if not 0 < self.match_iou <= 1:
            raise ValueError(f"match_iou={self.match_iou:g} must be greater than 0 and at most 1.")
        if self.max_gap < 0 or self.min_length < 1:
            raise ValueError(
                f"max_gap={self.max_gap} must not be negative, and min_length={self.min_length} must be at least 1."
            )


class Linker:
    """Links the boxes of one video. Memory depends on the tracks in sight, not on the length of the video.

    A track that was seen once must be seen again in the next frame; from then on gaps are bridged. Track ids count
    from 0 in the order in which tracks reach ``min_length``.
    """

    def __init__(self, settings: LinkerSettings | None = None) -> None:
        self.settings = settings or LinkerSettings()
        self._frame: int | None = None
        self._next_id = 0
        # Row t of everything below belongs to the t-th track in sight.
        self._motion = BoxMotion()
        self._seen: list[array[float]] = []  # frame, x1, y1, x2, y2, score, frame, x1, …: 48 bytes a box
        self._num_seen = np.empty(0, np.int64)
        self._last_frame = np.empty(0, np.int64)
        self._ids = np.empty(0, np.int64)

    def update(self, frame: int, detections: Detections) -> list[Track]:
        """Take in the next frame.

        Args:
            frame: index in the video; one more than the frame before.
            detections: what the detector found, in any order, at most one box per lesion (after NMS).

        Returns:
            The tracks that have ended.
        """
        assert self._frame is None or frame == self._frame + 1, f"frame {frame} after frame {self._frame}"
        self._frame = frame
        boxes_xyxy, scores = self._valid(detections)
        num_sure = int(np.count_nonzero(scores >= self.settings.new_score))
        self._motion.predict()

        iou = box_iou(self._motion.boxes_xyxy, boxes_xyxy)
        rows, columns = self._assign(iou[:, :num_sure])
        # Unsure boxes may prolong only what was in sight a moment ago, or noise would revive lost tracks.
        in_sight = self._last_frame == frame - 1
        in_sight[rows] = False
        waiting = np.flatnonzero(in_sight)
        unsure_rows, unsure_columns = self._assign(iou[waiting, num_sure:])
        rows = np.concatenate([rows, waiting[unsure_rows]])
        columns = np.concatenate([columns, unsure_columns + num_sure])

        self._prolong(frame, rows, boxes_xyxy[columns], scores[columns])
        ended = self._end(frame)
        new = np.ones(num_sure, np.bool_)
        new[columns[columns < num_sure]] = False
        self._start(frame, boxes_xyxy[:num_sure][new], scores[:num_sure][new])
        return ended

    def finish(self) -> list[Track]:
        """End the tracks that are still in sight: the video is over."""
        return self._tracks(np.ones(len(self._seen), np.bool_))

    def _valid(self, detections: Detections) -> tuple[NDArray[np.float64], Float32Array]:
        """Boxes worth looking at, best first; equal scores in an order that does not depend on the input's."""
        boxes_xyxy, scores = detections
        x1, y1, x2, y2 = boxes_xyxy.T
        assert bool(np.all((x2 > x1) & (y2 > y1))), "the detector gave an empty box"
        order = np.lexsort((y2, x2, y1, x1, -scores))
        order = order[scores[order] >= self.settings.min_score]
        return boxes_xyxy[order].astype(np.float64), scores[order]

    def _assign(self, iou: Float32Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs (track, box) of greatest total overlap among those that overlap enough."""
        allowed = np.where(iou >= self.settings.match_iou, iou, 0)
        rows, columns = linear_sum_assignment(allowed, maximize=True)
        paired = allowed[rows, columns] > 0
        return rows[paired], columns[paired]

    def _prolong(
        self, frame: int, rows: NDArray[np.int64], boxes_xyxy: NDArray[np.float64], scores: Float32Array
    ) -> None:
        self._motion.correct(rows, boxes_xyxy)
        self._last_frame[rows] = frame
        self._num_seen[rows] += 1
        for row, box, score in zip(rows.tolist(), boxes_xyxy.tolist(), scores.tolist(), strict=True):
            self._seen[row].extend((frame, *box, score))
        long_enough = np.flatnonzero((self._ids < 0) & (self._num_seen >= self.settings.min_length))
        self._ids[long_enough] = np.arange(self._next_id, self._next_id + len(long_enough))
        self._next_id += len(long_enough)

    def _end(self, frame: int) -> list[Track]:
        missing = frame - self._last_frame
        self._motion.hold_size(missing > 0)
        ended = missing > np.where(self._num_seen == 1, 0, self.settings.max_gap)
        if not ended.any():
            return []
        tracks = self._tracks(ended)
        going_on = ~ended
        self._motion.keep(going_on)
        self._seen = [self._seen[row] for row in np.flatnonzero(going_on)]
        self._num_seen, self._last_frame, self._ids = (
            values[going_on] for values in (self._num_seen, self._last_frame, self._ids)
        )
        return tracks

    def _start(self, frame: int, boxes_xyxy: NDArray[np.float64], scores: Float32Array) -> None:
        if not len(boxes_xyxy):
            return
        self._motion.start(boxes_xyxy)
        self._seen += [
            array("d", (frame, *box, score)) for box, score in zip(boxes_xyxy.tolist(), scores.tolist(), strict=True)
        ]
        num_new = len(boxes_xyxy)
        self._num_seen = np.concatenate([self._num_seen, np.ones(num_new, np.int64)])
        self._last_frame = np.concatenate([self._last_frame, np.full(num_new, frame)])
        self._ids = np.concatenate([self._ids, np.full(num_new, -1)])

    def _tracks(self, rows: NDArray[np.bool_]) -> list[Track]:
        """Those of these tracks that are long enough."""
        tracks = []
        for row in np.flatnonzero(rows & (self._num_seen >= self.settings.min_length)):
            seen = np.frombuffer(self._seen[row]).reshape(-1, 6)
            tracks.append(bridged(int(self._ids[row]), seen[:, 0], seen[:, 1:5], seen[:, 5]))
        return tracks


def link(detections: Iterable[Detections], settings: LinkerSettings | None = None) -> pd.DataFrame:
    """Link all frames of one video, from frame 0.

    Returns:
        Rows of ``tracks.parquet`` without their ``video_id``, ordered by track and frame.
    """
    linker = Linker(settings)
    ended = [track for frame, found in enumerate(detections) for track in linker.update(frame, found)]
    return track_rows(ended + linker.finish())
