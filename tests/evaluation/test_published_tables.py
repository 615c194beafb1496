"""Every figure of the paper's Tables 3 and 4 that a method reproduces, from its integer counts."""

import numpy as np
import pytest
from published_study import COUNTS, prints_as

from wauve_dist.evaluation.auc import auc
from wauve_dist.evaluation.comparisons import fisher_exact, mcnemar_exact, n_minus_1_chi_square
from wauve_dist.evaluation.proportions import clopper_pearson, negative_predictive_value, positive_predictive_value

UNPAIRED = {"N-1": n_minus_1_chi_square, "Fisher": fisher_exact}


@pytest.mark.parametrize("record", COUNTS["proportions"], ids=lambda record: f"Table {' '.join(record[:3])}")
def test_proportion_and_interval(record):
    _, _, metric, (tp, fp, fn, tn), printed, printed_limits = record
    found = {
        "SENS": lambda: clopper_pearson(tp, tp + fn),
        "SPEC": lambda: clopper_pearson(tn, tn + fp),
        "ACC": lambda: clopper_pearson(tp + tn, tp + fp + fn + tn),
        "PPV": lambda: positive_predictive_value(tp, fp, fn, tn),
        "NPV": lambda: negative_predictive_value(tp, fp, fn, tn),
    }[metric]()
    assert prints_as(100 * found.value, printed)
    if printed_limits:
        assert prints_as(100 * found.ci_low, printed_limits[0])
        assert prints_as(100 * found.ci_high, printed_limits[1])


@pytest.mark.parametrize(
    ("discordant", "printed"), [r[1:] for r in COUNTS["paired"]], ids=[r[0] for r in COUNTS["paired"]]
)
def test_paired_p_value(discordant, printed):
    assert prints_as(mcnemar_exact(*discordant), printed)


@pytest.mark.parametrize(
    ("test", "counts", "printed"), [r[1:] for r in COUNTS["unpaired"]], ids=[r[0] for r in COUNTS["unpaired"]]
)
def test_unpaired_p_value(test, counts, printed):
    assert prints_as(UNPAIRED[test](*counts), printed)


@pytest.mark.parametrize("record", COUNTS["aucs"], ids=lambda record: record[0])
def test_auc_of_a_subgroup(record):
    _, num_won, num_positive, num_negative, printed, printed_limits = record
    # Malignant cases above all, above some, and above none of the benign ones: num_won pairs in all.
    above = np.repeat([num_negative, num_won % num_negative, 0], [num_won // num_negative, 1, num_positive])
    scores = np.concatenate([above[:num_positive] + 0.5, np.arange(1, num_negative + 1)])
    labels = np.repeat([1, 0], [num_positive, num_negative])
    value = auc(labels, scores)
    assert prints_as(value, printed)
    if printed_limits:
        # The paper's program takes the AUC for a share of the cases: k = AUC * n, not a whole number.
        n = num_positive + num_negative
        interval = clopper_pearson(value * n, n)
        assert prints_as(interval.ci_low, printed_limits[0])
        assert prints_as(interval.ci_high, printed_limits[1])


@pytest.mark.parametrize(
    ("value", "printed", "expected"),
    [
        (49.3333, "49.33", True),
        (37.5848, "37.59", True),
        (0.3449285, "0.35", True),
        (99.978, "99.99", False),
        (0.13, "0.12", False),
    ],
)
def test_rounding_twice_is_allowed_and_nothing_else(value, printed, expected):
    assert prints_as(value, printed) is expected
