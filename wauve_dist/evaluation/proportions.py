"""Proportions of counts with their intervals: Clopper-Pearson, Wilson, and the logit interval of predictive values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Proportion:
    """``k`` of ``n`` with an interval.

    Attributes:
        value: k / n, 0..1; NaN where n is 0.
        ci_low: lower limit; NaN where n is 0.
        ci_high: upper limit; NaN where n is 0.
        k: successes.
        n: trials.
        method: how the interval was made, in words.
    """

    value: float
    ci_low: float
    ci_high: float
    k: int
    n: int
    method: str


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Proportion:
    """Exact interval from the binomial tails (Clopper & Pearson, Biometrika 1934); the paper's choice.

    Raises:
        ValueError: not 0 <= k <= n.
    """
    _check(k, n)
    if n == 0:
        return _undefined()
    tail = (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0
    high = float(stats.beta.isf(tail, k + 1, n - k)) if k < n else 1.0
    return Proportion(k / n, low, high, k, n, "Clopper-Pearson exact")


def wilson(k: int, n: int, confidence: float = 0.95) -> Proportion:
    """Score interval (Wilson, J. Am. Stat. Assoc. 1927): shorter than the exact one, right on average.

    Raises:
        ValueError: not 0 <= k <= n.
    """
    _check(k, n)
    if n == 0:
        return _undefined()
    z = float(stats.norm.ppf((1 + confidence) / 2))
    centre = (k + z**2 / 2) / (n + z**2)
    margin = z / (n + z**2) * float(np.sqrt(k * (n - k) / n + z**2 / 4))
    low = centre - margin if k > 0 else 0.0
    high = centre + margin if k < n else 1.0
    return Proportion(k / n, low, high, k, n, "Wilson score")


def positive_predictive_value(tp: int, fp: int, fn: int, tn: int, confidence: float = 0.95) -> Proportion:
    """PPV with the standard logit interval (Mercaldo, Lau & Zhou, Stat. Med. 2007) at the prevalence of the sample.

    ``var(logit PPV) = (1 - sensitivity) / (sensitivity n1) + specificity / ((1 - specificity) n0)``.
    Where it is undefined (PPV of 0 or 1) or zero (every case called malignant) the interval is Clopper-Pearson's,
    and ``method`` says so.

    Args:
        tp: malignant, called malignant.
        fp: benign, called malignant.
        fn: malignant, called benign.
        tn: benign, called benign.
        confidence: of the interval.
    """
    return _predictive_value(tp, fp, fn, tn, confidence)


def negative_predictive_value(tp: int, fp: int, fn: int, tn: int, confidence: float = 0.95) -> Proportion:
    """NPV, the mirror of ``positive_predictive_value``: benign is what is looked for."""
    return _predictive_value(tn, fn, fp, tp, confidence)


def _predictive_value(right: int, wrong: int, missed: int, rest: int, confidence: float) -> Proportion:
    """Share of ``right`` among the calls ``right + wrong``; ``missed`` and ``rest`` got the other call."""
    exact = clopper_pearson(right, right + wrong, confidence)
    if right == 0 or wrong == 0:
        why = "the logit interval is undefined at 0 % and 100 %"
    elif missed == 0 and rest == 0:
        why = "the logit interval has no width where every case gets the same call"
    else:
        variance = missed / (right * (right + missed)) + rest / (wrong * (wrong + rest))
        centre = np.log(right / wrong)
        margin = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(variance)
        low, high = (float(1 / (1 + np.exp(-limit))) for limit in (centre - margin, centre + margin))
        return Proportion(exact.value, low, high, exact.k, exact.n, "standard logit (Mercaldo 2007)")
    if exact.n == 0:
        return exact
    return Proportion(exact.value, exact.ci_low, exact.ci_high, exact.k, exact.n, f"{exact.method}; {why}")


def _undefined() -> Proportion:
    return Proportion(np.nan, np.nan, np.nan, 0, 0, "undefined: no case to count")


def _check(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a proportion: 0 <= k <= n must hold.")
