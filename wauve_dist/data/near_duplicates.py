"""Images that show the same picture: copies, other encodings, slight crops, neighbouring frames.

A data set without patient ids leaks through them from training into testing. Method: a difference hash (N. Krawetz,
"Kind of Like That", 2013) per image; images closer than ``MAX_DISTANCE`` bits belong together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wauve_dist.data.decoding import GreyFrame

NUM_BITS = 64

# On BUSI the 16 least correlated pairs at 4 to 7 bits were looked at: up to 6 bits all show one picture, at 7 the first
# two different lesions meet.
MAX_DISTANCE = 6


def difference_hash(frame: GreyFrame) -> NDArray[np.bool_]:
    """Tell for 8 rows of 8 places whether the image brightens to the right.

    Args:
        frame: uint8 [H, W].

    Returns:
        bool [64].
    """
    small = np.asarray(Image.fromarray(frame).resize((9, 8), Image.Resampling.BOX))
    return np.asarray(small[:, 1:] > small[:, :-1]).ravel()


def near_duplicate_groups(hashes: NDArray[np.bool_], max_distance: int = MAX_DISTANCE) -> NDArray[np.int32]:
    """Number the groups of images that are linked by pairs at most ``max_distance`` bits apart.

    Hashes that differ in d bits agree in at least one of d + 1 bands, so only those that share a band are compared
    (the pigeonhole index of M. Norouzi et al., "Fast search in Hamming space with multi-index hashing", CVPR 2012).

    Args:
        hashes: bool [N, 64].
        max_distance: 0 to 63 bits.

    Returns:
        int32 [N], the group of each image, counted from 0 in order of first appearance.
    """
    links: list[NDArray[np.intp]] = []
    for band in np.array_split(np.arange(hashes.shape[1]), max_distance + 1):
        _, bucket_of = np.unique(np.packbits(hashes[:, band], axis=1), axis=0, return_inverse=True)
        order = np.argsort(bucket_of.ravel(), kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(bucket_of.ravel()[order])) + 1):
            if len(bucket) > 1:
                distances = (hashes[bucket, None] != hashes[None, bucket]).sum(axis=2)
                links.append(bucket[np.argwhere(distances <= max_distance)])
    first, second = np.concatenate(links).T if links else np.empty((2, 0), np.intp)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(hashes), len(hashes)))
    groups: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return groups
