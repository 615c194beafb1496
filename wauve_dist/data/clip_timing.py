"""How far apart the frames of a training clip are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ClipTiming(NamedTuple):
    """Stride and jitter in the sense of MMAction2's ``SampleFrames``.

    Attributes:
        stride: frames from one frame of a clip to the next (``frame_interval``); 1 is the paper's adjacent frames.
        jitter: each frame is moved by 0 to stride - 1 frames, at random (``temporal_jitter``).
    """

    stride: int = 1
    jitter: bool = False

    def strides_within(self, num_frames: NDArray[np.int64], clip_length: int) -> NDArray[np.int64]:
        """Return the stride of clips in tracks of so many frames: int64 [K], below ``stride`` where a track is short.

        MMAction2 repeats the frames of a video that is too short; a lesion that jumps back is no sweep.

        Args:
            num_frames: int64 [K], at least ``clip_length`` each.
            clip_length: frames of a clip.
        """
        largest = num_frames // clip_length if self.jitter else (num_frames - 1) // max(clip_length - 1, 1)
        return np.minimum(largest, self.stride)

    def num_covered(self, strides: NDArray[np.int64], clip_length: int) -> NDArray[np.int64]:
        """Return over how many frames of its track a clip stretches: int64 [K], for its stride, [K]."""
        return strides * clip_length if self.jitter else strides * (clip_length - 1) + 1


def checked_timing(stride: int, jitter: bool, clip_length: int) -> ClipTiming:
    """Return a timing, or refuse what makes none.

    Raises:
        ValueError: no stride, a stride for an image network, or jitter at a stride of 1.
    """
    if stride < 1:
        raise ValueError(f"training_stride (--data.training_stride) is {stride}; it must be at least 1.")
    if stride > 1 and clip_length == 1:
        raise ValueError(
            f"training_stride (--data.training_stride) is {stride}, but the network takes single frames. Use 1."
        )
    if jitter and stride == 1:
        raise ValueError(
            "temporal_jitter (--data.temporal_jitter) moves frames by less than --data.training_stride, which is 1: "
            "none can move. Give a larger stride, or no jitter."
        )
    return ClipTiming(stride, jitter)


def short_tracks(timing: ClipTiming, lengths: Sequence[int], clip_length: int) -> str | None:
    """Say how many tracks are too short for the stride, and what their clips have instead; None where all fit.

    Args:
        timing: of training clips.
        lengths: frames of the training tracks.
        clip_length: frames of a clip.
    """
    strides = timing.strides_within(np.array(lengths, np.int64), clip_length)
    used, counts = np.unique(strides[strides < timing.stride], return_counts=True)
    if len(used) == 0:
        return None
    num_needed = timing.num_covered(np.array([timing.stride]), clip_length)[0]
    instead = ", ".join(f"{stride} in {count}" for stride, count in zip(used, counts, strict=True))
    return (
        f"training_stride (--data.training_stride) is {timing.stride}: {counts.sum()} of {len(lengths)} training "
        f"tracks have fewer than the {num_needed} frames that a clip then stretches over. Their clips have the largest "
        f"stride that fits: {instead}."
    )
