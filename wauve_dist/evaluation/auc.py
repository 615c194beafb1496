"""Area under the ROC curve: the estimate and its bootstrap interval.

The empirical AUC is the probability that a malignant case scores higher than a benign one, ties counting one half
(Hanley & McNeil, Radiology 1982). DeLong's analytic interval and tests are in ``delong.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from wauve_dist.evaluation.bootstrap import (
    Multiplicities,
    Statistic,
    bca_interval,
    bootstrap,
    leave_one_out,
    percentile_interval,
)
from wauve_dist.evaluation.inputs import BoolArray, FloatArray, IntArray, OneClassError, checked_scores, group_codes

Groups = Sequence[object] | NDArray[np.generic] | None


@dataclass(frozen=True)
class AUCEstimate:
    """An AUC with its interval.

    Attributes:
        value: 0..1.
        ci_low: lower limit, 0..1.
        ci_high: upper limit, 0..1.
        method: how the interval was made, in words.
        resamples: bootstrap resamples behind the interval; 0 for an analytic one.
        redrawn: resamples that held one class only and were drawn anew.
    """

    value: float
    ci_low: float
    ci_high: float
    method: str
    resamples: int = 0
    redrawn: int = 0


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Empirical AUC (Mann-Whitney with mid-ranks), O(n log n).

    Args:
        labels: 0 or 1, [n].
        scores: finite, higher is more malignant, [n].

    Raises:
        OneClassError: one of the classes is absent.
    """
    positive, values = checked_scores(labels, scores)
    num_positive = int(positive.sum())
    rank_sum = float(stats.rankdata(values)[positive].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * (len(values) - num_positive))


def bootstrap_auc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Groups = None,
    *,
    seed: int,
    num_resamples: int = 9999,
    method: Literal["percentile", "bca"] = "percentile",
    stratified: bool = False,
    confidence: float = 0.95,
) -> AUCEstimate:
    """AUC with a bootstrap interval; patients are drawn, with all of their cases.

    At perfect separation every resample has the same AUC and the bootstrap says nothing. There the interval is the
    exact one for disjoint pairs: among min(malignant, benign) pairs that share no patient, each is ordered rightly
    with probability AUC, independently, so the Clopper-Pearson limits of "all of them" hold.

    Args:
        labels: 0 or 1, [n].
        scores: finite, [n].
        groups: the patient of each case, [n]; None: every case is a patient of its own.
        seed: of the resamples.
        num_resamples: the paper draws 9,999.
        method: ``percentile`` or ``bca`` (bias-corrected and accelerated, jackknife by patient).
        stratified: draw malignant and benign patients separately, so that their numbers stay fixed.
        confidence: of the interval.

    Raises:
        OneClassError: one of the classes is absent.
        EvaluationError: a single patient.
    """
    positive, values = checked_scores(labels, scores)
    codes = group_codes(groups, len(values))
    unit = "cases" if len(np.unique(codes)) == len(codes) else "patients"
    estimate = auc(positive, values)
    if estimate in (0.0, 1.0):
        return _perfect_separation(estimate, positive, codes, unit, confidence)
    statistic = auc_statistic(positive, values)
    strata = positive.astype(np.intp) if stratified else None
    distribution = bootstrap(statistic, codes, num_resamples, seed, strata)
    if method == "percentile":
        low, high = (float(limit) for limit in percentile_interval(distribution.values, confidence))
    else:
        jackknife = leave_one_out(statistic, codes)
        if np.isnan(jackknife).any():
            raise OneClassError(
                "all cases of one class are of a single patient: the BCa interval, which leaves each patient out in "
                "turn, is undefined. Use the percentile interval."
            )
        low, high = bca_interval(distribution.values, estimate, jackknife, confidence)
    words = (
        f"bootstrap of {unit}{', stratified by class' if stratified else ''}, {'BCa' if method == 'bca' else method}"
    )
    return AUCEstimate(estimate, low, high, words, num_resamples, distribution.num_redrawn)


def auc_statistic(positive: BoolArray, scores: FloatArray) -> Statistic:
    """Return the AUC as a function of multiplicities: int32 [B, n] to float64 [B], NaN where a class is absent.

    Scores are sorted once. For a malignant case the benign weight below it is read from a cumulative sum; with
    ties, the mean of the weights strictly below and at most equal.
    """
    negatives = np.flatnonzero(~positive)[np.argsort(scores[~positive], kind="stable")]
    positives = np.flatnonzero(positive)
    num_below = np.searchsorted(scores[negatives], scores[positives], side="left")
    num_up_to = np.searchsorted(scores[negatives], scores[positives], side="right")
    tied = np.flatnonzero(num_up_to > num_below)

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        benign_weight = np.zeros((len(multiplicities), len(negatives) + 1), dtype=np.int32)
        np.cumsum(multiplicities[:, negatives], axis=1, out=benign_weight[:, 1:])
        weight = multiplicities[:, positives]
        twice_won = 2 * np.einsum("bi,bi->b", weight, benign_weight[:, num_below], dtype=np.int64)
        if len(tied):
            tied_weight = benign_weight[:, num_up_to[tied]] - benign_weight[:, num_below[tied]]
            twice_won += np.einsum("bi,bi->b", weight[:, tied], tied_weight, dtype=np.int64)
        num_pairs = weight.sum(axis=1, dtype=np.float64) * benign_weight[:, -1]
        values = np.full(len(weight), np.nan)
        np.divide(twice_won / 2, num_pairs, out=values, where=num_pairs > 0)
        return values

    return statistic


def _perfect_separation(
    estimate: float, positive: BoolArray, codes: IntArray, unit: str, confidence: float
) -> AUCEstimate:
    with_positive, with_negative = np.unique(codes[positive]), np.unique(codes[~positive])
    num_patients = len(np.union1d(with_positive, with_negative))
    # A pair takes two patients; one who has both kinds can serve in one pair only.
    num_pairs = min(len(with_positive), len(with_negative), num_patients // 2)
    bound = ((1 - confidence) / 2) ** (1 / num_pairs) if num_pairs else 0.0
    low, high = (bound, 1.0) if estimate == 1.0 else (0.0, 1 - bound)
    words = f"exact for perfect separation (Clopper-Pearson on {num_pairs} disjoint pairs of {unit})"
    return AUCEstimate(estimate, low, high, words)
