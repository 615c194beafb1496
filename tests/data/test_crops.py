import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from wauve_dist.data.crops import crop_roi
from wauve_dist.structures.sectors import Sector


@pytest.mark.parametrize("size", [32, 64, 100])
@pytest.mark.parametrize("box", [(40, 50, 120, 110), (60, 30, 76, 46)])
def test_a_crop_is_what_torchvision_makes_of_the_same_region(size, box):
    frame = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    x1, y1, x2, y2 = box
    side = 2 * max(x2 - x1, y2 - y1)
    left, top = (x1 + x2 - side) // 2, (y1 + y2 - side) // 2
    expected = transforms.resized_crop(
        torch.from_numpy(np.pad(frame, 100))[None], top + 100, left + 100, side, side, [size, size], antialias=True
    )[0].numpy()
    edge = int(np.ceil(size / side)) + 1  # torchvision does not look over the region's edge, the crop does
    inner = slice(edge, -edge)
    crop = crop_roi(frame, np.array(box), size, context=2)
    difference = np.abs(crop[inner, inner].astype(int) - expected[inner, inner])
    assert difference.max() <= 1  # both round in fixed point


def test_a_crop_keeps_fractions_of_a_pixel():
    columns = np.tile(np.arange(200, dtype=np.uint8), (200, 1))  # pixel x has its centre at x + 0.5
    box = np.array([60.3, 80.0, 100.7, 110.0])
    crop = crop_roi(columns, box, size=20, context=1.5)
    side = 1.5 * 40.4
    centres = 80.5 - side / 2 + (np.arange(20) + 0.5) * side / 20
    np.testing.assert_allclose(crop, np.tile(centres - 0.5, (20, 1)), atol=0.51)


def test_the_crops_of_two_halves_meet_without_a_seam():
    frame = np.random.default_rng(2).integers(0, 256, (120, 120), np.uint8)
    whole = crop_roi(frame, np.array([20, 20, 100, 100]), size=40, context=1)
    left, right = (crop_roi(frame, np.array([x, 20, x + 40, 60]), size=20, context=1) for x in (20, 60))
    difference = np.hstack([left, right]).astype(int) - whole[:20]
    assert np.abs(difference).max() <= 1


def test_a_region_beyond_the_frame_is_black_and_the_rest_in_place():
    crop = crop_roi(np.full((100, 100), 200, np.uint8), np.array([-20.0, -20.0, 20.0, 20.0]), size=40, context=2)
    assert not crop[:19].any()
    assert not crop[:, :19].any()
    assert (crop[22:, 22:] == 200).all()


def test_a_box_far_outside_gives_a_black_crop():
    assert not crop_roi(np.full((50, 50), 255, np.uint8), np.array([500.0, 500, 520, 520]), 16, 1.5).any()


def test_shrinking_does_not_alias():
    checks = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop = crop_roi(checks, np.array([64.0, 64, 192, 192]), size=16, context=1)
    np.testing.assert_allclose(crop, 127.5, atol=3)


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 5, 9), (0, 0, np.inf, 5), (np.nan, 0, 5, 5)])
def test_an_empty_or_infinite_box_is_refused(box):
    with pytest.raises(ValueError, match="is empty"):
        crop_roi(np.zeros((10, 10), np.uint8), np.array(box), 8, 1)


def test_outside_the_sector_a_crop_is_black_as_if_the_frame_were():
    frame = np.random.default_rng(4).integers(1, 256, (80, 100), np.uint8)
    sector = Sector(20, 10, 70, 60)
    for box in [(15.5, 5, 45, 30), (60, 50, 99, 79), (30, 20, 50, 40), (80, 65, 95, 78), (-50, -50, 200, 200)]:
        expected = crop_roi(sector.blacken_around(frame), np.array(box), 32, 1.3)
        np.testing.assert_array_equal(crop_roi(frame, np.array(box), 32, 1.3, sector), expected)
