import numpy as np
import pytest
from sklearn.metrics import roc_curve as sklearn_roc_curve

from wauve_dist.evaluation.auc import auc
from wauve_dist.evaluation.curves import (
    roc_band,
    roc_curve,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)


def scored(num_cases=150, digits=1, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_cases) < 0.4).astype(int)
    return labels, np.round(rng.normal(labels, 1), digits)


@pytest.mark.parametrize("digits", [0, 1, 9])
def test_roc_agrees_with_scikit_learn(digits):
    labels, scores = scored(digits=digits)
    ours, theirs = roc_curve(labels, scores), sklearn_roc_curve(labels, scores, drop_intermediate=False)
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12)


def test_the_area_under_the_curve_is_the_auc():
    labels, scores = scored()
    curve = roc_curve(labels, scores)
    assert np.trapezoid(curve.true_positive_rate, curve.false_positive_rate) == pytest.approx(auc(labels, scores))


def test_the_band_is_the_spread_of_resampled_curves():
    labels, scores = scored(60)
    band = roc_band(labels, scores, seed=0, num_resamples=800, num_points=11)
    rng = np.random.default_rng(9)
    curves = []
    while len(curves) < 800:
        drawn = rng.integers(0, 60, 60)
        if 0 < labels[drawn].sum() < 60:
            false_rate, true_rate, _ = sklearn_roc_curve(labels[drawn], scores[drawn], drop_intermediate=False)
            curves.append(np.interp(band.false_positive_rate, false_rate, true_rate))
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(band.low, low, atol=0.06)
    np.testing.assert_allclose(band.high, high, atol=0.06)
    assert (np.diff(band.low) >= 0).all()
    assert (band.low <= band.high).all()


def test_the_band_holds_the_curve_of_copied_videos_as_wide_as_that_of_their_patients():
    labels, scores = scored(40)
    alone = roc_band(labels, scores, np.arange(40), seed=0, num_resamples=300)
    copied = roc_band(
        np.repeat(labels, 3), np.repeat(scores, 3), np.repeat(np.arange(40), 3), seed=0, num_resamples=300
    )
    np.testing.assert_allclose(copied.low, alone.low)
    np.testing.assert_allclose(copied.high, alone.high)


def test_sensitivity_at_a_specificity_and_the_reverse_by_hand():
    # Thresholds above .8, .6, .3 let 0, 1, 2 of 4 benign cases through; they find 1, 2 and 3 of 4 malignant ones.
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    scores = [0.1, 0.2, 0.5, 0.7, 0.2, 0.4, 0.6, 0.9]
    assert sensitivity_at_specificity(labels, scores, 1.0) == 0.25
    assert sensitivity_at_specificity(labels, scores, 0.75) == 0.5
    assert sensitivity_at_specificity(labels, scores, 0.5) == 0.75
    assert sensitivity_at_specificity(labels, scores, 0.51) == 0.5
    assert specificity_at_sensitivity(labels, scores, 0.5) == 0.75
    assert specificity_at_sensitivity(labels, scores, 0.75) == 0.5
    assert specificity_at_sensitivity(labels, scores, 1.0) == 0.25


def test_a_share_that_binary_cannot_hold_is_reached_exactly():
    # One of 20 benign cases scores highest: its specificity of 0.95 is 1 - 1 / 20.
    labels = [0] * 20 + [1] * 20
    scores = [*[0.1] * 19, 0.9, *[0.5] * 19, 0.05]
    assert sensitivity_at_specificity(labels, scores, 0.95) == 0.95
    assert specificity_at_sensitivity(labels, scores, 0.95) == 0.95


def test_the_largest_sensitivity_is_that_of_every_threshold_tried_in_turn():
    labels, scores = scored(seed=3)
    reached = [
        np.mean(scores[labels == 1] >= threshold)
        for threshold in [*np.unique(scores), np.inf]
        if np.mean(scores[labels == 0] < threshold) >= 0.9
    ]
    assert sensitivity_at_specificity(labels, scores, 0.9) == pytest.approx(max(reached))
