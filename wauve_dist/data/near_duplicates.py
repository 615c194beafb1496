"""Frames that show the same picture: copies, other encodings, slight crops, neighbouring frames.

A data set without patient ids leaks through them from training into testing. Method: a difference hash of 64 bits
(N. Krawetz, "Kind of Like That", 2013) per frame; frames at most ``MAX_DISTANCE`` bits apart belong together. The pairs
come from an index of hash tables, not from comparing all (M. Norouzi et al., "Fast search in Hamming space with
multi-index hashing", CVPR 2012).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wauve_dist.data.decoding import GreyFrame

# On BUSI the 16 least correlated pairs at 4 to 7 bits were looked at: up to 6 bits all show one picture, at 7 the first
# two different lesions meet.
MAX_DISTANCE = 6

# Long videos hold frames of one layout and other tissue: of 14 million pairs across the patients of the Cineclip demo
# set, 23 are that near and none shows the same. Their downward hashes differ by 19 bits or more, those of BUSI's 199
# near pairs by 10 or fewer.
MAX_DOWNWARD_DISTANCE = 14

_NUM_BITS = 64

# Every third bit makes a band: neighbouring places brighten together, so bands of neighbours would fill few buckets. On
# the Cineclip demo set three bands bring up 3.6 times fewer candidates than four, whose buckets are larger.
_NUM_BANDS = 3

# Candidate pairs compared at once; their indices and hashes fit a processor's cache.
_CHUNK = 1 << 17


def difference_hash(frame: GreyFrame) -> np.uint64:
    """Tell for 8 rows of 8 places whether the image brightens to the right.

    Args:
        frame: uint8 [H, W].

    Returns:
        64 bits; the top left place is the highest.
    """
    small = np.asarray(Image.fromarray(frame).resize((9, 8), Image.Resampling.BOX))
    return _packed(small[:, 1:] > small[:, :-1])


def downward_hash(frame: GreyFrame) -> np.uint64:
    """Tell for 8 rows of 8 places whether the image brightens downward: a second opinion on a pair of frames.

    Args:
        frame: uint8 [H, W].

    Returns:
        64 bits; the top left place is the highest.
    """
    small = np.asarray(Image.fromarray(frame).resize((8, 9), Image.Resampling.BOX))
    return _packed(small[1:] > small[:-1])


def near_pairs(
    hashes: NDArray[np.uint64], owners: NDArray[np.integer] | None = None, max_distance: int = MAX_DISTANCE
) -> Iterator[NDArray[np.int64]]:
    """Find all pairs of frames at most ``max_distance`` bits apart, in chunks.

    Hashes that differ in d bits differ in at most d // 3 bits of at least one of three bands, so a frame is compared
    only with those in the buckets that far from its own. Time grows with their number, memory does not.

    Args:
        hashes: uint64 [N].
        owners: int [N], the video of each frame; pairs within one owner are left out. None keeps all pairs.
        max_distance: bits, 0 to 8.

    Yields:
        int64 [P, 2], each pair once, in no order.
    """
    assert 0 <= max_distance < 3 * _NUM_BANDS, max_distance  # beyond, too many buckets are near
    reach = max_distance // _NUM_BANDS
    masks = [_mask(range(band, _NUM_BITS, _NUM_BANDS)) for band in range(_NUM_BANDS)]
    for band in range(_NUM_BANDS):
        places = range(band, _NUM_BITS, _NUM_BANDS)
        keys = _band_keys(hashes, places)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange((1 << len(places)) + 1))
        sorted_keys, sorted_hashes = keys[order], hashes[order]
        for flip in _flips(len(places), reach):
            for first, second in _candidates(sorted_keys, starts, flip):
                differing = sorted_hashes[first] ^ sorted_hashes[second]
                near = np.flatnonzero(np.bitwise_count(differing) <= max_distance)
                pairs, differing = np.stack([order[first[near]], order[second[near]]], axis=1), differing[near]
                if owners is not None:
                    across = owners[pairs[:, 0]] != owners[pairs[:, 1]]
                    pairs, differing = pairs[across], differing[across]
                for earlier in masks[:band]:  # a pair belongs to the first band that brings it up
                    unseen = np.bitwise_count(differing & earlier) > reach
                    pairs, differing = pairs[unseen], differing[unseen]
                if len(pairs):
                    yield pairs


def near_duplicate_groups(hashes: NDArray[np.uint64], max_distance: int = MAX_DISTANCE) -> NDArray[np.int32]:
    """Number the groups of frames that are linked by pairs at most ``max_distance`` bits apart.

    Args:
        hashes: uint64 [N].
        max_distance: bits, 0 to 8.

    Returns:
        int32 [N], the group of each frame, counted from 0 in order of first appearance.
    """
    pairs = np.concatenate([np.empty((0, 2), np.int64), *near_pairs(hashes, max_distance=max_distance)])
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(hashes), len(hashes)))
    groups: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return groups


def _packed(bits: NDArray[np.bool_]) -> np.uint64:
    value: np.uint64 = np.uint64(int.from_bytes(np.packbits(bits).tobytes(), "big"))
    return value


def _mask(places: range) -> np.uint64:
    mask: np.uint64 = np.uint64(sum(1 << place for place in places))
    return mask


def _band_keys(hashes: NDArray[np.uint64], places: range) -> NDArray[np.int64]:
    keys = np.zeros(len(hashes), np.int64)
    for bit, place in enumerate(places):
        keys |= (((hashes >> np.uint64(place)) & np.uint64(1)) << np.uint64(bit)).astype(np.int64)
    return keys


def _flips(num_places: int, reach: int) -> Iterator[int]:
    """Differences of two keys that are at most ``reach`` bits apart."""
    for num_bits in range(reach + 1):
        for bits in combinations(range(num_places), num_bits):
            yield sum(1 << bit for bit in bits)


def _candidates(
    keys: NDArray[np.int64], starts: NDArray[np.intp], flip: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Positions of every pair whose sorted keys differ by ``flip``, once each, in chunks."""
    positions = np.arange(len(keys), dtype=np.int32)
    partner = keys ^ flip
    if flip:
        positions = positions[keys < partner]
        begin, end = starts[partner[positions]], starts[partner[positions] + 1]
    else:
        begin, end = positions + 1, starts[keys + 1]
    lengths = end - begin
    positions, begin, lengths = (values[lengths > 0] for values in (positions, begin, lengths))
    ends = np.cumsum(lengths)
    low = 0
    while low < len(positions):
        done = ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(ends, done + _CHUNK, side="right")))
        repeats = lengths[low:high]
        first = np.repeat(positions[low:high], repeats)
        # Where a run of partners begins, less where it begins in this chunk.
        shift = (begin[low:high] - (np.cumsum(repeats) - repeats)).astype(np.int32)
        yield first, np.repeat(shift, repeats) + np.arange(len(first), dtype=np.int32)
        low = high
