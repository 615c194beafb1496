"""Ratios of what adds up over videos, with bootstrap intervals by patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.inputs import FloatArray, group_codes


@dataclass(frozen=True)
class Ratio:
    """A ratio of two sums between its bootstrap limits.

    Attributes:
        value: NaN if there is nothing to divide by.
        ci_low: NaN if there is no interval.
        ci_high: NaN if there is no interval.
        numerator: sum over all videos.
        denominator: likewise.
        method: how the limits were made, in words, or why there are none.
        resamples: of the bootstrap; 0 without.
        redrawn: resamples with nothing to divide by that were drawn anew.
    """

    value: float
    ci_low: float
    ci_high: float
    numerator: float
    denominator: float
    method: str
    resamples: int
    redrawn: int


def ratio_by_patient(
    numerator: pd.Series,
    denominator: pd.Series,
    patients: Mapping[str, str],
    *,
    seed: int,
    num_resamples: int = 999,
    confidence: float = 0.95,
) -> Ratio:
    """Divide two sums over videos; the interval is that of drawing patients, with all of their videos.

    The same seed and patients draw the same resamples, whatever is divided.

    Args:
        numerator: a number per video; the index is video_id.
        denominator: likewise, not negative.
        patients: the patient of every video.
        seed: of the resamples.
        num_resamples: to draw.
        confidence: of the interval.

    Raises:
        EvaluationError: as ``bootstrap``, but for a single patient.
    """
    codes = group_codes(numerator.index.map(patients).to_numpy(str), len(numerator))
    num_patients = len(np.unique(codes))
    over, under = (np.bincount(codes, weights=series.reindex(numerator.index)) for series in (numerator, denominator))
    sums = float(over.sum()), float(under.sum())
    if not sums[1]:
        return Ratio(np.nan, np.nan, np.nan, *sums, "nothing to divide by", 0, 0)
    value = sums[0] / sums[1]
    if num_patients < 2:
        return Ratio(value, np.nan, np.nan, *sums, "no interval: a single patient", 0, 0)

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        top, bottom = multiplicities @ over, multiplicities @ under
        return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0))

    distribution = bootstrap(statistic, np.arange(num_patients), num_resamples, seed)
    low, high = (float(limit) for limit in percentile_interval(distribution.values, confidence))
    return Ratio(value, low, high, *sums, "bootstrap of patients, percentile", num_resamples, distribution.num_redrawn)
