"""ROC curves, and how far resampling moves them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wauve_dist.evaluation.auc import Groups
from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.inputs import FloatArray, IntArray, checked_scores, group_codes

_ROUNDING = 1e-12  # 1 - 0.95 is not 1 / 20 in binary


class RocCurve(NamedTuple):
    """Points from (0, 0) to (1, 1), one per distinct score.

    Attributes:
        false_positive_rate: float64 [L + 1], rising from 0 to 1.
        true_positive_rate: float64 [L + 1], rising from 0 to 1.
        thresholds: float64 [L + 1], falling; the first, infinity, calls nothing malignant.
    """

    false_positive_rate: FloatArray
    true_positive_rate: FloatArray
    thresholds: FloatArray


class RocBand(NamedTuple):
    """Pointwise limits of the true positive rate at given false positive rates, float64 [P] each."""

    false_positive_rate: FloatArray
    low: FloatArray
    high: FloatArray


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Empirical ROC curve.

    Raises:
        OneClassError: one of the classes is absent.
    """
    positive, values = checked_scores(labels, scores)
    order = np.argsort(-values, kind="stable")
    ends = level_ends(values[order])
    true = np.cumsum(positive[order])[ends]
    false = np.cumsum(~positive[order])[ends]
    return RocCurve(
        np.append(0.0, false / false[-1]),
        np.append(0.0, true / true[-1]),
        np.append(np.inf, values[order][ends]),
    )


def sensitivity_at_specificity(labels: ArrayLike, scores: ArrayLike, specificity: float) -> float:
    """Return the highest sensitivity of any threshold whose specificity is at least that, all shares 0..1.

    Raises:
        OneClassError: one of the classes is absent.
    """
    curve = roc_curve(labels, scores)
    return float(curve.true_positive_rate[curve.false_positive_rate <= 1 - specificity + _ROUNDING].max())


def specificity_at_sensitivity(labels: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """Return the highest specificity of any threshold whose sensitivity is at least that, all shares 0..1.

    Raises:
        OneClassError: one of the classes is absent.
    """
    curve = roc_curve(labels, scores)
    return float(1 - curve.false_positive_rate[curve.true_positive_rate >= sensitivity - _ROUNDING].min())


def roc_band(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Groups = None,
    *,
    seed: int,
    num_resamples: int = 9999,
    confidence: float = 0.95,
    num_points: int = 101,
) -> RocBand:
    """Pointwise bootstrap band of the ROC curve (vertical: at fixed false positive rates; Fawcett 2006).

    The resamples are those of ``bootstrap_auc`` with the same seed. A pointwise band does not hold the whole curve
    with the stated confidence.
    """
    positive, values = checked_scores(labels, scores)
    order = np.argsort(-values, kind="stable")
    ends = level_ends(values[order])
    is_positive = positive[order]
    grid = np.linspace(0, 1, num_points)

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        drawn = multiplicities[:, order]
        true = np.cumsum(drawn * is_positive, axis=1)[:, ends]
        false = np.cumsum(drawn * ~is_positive, axis=1)[:, ends]
        rates = np.full((len(drawn), num_points), np.nan)
        for row in np.flatnonzero((true[:, -1] > 0) & (false[:, -1] > 0)):
            # Where the curve is vertical, np.interp takes its upper end.
            false_rate = np.append(0, false[row]) / false[row, -1]
            rates[row] = np.interp(grid, false_rate, np.append(0, true[row]) / true[row, -1])
        return rates

    values_by_point = bootstrap(statistic, group_codes(groups, len(values)), num_resamples, seed).values
    low, high = percentile_interval(values_by_point, confidence)
    return RocBand(grid, low, high)


def level_ends(falling_scores: FloatArray) -> IntArray:
    """Index of the last case of each run of equal scores, intp [L]."""
    return np.flatnonzero(np.append(np.diff(falling_scores) != 0, True)[: len(falling_scores)])
