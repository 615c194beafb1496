"""Tests between proportions: paired, unpaired, clustered; and the correction for many of them.

| question                                             | test               | source                         |
|------------------------------------------------------|--------------------|--------------------------------|
| sensitivity, specificity, accuracy on the same cases | exact McNemar      | McNemar 1947; exact binomial   |
| two independent groups                               | N-1 chi-square     | Campbell 2007; Richardson 2011 |
| two independent groups, one of them small            | Fisher's exact     | Fisher 1922                    |
| any proportion when observations share cases         | generalised score  | Leisenring, Alonzo, Pepe 2000  |
| r x c tables                                         | Pearson chi-square | Pearson 1900                   |

All tests are two-sided. A test that its data leave undefined (nothing observed, or nothing varies) gives NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

ADJUSTMENTS = ("holm", "benjamini-hochberg", "bonferroni", "none")


def mcnemar_exact(num_first_only: int, num_second_only: int) -> float:
    """Exact McNemar test from the discordant pairs.

    Args:
        num_first_only: pairs in which only the first is right.
        num_second_only: pairs in which only the second is right.

    Returns:
        The two-sided binomial p-value; 1 if no pair is discordant.
    """
    num_discordant = num_first_only + num_second_only
    if num_discordant == 0:
        return 1.0
    return float(stats.binomtest(num_first_only, num_discordant).pvalue)


def n_minus_1_chi_square(k1: int, n1: int, k2: int, n2: int) -> float:
    """Compare two independent proportions k1/n1 and k2/n2 with the N-1 chi-square test.

    Pearson's statistic times (N-1)/N. Campbell (Stat Med 2007;26:3661) recommends it wherever every expected
    count is at least 1.

    Returns:
        The p-value with 1 degree of freedom; NaN if a group is empty or all N outcomes are equal.
    """
    _require_counts(k1, n1, k2, n2)
    n, k = n1 + n2, k1 + k2
    if n1 == 0 or n2 == 0 or k in (0, n):
        return float("nan")
    statistic = (n - 1) * (k1 * (n2 - k2) - k2 * (n1 - k1)) ** 2 / (n1 * n2 * k * (n - k))
    return float(stats.chi2.sf(statistic, df=1))


def fisher_exact(k1: int, n1: int, k2: int, n2: int) -> float:
    """Compare two independent proportions k1/n1 and k2/n2 with Fisher's exact test.

    Returns:
        The p-value, summed over all tables no more likely than the observed; NaN if a group is empty.
    """
    _require_counts(k1, n1, k2, n2)
    if n1 == 0 or n2 == 0:
        return float("nan")
    return float(stats.fisher_exact([[k1, n1 - k1], [k2, n2 - k2]]).pvalue)


def pearson_chi_square(counts: npt.ArrayLike) -> float:
    """Pearson's chi-square test, without continuity correction, of an r x c table of counts.

    Rows and columns without any count are left out.

    Returns:
        The p-value; NaN if fewer than two rows or columns remain.
    """
    table = np.asarray(counts)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    if min(table.shape) < 2:
        return float("nan")
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def generalized_score(outcomes: npt.ArrayLike, is_second: npt.ArrayLike, clusters: npt.ArrayLike) -> float:
    """Compare a proportion between two groups when observations of one cluster depend on each other.

    The generalised score test of a marginal logistic model with independence working correlation, in the closed
    form of Leisenring, Alonzo & Pepe (Biometrics 2000;56:345): the squared sum of the clusters' scores over the
    sum of their squares. With the cluster a lesion and the observations its positive calls by two tests it
    compares their positive predictive values; with the readings of a lesion by all readers it compares the
    average reader's sensitivity under two conditions. A cluster may hold any number of observations of either group.

    Args:
        outcomes: shape (n,), 0 or 1.
        is_second: shape (n,), whether the observation belongs to the second group.
        clusters: shape (n,), the cluster's name or number.

    Returns:
        The p-value with 1 degree of freedom; NaN if a group is empty or no outcome varies.
    """
    outcome = np.asarray(outcomes, dtype=np.float64)
    group = np.asarray(is_second, dtype=np.float64)
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if outcome.size == 0 or group.min() == group.max():
        return float("nan")
    scores = np.bincount(cluster, weights=(outcome - outcome.mean()) * (group - group.mean()))
    variance = np.sum(scores**2)
    if variance == 0:
        return float("nan")
    return float(stats.chi2.sf(scores.sum() ** 2 / variance, df=1))


def adjusted_p_values(p_values: npt.ArrayLike, method: str) -> npt.NDArray[np.float64]:
    """Correct p-values for being many.

    Args:
        p_values: shape (m,). NaN marks a test that was undefined: it stays NaN and does not count.
        method: ``holm`` (Holm 1979) or ``bonferroni``, both for the family-wise error; ``benjamini-hochberg``
            (1995) for the false discovery rate; ``none``.

    Returns:
        Shape (m,), in the order given, each at most 1.

    Raises:
        ValueError: an unknown method, or a p-value outside 0..1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if method not in ADJUSTMENTS:
        raise ValueError(f"adjustment {method!r} is unknown. Choose one of {', '.join(ADJUSTMENTS)}.")
    if np.any((p < 0) | (p > 1)):
        raise ValueError(f"p-values must lie between 0 and 1, got {p[(p < 0) | (p > 1)].tolist()}.")
    defined = np.flatnonzero(~np.isnan(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    m = len(order)
    adjusted = p.copy()
    if method == "bonferroni":
        adjusted[order] = p[order] * m
    elif method == "holm":
        adjusted[order] = np.maximum.accumulate(p[order] * np.arange(m, 0, -1))
    elif method == "benjamini-hochberg":
        adjusted[order] = np.minimum.accumulate((p[order] * m / np.arange(1, m + 1))[::-1])[::-1]
    capped: npt.NDArray[np.float64] = np.minimum(adjusted, 1.0)
    return capped


def _require_counts(k1: int, n1: int, k2: int, n2: int) -> None:
    assert 0 <= k1 <= n1, f"{k1} of {n1} is no proportion"
    assert 0 <= k2 <= n2, f"{k2} of {n2} is no proportion"
