import numpy as np
import pytest
from statsmodels.stats import inter_rater

from wauve_dist.evaluation.agreement import ICC_FORMS, cohens_kappa, fleiss_kappa, intraclass_correlations

BIRADS = ["2", "3", "4A", "4B", "4C", "5"]
# Shrout & Fleiss, Psychol Bull 1979;86:420, table 2: six targets, four judges.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


def _correlated_readings(seed, num_cases=150, num_readers=2, noise=1.0):
    rng = np.random.default_rng([3, seed])
    truth = rng.integers(0, 6, num_cases)
    ranks = np.clip(np.rint(truth[:, None] + rng.normal(0, noise, (num_cases, num_readers))), 0, 5).astype(int)
    return np.array(BIRADS, dtype=object)[ranks], ranks


@pytest.mark.parametrize(("ours", "theirs"), [("none", None), ("linear", "linear"), ("quadratic", "quadratic")])
@pytest.mark.parametrize("seed", range(3))
def test_cohens_kappa_and_its_interval_equal_statsmodels(ours, theirs, seed):
    readings, ranks = _correlated_readings(seed)
    table, _ = inter_rater.to_table(ranks, bins=np.arange(7) - 0.5)
    reference = inter_rater.cohens_kappa(table, wt=theirs)
    kappa = cohens_kappa(readings[:, 0].tolist(), readings[:, 1].tolist(), BIRADS, ours)
    assert kappa.value == pytest.approx(reference.kappa, abs=1e-12)
    assert kappa.ci_low == pytest.approx(reference.kappa_low, abs=1e-12)
    assert kappa.ci_high == pytest.approx(reference.kappa_upp, abs=1e-12)


def test_a_category_nobody_used_still_counts_in_the_weights():
    # Readings "2" against "5" are five steps apart, not one: linear credit 0, and of "4C" against "5" 0.8.
    first, second = ["2", "2", "5", "5"], ["2", "2", "4C", "5"]
    # po = (1 + 1 + .8 + 1) / 4 = .95; rows .5/.5, columns 2: .5, 4C: .25, 5: .25;
    # pe = .5 * (.5 * 1 + .25 * .2 + .25 * 0) + .5 * (.5 * 0 + .25 * .8 + .25 * 1) = .5
    assert cohens_kappa(first, second, BIRADS, "linear").value == pytest.approx((0.95 - 0.5) / 0.5)


def test_perfect_agreement_has_no_width_and_a_single_category_no_kappa():
    perfect = cohens_kappa(["2", "3", "5"], ["2", "3", "5"], BIRADS)
    assert (perfect.value, perfect.ci_low, perfect.ci_high) == pytest.approx((1, 1, 1))
    assert np.isnan(cohens_kappa(["3", "3"], ["3", "3"], BIRADS).value)
    assert np.isnan(fleiss_kappa([["3", "3"], ["3", "3"]], BIRADS).value)


def test_fleiss_kappa_equals_statsmodels():
    readings, ranks = _correlated_readings(1, num_readers=4)
    counts, _ = inter_rater.aggregate_raters(ranks)
    assert fleiss_kappa(readings, BIRADS).value == pytest.approx(inter_rater.fleiss_kappa(counts), abs=1e-12)


def test_fleiss_interval_agrees_with_the_jackknife():
    readings, _ = _correlated_readings(2, num_cases=120, num_readers=4)
    kappa = fleiss_kappa(readings, BIRADS)
    left_out = np.array([fleiss_kappa(np.delete(readings, case, axis=0), BIRADS).value for case in range(120)])
    jackknife_error = np.sqrt(119 / 120 * np.sum((left_out - left_out.mean()) ** 2))
    half_width = (kappa.ci_high - kappa.ci_low) / 2
    assert half_width / 1.98 == pytest.approx(jackknife_error, rel=0.02)  # t quantile, 119 df


def test_icc_gives_the_published_values_of_shrout_and_fleiss():
    icc = intraclass_correlations(SHROUT_FLEISS)
    assert [round(icc[form].value, 2) for form in ICC_FORMS] == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]
    # Intervals as R's psych::ICC and pingouin print them for this table.
    assert [(round(icc[form].ci_low, 2), round(icc[form].ci_high, 2)) for form in ICC_FORMS] == [
        (-0.13, 0.72),
        (0.02, 0.76),
        (0.34, 0.95),
        (-0.88, 0.91),
        (0.07, 0.93),
        (0.68, 0.99),
    ]


def test_icc_intervals_cover_a_known_reliability():
    rng = np.random.default_rng(17)
    covered = dict.fromkeys(("ICC(1,1)", "ICC(2,1)", "ICC(3,1)"), 0)
    num_studies = 600
    for _ in range(num_studies):
        cases, noise = rng.normal(0, 1, (40, 1)), rng.normal(0, 0.8, (40, 4))
        readers = rng.normal(0, 0.3, 4)
        icc = intraclass_correlations(cases + noise)
        absolute = intraclass_correlations(cases + noise + readers)
        truth = 1 / 1.64
        covered["ICC(1,1)"] += icc["ICC(1,1)"].ci_low < truth < icc["ICC(1,1)"].ci_high
        covered["ICC(3,1)"] += absolute["ICC(3,1)"].ci_low < truth < absolute["ICC(3,1)"].ci_high
        covered["ICC(2,1)"] += absolute["ICC(2,1)"].ci_low < 1 / 1.73 < absolute["ICC(2,1)"].ci_high
    # Three binomial standard errors of 600 studies: 2.7 %.
    for form, count in covered.items():
        assert count / num_studies == pytest.approx(0.95, abs=0.027), form


def test_identical_readers_are_perfectly_reliable_and_constant_ones_undefined():
    same = intraclass_correlations(np.repeat([[1.0], [3.0], [4.0]], 3, axis=1))
    assert all((same[form].value, same[form].ci_low, same[form].ci_high) == (1, 1, 1) for form in ICC_FORMS)
    assert np.isnan(intraclass_correlations(np.full((3, 2), 4))["ICC(2,1)"].value)


def test_a_reader_who_is_always_one_step_higher_is_consistent_but_does_not_agree():
    scores = np.array([[0, 1], [1, 2], [3, 4], [4, 5.0]])
    icc = intraclass_correlations(scores)
    assert icc["ICC(3,1)"].value == 1
    # MSR = 20/3, MSC = 2, MSE = 0: (20/3) / (20/3 + 2 * 2 / 4)
    assert icc["ICC(2,1)"].value == pytest.approx((20 / 3) / (20 / 3 + 1))


def test_bad_readings_are_refused():
    with pytest.raises(ValueError, match=r"4D: no such category\. Known: 2, 3, 4A"):
        cohens_kappa(["3", "4D"], ["3", "3"], BIRADS)
    with pytest.raises(ValueError, match="2 readings cannot be paired with 1"):
        cohens_kappa(["3", "3"], ["3"], BIRADS)
