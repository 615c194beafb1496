from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from wauve_dist.evaluation.delong import delong_paired_test
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.mrmc import dorfman_berbaum_metz, obuchowski_rockette

DESIGNS = ("readers and cases", "cases", "readers")

# As R's MRMCaov 0.3.0 prints them: empirical AUC, random readers and cases, jackknife covariance.
PUBLISHED = {
    "VanDyke": {
        "means": (0.8970370370, 0.9408373591),
        "ms": (0.004796170532, 0.0005510306217),
        "covariance": (8.022882656e-4, 3.466137094e-4, 3.440748289e-4, 2.390283709e-4),
        "test": (4.456318693, 1, 15.25967459, 0.05166568582),
        "difference": (-0.04380032206, 0.02074861838),
        "interval": (-0.0879594986, 0.0003588544),
    },
    "Franken": {
        "means": (0.8477498869, 0.8368950701),
        "ms": (0.0002356540966, 5.020264139e-05),
        "covariance": (1.5257762493e-3, 7.916821470e-4, 4.836376727e-4, 5.125091474e-4),
        "test": (4.694057725, 1, 3, 0.1188378575),
        "difference": (0.01085481682, 0.005010121824),
        "interval": (-0.0050896269, 0.0267992605),
    },
}


def _simulated_study(seed, num_treatments=2, num_readers=4, num_cases=60, gain=0.0):
    """Ratings 0..5 after the model of Roe & Metz (1997): random effects of cases, readers and their interactions."""
    rng = np.random.default_rng([31, seed])
    labels = (np.arange(num_cases) < num_cases // 2).astype(int)
    shape = (num_treatments, num_readers, num_cases)
    latent = (
        1.5 * labels
        + gain * np.arange(num_treatments)[:, None, None] * labels
        + rng.normal(0, 0.6, (1, 1, num_cases))
        + rng.normal(0, 0.3, (1, num_readers, 1)) * labels
        + rng.normal(0, 0.4, (num_treatments, 1, num_cases))
        + rng.normal(0, 0.4, (1, num_readers, num_cases))
        + rng.normal(0, 0.7, shape)
    )
    return labels, np.clip(np.rint(latent + 1), 0, 5)


@pytest.mark.real
@pytest.mark.parametrize("study", PUBLISHED)
@pytest.mark.parametrize("analyse", [obuchowski_rockette, dorfman_berbaum_metz])
def test_the_standard_data_sets_give_their_published_results(real_data, study, analyse):
    table = pd.read_csv(real_data / "mrmc" / f"{study}.csv")
    ratings = table.pivot_table(index=["treatment", "reader"], columns="case", values="rating")
    labels = table.groupby("case")["truth"].first().loc[ratings.columns]
    num_readers = table["reader"].nunique()
    result = analyse(labels, ratings.to_numpy().reshape(2, num_readers, -1))

    published = PUBLISHED[study]
    error, difference = result.covariance, result.differences[0]
    found = {
        "means": [mean.value for mean in result.means],
        "ms": [result.ms_t, result.ms_tr],
        "covariance": [error.variance, error.cov1, error.cov2, error.cov3],
        "test": [result.f, result.df1, result.df2, result.p],
        "difference": [difference.difference, difference.standard_error],
    }
    for name, values in found.items():
        assert values == pytest.approx(published[name], rel=5e-9), name  # 8 digits and more
    assert (difference.ci_low, difference.ci_high) == pytest.approx(published["interval"], abs=6e-11)


@pytest.mark.parametrize("shape", [(2, 4, 60), (3, 3, 40)])
def test_dbm_equals_an_anova_of_brute_force_pseudo_values(shape):
    num_treatments, num_readers, num_cases = shape
    labels, ratings = _simulated_study(1, *shape)
    rows = []
    for t, r in product(range(num_treatments), range(num_readers)):
        whole = roc_auc_score(labels, ratings[t, r])
        for case in range(num_cases):
            rest = np.delete(ratings[t, r], case)
            pseudo = num_cases * whole - (num_cases - 1) * roc_auc_score(np.delete(labels, case), rest)
            rows.append((t, r, case, pseudo))
    table = pd.DataFrame(rows, columns=["t", "r", "c", "y"])
    sums = anova_lm(ols("y ~ C(t) + C(r) + C(c) + C(t):C(r) + C(t):C(c) + C(r):C(c)", table).fit())
    ms = sums["sum_sq"] / sums["df"]
    ms_error = ms["C(t):C(r)"] + max(ms["C(t):C(c)"] - ms["Residual"], 0)

    result = dorfman_berbaum_metz(labels, ratings)
    assert result.f == pytest.approx(ms["C(t)"] / ms_error, rel=1e-8)
    df_tr = (num_treatments - 1) * (num_readers - 1)
    assert result.df2 == pytest.approx(df_tr * (ms_error / ms["C(t):C(r)"]) ** 2, rel=1e-8)
    fixed_readers = dorfman_berbaum_metz(labels, ratings, random="cases")
    assert fixed_readers.f == pytest.approx(ms["C(t)"] / ms["C(t):C(c)"], rel=1e-8)
    assert fixed_readers.df2 == sums["df"]["C(t):C(c)"]
    assert dorfman_berbaum_metz(labels, ratings, random="readers").f == pytest.approx(
        ms["C(t)"] / ms["C(t):C(r)"], rel=1e-8
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("random", ["readers and cases", "readers"])
def test_the_two_analyses_agree_with_random_readers(seed, random):
    labels, ratings = _simulated_study(seed, num_treatments=3)
    first = obuchowski_rockette(labels, ratings, random=random)
    second = dorfman_berbaum_metz(labels, ratings, random=random)
    assert (first.f, first.df2, first.p) == pytest.approx((second.f, second.df2, second.p), rel=1e-8)
    for one, other in zip(first.means, second.means, strict=True):
        assert (one.ci_low, one.ci_high, one.df) == pytest.approx((other.ci_low, other.ci_high, other.df), rel=1e-8)
    assert [d.p for d in first.differences] == pytest.approx([d.p for d in second.differences], rel=1e-8)


@pytest.mark.parametrize("random", DESIGNS)
def test_only_the_order_of_ratings_counts_and_no_order_of_cases_or_readers(random):
    labels, ratings = _simulated_study(5)
    order = np.random.default_rng(0).permutation(len(labels))
    reordered = np.exp(ratings[:, ::-1][:, :, order])
    first = obuchowski_rockette(labels, ratings, random=random)
    second = obuchowski_rockette(labels[order], reordered, random=random)
    assert (first.f, first.p) == pytest.approx((second.f, second.p), rel=1e-9)
    swapped = obuchowski_rockette(labels, ratings[::-1], random=random)
    assert swapped.differences[0].difference == pytest.approx(-first.differences[0].difference)


def test_one_reader_and_fixed_readers_is_the_paired_delong_test():
    labels, ratings = _simulated_study(6, num_readers=1, gain=0.5)
    result = obuchowski_rockette(labels, ratings, random="cases", covariance="delong")
    reference = delong_paired_test(labels, ratings[0, 0], ratings[1, 0])
    assert result.p == pytest.approx(reference.p, rel=1e-9)
    assert result.differences[0].ci_low == pytest.approx(reference.ci_low, rel=1e-9)


def test_a_duplicated_study_is_no_larger_once_patients_are_named():
    labels, ratings = _simulated_study(7, gain=0.4)
    once = obuchowski_rockette(labels, ratings)
    patients = np.tile(np.arange(len(labels)), 2)
    twice = obuchowski_rockette(np.tile(labels, 2), np.tile(ratings, 2), patients)
    assert twice.p == pytest.approx(once.p, rel=1e-6)


@pytest.mark.parametrize("covariance", ["jackknife", "delong"])
def test_the_test_keeps_its_level(covariance):
    rejected = [
        obuchowski_rockette(*_simulated_study(seed, num_readers=5, num_cases=50), covariance=covariance).p < 0.05
        for seed in range(300)
    ]
    # Three binomial standard errors of 300 studies: 3.8 %.
    assert np.mean(rejected) < 0.05 + 0.038


def test_a_real_gain_is_found_in_the_right_direction():
    labels, ratings = _simulated_study(8, num_readers=6, num_cases=150, gain=1.0)
    result = obuchowski_rockette(labels, ratings)
    assert result.p < 0.01
    assert result.differences[0].ci_high < 0


def test_incomplete_or_hopeless_studies_are_refused():
    labels, ratings = _simulated_study(9)
    missing = ratings.copy()
    missing[1, 2, 3] = np.nan
    with pytest.raises(EvaluationError, match="treatment 1, reader 2, case 3: there is no rating"):
        obuchowski_rockette(labels, missing)
    with pytest.raises(EvaluationError, match="2 treatments and 1 readers"):
        obuchowski_rockette(labels, ratings[:, :1])
    with pytest.raises(EvaluationError, match="all 60 cases are malignant"):
        dorfman_berbaum_metz(np.ones(60), ratings)
    with pytest.raises(EvaluationError, match="at least 2 patients with a malignant case"):
        dorfman_berbaum_metz(labels, ratings, np.where(labels == 1, "P", np.arange(60).astype(str)))
