from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.reading_times import evaluate_reading_times
from wauve_dist.evaluation.readings import Readings, cross_readings
from wauve_dist.structures.tables import READERS, TableError, validated

SOURCE = Path("readers.csv")


def study(alone_s, assisted_s=None, ranks=None):
    """Readings of times [readers, V]; the category alternates unless given, the same under both conditions."""
    alone_s = np.asarray(alone_s, dtype=float)
    conditions = {"alone": alone_s} | ({} if assisted_s is None else {"assisted": np.asarray(assisted_s, dtype=float)})
    if ranks is None:
        ranks = np.broadcast_to(np.arange(alone_s.shape[1]) % 2 * 3, alone_s.shape)
    readers = tuple(f"R{number}" for number in range(len(alone_s)))
    return Readings(readers, dict.fromkeys(conditions, np.asarray(ranks, dtype=np.intp)), conditions)


def judged(readings, patients=None, positive=None):
    size = readings.ranks["alone"].shape[1]
    positive = np.arange(size) % 2 == 1 if positive is None else positive
    patients = np.arange(size) if patients is None else np.asarray(patients)
    return evaluate_reading_times(readings, positive, patients, positive, seed=0, num_resamples=499)


def random_times(num_readers=4, num_videos=60, gain=0.8):
    rng = np.random.default_rng(7)
    alone = rng.gamma(3, 8, (num_readers, num_videos)) + 1
    return alone, alone * gain * np.exp(rng.normal(0, 0.3, alone.shape))


def test_one_reader_is_summarised_and_tested_case_by_case():
    alone, assisted = random_times(num_readers=1)
    times = judged(study(alone, assisted)).readers["R0"]
    assert times.summaries["alone"].median_s == pytest.approx(np.median(alone))
    assert (times.summaries["assisted"].q1_s, times.summaries["assisted"].q3_s) == pytest.approx(
        tuple(np.percentile(assisted, [25, 75]))
    )
    assert times.test.p == pytest.approx(stats.wilcoxon(assisted[0], alone[0]).pvalue)
    assert times.test.median_difference_s == pytest.approx(np.median(assisted - alone))
    assert times.test.method == "Wilcoxon signed-rank, paired by case"
    assert times.ratio.value == pytest.approx(stats.gmean(assisted[0]) / stats.gmean(alone[0]))


def test_the_ratio_of_all_readers_is_drawn_by_patient():
    alone, assisted = random_times()
    ratio = judged(study(alone, assisted)).average.ratio
    per_case = np.log(assisted / alone).mean(axis=0)
    # The interval of a mean of 60 cases, each with the mean of its four readings.
    low, high = np.exp(stats.t.interval(0.95, 59, per_case.mean(), per_case.std(ddof=1) / np.sqrt(60)))
    assert ratio.value == pytest.approx(np.exp(per_case.mean()))
    assert (ratio.ci_low, ratio.ci_high) == pytest.approx((low, high), abs=0.02)
    # Four copies of each reading add nothing, and must not narrow the interval or lower p.
    copied = judged(study(np.tile(alone[:1], (4, 1)), np.tile(assisted[:1], (4, 1))))
    single = copied.readers["R0"]
    assert copied.average.ratio.ci_low == pytest.approx(single.ratio.ci_low)
    assert copied.average.test.p == pytest.approx(single.test.p)


def test_several_videos_of_a_patient_count_once_in_the_test():
    alone, assisted = random_times(num_readers=1, num_videos=30)
    each = judged(study(alone, assisted)).average
    twice = judged(study(np.repeat(alone, 2, axis=1), np.repeat(assisted, 2, axis=1)), np.repeat(np.arange(30), 2))
    assert twice.average.test.p == pytest.approx(each.test.p)
    assert twice.average.test.method == "Wilcoxon signed-rank, of patients' mean differences"


def test_equal_times_do_not_differ():
    alone, _ = random_times(num_readers=2)
    average = judged(study(alone, alone)).average
    assert (average.test.p, average.ratio.value, average.ratio.ci_low) == (1.0, 1.0, 1.0)


def test_videos_are_split_in_thirds_by_their_mean_unassisted_time():
    rng = np.random.default_rng(3)
    alone = rng.gamma(3, 8, (4, 190))
    groups = judged(study(alone, alone * 0.5)).groups
    assert [group.n for group in groups] == [64, 63, 63]
    mean_s = np.sort(alone.mean(axis=0))
    assert [(group.low_s, group.high_s) for group in groups] == [
        pytest.approx((mean_s[first], mean_s[last])) for first, last in ((0, 63), (64, 126), (127, 189))
    ]
    assert sum(group.positives for group in groups) == 95


def test_equal_times_stay_together():
    groups = judged(study([[5] * 20 + [7] * 5 + [9] * 5])).groups
    assert groups == ()  # two thirds of the videos took 5 s: there are no three groups
    assert [group.n for group in judged(study([[5] * 12 + [7] * 8 + [9] * 10])).groups] == [12, 8, 10]


def test_the_average_reader_of_a_group_is_that_of_its_videos():
    time_s = np.repeat([10.0, 20.0, 30.0], 10)
    positive = np.arange(30) % 2 == 1
    ranks = {"alone": np.where(positive, 4, 4), "assisted": np.where(positive, 4, np.where(time_s > 25, 1, 4))}
    readings = Readings(
        ("A", "B"), {c: np.tile(row, (2, 1)) for c, row in ranks.items()}, {"alone": np.tile(time_s, (2, 1))}
    )
    groups = judged(readings).groups
    # Alone every benign video is called malignant; assisted, those of the slowest third no more.
    assert [group.average.figures["alone"].specificity.value for group in groups] == [0, 0, 0]
    assert [group.average.figures["assisted"].specificity.value for group in groups] == [0, 0, 1]
    slowest = {row.metric: row for row in groups[2].average.against_alone if row.method == "McNemar exact"}
    assert slowest["specificity"].discordant == (10, 0)  # 5 benign videos, two readers
    assert slowest["specificity"].p == pytest.approx(2 * 0.5**10)


def test_times_net_of_the_video_may_be_negative_and_then_have_no_ratio():
    alone, assisted = random_times()
    times = judged(study(alone - 20, assisted - 20))
    assert times.average.ratio is None
    assert times.average.test.p == pytest.approx(judged(study(alone, assisted)).average.test.p)
    assert times.groups[0].low_s < 0


def test_without_assisted_times_there_is_no_comparison_and_without_times_nothing():
    alone, _ = random_times()
    average = judged(study(alone)).average
    assert (average.ratio, average.test, set(average.summaries)) == (None, None, {"alone"})
    readings = study(alone)
    assert judged(Readings(readings.readers, readings.ranks, {})) is None


def test_groups_of_one_class_are_left_out():
    alone = np.arange(30.0)[None] + 1
    assert judged(study(alone), positive=np.arange(30) < 15).groups == ()


def table(**changes):
    rows = [(video, "R", assisted, "3") for video in "ab" for assisted in (0, 1)]
    columns = ["video_id", "reader", "assisted", "birads"]
    return pd.DataFrame(rows, columns=columns).assign(reading_time_s=[10.0, 9.0, 20.5, 18.0]).assign(**changes)


def test_times_are_crossed_by_reader_and_video():
    times = cross_readings(validated(table(), READERS, SOURCE), pd.Series(["b", "a"]), SOURCE).times_s
    assert {condition: row.tolist() for condition, row in times.items()} == {
        "alone": [[20.5, 10.0]],
        "assisted": [[18.0, 9.0]],
    }
    empty = table(reading_time_s=[None] * 4)
    assert cross_readings(validated(empty, READERS, SOURCE), pd.Series(["a", "b"]), SOURCE).times_s == {}


@pytest.mark.parametrize(
    ("times_s", "message"),
    [
        ([10, 9, None, 18], r"column 'reading_time_s': reader 'R' has no time for 1 of 2 videos read alone: b\."),
        ([None, 9, None, 18], r"times of assisted readings only"),
    ],
)
def test_incomplete_times_are_refused_by_name(times_s, message):
    readings = validated(table(reading_time_s=times_s), READERS, SOURCE)
    with pytest.raises(EvaluationError, match=message):
        cross_readings(readings, pd.Series(["a", "b"]), SOURCE)


@pytest.mark.parametrize("time_s", [1e6, np.inf, -4000])
def test_a_time_that_no_reading_takes_is_refused(time_s):
    with pytest.raises(TableError, match=r"column 'reading_time_s': .* must lie between -3600 and 86400"):
        validated(table(reading_time_s=[time_s, 1, 1, 1]), READERS, SOURCE)
