"""Does acting on the score do more good than harm? Decision curves of Vickers & Elkin (Med. Decis. Making 2006).

Whoever acts from a probability p on says that a missed cancer is worth (1 - p) / p needless biopsies. On that scale
the net benefit of acting is TP/n - FP/n * p / (1 - p): true positives per case, less the needless biopsies at their
price. It is compared with a biopsy for all and with none, whose net benefit is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from wauve_dist.evaluation.auc import Groups
from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, checked_scores, group_codes

# Where one BI-RADS category ends and the next begins, as a probability of cancer (ACR BI-RADS Atlas, 5th ed., 2013):
# 3 | 4A, 4A | 4B, 4B | 4C and 4C | 5.
BIRADS_BOUNDARIES = (0.02, 0.10, 0.50, 0.95)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit, in true positives per case, by the probability from which one would act.

    Attributes:
        probability: rising, within 0..1 without the ends, float64 [P].
        net_benefit: of acting on the score, float64 [P].
        ci_low: pointwise lower limit, float64 [P].
        ci_high: pointwise upper limit, float64 [P].
        biopsy_for_all: net benefit of acting on every case, float64 [P]; that of acting on none is 0.
        method: how the limits were made, in words.
        resamples: bootstrap resamples behind the limits.
    """

    probability: FloatArray
    net_benefit: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    biopsy_for_all: FloatArray
    method: str
    resamples: int


def net_benefit(labels: ArrayLike, scores: ArrayLike, probability: ArrayLike) -> FloatArray:
    """Net benefit of acting on every score at or above a probability.

    Args:
        labels: 0 or 1, [n].
        scores: probabilities 0..1, [n].
        probability: above 0 and below 1, [P].

    Returns:
        float64 [P].

    Raises:
        OneClassError: one of the classes is absent.
        EvaluationError: a probability of 0 or 1, or beyond.
    """
    positive, values = checked_scores(labels, scores)
    once = np.ones((1, len(values)), dtype=np.int32)
    return _net_benefit(once, positive, values, _checked(probability)).ravel()


def decision_curve(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Groups = None,
    *,
    probability: ArrayLike,
    seed: int,
    num_resamples: int = 9999,
    confidence: float = 0.95,
) -> DecisionCurve:
    """Net benefit with a pointwise bootstrap interval; patients are drawn, with all of their cases.

    Args:
        labels: 0 or 1, [n].
        scores: probabilities 0..1, [n].
        groups: the patient of each case, [n]; None: every case is a patient of its own.
        probability: above 0 and below 1, rising, [P].
        seed: of the resamples.
        num_resamples: of the bootstrap.
        confidence: of each interval by itself.

    Raises:
        OneClassError: one of the classes is absent.
        EvaluationError: a probability of 0 or 1, or beyond; a single patient.
    """
    positive, values = checked_scores(labels, scores)
    at = _checked(probability)
    codes = group_codes(groups, len(values))

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        return _net_benefit(multiplicities, positive, values, at)

    low, high = percentile_interval(bootstrap(statistic, codes, num_resamples, seed).values, confidence)
    unit = "cases" if len(np.unique(codes)) == len(codes) else "patients"
    prevalence = positive.mean()
    return DecisionCurve(
        probability=at,
        net_benefit=net_benefit(positive, values, at),
        ci_low=low,
        ci_high=high,
        biopsy_for_all=prevalence - (1 - prevalence) * at / (1 - at),
        method=f"bootstrap of {unit}, percentile, pointwise",
        resamples=num_resamples,
    )


def _net_benefit(
    multiplicities: Multiplicities, positive: BoolArray, scores: FloatArray, probability: FloatArray
) -> FloatArray:
    """float64 [B, P] of multiplicities int32 [B, n]."""
    # Cases between two neighbouring probabilities fall together: one column each, then a sum from the right.
    column = np.searchsorted(probability, scores, side="right")
    indicator = np.zeros((len(scores), len(probability) + 1))
    indicator[np.arange(len(scores)), column] = 1.0
    weight = multiplicities.astype(np.float64)
    counts = [
        np.cumsum((weight @ (indicator * of[:, None]))[:, :0:-1], axis=1)[:, ::-1] for of in (positive, ~positive)
    ]
    price = probability / (1 - probability)
    return np.asarray((counts[0] - counts[1] * price) / weight.sum(axis=1, keepdims=True))


def _checked(probability: ArrayLike) -> FloatArray:
    at = np.asarray(probability, dtype=np.float64)
    if not ((at > 0) & (at < 1)).all() or (np.diff(at) <= 0).any():
        raise EvaluationError("net benefit needs rising probabilities above 0 and below 1: at 1 no harm would count.")
    return at
