import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from wauve_dist.evaluation.auc import auc, auc_statistic, bootstrap_auc
from wauve_dist.evaluation.bootstrap import bootstrap
from wauve_dist.evaluation.inputs import EvaluationError, OneClassError


def scored(num_cases, seed=0, step=None):
    """Overlapping classes; ``step`` rounds scores so that many are tied."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(num_cases) % 2).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(labels, 1.2)))
    return labels, scores if step is None else np.round(scores / step) * step


def pair_count_auc(labels, scores):
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    return sum(pairs) / len(pairs)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30).filter(
        lambda cases: len({label for label, _ in cases}) == 2
    )
)
@settings(max_examples=150, deadline=None)
def test_auc_counts_the_rightly_ordered_pairs_and_half_the_ties(cases):
    labels, scores = np.array(cases).T
    assert auc(labels, scores) == pytest.approx(pair_count_auc(labels, scores), abs=1e-12)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("step", [None, 0.25])
def test_the_statistic_on_multiplicities_is_the_auc_of_the_repeated_cases(step):
    labels, scores = scored(40, step=step)
    multiplicities = np.random.default_rng(1).poisson(1, size=(25, 40)).astype(np.int32)
    expected = [roc_auc_score(np.repeat(labels, row), np.repeat(scores, row)) for row in multiplicities]
    np.testing.assert_allclose(auc_statistic(labels == 1, scores)(multiplicities), expected, rtol=0, atol=1e-12)


def test_the_statistic_is_undefined_where_a_class_is_not_drawn():
    values = auc_statistic(np.array([True, False]), np.array([0.9, 0.1]))(np.array([[2, 0], [0, 2], [1, 1]], np.int32))
    np.testing.assert_array_equal(values, [np.nan, np.nan, 1.0])


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_agree_with_scipy(method):
    labels, scores = scored(150, seed=3)
    ours = bootstrap_auc(labels, scores, seed=1, method=method)

    def statistic(drawn_labels, drawn_scores):
        return np.mean(drawn_scores[drawn_labels == 1][:, None] > drawn_scores[drawn_labels == 0])

    theirs = stats.bootstrap(
        (labels, scores),
        statistic,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method="percentile" if method == "percentile" else "BCa",
        rng=np.random.default_rng(2),
    ).confidence_interval
    # Monte Carlo error of a 2.5 % quantile from 2,000 resamples is about 0.06 standard errors, here 0.003.
    assert (ours.ci_low, ours.ci_high) == pytest.approx((theirs.low, theirs.high), abs=0.009)


@pytest.mark.parametrize("step", [None, 0.2])
def test_the_percentile_interval_is_that_of_a_loop_over_the_same_resamples(step):
    labels, scores = scored(120, step=step)
    rng = np.random.default_rng(6)
    loop = []
    for _ in range(400):
        drawn = rng.integers(0, 120, 120, dtype=np.uint32)
        loop.append(roc_auc_score(labels[drawn], scores[drawn]))
    ours = bootstrap_auc(labels, scores, seed=6, num_resamples=400)
    assert (ours.ci_low, ours.ci_high) == pytest.approx(np.quantile(loop, [0.025, 0.975]), abs=1e-12)


def test_resampling_by_patient_widens_the_interval_of_copied_videos():
    labels, scores = scored(60)
    alone = bootstrap_auc(labels, scores, np.arange(60), seed=0, num_resamples=2000)
    copied = bootstrap_auc(
        np.repeat(labels, 4), np.repeat(scores, 4), np.repeat(np.arange(60), 4), seed=0, num_resamples=2000
    )
    naive = bootstrap_auc(np.repeat(labels, 4), np.repeat(scores, 4), seed=0, num_resamples=2000)
    assert (copied.ci_low, copied.ci_high) == pytest.approx((alone.ci_low, alone.ci_high), abs=1e-12)
    assert naive.ci_high - naive.ci_low < 0.6 * (copied.ci_high - copied.ci_low)
    assert "patients" in copied.method
    assert "cases" in naive.method


def test_the_interval_does_not_depend_on_the_order_of_rows():
    labels, scores = scored(50, step=0.1)
    patients = np.array([f"p{index // 2}" for index in range(50)])
    order = np.random.default_rng(5).permutation(50)
    first = bootstrap_auc(labels, scores, patients, seed=4, num_resamples=500)
    assert bootstrap_auc(labels[order], scores[order], patients[order], seed=4, num_resamples=500) == first


def test_the_seed_decides():
    labels, scores = scored(50)
    first = bootstrap_auc(labels, scores, seed=1, num_resamples=300)
    assert bootstrap_auc(labels, scores, seed=1, num_resamples=300) == first
    assert bootstrap_auc(labels, scores, seed=2, num_resamples=300) != first


def test_stratified_resamples_keep_the_number_of_each_class():
    labels, _ = scored(40)
    drawn = bootstrap(lambda m: (m @ labels).astype(float), np.arange(40), 200, 0, strata=labels)
    np.testing.assert_array_equal(drawn.values, 20.0)


def test_resamples_of_one_class_are_drawn_anew_and_counted():
    labels, scores = np.array([1, 0, 0, 0, 0, 0]), np.array([0.5, 0.1, 0.6, 0.2, 0.3, 0.4])
    estimate = bootstrap_auc(labels, scores, seed=0, num_resamples=5000)
    # The malignant case is absent from a resample with probability (5/6)^6 = 0.3349.
    assert estimate.redrawn / (estimate.redrawn + 5000) == pytest.approx(0.3349, abs=0.02)
    assert bootstrap_auc(labels, scores, seed=0, num_resamples=500, stratified=True).redrawn == 0


def test_perfect_separation_has_an_honest_lower_limit():
    estimate = bootstrap_auc([0] * 7 + [1] * 5, np.arange(12) / 12, seed=0)
    # All of 5 disjoint pairs are ordered rightly: the exact lower limit is 0.025^(1/5).
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == (1.0, pytest.approx(0.4782, abs=1e-4), 1.0)
    assert "5 disjoint pairs of cases" in estimate.method
    reversed_ = bootstrap_auc([1] * 7 + [0] * 5, np.arange(12) / 12, seed=0)
    assert (reversed_.value, reversed_.ci_low, reversed_.ci_high) == (0.0, 0.0, pytest.approx(1 - 0.4782, abs=1e-4))


def test_perfect_separation_counts_patients_not_videos():
    labels, patients = [0, 0, 0, 1, 1, 1], ["a", "a", "b", "c", "c", "a"]
    # Malignant: patients a and c; benign: a and b. Three patients make one disjoint pair.
    assert "1 disjoint pairs of patients" in bootstrap_auc(labels, np.arange(6) / 6, patients, seed=0).method


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0]])
def test_one_class_is_refused_with_the_reason(labels):
    with pytest.raises(OneClassError, match=r"without a (malignant|benign) case there is no ROC curve"):
        bootstrap_auc(labels, [0.1, 0.2, 0.3], seed=0)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3], "labels must be 0 .* found 2"),
        ([0, 1, 1], [0.1, np.nan, 0.3], "item 1 is nan"),
        ([0, 1, 1], [0.1, 0.2, np.inf], "item 2 is inf"),
        ([0, 1], [0.1, 0.2, 0.3], "of one length"),
    ],
)
def test_bad_numbers_are_named(labels, scores, message):
    with pytest.raises(EvaluationError, match=message):
        auc(labels, scores)


def test_a_bootstrap_needs_two_patients_and_a_resample():
    with pytest.raises(EvaluationError, match="at least 2 independent patients"):
        bootstrap_auc([0, 1, 0], [0.1, 0.2, 0.3], ["a", "a", "a"], seed=0)
    with pytest.raises(EvaluationError, match="--resamples 0"):
        bootstrap_auc([0, 1, 0], [0.1, 0.2, 0.3], seed=0, num_resamples=0)


@pytest.mark.slow
@pytest.mark.parametrize("several", [1, 3])
def test_percentile_intervals_cover_the_true_auc(several):
    """1,000 studies; binomial error of the coverage 0.007. Percentile intervals are known to be slightly short."""
    rng = np.random.default_rng(7)
    true_auc = stats.norm.cdf(1.2 / np.sqrt(2 * (1 + 0.5)))
    hits = 0
    for study in range(1000):
        labels = np.repeat(np.arange(120) % 2, several)
        patient_effect = np.repeat(rng.normal(0, np.sqrt(0.5), 120), several)
        scores = 1.2 * labels + patient_effect + rng.normal(size=len(labels))
        patients = np.repeat(np.arange(120), several)
        estimate = bootstrap_auc(labels, scores, patients, seed=study, num_resamples=999)
        hits += estimate.ci_low <= true_auc <= estimate.ci_high
    assert 0.925 <= hits / 1000 <= 0.97
