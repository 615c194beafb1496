"""The part of the ROC curve that matters: where specificity, or sensitivity, is high enough to be of use.

Standardised after McClish (Med. Decis. Making 1989), so that guessing gives 0.5 and perfection 1. The area at high
sensitivity (Jiang, Metz & Nishikawa, Radiology 1996) is the same with the classes exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from wauve_dist.evaluation.auc import Groups
from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.curves import level_ends
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, checked_scores, group_codes


@dataclass(frozen=True)
class PartialAUC:
    """A standardised partial AUC with its interval.

    Attributes:
        focus: the rate that is held high.
        at_least: from where on it counts, 0..1.
        value: 0.5 for guessing, 1 for perfection.
        ci_low: lower limit.
        ci_high: upper limit; NaN, both, where all resamples agree on perfection and so tell nothing.
        method: in words.
        resamples: of the bootstrap.
        redrawn: resamples that held one class only and were drawn anew.
    """

    focus: Literal["specificity", "sensitivity"]
    at_least: float
    value: float
    ci_low: float
    ci_high: float
    method: str
    resamples: int
    redrawn: int


def partial_auc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Groups = None,
    *,
    focus: Literal["specificity", "sensitivity"],
    at_least: float,
    seed: int,
    num_resamples: int = 9999,
    confidence: float = 0.95,
) -> PartialAUC:
    """Standardised area where ``focus`` is at least ``at_least``, with a bootstrap interval by patient.

    Args:
        labels: 0 or 1, [n].
        scores: finite, [n].
        groups: the patient of each case, [n]; None: every case is a patient of its own.
        focus: ``specificity`` (few false alarms) or ``sensitivity`` (few missed cancers).
        at_least: 0 (the whole curve) up to, not including, 1.
        seed: of the resamples.
        num_resamples: of the bootstrap.
        confidence: of the interval.

    Raises:
        OneClassError: one of the classes is absent.
        EvaluationError: ``at_least`` out of range, or a single patient.
    """
    if not 0 <= at_least < 1:
        raise EvaluationError(f"a partial AUC needs a {focus} from 0 up to, not including, 1; got {at_least:g}.")
    positive, values = checked_scores(labels, scores)
    codes = group_codes(groups, len(values))
    if focus == "sensitivity":
        # Mirrored at the falling diagonal, the curve of high sensitivity is one of low false positive rates.
        positive, values = ~positive, -values

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        return _standardised(multiplicities, positive, values, 1 - at_least)

    value = float(statistic(np.ones((1, len(values)), dtype=np.int32))[0])
    distribution = bootstrap(statistic, codes, num_resamples, seed)
    low, high = (float(limit) for limit in percentile_interval(distribution.values, confidence))
    unit = "cases" if len(np.unique(codes)) == len(codes) else "patients"
    method = f"McClish standardised; bootstrap of {unit}, percentile"
    if low == high:
        low = high = np.nan
        method += "; every resample is alike, so that there is no interval"
    return PartialAUC(focus, at_least, value, low, high, method, num_resamples, distribution.num_redrawn)


def _standardised(
    multiplicities: Multiplicities, positive: BoolArray, scores: FloatArray, max_rate: float
) -> FloatArray:
    """Area up to a false positive rate, standardised: int32 [B, n] to float64 [B], NaN where a class is absent."""
    order = np.argsort(-scores, kind="stable")
    ends = level_ends(scores[order])
    drawn, is_positive = multiplicities[:, order], positive[order]
    true, false = (
        np.pad(np.cumsum(drawn * of, axis=1, dtype=np.int32)[:, ends], ((0, 0), (1, 0)))
        for of in (is_positive, ~is_positive)
    )
    limit = max_rate * false[:, -1]
    # Twice the trapezoids that lie before the limit, in pairs of cases.
    width, height = np.diff(false, axis=1), true[:, :-1] + true[:, 1:]
    twice = np.einsum("bl,bl,bl->b", width, height, false[:, 1:] <= limit[:, None], dtype=np.int64).astype(np.float64)
    # Of the segment that crosses it, straight as it is, the first part.
    row = np.flatnonzero(false[:, -1] > limit)
    end = (false[row] > limit[row, None]).argmax(axis=1)
    start = end - 1
    inside = limit[row] - false[row, start]
    share = inside / (false[row, end] - false[row, start])
    twice[row] += inside * (2 * true[row, start] + share * (true[row, end] - true[row, start]))
    num_pairs = true[:, -1].astype(np.float64) * false[:, -1]
    area = np.divide(twice / 2, num_pairs, out=np.full(len(twice), np.nan), where=num_pairs > 0)
    smallest, largest = max_rate**2 / 2, max_rate
    return np.asarray((1 + (area - smallest) / (largest - smallest)) / 2)
