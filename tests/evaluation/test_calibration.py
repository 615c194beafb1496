import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from wauve_dist.evaluation.calibration import brier_score, calibration, recalibrated
from wauve_dist.evaluation.inputs import EvaluationError


def drawn(num_cases, slope=1.0, intercept=0.0, seed=0):
    """Scores whose true probabilities are expit(intercept + slope * logit(score))."""
    rng = np.random.default_rng(seed)
    scores = expit(rng.normal(0, 1.5, num_cases))
    return (rng.random(num_cases) < expit(intercept + slope * logit(scores))).astype(int), scores


def test_intercept_and_slope_agree_with_statsmodels():
    labels, scores = drawn(300, slope=0.6, intercept=-0.4)
    result = calibration(labels, scores)
    both = sm.Logit(labels, sm.add_constant(logit(scores))).fit(disp=0)
    large = sm.GLM(labels, np.ones(300), family=sm.families.Binomial(), offset=logit(scores)).fit()
    assert result.slope.value == pytest.approx(both.params[1], abs=1e-6)
    assert (result.slope.ci_low, result.slope.ci_high) == pytest.approx(both.conf_int()[1], abs=1e-5)
    assert result.intercept.value == pytest.approx(large.params[0], abs=1e-6)
    assert (result.intercept.ci_low, result.intercept.ci_high) == pytest.approx(large.conf_int()[0], abs=1e-5)


def test_right_probabilities_are_calibrated_and_wrong_ones_are_not():
    right = calibration(*drawn(4000))
    assert right.slope.ci_low < 1 < right.slope.ci_high
    assert right.intercept.ci_low < 0 < right.intercept.ci_high
    assert right.expected_calibration_error < 0.03
    too_extreme = calibration(*drawn(4000, slope=0.5))
    assert too_extreme.slope.ci_high < 0.7
    too_high = calibration(*drawn(4000, intercept=-1.0))
    assert too_high.intercept.ci_high < -0.7
    assert too_high.expected_calibration_error > 0.08


def test_bins_hold_every_case_once():
    labels, scores = drawn(234)
    result = calibration(labels, scores)
    assert len(result.bins) == 10
    assert sum(group.observed.n for group in result.bins) == 234
    assert sum(group.observed.k for group in result.bins) == labels.sum()
    assert {group.observed.n for group in result.bins} <= {23, 24}
    assert np.all(np.diff([group.mean_score for group in result.bins]) > 0)
    weighted = sum(group.observed.n * group.mean_score for group in result.bins) / 234
    assert weighted == pytest.approx(scores.mean())


def test_equal_scores_stay_together_and_small_samples_get_fewer_bins():
    assert len(calibration([0, 1] * 30, [0.3, 0.3] * 30).bins) == 1
    assert len(calibration(*drawn(35)).bins) == 3


def test_separated_classes_have_no_slope_and_it_is_said():
    result = calibration([0] * 20 + [1] * 20, np.linspace(0, 1, 40))
    assert np.isnan(result.slope.value)
    assert "the slope does not exist" in result.method
    assert np.isfinite(result.intercept.value)


def test_brier_agrees_with_scikit_learn():
    labels, scores = drawn(100)
    assert brier_score(labels, scores) == pytest.approx(brier_score_loss(labels, scores))


def test_recalibrated_scores_are_calibrated_and_keep_their_order():
    labels, scores = drawn(400, slope=0.5, intercept=-0.7)
    fitted = calibration(labels, scores)
    again = calibration(labels, recalibrated(scores, fitted))
    # A second fit on the same cases has nothing left to correct.
    assert (again.slope.value, again.slope_intercept.value) == pytest.approx((1, 0), abs=1e-8)
    assert again.intercept.value == pytest.approx(0, abs=1e-8)
    np.testing.assert_array_equal(np.argsort(recalibrated(scores, fitted)), np.argsort(scores))


def test_a_recalibration_serves_other_cases():
    fitted = calibration(*drawn(4000, slope=0.5, intercept=-0.7))
    labels, scores = drawn(4000, slope=0.5, intercept=-0.7, seed=1)
    better = recalibrated(scores, fitted)
    assert calibration(labels, better).slope.value == pytest.approx(1, abs=0.2)
    assert brier_score(labels, better) < brier_score(labels, scores) - 0.01


def test_scores_that_separate_the_classes_cannot_be_recalibrated():
    with pytest.raises(EvaluationError, match="the slope does not exist"):
        recalibrated([0.5], calibration([0] * 20 + [1] * 20, np.linspace(0, 1, 40)))
