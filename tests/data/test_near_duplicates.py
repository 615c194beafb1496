import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.sparse.csgraph import connected_components

from wauve_dist.data.near_duplicates import MAX_DISTANCE, difference_hash, near_duplicate_groups, near_pairs


def scan(seed, shape=(240, 320)):
    """Smooth noise, as varied as tissue at the scale of the hash."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32), np.uint8))
    return np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(6)))


def distance(first, second):
    return (int(difference_hash(first)) ^ int(difference_hash(second))).bit_count()


def test_the_hash_says_where_the_image_brightens_to_the_right():
    ramp = np.tile(np.arange(0, 252, 4, dtype=np.uint8), (64, 1))
    assert int(difference_hash(ramp)) == 2**64 - 1
    assert int(difference_hash(ramp[:, ::-1])) == 0
    only_top_left = np.full((64, 72), 100, np.uint8)
    only_top_left[:8, 8:] = 200  # brightens from the first to the second of nine places, in the top row only
    assert int(difference_hash(only_top_left)) == 1 << 63


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


def packed(bits):
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


@pytest.fixture
def cloud():
    """200 hashes of 64 bits, 140 of them copies of 60 with some bits flipped."""
    rng = np.random.default_rng(7)
    originals = rng.random((60, 64)) < 0.5
    copies = originals[rng.integers(0, 60, 140)] ^ (rng.random((140, 64)) < 0.06)
    return np.concatenate([originals, copies])[rng.permutation(200)]


@pytest.mark.parametrize("max_distance", [0, 2, 3, 6, 8])
def test_the_index_finds_the_pairs_that_comparing_all_finds_each_once(cloud, max_distance):
    distances = (cloud[:, None] != cloud[None]).sum(axis=2)
    expected = sorted(map(tuple, np.argwhere(np.triu(distances <= max_distance, k=1)).tolist()))
    found = [pair for chunk in near_pairs(packed(cloud), max_distance=max_distance) for pair in chunk.tolist()]
    assert sorted(tuple(sorted(pair)) for pair in found) == expected
    assert expected or max_distance == 0


def test_many_frames_with_one_hash_come_in_chunks_without_loss():
    hashes = np.full(3000, 12345, np.uint64)  # 4.5 million pairs, more than a chunk
    chunks = list(near_pairs(hashes))
    assert len(chunks) > 1
    assert sum(map(len, chunks)) == 3000 * 2999 // 2


def test_pairs_within_one_owner_are_left_out(cloud):
    owners = np.arange(200) % 20
    all_pairs = np.concatenate(list(near_pairs(packed(cloud))))
    across = np.concatenate(list(near_pairs(packed(cloud), owners)))
    expected = [pair for pair in all_pairs.tolist() if owners[pair[0]] != owners[pair[1]]]
    assert sorted(map(sorted, across.tolist())) == sorted(map(sorted, expected))
    assert 0 < len(across) < len(all_pairs)


@pytest.mark.parametrize("max_distance", [0, 6])
def test_groups_are_what_the_pairs_link(cloud, max_distance):
    all_pairs = (cloud[:, None] != cloud[None]).sum(axis=2) <= max_distance
    _, expected = connected_components(all_pairs, directed=False)
    found = near_duplicate_groups(packed(cloud), max_distance)
    assert (found[:, None] == found[None]).tolist() == (expected[:, None] == expected[None]).tolist()


def test_images_without_duplicates_are_groups_of_one_in_their_order():
    hashes = packed(np.random.default_rng(0).random((30, 64)) < 0.5)
    assert near_duplicate_groups(hashes).tolist() == list(range(30))
