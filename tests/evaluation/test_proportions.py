import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from wauve_dist.evaluation.proportions import (
    clopper_pearson,
    negative_predictive_value,
    positive_predictive_value,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 17), (112, 115), (1, 2000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_binomial_intervals_agree_with_statsmodels(k, n, confidence):
    for ours, method in ((clopper_pearson, "beta"), (wilson, "wilson")):
        estimate = ours(k, n, confidence)
        expected = proportion_confint(k, n, alpha=1 - confidence, method=method)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx(expected, abs=1e-12)
        assert (estimate.value, estimate.k, estimate.n) == (k / n, k, n)


def test_clopper_pearson_never_covers_less_than_it_says():
    n = 25
    intervals = [clopper_pearson(k, n) for k in range(n + 1)]
    for p in np.linspace(0.005, 0.995, 100):
        covered = sum(binom.pmf(i.k, n, p) for i in intervals if i.ci_low <= p <= i.ci_high)
        assert covered >= 0.95 - 1e-12


@pytest.mark.parametrize(
    ("cells", "expected", "why"),
    [
        ((10, 0, 3, 7), (10, 10), "undefined at 0 % and 100 %"),
        ((0, 4, 3, 7), (0, 4), "undefined at 0 % and 100 %"),
        ((10, 5, 0, 0), (10, 15), "no width where every case gets the same call"),
    ],
)
def test_ppv_falls_back_to_the_exact_interval_and_says_so(cells, expected, why):
    ppv, exact = positive_predictive_value(*cells), clopper_pearson(*expected)
    assert (ppv.ci_low, ppv.ci_high) == (exact.ci_low, exact.ci_high)
    assert ppv.method.startswith("Clopper-Pearson exact; ")
    assert why in ppv.method
    tp, fp, fn, tn = cells
    assert negative_predictive_value(tn, fn, fp, tp) == ppv


def test_nothing_called_malignant_leaves_no_ppv():
    ppv = positive_predictive_value(0, 0, 5, 9)
    assert np.isnan([ppv.value, ppv.ci_low, ppv.ci_high]).all()
    assert ppv.method.startswith("undefined")


@pytest.mark.parametrize("interval", [clopper_pearson, wilson])
def test_impossible_counts_are_refused(interval):
    with pytest.raises(ValueError, match="5 of 4 is not a proportion"):
        interval(5, 4)
