import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.sparse.csgraph import connected_components

from wauve_dist.data.near_duplicates import MAX_DISTANCE, difference_hash, near_duplicate_groups


def scan(seed, shape=(240, 320)):
    """Smooth noise, as varied as tissue at the scale of the hash."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32), np.uint8))
    return np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(6)))


def distance(first, second):
    return int((difference_hash(first) != difference_hash(second)).sum())


def test_the_hash_says_where_the_image_brightens_to_the_right():
    ramp = np.tile(np.arange(0, 252, 4, dtype=np.uint8), (64, 1))
    assert difference_hash(ramp).all()
    assert not difference_hash(ramp[:, ::-1]).any()


@pytest.mark.parametrize("seed", range(5))
def test_copies_hash_alike_and_other_images_do_not(seed):
    image = scan(seed)
    compressed = io.BytesIO()
    Image.fromarray(image).save(compressed, "JPEG", quality=60)
    smaller = Image.fromarray(image).resize((230, 170))
    brighter = np.clip(image * 1.2 + 10, 0, 255).astype(np.uint8)
    assert distance(image, np.asarray(Image.open(compressed))) <= MAX_DISTANCE
    assert distance(image, np.asarray(smaller)) <= MAX_DISTANCE
    assert distance(image, brighter) <= MAX_DISTANCE
    assert distance(image, scan(seed + 100)) > 2 * MAX_DISTANCE


@pytest.mark.parametrize("max_distance", [0, 3, 6, 11])
def test_the_index_finds_the_groups_that_comparing_all_pairs_finds(max_distance):
    rng = np.random.default_rng(max_distance)
    originals = rng.random((60, 64)) < 0.5
    copies = originals[rng.integers(0, 60, 140)] ^ (rng.random((140, 64)) < 0.06)
    hashes = np.concatenate([originals, copies])[rng.permutation(200)]
    all_pairs = (hashes[:, None] != hashes[None]).sum(axis=2) <= max_distance
    _, expected = connected_components(all_pairs, directed=False)
    found = near_duplicate_groups(hashes, max_distance)
    assert (found[:, None] == found[None]).tolist() == (expected[:, None] == expected[None]).tolist()
    assert len(np.unique(found)) < 200 or max_distance == 0
    assert len(np.unique(found)) >= 60


def test_images_without_duplicates_are_groups_of_one_in_their_order():
    hashes = np.random.default_rng(0).random((30, 64)) < 0.5
    assert near_duplicate_groups(hashes).tolist() == list(range(30))
