from itertools import product

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics import precision_recall_curve as sklearn_curve

from wauve_dist.evaluation.precision_recall import (
    average_precision,
    precision_recall_curve,
    precision_recall_intervals,
)


def scored(num_cases=150, digits=1, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_cases) < 0.4).astype(int)
    return labels, np.round(rng.normal(labels, 1), digits)


@pytest.mark.parametrize("digits", [0, 1, 9])
def test_the_curve_and_its_area_agree_with_scikit_learn(digits):
    labels, scores = scored(digits=digits)
    curve = precision_recall_curve(labels, scores)
    precision, recall, thresholds = sklearn_curve(labels, scores)
    # Theirs runs by rising threshold and ends in a point of recall 0 that no threshold gives.
    np.testing.assert_allclose(curve.precision, precision[:-1][::-1], atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall[:-1][::-1], atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds[::-1])
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("confidence", [0.97, 0.9, 0.8])
def test_intervals_are_those_of_the_exact_distribution_over_resamples(confidence):
    """Four cases have 256 resamples; those with both classes are the exact distribution."""
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    areas, precisions = [], []
    for draw in product(range(4), repeat=4):
        drawn = list(draw)
        if 0 < labels[drawn].sum() < 4:
            areas.append(average_precision_score(labels[drawn], scores[drawn]))
            precision, recall, _ = sklearn_curve(labels[drawn], scores[drawn])
            # Recall falls: the last point that still reaches it has the highest threshold.
            precisions.append([precision[np.flatnonzero(recall >= r - 1e-9)[-1]] for r in np.arange(1, 101) / 100])
    estimate, band = precision_recall_intervals(labels, scores, seed=0, num_resamples=6000, confidence=confidence)
    assert estimate.value == pytest.approx(average_precision_score(labels, scores))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx(np.quantile(areas, tails, method="nearest"))
    low, high = np.quantile(precisions, tails, axis=0, method="nearest")
    np.testing.assert_allclose(band.recall, np.arange(1, 101) / 100)
    np.testing.assert_allclose(band.low, low, atol=1e-9)
    np.testing.assert_allclose(band.high, high, atol=1e-9)


def test_copies_of_a_patients_video_do_not_narrow_the_interval():
    labels, scores = scored(40)
    alone, alone_band = precision_recall_intervals(labels, scores, np.arange(40), seed=0, num_resamples=300)
    copied, copied_band = precision_recall_intervals(
        np.repeat(labels, 3), np.repeat(scores, 3), np.repeat(np.arange(40), 3), seed=0, num_resamples=300
    )
    assert (copied.ci_low, copied.ci_high) == pytest.approx((alone.ci_low, alone.ci_high))
    np.testing.assert_allclose(copied_band.low, alone_band.low)
    assert copied.method == "bootstrap of patients, percentile"


def test_at_full_recall_the_precision_of_the_lowest_cancer_counts():
    estimate, band = precision_recall_intervals([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], seed=0, num_resamples=200)
    assert estimate.value == pytest.approx((1 + 2 / 3) / 2)
    assert band.recall[-1] == 1.0
    assert band.high[-1] == 1.0  # a resample without the false alarm
