"""Random fields that fill all of space by repeating: the raw material of tissue and of its scatterers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Float32Array = NDArray[np.float32]
Complex64Array = NDArray[np.complex64]


class PeriodicField:
    """A smooth complex Gaussian field of unit power on a periodic grid.

    The real and imaginary parts are independent, so one field serves as scatterers of random phase or as two
    textures at the price of one look-up.
    """

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int, int], sigmas: tuple[float, float, float]):
        """Draw the field.

        Args:
            rng: source of all its randomness.
            shape: grid points per axis, powers of two (wrapping is a bit mask).
            sigmas: standard deviation, in grid points, of the Gaussian that white noise is smoothed with.
        """
        assert all(size & (size - 1) == 0 for size in shape), shape
        white = rng.standard_normal((*shape, 2), dtype=np.float32)
        smooth = ndimage.gaussian_filter(white, (*sigmas, 0), mode="wrap")
        smooth *= np.float32(np.sqrt(0.5)) / smooth.std()
        # One more plane at the end of every axis, a copy of the first: neighbours need no wrapping.
        self._values: Complex64Array = np.pad(smooth.view(np.complex64)[..., 0], ((0, 1),) * 3, mode="wrap")

    def sample(self, points: Float32Array) -> Complex64Array:
        """Interpolate linearly.

        Args:
            points: float32 [3, ...], in grid points, anywhere (the field repeats).

        Returns:
            complex64 [...], E|value|^2 about 1 at the grid points.
        """
        _, rows, columns = self._values.shape
        below = np.floor(points)
        weights = points - below
        index = below.astype(np.int32)
        masks = [size - 2 for size in self._values.shape]
        base = (index[0] & masks[0]) * (rows * columns) + (index[1] & masks[1]) * columns + (index[2] & masks[2])
        flat = self._values.reshape(-1)

        def corner(offset: int) -> Complex64Array:
            # Indices are in range by construction; "clip" only spares NumPy its buffered check.
            return np.asarray(flat[offset:].take(base, mode="clip"))

        def edge(offset: int) -> Complex64Array:
            return _lerp(corner(offset), corner(offset + 1), weights[2])

        def face(offset: int) -> Complex64Array:
            return _lerp(edge(offset), edge(offset + columns), weights[1])

        return _lerp(face(0), face(rows * columns), weights[0])


def _lerp(first: Complex64Array, second: Complex64Array, weight: Float32Array) -> Complex64Array:
    """Blend, overwriting ``second``."""
    second -= first
    second *= weight
    second += first
    return second
