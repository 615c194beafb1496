import numpy as np
import pytest
from scipy import stats

from wauve_dist.evaluation.auc import auc, bootstrap_auc
from wauve_dist.evaluation.delong import delong_auc, delong_covariance, delong_paired_test, delong_unpaired_test
from wauve_dist.evaluation.inputs import EvaluationError


def three_models(num_cases=90, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_cases) < 0.4).astype(int)
    common = rng.normal(labels, 1)
    scores = np.stack([common + rng.normal(size=num_cases), np.round(common, 1), rng.normal(0.2 * labels, 1)])
    return labels, scores


def brute_force_covariance(labels, scores):
    """The definition: covariances of the structural components from all pairs, O(m n) per model."""
    order = np.stack(
        [
            (row[labels == 1][:, None] > row[labels == 0]) + 0.5 * (row[labels == 1][:, None] == row[labels == 0])
            for row in scores
        ]
    )
    return np.cov(order.mean(axis=2)) / order.shape[1] + np.cov(order.mean(axis=1)) / order.shape[2]


def test_covariance_is_that_of_all_pairs():
    labels, scores = three_models()
    aucs, covariance = delong_covariance(labels, scores)
    np.testing.assert_allclose(covariance, brute_force_covariance(labels, scores), rtol=0, atol=1e-12)
    np.testing.assert_allclose(aucs, [auc(labels, row) for row in scores], rtol=0, atol=1e-12)


def test_by_hand():
    # Malignant 3, 1; benign 2, 0. Components: malignant 1, 1/2; benign 1/2, 1. Variances 1/8 each, over 2 each.
    aucs, covariance = delong_covariance([1, 1, 0, 0], [3, 1, 2, 0])
    assert aucs[0] == 0.75
    assert covariance[0, 0] == pytest.approx(1 / 8)


def test_clusters_of_one_change_nothing_and_copied_cases_cost_no_certainty():
    labels, scores = three_models()
    num_cases = len(labels)
    _, alone = delong_covariance(labels, scores)
    _, in_clusters_of_one = delong_covariance(labels, scores, np.arange(num_cases))
    _, copied = delong_covariance(
        np.repeat(labels, 3), np.repeat(scores, 3, axis=1), np.repeat(np.arange(num_cases), 3)
    )
    np.testing.assert_allclose(in_clusters_of_one, alone, rtol=0, atol=1e-15)
    np.testing.assert_allclose(copied, alone, rtol=1e-9)


def test_clustered_variance_agrees_with_the_bootstrap_of_patients():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(150), 3)
    # A patient may have malignant and benign videos: the cross term of Obuchowski's variance counts.
    labels = (rng.random(450) < np.repeat(rng.choice([0.1, 0.9], 150), 3)).astype(int)
    scores = 0.9 * labels + np.repeat(rng.normal(0, 1, 150), 3) + rng.normal(0, 0.7, 450)
    _, covariance = delong_covariance(labels, scores, patients)
    drawn = bootstrap_auc(labels, scores, patients, seed=0, num_resamples=4000)
    assert 2 * 1.96 * np.sqrt(covariance[0, 0]) == pytest.approx(drawn.ci_high - drawn.ci_low, rel=0.06)
    _, ignoring = delong_covariance(labels, scores)
    assert abs(np.sqrt(ignoring[0, 0] / covariance[0, 0]) - 1) > 0.1


def test_intervals_are_wald_on_their_scale():
    labels, scores = three_models()
    aucs, covariance = delong_covariance(labels, scores[0])
    plain = delong_auc(labels, scores[0], transform="none")
    expected = stats.norm.interval(0.95, aucs[0], np.sqrt(covariance[0, 0]))
    assert (plain.ci_low, plain.ci_high) == pytest.approx(expected, abs=1e-12)
    logit = delong_auc(labels, scores[0])
    centre, error = np.log(aucs[0] / (1 - aucs[0])), np.sqrt(covariance[0, 0]) / (aucs[0] * (1 - aucs[0]))
    on_scale = np.log([logit.ci_low / (1 - logit.ci_low), logit.ci_high / (1 - logit.ci_high)])
    np.testing.assert_allclose(on_scale, stats.norm.interval(0.95, centre, error))


def test_paired_test_uses_the_covariance_and_is_antisymmetric():
    labels, scores = three_models()
    covariance = brute_force_covariance(labels, scores)
    variance = covariance[0, 0] + covariance[2, 2] - 2 * covariance[0, 2]
    test = delong_paired_test(labels, scores[0], scores[2])
    z = (auc(labels, scores[0]) - auc(labels, scores[2])) / np.sqrt(variance)
    assert (test.z, test.p) == pytest.approx((z, 2 * stats.norm.sf(abs(z))), rel=1e-9)
    assert test.ci_low < test.difference < test.ci_high
    swapped = delong_paired_test(labels, scores[2], scores[0])
    assert (swapped.difference, swapped.p) == pytest.approx((-test.difference, test.p), rel=1e-12)


def test_the_same_scores_twice_do_not_differ():
    labels, scores = three_models()
    test = delong_paired_test(labels, scores[0], 3 * scores[0] + 1)
    assert (test.difference, test.z, test.p) == (0.0, 0.0, 1.0)


def test_unpaired_test_adds_the_variances():
    (labels_a, scores_a), (labels_b, scores_b) = three_models(seed=1), three_models(70, seed=2)
    test = delong_unpaired_test(labels_a, scores_a[0], labels_b, scores_b[2])
    variance = brute_force_covariance(labels_a, scores_a)[0, 0] + brute_force_covariance(labels_b, scores_b)[2, 2]
    assert test.z == pytest.approx(test.difference / np.sqrt(variance), rel=1e-9)


def test_paired_test_keeps_its_level():
    """400 pairs of equally good models: p below 0.05 in about 20, binomial standard error 4.4."""
    rng = np.random.default_rng(11)
    rejected = 0
    for _ in range(400):
        labels = np.arange(100) % 2
        common = rng.normal(labels, 1)
        rejected += delong_paired_test(labels, common + rng.normal(size=100), common + rng.normal(size=100)).p < 0.05
    assert 7 <= rejected <= 33


def test_zero_variance_is_said_not_hidden():
    separated = delong_auc([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert separated.value == 1.0
    assert np.isnan(separated.ci_low)
    assert "undefined at zero variance" in separated.method


def test_one_patient_of_a_class_leaves_no_variance():
    with pytest.raises(EvaluationError, match="at least 2 patients with a malignant case, there is 1"):
        delong_auc([1, 1, 0, 0], [0.3, 0.6, 0.4, 0.5], ["a", "a", "b", "c"])


def test_the_paired_test_is_that_of_mlstatkit():
    """Golden figures of MLstatkit 0.1.91, ``Delong_test(labels, first, second, return_ci=True, return_auc=True)``."""
    case = np.arange(90)
    labels = (case * 7 % 5 < 2).astype(int)
    first = np.round((np.sin(case * 1.7) + 1.1 * labels + 2) / 5, 2)
    second = np.round((np.cos(case * 2.3) + 0.5 * labels + 2) / 5, 2)
    test = delong_paired_test(labels, first, second)
    # Its z is that of the second model less the first.
    assert (-test.z, test.p) == pytest.approx((-1.800955643743388, 0.07170987150768977), abs=1e-12)
    for scores, value, low, high in (
        (first, 0.8287037037037037, 0.744793271586487, 0.9126141358209204),
        (second, 0.7011316872427984, 0.591808068596275, 0.8104553058893218),
    ):
        ours = delong_auc(labels, scores, transform="none")
        assert (ours.value, ours.ci_low, ours.ci_high) == pytest.approx((value, low, high), abs=1e-12)
