"""Splits that keep a group (a patient, a set of duplicates) together and the mix of labels alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def split_groups(
    groups: Sequence[Hashable], labels: Sequence[str], val_fraction: float, test_fraction: float, seed: int
) -> list[str]:
    """Draw train, val and test.

    Groups are shuffled within their stratum, the set of labels that they hold, and laid end to end; the middle of a
    group decides on which side of a border it falls.

    Args:
        groups: the group of each row.
        labels: the label of each row.
        val_fraction: share of the rows, 0..1.
        test_fraction: share of the rows, 0..1.
        seed: of the shuffling.

    Returns:
        The split of each row.

    Raises:
        ValueError: fractions that leave nothing to train on.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise ValueError(
            f"--val-fraction {val_fraction:g} and --test-fraction {test_fraction:g} must not be negative, and must "
            "leave a part to train on (sum below 1)."
        )
    labels_of: dict[Hashable, set[str]] = defaultdict(set)
    sizes: Counter[Hashable] = Counter(groups)
    for group, label in zip(groups, labels, strict=True):
        labels_of[group].add(label)
    strata = defaultdict(list)
    for group, found in labels_of.items():
        strata[tuple(sorted(found))].append(group)
    split_of: dict[Hashable, str] = {}
    for number, stratum in enumerate(sorted(strata)):
        members = strata[stratum]
        shuffled = [members[index] for index in np.random.default_rng([seed, number]).permutation(len(members))]
        lengths = np.array([sizes[group] for group in shuffled])
        middles = (np.cumsum(lengths) - lengths / 2) / lengths.sum()
        for group, middle in zip(shuffled, middles, strict=True):
            in_test, in_val = middle < test_fraction, middle < test_fraction + val_fraction
            split_of[group] = "test" if in_test else "val" if in_val else "train"
    return [split_of[group] for group in groups]
