"""How long readings take, alone and with the model's score, and whether the score helps more where they take long.

A time is compared with the same reader's of the same case. The groups are the paper's: all cases, in thirds by the
time of their unassisted readings, the average reader judged in each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.inputs import BoolArray, FloatArray, IntArray, group_codes
from wauve_dist.evaluation.reader_accuracy import ReaderFigures, evaluate_reader
from wauve_dist.evaluation.readings import Readings


@dataclass(frozen=True)
class TimeSummary:
    """Seconds of the readings under one condition: median and quartiles."""

    median_s: float
    q1_s: float
    q3_s: float


@dataclass(frozen=True)
class TimeRatio:
    """Geometric mean of assisted over unassisted time: below 1, the score saves time."""

    value: float
    ci_low: float
    ci_high: float
    method: str
    resamples: int


@dataclass(frozen=True)
class TimeTest:
    """Whether assisted and unassisted times differ.

    Attributes:
        median_difference_s: of assisted minus unassisted time, over readings.
        p: two-sided.
        method: the test, in words.
    """

    median_difference_s: float
    p: float
    method: str


@dataclass(frozen=True)
class ReaderTimes:
    """Times of one reader, or of all.

    Attributes:
        summaries: condition to its summary.
        ratio: None where the study has no assisted times, or a time that is not above 0.
        test: None where the study has no assisted times.
    """

    summaries: dict[str, TimeSummary]
    ratio: TimeRatio | None
    test: TimeTest | None


@dataclass(frozen=True)
class TimeGroup:
    """The average reader on a third of the cases.

    Attributes:
        low_s: shortest mean unassisted time of a case of the group.
        high_s: longest.
        n: cases.
        positives: malignant ones.
        average: the readings of all readers, pooled.
    """

    low_s: float
    high_s: float
    n: int
    positives: int
    average: ReaderFigures


@dataclass(frozen=True)
class ReadingTimes:
    """Everything about times.

    Attributes:
        readers: name to times.
        average: of the readings of all readers.
        groups: by rising time; empty where a third of the cases is of one class, or of one patient.
    """

    readers: dict[str, ReaderTimes]
    average: ReaderTimes
    groups: tuple[TimeGroup, ...]


def evaluate_reading_times(
    readings: Readings,
    positive: BoolArray,
    patients: NDArray[np.generic],
    model_called: BoolArray,
    *,
    seed: int,
    num_resamples: int,
) -> ReadingTimes | None:
    """Compare times alone and assisted, and the average reader between groups of cases by time.

    Args:
        readings: of V videos.
        positive: True for malignant, bool [V].
        patients: the patient of each video, [V].
        model_called: True where the model calls it malignant at its threshold, bool [V].
        seed: of the resamples.
        num_resamples: of each bootstrap.

    Returns:
        None if the readings have no times.
    """
    if not readings.times_s:
        return None
    codes = group_codes(patients, len(positive))

    def times_of(rows: slice) -> ReaderTimes:
        return _compare({c: table[rows] for c, table in readings.times_s.items()}, codes, seed, num_resamples)

    calls = {condition: readings.called(condition) for condition in readings.ranks}
    mean_s = readings.times_s["alone"].mean(axis=0)
    thirds = _thirds(mean_s)
    can_be_judged = all(len(np.unique(positive[of])) == 2 <= len(np.unique(codes[of])) for of in thirds)
    return ReadingTimes(
        readers={reader: times_of(slice(row, row + 1)) for row, reader in enumerate(readings.readers)},
        average=times_of(slice(None)),
        groups=tuple(
            TimeGroup(
                low_s=float(mean_s[of].min()),
                high_s=float(mean_s[of].max()),
                n=int(of.sum()),
                positives=int(positive[of].sum()),
                average=evaluate_reader(
                    {condition: called[:, of] for condition, called in calls.items()},
                    positive[of],
                    patients[of],
                    model_called[of],
                    seed=seed,
                    num_resamples=num_resamples,
                ),
            )
            for of in thirds
            if can_be_judged
        ),
    )


def _thirds(mean_s: FloatArray) -> list[BoolArray]:
    """Cases below and up to the first tertile, up to the second, and above; equal times stay together."""
    third = np.searchsorted(np.quantile(mean_s, [1 / 3, 2 / 3]), mean_s, side="left")
    return [third == number for number in range(3)]


def _compare(times_s: dict[str, FloatArray], codes: IntArray, seed: int, num_resamples: int) -> ReaderTimes:
    """Compare times, condition to float64 [readers, V], drawing and pairing whole patients."""
    summaries = {
        condition: TimeSummary(*(float(quantile) for quantile in np.quantile(table, [0.5, 0.25, 0.75])))
        for condition, table in times_s.items()
    }
    if "assisted" not in times_s:
        return ReaderTimes(summaries, None, None)
    alone_s, assisted_s = times_s["alone"], times_s["assisted"]
    difference_s = assisted_s - alone_s
    # One number for each patient: readings of one patient are not independent.
    per_patient = np.bincount(codes, difference_s.mean(axis=0)) / np.bincount(codes)
    one_reading_each = len(alone_s) == 1 and len(per_patient) == len(codes)
    unit = "paired by case" if one_reading_each else "of patients' mean differences"
    test = TimeTest(
        median_difference_s=float(np.median(difference_s)),
        p=float(stats.wilcoxon(per_patient).pvalue) if per_patient.any() else 1.0,
        method=f"Wilcoxon signed-rank, {unit}",
    )
    return ReaderTimes(summaries, _ratio(alone_s, assisted_s, codes, seed, num_resamples), test)


def _ratio(
    alone_s: FloatArray, assisted_s: FloatArray, codes: IntArray, seed: int, num_resamples: int
) -> TimeRatio | None:
    if min(alone_s.min(), assisted_s.min()) <= 0:
        return None
    log_ratio = np.log(assisted_s / alone_s).mean(axis=0)

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        return np.asarray(np.exp(multiplicities @ log_ratio / multiplicities.sum(axis=1)))

    values = bootstrap(statistic, codes, num_resamples, seed).values
    low, high = percentile_interval(values, 0.95)
    method = "bootstrap of patients with all their readings, percentile"
    return TimeRatio(float(np.exp(log_ratio.mean())), float(low), float(high), method, num_resamples)
