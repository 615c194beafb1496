"""A threshold, the calls it makes, and every figure of the resulting 2x2 table.

A score at or above the threshold is the call "malignant". Thresholds are positive, so that a score of 0, which a
video without any found lesion counts as, is always the call "benign".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from wauve_dist.evaluation.auc import Groups
from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.inputs import EvaluationError, FloatArray, checked_scores, group_codes
from wauve_dist.evaluation.proportions import (
    Proportion,
    clopper_pearson,
    negative_predictive_value,
    positive_predictive_value,
)

RULES = "youden, sensitivity=0.95 or specificity=0.90 (any share above 0 and up to 1)"
PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from.

    Attributes:
        value: a score at or above it is called malignant; above 0.
        rule: ``given``, or the rule that chose it.
        same_data: it was chosen on the cases that it is judged on, which flatters every figure at it.
    """

    value: float
    rule: str
    same_data: bool


@dataclass(frozen=True)
class Confusion:
    """The 2x2 table: true or false, positive (called malignant) or negative."""

    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True)
class F1Estimate:
    """F1 = 2 TP / (2 TP + FP + FN) with its bootstrap interval; NaN where nothing is malignant or called so."""

    value: float
    ci_low: float
    ci_high: float
    method: str
    resamples: int
    redrawn: int


@dataclass(frozen=True)
class OperatingPoint:
    """Everything at one threshold.

    Attributes:
        by_patient: metric to bootstrap limits by patient, which beside the binomial intervals respect that a patient
            has several cases; at 0 % and 100 % the exact limits for as many patients; empty where every patient has
            one.
    """

    threshold: Threshold
    confusion: Confusion
    sensitivity: Proportion
    specificity: Proportion
    ppv: Proportion
    npv: Proportion
    accuracy: Proportion
    f1: F1Estimate
    by_patient: dict[str, tuple[float, float]]


def given_threshold(value: float) -> Threshold:
    """Take a threshold that was fixed beforehand.

    Raises:
        EvaluationError: not above 0 and at most 1.
    """
    if not 0 < value <= 1:
        raise EvaluationError(
            f"--threshold {value:g} must lie above 0 and at most at 1: scores are probabilities, and a video in which "
            "no lesion was found counts as 0, a benign call."
        )
    return Threshold(float(value), "given", same_data=False)


def choose_threshold(labels: ArrayLike, scores: ArrayLike, rule: str) -> Threshold:
    """Choose a threshold among the positive scores of these very cases.

    Args:
        labels: 0 or 1, [n].
        scores: 0..1, [n].
        rule: ``youden`` (largest sensitivity + specificity - 1; of equals the lowest threshold, since a missed cancer
            is worse than a needless biopsy), ``sensitivity=S`` (the highest threshold that reaches S) or
            ``specificity=S`` (the lowest threshold that reaches S).

    Raises:
        EvaluationError: an unknown rule, or one that no positive threshold satisfies.
    """
    positive, values = checked_scores(labels, scores)
    target = _parse_rule(rule)
    candidates = np.unique(values[values > 0])
    # One step above the highest score nothing is called malignant: specificity 1 can always be had.
    candidates = np.append(candidates, np.nextafter(candidates[-1] if len(candidates) else 0.0, np.inf))
    sensitivity = _share_at_or_above(values[positive], candidates)
    specificity = 1 - _share_at_or_above(values[~positive], candidates)
    if target is None:
        youden = sensitivity + specificity
        best = int(np.flatnonzero(youden >= youden.max() - 1e-12)[0])
    elif rule.startswith("sensitivity"):
        if sensitivity[0] < target:
            raise EvaluationError(
                f"--threshold-rule {rule}: the highest sensitivity that a threshold above 0 reaches is "
                f"{sensitivity[0]:.4f}, since the other malignant videos score 0. Ask for less, or find their lesions."
            )
        best = int(np.flatnonzero(sensitivity >= target)[-1])
    else:
        best = int(np.flatnonzero(specificity >= target)[0])
    return Threshold(float(candidates[best]), rule, same_data=True)


def confusion(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Confusion:
    """Count the calls at a threshold."""
    positive, values = checked_scores(labels, scores)
    called = values >= threshold
    return Confusion(
        tp=int((positive & called).sum()),
        fp=int((~positive & called).sum()),
        fn=int((positive & ~called).sum()),
        tn=int((~positive & ~called).sum()),
    )


def evaluate_operating_point(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: Threshold,
    groups: Groups = None,
    *,
    seed: int,
    num_resamples: int = 9999,
    confidence: float = 0.95,
) -> OperatingPoint:
    """Every figure at a threshold: Clopper-Pearson, Mercaldo's logit for predictive values, bootstrap for F1.

    The threshold stays fixed in the resamples; what choosing it on the same data adds is not in the intervals.

    Args:
        labels: 0 or 1, [n].
        scores: 0..1, [n].
        threshold: given or chosen.
        groups: the patient of each case, [n]; None: one case per patient.
        seed: of the resamples.
        num_resamples: for F1 and the limits by patient.
        confidence: of all intervals.
    """
    counts = confusion(labels, scores, threshold.value)
    tp, fp, fn, tn = counts.tp, counts.fp, counts.fn, counts.tn
    positive, values = checked_scores(labels, scores)
    called = values >= threshold.value
    cells = np.stack([positive & called, ~positive & called, positive & ~called, ~positive & ~called], axis=1)
    codes = group_codes(groups, len(values))
    several_per_patient = len(np.unique(codes)) < len(codes)

    def f1_statistic(multiplicities: Multiplicities) -> FloatArray:
        return _metrics(multiplicities @ cells.astype(np.int32))["f1"]

    def all_proportions(multiplicities: Multiplicities) -> FloatArray:
        metrics = _metrics(multiplicities @ cells.astype(np.int32))
        return np.stack([metrics[name] for name in PROPORTIONS], axis=1)

    f1 = F1Estimate(np.nan, np.nan, np.nan, "undefined: nothing is called malignant rightly", 0, 0)
    if tp:
        distribution = bootstrap(f1_statistic, codes, num_resamples, seed)
        low, high = (float(limit) for limit in percentile_interval(distribution.values, confidence))
        unit = "patients" if several_per_patient else "cases"
        f1 = F1Estimate(
            2 * tp / (2 * tp + fp + fn),
            low,
            high,
            f"bootstrap of {unit}, percentile",
            num_resamples,
            distribution.num_redrawn,
        )
    by_patient: dict[str, tuple[float, float]] = {}
    if several_per_patient and tp + fp and tn + fn:
        lows, highs = percentile_interval(bootstrap(all_proportions, codes, num_resamples, seed).values, confidence)
        by_patient = {name: (float(low), float(high)) for name, low, high in zip(PROPORTIONS, lows, highs, strict=True)}
        counted = (positive, ~positive, called, ~called, np.ones_like(positive))
        for (name, (low, high)), of in zip(list(by_patient.items()), counted, strict=True):
            if low == high and low in (0.0, 1.0):
                # All right or all wrong: every resample agrees, and the bootstrap would promise certainty.
                num_patients = len(np.unique(codes[of]))
                exact = clopper_pearson(round(low * num_patients), num_patients, confidence)
                by_patient[name] = exact.ci_low, exact.ci_high
    return OperatingPoint(
        threshold=threshold,
        confusion=counts,
        sensitivity=clopper_pearson(tp, tp + fn, confidence),
        specificity=clopper_pearson(tn, tn + fp, confidence),
        ppv=positive_predictive_value(tp, fp, fn, tn, confidence),
        npv=negative_predictive_value(tp, fp, fn, tn, confidence),
        accuracy=clopper_pearson(tp + tn, len(values), confidence),
        f1=f1,
        by_patient=by_patient,
    )


def _metrics(cells: Multiplicities) -> dict[str, FloatArray]:
    """Figures of 2x2 tables [B, 4] (tp, fp, fn, tn): float64 [B] each, NaN where undefined."""
    tp, fp, fn, tn = cells.astype(np.float64).T
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, which the bootstrap redraws
        return {
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "f1": 2 * tp / (2 * tp + fp + fn),
        }


def _share_at_or_above(scores: FloatArray, candidates: FloatArray) -> FloatArray:
    return 1 - np.searchsorted(np.sort(scores), candidates, side="left") / len(scores)


def _parse_rule(rule: str) -> float | None:
    """Return the target share of a rule, or None for Youden's."""
    if rule == "youden":
        return None
    match = re.fullmatch(r"(?:sensitivity|specificity)=(\d*\.?\d+)", rule)
    target = float(match[1]) if match else 0.0
    if not 0 < target <= 1:
        raise EvaluationError(f"--threshold-rule {rule!r} is not one of {RULES}.")
    return target
