import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from wauve_dist.evaluation.inputs import EvaluationError, OneClassError
from wauve_dist.evaluation.partial_auc import partial_auc


def scored(num_cases=120, digits=1, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_cases) < 0.4).astype(int)
    return labels, np.round(rng.normal(labels, 1), digits)


def area(labels, scores, focus, at_least, **options):
    return partial_auc(labels, scores, focus=focus, at_least=at_least, seed=0, **({"num_resamples": 50} | options))


@pytest.mark.parametrize("digits", [0, 1, 9])
@pytest.mark.parametrize("at_least", [0.0, 0.5, 0.83, 0.9])
def test_at_high_specificity_it_is_scikit_learns(digits, at_least):
    labels, scores = scored(digits=digits)
    expected = roc_auc_score(labels, scores, max_fpr=1 - at_least)
    assert area(labels, scores, "specificity", at_least).value == pytest.approx(expected, abs=1e-12)


def test_at_high_sensitivity_it_is_that_of_the_exchanged_classes():
    labels, scores = scored()
    expected = roc_auc_score(1 - labels, -scores, max_fpr=0.1)
    assert area(labels, scores, "sensitivity", 0.9).value == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    # Curve: (0, 0), (0, 1/2), (1/2, 1/2), (1/2, 1), (1, 1). Up to a false positive rate of 1/4 its area is 1/8;
    # guessing has 1/32 and perfection 1/4.
    standardised = (1 + (1 / 8 - 1 / 32) / (1 / 4 - 1 / 32)) / 2
    assert area([1, 0, 1, 0], [4, 3, 2, 1], "specificity", 0.75).value == pytest.approx(standardised)
    # A segment that crosses the limit counts up to it: one straight line from (0, 0) to (1, 1) is guessing.
    assert area([1, 0, 1, 0], [1, 1, 1, 1], "specificity", 0.75).value == pytest.approx(0.5)
    assert area([1, 0, 1, 0], [1, 1, 1, 1], "sensitivity", 0.75).value == pytest.approx(0.5)


def test_the_interval_is_the_spread_over_resamples():
    labels, scores = scored(80)
    ours = area(labels, scores, "specificity", 0.8, num_resamples=3000)
    rng = np.random.default_rng(5)
    values = []
    while len(values) < 600:
        drawn = rng.integers(0, 80, 80)
        if 0 < labels[drawn].sum() < 80:
            values.append(roc_auc_score(labels[drawn], scores[drawn], max_fpr=0.2))
    assert (ours.ci_low, ours.ci_high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.03)


def test_perfect_separation_has_no_bootstrap_interval_and_says_so():
    ours = area([0] * 10 + [1] * 10, np.arange(20), "specificity", 0.8)
    assert ours.value == 1.0
    assert np.isnan(ours.ci_low)
    assert "every resample is alike" in ours.method


def test_bad_input_is_refused():
    with pytest.raises(EvaluationError, match="a specificity from 0 up to, not including, 1; got 1"):
        area([0, 1], [0, 1], "specificity", 1.0)
    with pytest.raises(OneClassError):
        area([1, 1], [0, 1], "sensitivity", 0.5)
