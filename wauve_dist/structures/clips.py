"""Which frames of a video's tracks a classifier judges: the paper's rules (Han et al. 2025, Methods)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

CLIP_LENGTH = 8

Inputs = Literal["all", "primary_track", "one_key_frame", "two_key_frames"]
KeyFrameRule = Literal["manifest", "largest", "most_confident"]

_NUM_KEY_FRAMES = {"one_key_frame": 1, "two_key_frames": 2}


def primary_track(tracks: pd.DataFrame) -> pd.DataFrame:
    """Return the boxes of the track that most likely is the lesion: whose scores sum up to most, the first of equals.

    A lesion is followed for long and surely; a false track is short or doubtful.

    Args:
        tracks: rows of ``tracks.parquet`` of one video; all of them belong to one lesion or to none.
    """
    if tracks.empty:
        return tracks
    return tracks[tracks["track_id"] == tracks.groupby("track_id")["score"].sum().idxmax()]


def clip_starts(first_frame: int, num_frames: int, clip_length: int = CLIP_LENGTH) -> range:
    """First frame of every clip of a track, consecutive and without overlap.

    A track shorter than ``clip_length`` and the remainder at a track's end give no clip.

    Args:
        first_frame: index of the track's first frame in its video.
        num_frames: length of the track; bridged gaps count, so its frames are adjacent.
        clip_length: frames of a clip.
    """
    return range(first_frame, first_frame + num_frames - clip_length + 1, clip_length)


class Clip(NamedTuple):
    """Adjacent frames of a track.

    Attributes:
        track_id: the track's number in its video.
        clip_index: number of the clip in its track, from 0; of a key frame, its rank.
        start_frame: first frame, of the video's.
    """

    track_id: int
    clip_index: int
    start_frame: int


@dataclass(frozen=True)
class ClipRule:
    """What a classifier is given of a video; the video's score is the mean over it.

    Attributes:
        clip_length: adjacent frames of a clip; 1 for an image network.
        inputs: ``all`` clips that fit into the tracks, one after the other: 8 frames each for the paper's video models,
            all ROI frames for its image network; or those of the ``primary_track`` only, so that false tracks have no
            say. ``one_key_frame`` and ``two_key_frames`` are the other two inputs of the image network.
        key_frames: where key frames come from. ``manifest``: its column ``key_frames``, as radiologists chose them in
            the paper; the most confident box in such a frame is the lesion. Without a radiologist: the ``largest``
            cross-section (box) of the lesion or its ``most_confident`` box, the lesion being the primary track; the
            second key frame is the next best at least 8 frames away, so that it shows another section, or simply the
            next best where the track is too short for one.

    Raises:
        ValueError: a key frame for a network that takes several.
    """

    clip_length: int = CLIP_LENGTH
    inputs: Inputs = "all"
    key_frames: KeyFrameRule = "largest"

    def __post_init__(self) -> None:
        if self.inputs in _NUM_KEY_FRAMES and self.clip_length != 1:
            raise ValueError(
                f"inputs is {self.inputs!r}, but the network takes {self.clip_length} adjacent frames. "
                "Key frames are for image networks; use 'all' or 'primary_track'."
            )

    @property
    def from_manifest(self) -> bool:
        """Tell whether the manifest has to list key frames."""
        return self.inputs in _NUM_KEY_FRAMES and self.key_frames == "manifest"

    def clips(self, tracks: pd.DataFrame, listed: Sequence[int]) -> list[Clip]:
        """Choose the clips of a video.

        Args:
            tracks: rows of ``tracks.parquet`` of this video; each track's frames are adjacent.
            listed: the manifest's key frames, the better first; used by the rule ``manifest`` only.

        Returns:
            In order of track and time, or of key frames by rank; empty where the tracks hold nothing to judge. A listed
            frame without a box gives nothing.
        """
        if self.inputs not in _NUM_KEY_FRAMES:
            judged = tracks if self.inputs == "all" else primary_track(tracks)
            spans = judged.groupby("track_id")["frame"].agg(["min", "size"])
            return [
                Clip(int(track_id), index, start)
                for track_id, first, length in spans.itertuples()
                for index, start in enumerate(clip_starts(int(first), int(length), self.clip_length))
            ]
        boxes = self._key_boxes(tracks, listed) if len(tracks) else tracks
        return [Clip(int(box.track_id), rank, int(box.frame)) for rank, box in enumerate(boxes.itertuples())]

    def _key_boxes(self, tracks: pd.DataFrame, listed: Sequence[int]) -> pd.DataFrame:
        num_wanted = _NUM_KEY_FRAMES[self.inputs]
        if self.key_frames == "manifest":
            best = tracks.sort_values(["score", "track_id"], ascending=[False, True]).drop_duplicates("frame")
            found = best.set_index("frame", drop=False)
            return found.loc[[frame for frame in listed if frame in found.index][:num_wanted]]
        lesion = primary_track(tracks)
        seen = lesion[~lesion["interpolated"]].sort_values("frame")
        areas = (seen["x2"] - seen["x1"]) * (seen["y2"] - seen["y1"])
        value = areas if self.key_frames == "largest" else seen["score"]
        ranked = seen.iloc[np.argsort(-value.to_numpy(), kind="stable")]
        first, others = ranked[:1], ranked[1:]
        apart = others[(others["frame"] - first["frame"].iloc[0]).abs() >= CLIP_LENGTH]
        return pd.concat([first, others if apart.empty else apart])[:num_wanted]


def listed_key_frames(videos: pd.DataFrame) -> dict[str, tuple[int, ...]]:
    """Read the key frames that the manifest lists.

    Args:
        videos: rows of ``manifest.csv``; ``key_frames``, if there, holds frame numbers from 0, the better first.

    Returns:
        video_id to its key frames, or to nothing.
    """
    cells = videos["key_frames"].fillna("") if "key_frames" in videos else pd.Series("", videos.index)
    return {video: tuple(map(int, cell.split())) for video, cell in zip(videos["video_id"], cells, strict=True)}


def require_key_frames(listed: Mapping[str, Sequence[int]]) -> None:
    """Refuse videos without a listed key frame, for a rule that wants those.

    Raises:
        ValueError: says how many, and what to do.
    """
    if lacking := [video_id for video_id, frames in listed.items() if not frames]:
        raise ValueError(
            f"{len(lacking)} of {len(listed)} videos have no key frame in the manifest's column 'key_frames', the "
            f"first is {lacking[0]!r}. Fill in frame numbers from 0, such as 12 57, or choose key frames by the rule "
            "'largest' or 'most_confident'."
        )
