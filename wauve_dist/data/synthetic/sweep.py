"""A freehand sweep: where the probe is, frame by frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wauve_dist.data.synthetic.fields import Float32Array

_CLEAR_MM = (2.5, 6.0)  # how far beyond the lesion a sweep starts and ends
_TILT_RAD, _YAW_RAD = 0.05, 0.04
_DRIFT_MM = 0.9
_COMPRESSION = 0.012


class Pose(NamedTuple):
    """The probe at one frame, in the frame of the sweep (u along the transducer, v along the path, z into the body).

    Attributes:
        u_mm, v_mm: position of the transducer's middle on the skin.
        tilt: radians; leans the image plane towards v.
        yaw: radians; turns the transducer on the skin.
        compression: tissue depth per image depth, about 1: pressure brings deep tissue nearer.
    """

    u_mm: float
    v_mm: float
    tilt: float
    yaw: float
    compression: float


def draw_sweep(rng: np.random.Generator, num_frames: int, lesion_half_length_mm: float) -> list[Pose]:
    """Draw a path that passes the lesion at v = 0 with varying speed and a trembling hand.

    Args:
        rng: source of all its randomness.
        num_frames: length of the video.
        lesion_half_length_mm: half the stretch of v in which an upright plane can cut the lesion.
    """
    start = -lesion_half_length_mm - rng.uniform(*_CLEAR_MM)
    end = lesion_half_length_mm + rng.uniform(*_CLEAR_MM)
    speed = np.exp(0.45 * _tremor(rng, num_frames, smoothness=6.0))
    travelled = np.concatenate([[0.0], np.cumsum(speed[1:])])
    progress = travelled / travelled[-1]
    v_mm = start + (end - start) * progress
    u_mm = rng.uniform(-2.0, 2.0) + _DRIFT_MM * _tremor(rng, num_frames, smoothness=7.0)
    # The hand is upright at both ends, where leaning would bring the lesion back into view.
    leaning = np.sqrt(4 * progress * (1 - progress))
    tilt = _TILT_RAD * leaning * _tremor(rng, num_frames, smoothness=8.0)
    yaw = _YAW_RAD * leaning * _tremor(rng, num_frames, smoothness=8.0)
    compression = 1.0 + _COMPRESSION * _tremor(rng, num_frames, smoothness=6.0)
    return [Pose(*map(float, values)) for values in zip(u_mm, v_mm, tilt, yaw, compression, strict=True)]


def plane_points(
    pose: Pose, lateral_mm: Float32Array, depth_mm: Float32Array
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Carry points of the image plane into the tissue.

    Args:
        pose: of the probe.
        lateral_mm: float32 [D, B], along the transducer, 0 in its middle.
        depth_mm: float32 [D, B], away from the transducer.

    Returns:
        u, v, z: float32 [D, B], mm in the frame of the sweep.
    """
    cos_yaw, sin_yaw = np.float32(np.cos(pose.yaw)), np.float32(np.sin(pose.yaw))
    lean = depth_mm * np.float32(np.sin(pose.tilt))
    u = np.float32(pose.u_mm) + lateral_mm * cos_yaw - lean * sin_yaw
    v = np.float32(pose.v_mm) + lateral_mm * sin_yaw + lean * cos_yaw
    z = depth_mm * np.float32(np.cos(pose.tilt) * pose.compression)
    return u, v, z


def _tremor(rng: np.random.Generator, num_frames: int, smoothness: float) -> NDArray[np.float64]:
    """Smooth noise of about unit variance, slow hand motion with a little fast trembling on top."""
    padded = num_frames + 8 * int(np.ceil(smoothness))
    slow = ndimage.gaussian_filter1d(rng.standard_normal(padded), smoothness, mode="wrap")[:num_frames]
    slow = slow * np.sqrt(2 * np.sqrt(np.pi) * smoothness)  # the filter's power gain, undone
    fast = ndimage.gaussian_filter1d(rng.standard_normal(num_frames), 1.0, mode="nearest")
    return np.asarray(slow + 0.08 * fast)
