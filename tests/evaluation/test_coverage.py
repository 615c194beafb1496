import numpy as np
import pytest

from wauve_dist.evaluation.coverage import COUNTEREXAMPLES, STUDIES, coverage_table, measure_coverage
from wauve_dist.evaluation.simulated_studies import Interval


def always(rng):
    """Always held."""
    yield Interval("held", 0.5, 0.0, 1.0)
    yield Interval("never", 2.0, 0.0, 1.0)


def uniform(rng):
    """A uniform number, and an interval that holds it in nine of ten studies."""
    yield Interval("nine of ten", float(rng.random()), 0.05, 0.95)


def test_covered_studies_are_counted():
    held, never, most = measure_coverage(400, 0, (always, uniform))
    assert (held.num_covered, held.share, held.study) == (400, 1.0, "Always held")
    assert never.share == 0
    assert most.share == pytest.approx(0.9, abs=0.05)
    assert coverage_table([held, never]).splitlines()[2:] == [
        "| Always held | held | 100.0% | 99.1% to 100.0% |",
        "|  | never | 0.0% | 0.0% to 0.9% |",
    ]


def test_a_study_is_the_same_whatever_is_simulated_beside_it():
    (alone,) = measure_coverage(100, 1, (uniform,))
    *_, beside = measure_coverage(100, 1, (always, uniform))
    assert alone == beside
    assert measure_coverage(100, 2, (uniform,)) != [alone]


@pytest.mark.parametrize("study", STUDIES + COUNTEREXAMPLES, ids=lambda study: study.__name__)
def test_every_simulated_interval_is_a_finite_one_near_its_truth(study):
    intervals = list(study(np.random.default_rng(0)))
    assert len({interval.name for interval in intervals}) == len(intervals)
    for interval in intervals:
        assert interval.low < interval.high
        assert interval.low - 3 * (interval.high - interval.low) < interval.truth
        assert interval.truth < interval.high + 3 * (interval.high - interval.low)


# Enough for three standard errors to be 3 percentage points; docs/coverage.md has the table of 1,500.
NUM_STUDIES = 500


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_95_per_cent_intervals_hold_the_truth_in_95_per_cent_of_studies():
    off = {
        coverage.interval: coverage.share
        for coverage in measure_coverage(NUM_STUDIES, 0)
        if not 0.92 <= coverage.share <= 0.98
    }
    assert not off


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_intervals_whose_assumptions_fail_do_not():
    for coverage in measure_coverage(NUM_STUDIES, 0, COUNTEREXAMPLES):
        assert coverage.share < 0.94, coverage
