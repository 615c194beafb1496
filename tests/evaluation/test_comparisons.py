import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import test_proportions_2indep as proportions_2indep

from wauve_dist.evaluation.comparisons import (
    adjusted_p_values,
    fisher_exact,
    generalized_score,
    mcnemar_exact,
    n_minus_1_chi_square,
    pearson_chi_square,
)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (3, 0), (9, 1), (15, 12), (55, 53), (4, 400)])
def test_mcnemar_equals_statsmodels(b, c):
    assert mcnemar_exact(b, c) == pytest.approx(mcnemar([[10, b], [c, 5]], exact=True).pvalue, abs=1e-12)


@pytest.mark.parametrize("counts", [(43, 67, 69, 83), (1, 5, 3, 4), (0, 10, 4, 12), (8, 8, 30, 31)])
def test_n_minus_1_chi_square_equals_the_score_test_of_statsmodels(counts):
    reference = proportions_2indep(*counts, value=0, method="score", compare="diff", correction=True).pvalue
    assert n_minus_1_chi_square(*counts) == pytest.approx(reference, rel=1e-10)


def test_fisher_sums_the_hypergeometric_tables_that_are_no_more_likely():
    # Fisher's tea: 3 of 4 cups right in both rows. Tables with 4, 3, 2, 1, 0 right weigh 1, 16, 36, 16, 1 of 70.
    assert fisher_exact(3, 4, 1, 4) == pytest.approx((1 + 16 + 16 + 1) / 70)


def test_an_undefined_comparison_is_nan_not_a_number_that_looks_like_a_result():
    assert np.isnan(n_minus_1_chi_square(26, 26, 34, 34))
    assert np.isnan(n_minus_1_chi_square(0, 0, 3, 4))
    assert np.isnan(fisher_exact(1, 2, 0, 0))
    assert np.isnan(generalized_score([1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1]))
    assert np.isnan(generalized_score([1, 0], [1, 1], [0, 1]))
    assert np.isnan(generalized_score([], [], []))
    assert np.isnan(pearson_chi_square([[3, 0], [5, 0]]))


def test_pearson_ignores_categories_that_nobody_has():
    # By hand: expected 10, 10, 20, 20 against 15, 5, 15, 25 gives 2.5 + 2.5 + 1.25 + 1.25 = 7.5; P(chi2_1 > 7.5).
    assert pearson_chi_square([[15, 0, 5], [15, 0, 25]]) == pytest.approx(0.00616990, abs=1e-8)


def _readings(seed, num_cases):
    """Two tests on cases of unequal difficulty: outcomes depend within a case, groups have unequal sizes."""
    rng = np.random.default_rng([7, seed])
    case = np.repeat(np.arange(num_cases), rng.integers(1, 9, num_cases))
    difficulty = rng.normal(0, 1.5, num_cases)
    is_second = rng.random(case.size) < 0.4
    right = rng.random(case.size) < 1 / (1 + np.exp(-(difficulty[case] + 0.3 * is_second)))
    return right.astype(int), is_second.astype(int), case


@pytest.mark.parametrize("seed", range(3))
def test_generalized_score_equals_the_gee_score_test_of_statsmodels(seed):
    right, is_second, case = _readings(seed, num_cases=80)
    full = sm.GEE(
        right,
        np.column_stack([np.ones(case.size), is_second]),
        groups=case,
        family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Independence(),
    )
    null = sm.GEE(
        right,
        np.ones((case.size, 1)),
        groups=case,
        family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Independence(),
    ).fit(scale=1)
    reference = full.compare_score_test(null)["p-value"]
    assert generalized_score(right, is_second, case) == pytest.approx(reference, rel=1e-6)


def test_generalized_score_of_single_pairs_is_mcnemars_statistic():
    # 9 pairs favour the second, 1 the first: (9 - 1)^2 / (9 + 1) = 6.4, P(chi2_1 > 6.4) = 0.011412.
    first = np.r_[np.ones(20), np.zeros(9), np.ones(1), np.zeros(5)]
    second = np.r_[np.ones(20), np.ones(9), np.zeros(1), np.zeros(5)]
    case = np.arange(first.size)
    p = generalized_score(np.r_[first, second], np.r_[np.zeros(35), np.ones(35)], np.r_[case, case])
    assert p == pytest.approx(0.011412036, abs=1e-8)


def test_generalized_score_keeps_its_level_where_the_chi_square_does_not():
    rng = np.random.default_rng(11)
    clustered, naive = [], []
    for _ in range(600):
        case = np.repeat(np.arange(60), 5)
        is_second = (case % 2).astype(int)
        right = (rng.random(case.size) < rng.beta(0.8, 0.8, 60)[case]).astype(int)
        clustered.append(generalized_score(right, is_second, case) < 0.05)
        first = is_second == 0
        naive.append(n_minus_1_chi_square(right[first].sum(), first.sum(), right[~first].sum(), (~first).sum()) < 0.05)
    # Binomial standard error of the level: sqrt(.05 * .95 / 600) = 0.9 %; 3 of them.
    assert abs(np.mean(clustered) - 0.05) < 0.027
    assert np.mean(naive) > 0.2


@pytest.mark.parametrize(
    ("ours", "theirs"), [("holm", "holm"), ("bonferroni", "bonferroni"), ("benjamini-hochberg", "fdr_bh")]
)
def test_adjustment_equals_statsmodels_and_leaves_undefined_tests_out(ours, theirs):
    p = np.random.default_rng(3).random(15) ** 3
    p[4] = p[5]
    with_gaps = np.insert(p, [0, 7], np.nan)
    adjusted = adjusted_p_values(with_gaps, ours)
    np.testing.assert_allclose(adjusted[~np.isnan(adjusted)], multipletests(p, method=theirs)[1], rtol=1e-12)
    assert np.flatnonzero(np.isnan(adjusted)).tolist() == np.flatnonzero(np.isnan(with_gaps)).tolist()


def test_bad_adjustments_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'hulm' is unknown\. Choose one of holm"):
        adjusted_p_values([0.1], "hulm")
    with pytest.raises(ValueError, match=r"between 0 and 1, got \[1.2\]"):
        adjusted_p_values([0.1, 1.2], "holm")
