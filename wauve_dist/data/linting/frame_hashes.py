"""Hashes of every frame of a data set: of its exact pixels, and of the picture that they show."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wauve_dist.data.decoding import VideoError, decode_frames
from wauve_dist.data.near_duplicates import difference_hash, downward_hash
from wauve_dist.data.video_jobs import run_jobs

# Black and empty screens have nothing in common but emptiness: grey levels between the extremes of a coarse frame.
_MIN_CONTRAST = 8


class FrameHashes(NamedTuple):
    """Hashes of N frames with a picture, and what was seen on the way.

    Attributes:
        videos: int32 [N], the place of the video in the list that was hashed.
        frames: int32 [N], frame of the video.
        pixels: uint64 [N], hash of size and grey levels.
        pictures: uint64 [N], see ``difference_hash``.
        downward: uint64 [N], see ``downward_hash``.
        num_frames: int64 [videos], frames that could be decoded, blank ones included.
        sizes: int64 [videos, 2], width and height of the frames, pixels; 0 where none could be decoded.
        errors: place of a video to why it cannot be decoded to its end.
    """

    videos: NDArray[np.int32]
    frames: NDArray[np.int32]
    pixels: NDArray[np.uint64]
    pictures: NDArray[np.uint64]
    downward: NDArray[np.uint64]
    num_frames: NDArray[np.int64]
    sizes: NDArray[np.int64]
    errors: dict[int, str]


class _VideoHashes(NamedTuple):
    frames: NDArray[np.int32]
    pixels: NDArray[np.uint64]
    pictures: NDArray[np.uint64]
    downward: NDArray[np.uint64]
    num_frames: int
    size: tuple[int, int]
    error: str | None


def hash_videos(paths: Sequence[Path], num_workers: int) -> FrameHashes:
    """Decode all videos in parallel, with a progress bar; what cannot be decoded is said, not left out.

    Args:
        paths: videos, images or folders of images.
        num_workers: processes.
    """
    found = [future.result() for future in run_jobs(_hash_video, paths, num_workers, "Hashing videos")]
    return FrameHashes(
        np.repeat(np.arange(len(found), dtype=np.int32), [len(video.frames) for video in found]),
        np.concatenate([np.empty(0, np.int32), *(video.frames for video in found)]),
        np.concatenate([np.empty(0, np.uint64), *(video.pixels for video in found)]),
        np.concatenate([np.empty(0, np.uint64), *(video.pictures for video in found)]),
        np.concatenate([np.empty(0, np.uint64), *(video.downward for video in found)]),
        np.array([video.num_frames for video in found], np.int64),
        np.array([video.size for video in found], np.int64).reshape(-1, 2),
        {place: video.error for place, video in enumerate(found) if video.error is not None},
    )


def _hash_video(path: Path) -> _VideoHashes:
    frames, pixels, pictures, downward = [], [], [], []
    num_frames, size, error = 0, (0, 0), None
    try:
        for number, frame in enumerate(decode_frames(path)):
            num_frames, size = number + 1, (frame.shape[1], frame.shape[0])
            if int(frame[::8, ::8].max()) - int(frame[::8, ::8].min()) < _MIN_CONTRAST:
                continue
            digest = hashlib.blake2b(frame.data, digest_size=8, salt=b"%dx%d" % size)
            frames.append(number)
            pixels.append(int.from_bytes(digest.digest(), "big"))
            pictures.append(difference_hash(frame))
            downward.append(downward_hash(frame))
    except VideoError as fault:
        error = str(fault)
    return _VideoHashes(
        np.array(frames, np.int32),
        np.array(pixels, np.uint64),
        np.array(pictures, np.uint64),
        np.array(downward, np.uint64),
        num_frames,
        size,
        error,
    )
