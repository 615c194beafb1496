"""The nonparametric bootstrap by patient: how often each case is drawn, as a matrix, never as copied data.

Symbols: n cases, G independent units (patients), B resamples of a chunk.

A statistic is a function of the multiplicities int32 [B, n]. Sorting, ranking and thresholding are thus done once,
and a resample costs a cumulative sum or a product (Efron & Tibshirani, An Introduction to the Bootstrap, 1993,
chapters 13 and 14; clusters as units: Field & Welsh, J. R. Stat. Soc. B 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, IntArray

Multiplicities = NDArray[np.int32]
Statistic = Callable[[Multiplicities], FloatArray]

# 2**17 int64 cells are 1 MiB: a chunk stays in the second-level cache, where filling it is fastest.
_CHUNK_CELLS = 1 << 17


class BootstrapDistribution(NamedTuple):
    """Values of a statistic over resamples.

    Attributes:
        values: float64 [num_resamples, ...], without NaN.
        num_redrawn: resamples for which the statistic was undefined (one class only) and that were drawn anew.
    """

    values: FloatArray
    num_redrawn: int


def bootstrap(
    statistic: Statistic,
    codes: IntArray,
    num_resamples: int,
    seed: int,
    strata: IntArray | None = None,
) -> BootstrapDistribution:
    """Evaluate ``statistic`` on resamples of units with replacement.

    Args:
        statistic: multiplicities int32 [B, n] to float64 [B, ...]; NaN where a resample leaves it undefined.
        codes: the unit 0..G-1 of each case, intp [n] (see ``group_codes``).
        num_resamples: how many defined values to collect.
        seed: the same seed and codes draw the same resamples, whatever the statistic: comparisons stay paired.
        strata: a number per case; units are drawn within their stratum. A unit that has cases in several strata
            is one of a stratum of such units.

    Raises:
        EvaluationError: fewer than two units, no resample asked for, or a statistic that is hardly ever defined.
    """
    if num_resamples < 1:
        raise EvaluationError(f"--resamples {num_resamples}: at least 1 is needed, 9999 are customary.")
    collected: list[FloatArray] = []
    num_kept = num_redrawn = 0
    for multiplicities in _resamples(codes, num_resamples, seed, strata):
        values = statistic(multiplicities)
        undefined: BoolArray = np.asarray(np.isnan(values).any(axis=tuple(range(1, values.ndim))))
        kept = values[~undefined][: num_resamples - num_kept]
        collected.append(kept)
        num_kept += len(kept)
        if num_kept == num_resamples:
            # Only the undefined ones before the last that was kept have been redrawn.
            last = np.flatnonzero(~undefined)[len(kept) - 1]
            num_redrawn += int(undefined[:last].sum())
            return BootstrapDistribution(np.concatenate(collected), num_redrawn)
        num_redrawn += int(undefined.sum())
        if num_redrawn > 9 * num_resamples:
            raise EvaluationError(
                f"{num_redrawn} of {num_redrawn + num_kept} bootstrap resamples leave the statistic undefined: there "
                "are too few independent patients for a bootstrap interval."
            )
    raise AssertionError("the stream of resamples never ends")


def percentile_interval(values: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Equal-tailed percentile limits over the first axis of [num_resamples, ...]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return low, high


def bca_interval(values: FloatArray, estimate: float, jackknife: FloatArray, confidence: float) -> tuple[float, float]:
    """Bias-corrected and accelerated limits (Efron, J. Am. Stat. Assoc. 1987).

    Args:
        values: float64 [num_resamples].
        estimate: the statistic on the data themselves.
        jackknife: the statistic with each unit left out in turn, float64 [G].
        confidence: such as 0.95.

    Raises:
        EvaluationError: all resamples lie on one side of the estimate, or leaving a unit out never changes it.
    """
    below = (np.mean(values < estimate) + np.mean(values <= estimate)) / 2
    influence = jackknife.mean() - jackknife
    spread = float(np.sum(influence**2))
    if not 0 < below < 1 or spread == 0:
        raise EvaluationError(
            f"the BCa interval is undefined: {below:.0%} of the resamples lie below the estimate {estimate:g}. "
            "Use the percentile interval."
        )
    bias = stats.norm.ppf(below)
    acceleration = float(np.sum(influence**3)) / (6 * spread**1.5)
    tail = stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    shares = stats.norm.cdf(bias + (bias + tail) / (1 - acceleration * (bias + tail)))
    low, high = np.quantile(values, shares)
    return float(low), float(high)


def leave_one_out(statistic: Statistic, codes: IntArray) -> FloatArray:
    """Evaluate ``statistic`` with each unit left out in turn: float64 [G]; NaN where that leaves it undefined."""
    num_units = int(codes.max()) + 1
    rows = max(1, _CHUNK_CELLS // len(codes))
    chunks = [
        statistic((np.arange(first, min(first + rows, num_units))[:, None] != codes).astype(np.int32))
        for first in range(0, num_units, rows)
    ]
    return np.concatenate(chunks)


def _resamples(codes: IntArray, num_resamples: int, seed: int, strata: IntArray | None) -> Iterator[Multiplicities]:
    """Yield multiplicities int32 [B, n] for ever."""
    num_units = int(codes.max()) + 1 if len(codes) else 0
    if num_units < 2:
        raise EvaluationError(f"a bootstrap needs at least 2 independent patients, there are {num_units}.")
    one_case_each = np.array_equal(codes, np.arange(len(codes)))
    members = [np.arange(num_units)] if strata is None else _units_by_stratum(codes, strata)
    rows = min(num_resamples, max(1, _CHUNK_CELLS // num_units))
    rng = np.random.default_rng(seed)
    row_offsets = num_units * np.arange(rows)[:, None]
    while True:
        counts = np.zeros(rows * num_units, dtype=np.intp)
        for units in members:
            drawn = units[rng.integers(0, len(units), size=(rows, len(units)), dtype=np.uint32)]
            counts += np.bincount((drawn + row_offsets).ravel(), minlength=rows * num_units)
        per_unit = counts.reshape(rows, num_units).astype(np.int32)
        yield per_unit if one_case_each else per_unit[:, codes]


def _units_by_stratum(codes: IntArray, strata: IntArray) -> list[IntArray]:
    """Split the units 0..G-1 by the set of strata that their cases belong to."""
    _, stratum = np.unique(strata, return_inverse=True)
    present = np.zeros((int(codes.max()) + 1, int(stratum.max()) + 1), dtype=bool)
    present[codes, stratum] = True
    _, signature = np.unique(present, axis=0, return_inverse=True)
    return [np.flatnonzero(signature.ravel() == value) for value in range(int(signature.max()) + 1)]
