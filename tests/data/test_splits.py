from collections import Counter

import numpy as np
import pytest

from wauve_dist.data.splits import split_groups


@pytest.fixture
def cohort():
    """500 rows of 250 patients: a quarter malignant, a tenth with lesions of both kinds."""
    numbers = np.random.default_rng(0).permutation(500) % 250
    labels = [
        "malignant" if number % 4 == 0 or (number % 10 == 5 and row % 2) else "benign"
        for row, number in enumerate(numbers)
    ]
    return [f"p{number}" for number in numbers], labels


def test_a_group_is_never_torn_apart(cohort):
    groups, labels = cohort
    splits = split_groups(groups, labels, 0.2, 0.3, seed=1)
    assert all(len({s for g, s in zip(groups, splits, strict=True) if g == group}) == 1 for group in set(groups))


def test_each_split_holds_its_share_of_each_label(cohort):
    groups, labels = cohort
    counts = Counter(zip(split_groups(groups, labels, 0.2, 0.3, seed=1), labels, strict=True))
    for label, total in Counter(labels).items():
        assert counts["val", label] / total == pytest.approx(0.2, abs=0.05)
        assert counts["test", label] / total == pytest.approx(0.3, abs=0.05)


def test_the_seed_decides(cohort):
    assert split_groups(*cohort, 0.2, 0.3, seed=1) == split_groups(*cohort, 0.2, 0.3, seed=1)
    assert split_groups(*cohort, 0.2, 0.3, seed=1) != split_groups(*cohort, 0.2, 0.3, seed=2)


def test_without_fractions_everything_is_for_training(cohort):
    assert set(split_groups(*cohort, 0, 0, seed=1)) == {"train"}


@pytest.mark.parametrize(("val_fraction", "test_fraction"), [(0.5, 0.5), (-0.1, 0.2), (0, 1.2)])
def test_fractions_that_leave_nothing_to_train_on_are_refused(val_fraction, test_fraction):
    with pytest.raises(ValueError, match="leave a part to train on"):
        split_groups(["a"], ["benign"], val_fraction, test_fraction, seed=1)
