"""Precision-recall curves: of the calls "malignant", how many are right, when how many cancers are found?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wauve_dist.evaluation.auc import Groups
from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.curves import level_ends
from wauve_dist.evaluation.inputs import FloatArray, checked_scores, group_codes

_NUM_BAND_POINTS = 101


class PrecisionRecallCurve(NamedTuple):
    """Points by rising recall, one per distinct score, float64 [L] each; ``thresholds`` falls."""

    recall: FloatArray
    precision: FloatArray
    thresholds: FloatArray


@dataclass(frozen=True)
class AveragePrecisionEstimate:
    """Average precision with its interval, 0..1."""

    value: float
    ci_low: float
    ci_high: float
    method: str
    resamples: int
    redrawn: int


@dataclass(frozen=True)
class PrecisionRecallBand:
    """Pointwise limits of the precision at given recalls, float64 [P] each."""

    recall: FloatArray
    low: FloatArray
    high: FloatArray


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Empirical precision-recall curve.

    Raises:
        OneClassError: one of the classes is absent.
    """
    positive, values = checked_scores(labels, scores)
    order = np.argsort(-values, kind="stable")
    ends = level_ends(values[order])
    true = np.cumsum(positive[order])[ends]
    return PrecisionRecallCurve(true / true[-1], true / (ends + 1), values[order][ends])


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve as a sum of steps, without interpolation (Davis & Goadrich, ICML 2006).

    Raises:
        OneClassError: one of the classes is absent.
    """
    curve = precision_recall_curve(labels, scores)
    return float(np.sum(np.diff(curve.recall, prepend=0) * curve.precision))


def precision_recall_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Groups = None,
    *,
    seed: int,
    num_resamples: int = 9999,
    confidence: float = 0.95,
) -> tuple[AveragePrecisionEstimate, PrecisionRecallBand]:
    """Bootstrap intervals of average precision and, pointwise, of the precision at fixed recalls.

    At a recall r the precision is that of the highest threshold that reaches r: steps, as in the area.

    Args:
        labels: 0 or 1, [n].
        scores: finite, [n].
        groups: the patient of each case, [n]; None: every case is a patient of its own.
        seed: of the resamples.
        num_resamples: of the bootstrap.
        confidence: of each interval by itself.

    Raises:
        OneClassError: one of the classes is absent.
        EvaluationError: a single patient.
    """
    positive, values = checked_scores(labels, scores)
    codes = group_codes(groups, len(values))
    order = np.argsort(-values, kind="stable")
    ends = level_ends(values[order])
    is_positive = positive[order]
    grid = np.linspace(0, 1, _NUM_BAND_POINTS)[1:]

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        drawn = multiplicities[:, order]
        true = np.cumsum(drawn * is_positive, axis=1)[:, ends].astype(np.float64)
        called = np.cumsum(drawn, axis=1)[:, ends]
        precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
        found = np.full((len(drawn), 1 + len(grid)), np.nan)
        rows = np.flatnonzero((true[:, -1] > 0) & (true[:, -1] < called[:, -1]))
        found[rows, 0] = (np.diff(true, axis=1, prepend=0) * precision).sum(axis=1)[rows] / true[rows, -1]
        # 0.29 * 100 is 28.999999999999996 or 29.000000000000004: what rounding adds must not ask for one more.
        needed = grid * true[:, -1:] - 1e-9
        for row in rows:
            found[row, 1:] = precision[row, np.searchsorted(true[row], needed[row])]
        return found

    distribution = bootstrap(statistic, codes, num_resamples, seed)
    low, high = percentile_interval(distribution.values, confidence)
    unit = "cases" if len(np.unique(codes)) == len(codes) else "patients"
    estimate = AveragePrecisionEstimate(
        average_precision(positive, values),
        float(low[0]),
        float(high[0]),
        f"bootstrap of {unit}, percentile",
        num_resamples,
        distribution.num_redrawn,
    )
    return estimate, PrecisionRecallBand(grid, low[1:], high[1:])
