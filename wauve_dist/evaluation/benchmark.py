"""How fast the statistics are, side by side with the plain way to compute them, in one run on one machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from wauve_dist.evaluation.auc import bootstrap_auc
from wauve_dist.evaluation.delong import delong_covariance
from wauve_dist.evaluation.inputs import BoolArray, FloatArray

_Result = TypeVar("_Result")

_BOOTSTRAP_CASES, _DELONG_CASES = 2000, 20000
# The best of several runs is what the code can do; the rest is what else the machine was doing.
_REPEATS = 5


@dataclass(frozen=True)
class Timing:
    """One task done in two ways.

    Attributes:
        task: in words.
        ours_s: best of five runs, seconds.
        ours_cpu_s: processor time of the run with the least, which other work on the machine hardly moves.
        reference: the other way, in words.
        reference_s: seconds; one run where it takes long.
        difference: largest absolute difference of the two results.
    """

    task: str
    ours_s: float
    ours_cpu_s: float
    reference: str
    reference_s: float
    difference: float


def benchmark_statistics(num_resamples: int, seed: int) -> list[Timing]:
    """Time the bootstrap against a loop over scikit-learn's AUC, and DeLong against its definition by pairs.

    Both bootstraps draw the same resamples, so their limits must agree.

    Args:
        num_resamples: of both bootstraps.
        seed: of the data and the resamples.
    """
    positive, scores = _cases(_BOOTSTRAP_CASES, seed)
    ours, ours_s, ours_cpu_s = _best(lambda: bootstrap_auc(positive, scores, seed=seed, num_resamples=num_resamples))
    (low, high), loop_s, _ = _timed(lambda: _loop_over_scikit_learn(positive, scores, num_resamples, seed))
    timings = [
        Timing(
            f"AUC bootstrap, {num_resamples:,} resamples, n = {_BOOTSTRAP_CASES:,}",
            ours_s,
            ours_cpu_s,
            "loop over sklearn.metrics.roc_auc_score",
            loop_s,
            max(abs(ours.ci_low - low), abs(ours.ci_high - high)),
        )
    ]
    for num_cases in (_BOOTSTRAP_CASES, _DELONG_CASES):
        timings.append(_time_delong(*_cases(num_cases, seed)))
    return timings


def _time_delong(positive: BoolArray, scores: FloatArray) -> Timing:
    (_, covariance), ours_s, ours_cpu_s = _best(lambda: delong_covariance(positive, scores))
    variance, pairs_s, _ = _timed(lambda: _variance_by_pairs(positive, scores))
    difference = abs(float(covariance[0, 0]) - variance)
    task = f"DeLong variance, n = {len(scores):,}"
    return Timing(task, ours_s, ours_cpu_s, "all pairs, O(n^2)", pairs_s, difference)


def _cases(num_cases: int, seed: int) -> tuple[BoolArray, FloatArray]:
    positive = np.arange(num_cases) % 2 == 1
    return positive, np.random.default_rng([seed, num_cases]).normal(positive, 1.0)


def _loop_over_scikit_learn(
    positive: BoolArray, scores: FloatArray, num_resamples: int, seed: int
) -> tuple[float, float]:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    values = []
    for _ in range(num_resamples):
        drawn = rng.integers(0, len(scores), len(scores), dtype=np.uint32)
        values.append(roc_auc_score(positive[drawn], scores[drawn]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _variance_by_pairs(positive: BoolArray, scores: FloatArray) -> float:
    above = scores[positive][:, None] > scores[~positive]
    tied = scores[positive][:, None] == scores[~positive]
    won = above + 0.5 * tied
    return float(won.mean(axis=1).var(ddof=1) / won.shape[0] + won.mean(axis=0).var(ddof=1) / won.shape[1])


def _best(call: Callable[[], _Result]) -> tuple[_Result, float, float]:
    runs = [_timed(call) for _ in range(_REPEATS)]
    return runs[0][0], min(wall_s for _, wall_s, _ in runs), min(cpu_s for _, _, cpu_s in runs)


def _timed(call: Callable[[], _Result]) -> tuple[_Result, float, float]:
    """What ``call`` returns, and its seconds by the clock and of the processor."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - start_s, time.process_time() - start_cpu_s
