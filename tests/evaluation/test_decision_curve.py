import numpy as np
import pytest

from wauve_dist.evaluation.decision_curve import decision_curve, net_benefit
from wauve_dist.evaluation.inputs import EvaluationError

LABELS = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
SCORES = [0.9, 0.6, 0.2, 0.7, 0.5, 0.3, 0.1, 0.1, 0.1, 0.05]


def test_net_benefit_is_true_positives_less_false_ones_at_their_price():
    # At 0.2: 3 cancers and 3 benign at or above; a needless biopsy costs a quarter of a missed cancer.
    # At 0.5: 2 and 2, price 1. At 0.75: 1 and 0.
    np.testing.assert_allclose(
        net_benefit(LABELS, SCORES, [0.2, 0.5, 0.75]), [3 / 10 - 3 / 10 / 4, 2 / 10 - 2 / 10, 1 / 10]
    )


def test_biopsy_for_all_is_the_net_benefit_of_calling_everything():
    at = np.linspace(0.01, 0.99, 99)
    curve = decision_curve(LABELS, SCORES, probability=at, seed=0, num_resamples=50)
    np.testing.assert_allclose(curve.biopsy_for_all, net_benefit(LABELS, np.ones(10), at))
    np.testing.assert_allclose(curve.net_benefit, net_benefit(LABELS, SCORES, at))
    # Where everybody scores higher than the probability, the model is a biopsy for all.
    np.testing.assert_allclose(curve.net_benefit[:4], curve.biopsy_for_all[:4])
    # A score of 1 would act everywhere; nothing does better than finding every cancer and nothing else.
    assert (curve.net_benefit <= 0.3).all()


def test_net_benefit_follows_the_definition_case_by_case():
    rng = np.random.default_rng(3)
    labels, at = rng.integers(0, 2, 200), np.array([0.02, 0.1, 0.5, 0.95])
    scores = np.round(rng.random(200), 1)
    expected = []
    for p in at:
        gains = [(1 if label else -p / (1 - p)) for label, score in zip(labels, scores, strict=True) if score >= p]
        expected.append(sum(gains) / 200)
    np.testing.assert_allclose(net_benefit(labels, scores, at), expected, atol=1e-12)


def test_limits_are_those_of_resampled_patients():
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(40), 2)
    labels = np.repeat(rng.integers(0, 2, 40), 2)
    scores = np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.2, 80), 0, 1)
    at = np.array([0.1, 0.5])
    curve = decision_curve(labels, scores, patients, probability=at, seed=0, num_resamples=4000)
    draws = []
    for _ in range(4000):
        cases = (2 * rng.integers(0, 40, 40)[:, None] + [0, 1]).ravel()
        draws.append(net_benefit(labels[cases], scores[cases], at))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(curve.ci_low, low, atol=0.015)
    np.testing.assert_allclose(curve.ci_high, high, atol=0.015)
    assert curve.method == "bootstrap of patients, percentile, pointwise"


@pytest.mark.parametrize("probability", [[0.0, 0.5], [0.5, 1.0], [0.5, 0.4]])
def test_a_probability_without_a_price_is_refused(probability):
    with pytest.raises(EvaluationError, match="rising probabilities above 0 and below 1"):
        net_benefit(LABELS, SCORES, probability)
