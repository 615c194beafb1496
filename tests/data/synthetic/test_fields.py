"""Periodic random fields."""

import numpy as np
import pytest
from scipy import ndimage

from wauve_dist.data.synthetic.fields import PeriodicField


@pytest.fixture(scope="module")
def field():
    return PeriodicField(np.random.default_rng(3), (16, 32, 64), (1.0, 2.0, 1.0))


def grid(field):
    return field.sample(np.indices((16, 32, 64)).astype(np.float32))


def test_interpolation_agrees_with_scipy_also_beyond_the_block(field):
    points = np.random.default_rng(4).uniform(-80, 80, (3, 500)).astype(np.float32)
    values = grid(field)
    expected = ndimage.map_coordinates(values.real, points, order=1, mode="grid-wrap") + 1j * ndimage.map_coordinates(
        values.imag, points, order=1, mode="grid-wrap"
    )
    np.testing.assert_allclose(field.sample(points), expected, atol=2e-5)


def test_values_are_circular_gaussian_of_unit_power(field):
    values = grid(field)
    assert np.mean(np.abs(values) ** 2) == pytest.approx(1.0, rel=0.01)
    assert abs(np.mean(values**2)) < 0.1  # zero for a circular variable
    # |z|^4 is twice |z|^2 squared for a circular Gaussian.
    assert np.mean(np.abs(values) ** 4) == pytest.approx(2.0, rel=0.1)
