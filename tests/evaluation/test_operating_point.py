import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, roc_curve

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.operating_point import (
    Confusion,
    choose_threshold,
    confusion,
    evaluate_operating_point,
    given_threshold,
)


def scored(num_cases=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(num_cases) < 0.45).astype(int)
    return labels, np.round(1 / (1 + np.exp(-rng.normal(2 * labels - 1, 1.3))), 2)


def test_a_score_at_the_threshold_is_called_malignant():
    # The paper's threshold 0.2102 is itself the score of a lesion that it calls malignant.
    assert confusion([1, 0, 1, 0], [0.2102, 0.2102, 0.21, 0.3], 0.2102) == Confusion(tp=1, fp=2, fn=1, tn=0)


@pytest.mark.parametrize("threshold", [0.05, 0.31, 0.5, 0.99])
def test_counts_agree_with_scikit_learn(threshold):
    labels, scores = scored()
    (tn, fp), (fn, tp) = confusion_matrix(labels, scores >= threshold)
    assert confusion(labels, scores, threshold) == Confusion(tp, fp, fn, tn)


def test_youden_is_the_farthest_point_above_the_diagonal():
    labels, scores = scored()
    false_rate, true_rate, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    chosen = choose_threshold(labels, scores, "youden")
    best = (true_rate - false_rate).max()
    assert chosen.value == thresholds[np.flatnonzero(true_rate - false_rate >= best - 1e-12)[-1]]
    assert chosen.same_data


def test_of_equal_youden_thresholds_the_lowest_misses_fewest():
    # At 0.2 and at 0.4 sensitivity + specificity is 3/2.
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4], "youden").value == 0.2


@pytest.mark.parametrize("target", [0.8, 0.95, 1.0])
def test_a_target_is_reached_and_the_next_threshold_would_not(target):
    labels, scores = scored()
    levels = np.unique(scores)
    chosen = choose_threshold(labels, scores, f"sensitivity={target}").value
    assert np.mean(scores[labels == 1] >= chosen) >= target
    assert np.mean(scores[labels == 1] >= levels[levels > chosen][0]) < target
    chosen = choose_threshold(labels, scores, f"specificity={target}").value
    assert np.mean(scores[labels == 0] < chosen) >= target
    assert np.mean(scores[labels == 0] < levels[levels < chosen][-1]) < target


def test_videos_without_a_lesion_are_never_called_malignant():
    with pytest.raises(EvaluationError, match=r"highest sensitivity that a threshold above 0 reaches is 0\.5000"):
        choose_threshold([1, 1, 0, 0], [0.0, 0.6, 0.0, 0.3], "sensitivity=0.95")
    assert choose_threshold([1, 1, 0, 0], [0.0, 0.0, 0.0, 0.0], "youden").value > 0


@pytest.mark.parametrize("rule", ["yuden", "sensitivity", "sensitivity=0", "sensitivity=1.2", "specificity=x", ""])
def test_an_unknown_rule_is_refused_with_the_valid_ones(rule):
    with pytest.raises(EvaluationError, match=r"is not one of youden, sensitivity=0\.95"):
        choose_threshold([0, 1], [0.1, 0.9], rule)


@pytest.mark.parametrize("value", [0.0, -0.1, 1.01, float("nan")])
def test_a_threshold_outside_the_scores_is_refused(value):
    with pytest.raises(EvaluationError, match="must lie above 0 and at most at 1"):
        given_threshold(value)


def test_all_figures_come_from_one_two_by_two_table():
    labels, scores = scored()
    point = evaluate_operating_point(labels, scores, given_threshold(0.5), seed=0, num_resamples=200)
    tp, fp, fn, tn = point.confusion.tp, point.confusion.fp, point.confusion.fn, point.confusion.tn
    assert tp + fp + fn + tn == 200
    assert (point.sensitivity.k, point.sensitivity.n) == (tp, tp + fn)
    assert (point.specificity.k, point.specificity.n) == (tn, tn + fp)
    assert (point.ppv.k, point.ppv.n) == (tp, tp + fp)
    assert (point.npv.k, point.npv.n) == (tn, tn + fn)
    assert (point.accuracy.k, point.accuracy.n) == (tp + tn, 200)
    assert point.f1.value == pytest.approx(f1_score(labels, scores >= 0.5))
    assert not point.threshold.same_data
    assert point.by_patient == {}


def test_the_f1_interval_is_that_of_a_plain_bootstrap():
    labels, scores = scored(120)
    point = evaluate_operating_point(labels, scores, given_threshold(0.5), seed=0, num_resamples=9999)
    rng = np.random.default_rng(1)
    called = scores >= 0.5
    plain = []
    for _ in range(4000):
        drawn = rng.integers(0, 120, 120)
        hits = np.sum(labels[drawn] & called[drawn])
        plain.append(2 * hits / (labels[drawn].sum() + called[drawn].sum()))
    # A tenth of the interval's half-width.
    assert (point.f1.ci_low, point.f1.ci_high) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.008)


def test_limits_by_patient_do_not_shrink_when_videos_are_copied():
    labels, scores = scored(80)
    patients = np.repeat(np.arange(80), 5)
    point = evaluate_operating_point(
        np.repeat(labels, 5), np.repeat(scores, 5), given_threshold(0.5), patients, seed=0, num_resamples=2000
    )
    low, high = point.by_patient["sensitivity"]
    alone = evaluate_operating_point(labels, scores, given_threshold(0.5), seed=0).sensitivity
    assert high - low == pytest.approx(alone.ci_high - alone.ci_low, rel=0.2)
    assert point.sensitivity.ci_high - point.sensitivity.ci_low < 0.6 * (high - low)


def test_f1_is_undefined_where_no_call_is_right():
    point = evaluate_operating_point([1, 1, 0, 0], [0.1, 0.2, 0.9, 0.3], given_threshold(0.5), seed=0)
    assert np.isnan(point.f1.value)
    assert point.f1.method.startswith("undefined")
    assert point.ppv.value == 0.0
