"""The paper's clip rule (Han et al. 2025, Methods): 8 adjacent frames of a track, in order."""

from __future__ import annotations

CLIP_LENGTH = 8


def clip_starts(first_frame: int, num_frames: int) -> range:
    """First frame of every clip of a track, consecutive and without overlap.

    A track shorter than ``CLIP_LENGTH`` and the remainder at a track's end give no clip.

    Args:
        first_frame: index of the track's first frame in its video.
        num_frames: length of the track; bridged gaps count, so its frames are adjacent.
    """
    return range(first_frame, first_frame + num_frames - CLIP_LENGTH + 1, CLIP_LENGTH)
