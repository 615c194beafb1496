"""Constant-velocity Kalman filters for the boxes of one frame, all tracks at once.

The state of a box is its centre, width, height and their velocities per frame, as in SORT (Bewley et al. 2016). Noise
is proportional to the box's own size, with the weights of DeepSORT (Wojke et al. 2017) and, as in BoT-SORT (Aharon et
al. 2022), horizontal quantities follow the width and vertical ones the height. All noise is then diagonal and the
eight-dimensional filter falls apart into four independent ones of two dimensions, which are solved in closed form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

POSITION_NOISE = 1 / 20
VELOCITY_NOISE = 1 / 160


class BoxMotion:
    """Filters of ``T`` boxes; row ``t`` of every array belongs to track ``t``."""

    def __init__(self) -> None:
        # [5, T, 4]: value, velocity, variance of the value, covariance, variance of the velocity of (cx, cy, w, h).
        self._state: Float64Array = np.empty((5, 0, 4))

    def __len__(self) -> int:
        return len(self._state[0])

    @property
    def boxes_xyxy(self) -> Float64Array:
        """Present estimates, float64 [T, 4]."""
        centres, sides = self._state[0, :, :2], self._state[0, :, 2:]
        corners: Float64Array = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
        return corners

    @property
    def velocities(self) -> Float64Array:
        """Of centre x, centre y, width, height: float64 [T, 4], pixels per frame."""
        return np.array(self._state[1])

    def start(self, boxes_xyxy: Float64Array) -> None:
        """Append resting boxes, float64 [K, 4]; their velocity is unknown to within a sixteenth of their size."""
        values = _centre_and_size(boxes_xyxy)
        size = values[:, [2, 3, 2, 3]]
        nothing = np.zeros_like(values)
        started = np.stack(
            [values, nothing, (2 * POSITION_NOISE * size) ** 2, nothing, (10 * VELOCITY_NOISE * size) ** 2]
        )
        self._state = np.concatenate([self._state, started], axis=1)

    def predict(self) -> None:
        """Move every box on by one frame."""
        value, velocity, variance, covariance, velocity_variance = self._state
        size = value[:, [2, 3, 2, 3]]
        value += velocity
        variance += 2 * covariance + velocity_variance + (POSITION_NOISE * size) ** 2
        covariance += velocity_variance
        velocity_variance += (VELOCITY_NOISE * size) ** 2

    def correct(self, rows: NDArray[np.int64], boxes_xyxy: Float64Array) -> None:
        """Take in the boxes seen, float64 [K, 4], of tracks ``rows``, int64 [K]."""
        value, velocity, variance, covariance, velocity_variance = self._state[:, rows]
        residual = _centre_and_size(boxes_xyxy) - value
        total = variance + (POSITION_NOISE * value[:, [2, 3, 2, 3]]) ** 2
        gain, velocity_gain = variance / total, covariance / total
        self._state[:, rows] = (
            value + gain * residual,
            velocity + velocity_gain * residual,
            variance - gain * variance,
            covariance - gain * covariance,
            velocity_variance - velocity_gain * covariance,
        )

    def hold_size(self, rows: NDArray[np.bool_]) -> None:
        """Stop the growth of boxes out of sight, bool [T]: a trend of sizes, drawn out, soon becomes absurd."""
        self._state[1, rows, 2:] = 0

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget all but these tracks, bool [T]."""
        self._state = self._state[:, rows]


def _centre_and_size(boxes_xyxy: Float64Array) -> Float64Array:
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)
