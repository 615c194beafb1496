"""How far readers agree: Cohen's and Fleiss' kappa for categories, intraclass correlation for ordered scores.

A coefficient whose denominator vanishes (every reading in one category, every score equal) is NaN: agreement
beyond chance cannot be told where there is nothing to disagree about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

KappaWeights = Literal["none", "linear", "quadratic"]
ICC_FORMS = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")


@dataclass(frozen=True)
class Agreement:
    """A coefficient of agreement (at most 1; 0 is chance) with its confidence interval."""

    value: float
    ci_low: float
    ci_high: float
    method: str


def cohens_kappa(
    first: Sequence[object],
    second: Sequence[object],
    categories: Sequence[object],
    weights: KappaWeights = "none",
    confidence: float = 0.95,
) -> Agreement:
    """Agreement of two readers on the same cases, with the large-sample interval of Fleiss, Cohen & Everitt (1969).

    Args:
        first: shape (n,), the first reader's categories.
        second: shape (n,), the second reader's, in the same order of cases.
        categories: all categories in their order, used or not; the order matters for weights.
        weights: ``linear`` and ``quadratic`` give partial credit by the distance of the categories' ranks.
        confidence: coverage of the interval.

    Raises:
        ValueError: readings of unequal number, or a category that is not listed.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} readings cannot be paired with {len(second)}. Both readers need every case.")
    num_categories = len(categories)
    cell = _ranks(first, categories) * num_categories + _ranks(second, categories)
    p = np.bincount(cell, minlength=num_categories**2).reshape(num_categories, num_categories) / len(first)
    distance = np.abs(np.subtract.outer(np.arange(num_categories), np.arange(num_categories)))
    credit = {
        "none": (distance == 0).astype(np.float64),
        "linear": 1 - distance / (num_categories - 1),
        "quadratic": 1 - (distance / (num_categories - 1)) ** 2,
    }[weights]

    observed = float(np.sum(p * credit))
    row_credit, column_credit = credit @ p.sum(axis=0), p.sum(axis=1) @ credit
    expected = float(p.sum(axis=1) @ row_credit)
    method = "Cohen's kappa" + ("" if weights == "none" else f", {weights} weights")
    if expected == 1:
        return Agreement(np.nan, np.nan, np.nan, method)
    kappa = (observed - expected) / (1 - expected)
    influence = credit * (1 - expected) - np.add.outer(row_credit, column_credit) * (1 - observed)
    spread = np.sum(p * influence**2) - (observed * expected - 2 * expected + observed) ** 2
    # Perfect agreement has no spread; rounding may leave a negative trace of it.
    error = np.sqrt(max(float(spread), 0.0) / len(first)) / (1 - expected) ** 2
    margin = float(stats.norm.ppf(0.5 + confidence / 2) * error)
    return Agreement(kappa, kappa - margin, min(kappa + margin, 1.0), method)


def fleiss_kappa(readings: npt.ArrayLike, categories: Sequence[object], confidence: float = 0.95) -> Agreement:
    """Agreement of any number of readers on the same cases (Fleiss 1971), on unordered categories.

    The interval is that of Gwet (Educ Psychol Meas 2021;81:781), valid whether or not readers agree; the better
    known error of Fleiss, Nee & Landis (1979) holds only if they do not.

    Args:
        readings: shape (cases, readers), categories.
        categories: all categories.
        confidence: coverage of the interval.
    """
    table = np.asarray(readings, dtype=object)
    num_cases, num_readers = table.shape
    ranks = _ranks(table.ravel().tolist(), categories).reshape(table.shape)
    counts = np.stack([(ranks == rank).sum(axis=1) for rank in range(len(categories))], axis=1)
    share = counts.mean(axis=0) / num_readers
    pairs_agreeing = np.sum(counts * (counts - 1), axis=1) / (num_readers * (num_readers - 1))
    expected = float(np.sum(share**2))
    if expected == 1:
        return Agreement(np.nan, np.nan, np.nan, "Fleiss' kappa")
    kappa = (float(pairs_agreeing.mean()) - expected) / (1 - expected)
    per_case = (pairs_agreeing - expected) / (1 - expected)
    expected_per_case = counts @ share / num_readers
    per_case -= 2 * (1 - kappa) * (expected_per_case - expected) / (1 - expected)
    error = np.sqrt(np.sum((per_case - kappa) ** 2) / (num_cases * (num_cases - 1)))
    margin = float(stats.t.ppf(0.5 + confidence / 2, df=num_cases - 1) * error)
    return Agreement(kappa, kappa - margin, min(kappa + margin, 1.0), "Fleiss' kappa")


def intraclass_correlations(scores: npt.ArrayLike, confidence: float = 0.95) -> dict[str, Agreement]:
    """All six intraclass correlations of Shrout & Fleiss (1979) with the F intervals of McGraw & Wong (1996).

    | form | readers                                                   | McGraw & Wong |
    |------|-----------------------------------------------------------|---------------|
    | 1    | others for every case                                     | ICC(1)        |
    | 2    | a sample of the readers one could have: absolute agreement | ICC(A)       |
    | 3    | the only readers of interest: consistency                 | ICC(C)        |

    ``(.,1)`` is the reliability of one reader, ``(.,k)`` that of the mean of the k readers.

    Args:
        scores: shape (cases, readers), ordered scores such as the rank of the BI-RADS category.
        confidence: coverage of the intervals.

    Returns:
        From the form (``ICC_FORMS``) to the coefficient.
    """
    table = np.asarray(scores, dtype=np.float64)
    n, k = table.shape
    assert n >= 2, f"{n} case has no variance"
    assert k >= 2, f"{k} reader cannot agree"
    if np.ptp(table) == 0:
        return {form: Agreement(np.nan, np.nan, np.nan, form) for form in ICC_FORMS}
    mean = table.mean()
    between_cases = float(k * np.sum((table.mean(axis=1) - mean) ** 2) / (n - 1))
    between_readers = float(n * np.sum((table.mean(axis=0) - mean) ** 2) / (k - 1))
    within = float(np.sum((table - table.mean(axis=1, keepdims=True)) ** 2) / (n * (k - 1)))
    residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + mean
    error = float(np.sum(residuals**2) / ((n - 1) * (k - 1)))

    single = {
        "ICC(1,1)": _one_error_term(between_cases, within, n - 1, n * (k - 1), k, confidence),
        "ICC(2,1)": _absolute_agreement(between_cases, between_readers, error, n, k, confidence),
        "ICC(3,1)": _one_error_term(between_cases, error, n - 1, (n - 1) * (k - 1), k, confidence),
    }
    coefficients = {form: Agreement(*values, form) for form, values in single.items()}
    for form, values in single.items():
        value, low, high = (_of_the_mean(single_reader, k) for single_reader in values)
        name = form.replace(",1)", ",k)")
        coefficients[name] = Agreement(value, low, high, name)
    return coefficients


def _one_error_term(
    between_cases: float, error: float, df_cases: int, df_error: int, k: int, confidence: float
) -> tuple[float, float, float]:
    """Value and interval of forms 1 and 3, where one F ratio carries all the information."""
    if error <= np.finfo(np.float64).eps * between_cases:
        return 1.0, 1.0, 1.0
    tail = 0.5 + confidence / 2
    f = between_cases / error
    low = f / stats.f.ppf(tail, df_cases, df_error)
    high = f * stats.f.ppf(tail, df_error, df_cases)
    return (f - 1) / (f + k - 1), float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1))


def _absolute_agreement(
    between_cases: float, between_readers: float, error: float, n: int, k: int, confidence: float
) -> tuple[float, float, float]:
    """Value and interval of form 2: Satterthwaite's degrees of freedom for the two error terms."""
    if max(error, between_readers) <= np.finfo(np.float64).eps * between_cases:
        return 1.0, 1.0, 1.0
    tail = 0.5 + confidence / 2
    value = (between_cases - error) / (between_cases + (k - 1) * error + k * (between_readers - error) / n)
    reader_part = k * value / (n * (1 - value)) * between_readers
    error_part = (1 + k * value * (n - 1) / (n * (1 - value))) * error
    df = (reader_part + error_part) ** 2 / (reader_part**2 / (k - 1) + error_part**2 / ((n - 1) * (k - 1)))
    noise = k * between_readers + (k * n - k - n) * error
    f_low, f_high = stats.f.ppf(tail, n - 1, df), stats.f.ppf(tail, df, n - 1)
    low = n * (between_cases - f_low * error) / (f_low * noise + n * between_cases)
    high = n * (f_high * between_cases - error) / (noise + n * f_high * between_cases)
    return value, float(low), float(high)


def _of_the_mean(single: float, k: int) -> float:
    """Spearman & Brown: the reliability of the mean of k readers."""
    return k * single / (1 + (k - 1) * single)


def _ranks(readings: Sequence[object], categories: Sequence[object]) -> npt.NDArray[np.int64]:
    rank = {category: position for position, category in enumerate(categories)}
    unknown = sorted({str(reading) for reading in readings if reading not in rank})
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such category. Known: {', '.join(map(str, categories))}.")
    return np.array([rank[reading] for reading in readings], dtype=np.int64)
