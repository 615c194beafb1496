import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from wauve_dist.evaluation.comparisons import mcnemar_exact, n_minus_1_chi_square
from wauve_dist.evaluation.mrmc import obuchowski_rockette
from wauve_dist.evaluation.sample_size import (
    auc_sample_size,
    auc_standard_error,
    mcnemar_power,
    mcnemar_sample_size,
    mrmc_power,
    proportion_sample_size,
    two_proportions_power,
)


def test_a_proportion_gets_the_width_that_was_asked_for():
    n = proportion_sample_size(0.9, 0.05)
    for size, fits in ((n, True), (n - 1, False)):
        low, high = proportion_confint(round(0.9 * size), size, method="beta")
        assert (high - low <= 0.1) is bool(fits)


@pytest.mark.parametrize(("p1", "n1", "p2", "n2"), [(0.9, 80, 0.7, 60), (0.5, 200, 0.5, 100), (0.95, 40, 0.85, 300)])
def test_the_power_of_two_proportions_is_how_often_the_test_rejects(p1, n1, p2, n2):
    # Exactly: every pair of counts, with its probability.
    first, second = stats.binom.pmf(np.arange(n1 + 1), n1, p1), stats.binom.pmf(np.arange(n2 + 1), n2, p2)
    exact = sum(
        first[k1] * second[k2]
        for k1 in np.flatnonzero(first > 1e-6)
        for k2 in np.flatnonzero(second > 1e-6)
        if n_minus_1_chi_square(int(k1), n1, int(k2), n2) < 0.05
    )
    assert two_proportions_power(p1, n1, p2, n2) == pytest.approx(exact, abs=0.04)  # normal approximation


def test_the_power_of_mcnemar_is_how_often_it_rejects():
    first_only, second_only, n = 0.25, 0.08, 70
    exact = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            if mcnemar_exact(b, c) <= 0.05:
                rest = n - b - c
                exact += stats.multinomial.pmf([b, c, rest], n, [first_only, second_only, 1 - first_only - second_only])
    assert mcnemar_power(first_only, second_only, n) == pytest.approx(exact, abs=1e-9)


def test_a_sample_size_reaches_its_power_and_little_less_does_not():
    n = mcnemar_sample_size(0.12, 0.04, power=0.9)
    assert mcnemar_power(0.12, 0.04, n) >= 0.9
    assert mcnemar_power(0.12, 0.04, int(0.95 * n)) < 0.9


def test_the_standard_error_of_hanley_and_mcneil():
    # By hand: Q1 = .8 / 1.2, Q2 = 1.28 / 1.8; (.16 + 49 (.666667 - .64) + 39 (.711111 - .64)) / 2000 = .002120
    assert auc_standard_error(0.8, 50, 40) == pytest.approx(0.0021200**0.5, abs=1e-6)


def test_an_auc_needs_more_cases_the_nearer_the_other_is():
    far, near = auc_sample_size(0.9, 0.8, 1.0), auc_sample_size(0.9, 0.85, 1.0)
    assert near > 3 * far
    # By hand at n = far: margin 1.96 * SE(.8), to be exceeded by .1 with 80 %: z = .8416.
    n = far
    assert 1.959964 * auc_standard_error(0.8, n, n) + 0.841621 * auc_standard_error(0.9, n, n) <= 0.1
    n = far - 1
    assert 1.959964 * auc_standard_error(0.8, n, n) + 0.841621 * auc_standard_error(0.9, n, n) > 0.1


def _study(rng, num_readers, num_cases, gain):
    labels = np.arange(num_cases) % 2
    ratings = (
        1.4 * labels
        + np.array([0, gain])[:, None, None] * labels
        + rng.normal(0, 0.7, (1, 1, num_cases))
        + rng.normal(0, 0.3, (2, num_readers, 1)) * labels
        + rng.normal(0, 0.8, (2, num_readers, num_cases))
    )
    return obuchowski_rockette(labels, ratings)


def test_mrmc_power_predicts_how_often_smaller_studies_succeed():
    rng = np.random.default_rng(5)
    pilot = _study(rng, num_readers=40, num_cases=600, gain=0.45)
    predicted = mrmc_power(pilot, 600, pilot.differences[0].difference, num_readers=6, num_cases=80)
    found = np.mean([_study(rng, num_readers=6, num_cases=80, gain=0.45).p < 0.05 for _ in range(250)])
    assert 0.3 < found < 0.9
    assert predicted == pytest.approx(found, abs=0.1)  # three standard errors of 250 studies


def test_more_readers_and_more_cases_give_more_power_and_no_difference_the_level():
    pilot = _study(np.random.default_rng(1), num_readers=5, num_cases=60, gain=0.4)
    small, readers, cases = (mrmc_power(pilot, 60, 0.05, *size) for size in ((5, 60), (10, 60), (5, 240)))
    assert small < readers
    assert small < cases
    assert mrmc_power(pilot, 60, 0.0, 5, 60) == pytest.approx(0.05)


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="there is no difference to find"):
        mcnemar_sample_size(0.1, 0.1)
    with pytest.raises(ValueError, match=r"expected 1\.2 must lie between 0 and 1"):
        proportion_sample_size(1.2, 0.1)
    with pytest.raises(ValueError, match="num_readers 1"):
        mrmc_power(_study(np.random.default_rng(2), 3, 40, 0.2), 40, 0.05, 1, 40)
