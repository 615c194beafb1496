"""Does a score of 30 % mean that 30 of 100 such lesions are malignant?

The levels of Van Calster et al. (J. Clin. Epidemiol. 2016): mean (intercept), weak (intercept and slope of a
logistic recalibration, Cox 1958) and moderate calibration (the curve).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit, logit

from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, checked_scores
from wauve_dist.evaluation.proportions import Proportion, wilson

# A score of exactly 0 or 1 has no logit; one in a million is beyond what any sample here can tell from it.
_SMALLEST_PROBABILITY = 1e-6
_MAX_NEWTON_STEPS = 50


@dataclass(frozen=True)
class Coefficient:
    """A coefficient of the recalibration with its Wald interval; NaN where it does not exist."""

    value: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class CalibrationBin:
    """Cases with neighbouring scores: their mean score, 0..1, and how many of them are malignant."""

    mean_score: float
    observed: Proportion


@dataclass(frozen=True)
class Calibration:
    """Calibration of scores as probabilities.

    Attributes:
        n: cases.
        intercept: calibration in the large, on the logit scale; 0 is perfect, below 0 the scores are too high.
        slope: of the logistic recalibration; 1 is perfect, below 1 the scores are too extreme.
        slope_intercept: the intercept that was fitted with the slope; see ``recalibrated``.
        expected_calibration_error: mean distance of observed share and mean score over the bins, weighted by cases.
        bins: groups of equal size by score.
        method: in words.
    """

    n: int
    intercept: Coefficient
    slope: Coefficient
    slope_intercept: Coefficient
    expected_calibration_error: float
    bins: tuple[CalibrationBin, ...]
    method: str


def brier_score(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean squared distance of score and label (Brier 1950), 0 best."""
    positive, values = checked_scores(labels, scores)
    return float(np.mean((values - positive) ** 2))


def calibration(labels: ArrayLike, scores: ArrayLike, *, max_bins: int = 10, confidence: float = 0.95) -> Calibration:
    """Calibration intercept, slope, error and curve.

    Args:
        labels: 0 or 1, [n].
        scores: probabilities 0..1, [n].
        max_bins: groups of equal size by score; fewer where a group would hold less than 10 cases. Equal scores stay
            in one group.
        confidence: of the intervals.

    Raises:
        OneClassError: one of the classes is absent.
    """
    positive, values = checked_scores(labels, scores)
    logits = _logits(values)
    ones = np.ones((len(values), 1))
    intercept = _logistic_fit(ones, positive, logits, confidence)
    both = _logistic_fit(np.column_stack([ones, logits]), positive, np.zeros(len(values)), confidence)
    bins = _bins(positive, values, max(1, min(max_bins, len(values) // 10)))
    error = sum(abs(group.observed.value - group.mean_score) * group.observed.n for group in bins) / len(values)
    method = "logistic recalibration, Wald intervals; bins of equal size, Wilson intervals"
    if both is None:
        method += "; the slope does not exist (the scores separate the classes, or do not vary)"
    nowhere = Coefficient(np.nan, np.nan, np.nan)
    return Calibration(
        n=len(values),
        intercept=intercept[0] if intercept else nowhere,
        slope=both[1] if both else nowhere,
        slope_intercept=both[0] if both else nowhere,
        expected_calibration_error=error,
        bins=bins,
        method=method,
    )


def recalibrated(scores: ArrayLike, fitted: Calibration) -> FloatArray:
    """Probabilities by logistic recalibration: expit(slope_intercept + slope * logit(score)).

    Fitted on the same cases they flatter the calibration; the order of the scores, and with it the AUC, stays.

    Args:
        scores: probabilities 0..1, [n].
        fitted: on other cases of the same kind.

    Returns:
        float64 [n], 0..1.

    Raises:
        EvaluationError: the slope does not exist.
    """
    if np.isnan(fitted.slope.value):
        raise EvaluationError(f"scores cannot be recalibrated: {fitted.method}.")
    probabilities = expit(fitted.slope_intercept.value + fitted.slope.value * _logits(np.asarray(scores, np.float64)))
    return np.asarray(probabilities)


def _logits(scores: FloatArray) -> FloatArray:
    return np.asarray(logit(np.clip(scores, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)))


def _bins(positive: BoolArray, scores: FloatArray, num_bins: int) -> tuple[CalibrationBin, ...]:
    edges = np.quantile(scores, np.linspace(0, 1, num_bins + 1)[1:-1])
    index = np.searchsorted(np.unique(edges), scores, side="left")
    return tuple(
        CalibrationBin(
            float(scores[index == number].mean()),
            wilson(int(positive[index == number].sum()), int((index == number).sum())),
        )
        for number in np.unique(index)
    )


def _logistic_fit(
    design: FloatArray, positive: BoolArray, offset: FloatArray, confidence: float
) -> list[Coefficient] | None:
    """Maximum likelihood by Newton's method; None where the maximum lies at infinity (separated classes)."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(_MAX_NEWTON_STEPS):
        probability = expit(design @ coefficients + offset)
        information = design.T @ (design * (probability * (1 - probability))[:, None])
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, design.T @ (positive - probability))
        coefficients = coefficients + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            errors = np.sqrt(np.diag(np.linalg.inv(information)))
            margin = stats.norm.ppf((1 + confidence) / 2) * errors
            return [
                Coefficient(float(value), float(value - half), float(value + half))
                for value, half in zip(coefficients, margin, strict=True)
            ]
    return None
