"""DeLong's nonparametric variance of AUCs, for one model, for two on the same cases, for two on different cases.

Sources: DeLong, DeLong & Clarke-Pearson, Biometrics 1988; the O(n log n) form by mid-ranks: Sun & Xu, IEEE Signal
Process. Lett. 2014; several cases per patient: Obuchowski, Biometrics 1997, which is DeLong's where each patient has
one case.

Symbols: k models, n cases, of them ``num_positive`` malignant; "component" is DeLong's structural component, the
share of the other class that a case is ordered rightly against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from wauve_dist.evaluation.auc import AUCEstimate, Groups
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, checked_scores, group_codes


@dataclass(frozen=True)
class AUCDifference:
    """A test of two AUCs.

    Attributes:
        difference: AUC of the first minus AUC of the second.
        ci_low: lower limit of the difference.
        ci_high: upper limit of the difference.
        z: difference over its standard error; 0 where both are 0 (the same scores twice).
        p: two-sided.
        method: in words.
    """

    difference: float
    ci_low: float
    ci_high: float
    z: float
    p: float
    method: str


def delong_covariance(labels: ArrayLike, scores: ArrayLike, groups: Groups = None) -> tuple[FloatArray, FloatArray]:
    """AUCs and their covariance matrix.

    Args:
        labels: 0 or 1, [n].
        scores: finite, [n] or [k, n]: k models on the same cases.
        groups: the patient of each case, [n]; None: one case per patient.

    Returns:
        AUCs float64 [k] and covariance float64 [k, k].

    Raises:
        EvaluationError: a class is absent, or has a single patient, so that no variance can be estimated.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positive = np.empty(0, dtype=bool)
    for row in rows:
        positive, _ = checked_scores(labels, row)
    components = np.stack([_components(positive, row) for row in rows])
    aucs = components[:, positive].mean(axis=1)
    codes = group_codes(groups, rows.shape[1])
    num_units = int(codes.max()) + 1
    # Sums over each patient of what his cases deviate from the AUC, one row per model.
    deviation = components - aucs[:, None]
    sums: dict[str, FloatArray] = {
        kind: np.stack([np.bincount(codes[of], row[of], num_units).astype(np.float64) for row in deviation])
        for kind, of in (("malignant", positive), ("benign", ~positive))
    }
    num_with = {
        kind: int(np.count_nonzero(np.bincount(codes[of])))
        for kind, of in (("malignant", positive), ("benign", ~positive))
    }
    for kind, number in num_with.items():
        if number < 2:
            raise EvaluationError(f"DeLong's variance needs at least 2 patients with a {kind} case, there is {number}.")
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())

    def moment(first: FloatArray, second: FloatArray, number: int) -> FloatArray:
        return np.asarray(number / (number - 1) * (first @ second.T))

    malignant, benign = sums["malignant"], sums["benign"]
    crossed = moment(malignant, benign, num_units) / (num_positive * num_negative)
    covariance = (
        moment(malignant, malignant, num_with["malignant"]) / num_positive**2
        + moment(benign, benign, num_with["benign"]) / num_negative**2
        + crossed
        + crossed.T
    )
    return aucs, covariance


def delong_auc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Groups = None,
    *,
    transform: Literal["logit", "none"] = "logit",
    confidence: float = 0.95,
) -> AUCEstimate:
    """AUC with DeLong's interval.

    Args:
        labels: 0 or 1, [n].
        scores: finite, [n].
        groups: the patient of each case, [n]; None: one case per patient.
        transform: ``logit`` makes the interval on the logit scale, where it cannot leave 0..1 and covers better near
            1 (Pepe 2003, section 5.2.4); ``none`` is DeLong's own, cut at 0 and 1.
        confidence: of the interval.

    Returns:
        At perfect separation, where the variance is zero, the limits are NaN and the method says so.
    """
    aucs, covariance = delong_covariance(labels, scores, groups)
    value, error = float(aucs[0]), float(np.sqrt(covariance[0, 0]))
    words = _method("DeLong", groups)
    if error == 0:
        return AUCEstimate(value, np.nan, np.nan, f"{words}: undefined at zero variance")
    margin = float(stats.norm.ppf((1 + confidence) / 2)) * error
    if transform == "none":
        return AUCEstimate(value, max(0.0, value - margin), min(1.0, value + margin), words)
    centre, margin = float(np.log(value / (1 - value))), margin / (value * (1 - value))
    low, high = (float(1 / (1 + np.exp(-limit))) for limit in (centre - margin, centre + margin))
    return AUCEstimate(value, low, high, f"{words}, logit-transformed")


def delong_paired_test(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, groups: Groups = None, *, confidence: float = 0.95
) -> AUCDifference:
    """Test two models on the same cases.

    Args:
        labels: 0 or 1, [n].
        first: scores of the first model, [n].
        second: scores of the second model, [n].
        groups: the patient of each case, [n]; None: one case per patient.
        confidence: of the interval of the difference.
    """
    aucs, covariance = delong_covariance(labels, np.stack([np.asarray(first), np.asarray(second)]), groups)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return _difference(float(aucs[0] - aucs[1]), variance, _method("DeLong, paired", groups), confidence)


def delong_unpaired_test(
    first_labels: ArrayLike,
    first_scores: ArrayLike,
    second_labels: ArrayLike,
    second_scores: ArrayLike,
    first_groups: Groups = None,
    second_groups: Groups = None,
    *,
    confidence: float = 0.95,
) -> AUCDifference:
    """Test two AUCs from different, independent cases (two subgroups, two hospitals).

    Args:
        first_labels: 0 or 1, [n].
        first_scores: finite, [n].
        second_labels: 0 or 1, [m].
        second_scores: finite, [m].
        first_groups: the patient of each case, [n]; None: one case per patient.
        second_groups: the patient of each case, [m]; None: one case per patient.
        confidence: of the interval of the difference.
    """
    (first,), first_variance = delong_covariance(first_labels, first_scores, first_groups)
    (second,), second_variance = delong_covariance(second_labels, second_scores, second_groups)
    variance = float(first_variance[0, 0] + second_variance[0, 0])
    return _difference(float(first - second), variance, "DeLong, unpaired", confidence)


def _method(name: str, groups: Groups) -> str:
    clustered = groups is not None and len(np.unique(np.asarray(groups))) < len(groups)
    return f"{name}, clustered by patient (Obuchowski 1997)" if clustered else name


def _difference(difference: float, variance: float, words: str, confidence: float) -> AUCDifference:
    # Two equal columns leave a variance of about 1e-17, of either sign.
    error = float(np.sqrt(variance)) if variance > 1e-15 else 0.0
    if error == 0:
        if abs(difference) < 1e-12:
            return AUCDifference(0.0, 0.0, 0.0, 0.0, 1.0, words)
        return AUCDifference(difference, np.nan, np.nan, np.nan, np.nan, f"{words}: undefined at zero variance")
    z = difference / error
    margin = float(stats.norm.ppf((1 + confidence) / 2)) * error
    p = float(2 * stats.norm.sf(abs(z)))
    return AUCDifference(difference, difference - margin, difference + margin, z, p, words)


def _components(positive: BoolArray, scores: FloatArray) -> FloatArray:
    """Structural components float64 [n]: the share of the other class that a case is ordered rightly against.

    What mid-ranks give, by binary search: questions asked in order are answered from the cache.
    """
    components = np.empty(len(scores))
    for own, other, is_malignant in ((positive, ~positive, True), (~positive, positive, False)):
        values, others = scores[own], np.sort(scores[other])
        order = np.argsort(values)
        ascending = values[order]
        twice_below = np.searchsorted(others, ascending, "left") + np.searchsorted(others, ascending, "right")
        share_below = np.empty(len(values))
        share_below[order] = twice_below / (2 * len(others))
        components[own] = share_below if is_malignant else 1 - share_below
    return components
