import numpy as np
import pandas as pd
import pytest
from published_study import COUNTS, prints_as
from scipy import stats

from wauve_dist.evaluation.population import compare_populations

BIRADS = ("2", "3", "4A", "4B", "4C", "5")


def _by_group(num_first, num_second):
    in_first = np.repeat([True, False], [num_first, num_second])
    return {"first": in_first, "second": ~in_first}


def _with_moments(n, mean, sd):
    """n numbers with exactly this mean and standard deviation."""
    sample = np.arange(n, dtype=float)
    return mean + sd * (sample - sample.mean()) / sample.std(ddof=1)


def _videos(**columns):
    size = len(next(iter(columns.values())))
    ids = [str(number) for number in range(size)]
    return pd.DataFrame({"video_id": ids, "patient_id": ids, **columns})


def test_age_reproduces_the_p_value_of_table_1():
    (n1, *first), (n2, *second) = COUNTS["age"]["NCC"], COUNTS["age"]["PUMCH"]
    ages = np.concatenate([_with_moments(n1, *first), _with_moments(n2, *second)])
    (age,) = compare_populations(_videos(age=ages), _by_group(n1, n2))
    assert prints_as(age.p, COUNTS["age"]["p"])
    assert (age.numbers["first"].n, age.numbers["first"].mean, age.numbers["first"].sd) == pytest.approx((n1, *first))


@pytest.mark.parametrize("name", COUNTS["population"])
def test_categories_reproduce_the_p_values_of_table_1(name):
    (first, second), printed = COUNTS["population"][name]
    values = np.concatenate([np.repeat(BIRADS, first), np.repeat(BIRADS, second)])
    (category,) = compare_populations(_videos(birads=values), _by_group(sum(first), sum(second)))
    assert prints_as(category.p, printed)
    counted = [list(by_group.values()) for by_group in category.counts.values()]
    assert counted == [list(pair) for pair in zip(first, second, strict=True) if any(pair)]


def test_a_patient_of_many_videos_has_one_age():
    videos = _videos(age=[30.0, 30, 30, 50, 60, 70])
    videos["patient_id"] = ["A", "A", "A", "B", "C", "D"]
    (age,) = compare_populations(videos, _by_group(4, 2))
    assert (age.numbers["first"].n, age.numbers["first"].mean) == (2, 40)


def test_sizes_are_ranked_and_unknown_ones_counted():
    rng = np.random.default_rng(2)
    sizes = np.append(rng.lognormal(2.5, 0.6, 60), np.nan)
    (size,) = compare_populations(_videos(lesion_size_mm=sizes), _by_group(25, 36))
    # The rank sum's normal approximation with continuity correction, without ties: by hand from the ranks.
    ranks = stats.rankdata(sizes[:60])
    excess = abs(ranks[:25].sum() - 25 * 61 / 2) - 0.5
    assert size.p == pytest.approx(2 * stats.norm.sf(excess / np.sqrt(25 * 35 * 61 / 12)), rel=1e-9)
    assert size.num_unknown == {"first": 0, "second": 1}


def test_names_are_no_characteristic_and_constants_have_no_p_value():
    videos = _videos(operator=[f"person {n}" for n in range(20)], vendor=["Philips"] * 20, age=[50.0] * 20)
    vendor, age = compare_populations(videos, _by_group(10, 10))
    assert (vendor.name, age.name) == ("vendor", "age")
    assert np.isnan(vendor.p)
    assert np.isnan(age.p)
    two_values = _videos(age=[40.0] * 10 + [60.0] * 10)
    assert np.isnan(compare_populations(two_values, _by_group(10, 10))[0].p)


def test_three_groups_are_compared_at_once():
    ages = np.concatenate([np.arange(20, 40.0), np.arange(30, 50.0), np.arange(45, 65.0)])
    group = np.repeat(np.arange(3), 20)
    (age,) = compare_populations(_videos(age=ages), {str(n): group == n for n in range(3)})
    # By hand: means 29.5, 39.5, 54.5; 20 consecutive numbers have the variance 20 * 21 / 12 = 35.
    grand = (29.5 + 39.5 + 54.5) / 3
    f = 20 * sum((mean - grand) ** 2 for mean in (29.5, 39.5, 54.5)) / 2 / 35
    assert age.p == pytest.approx(stats.f.sf(f, 2, 57), rel=1e-9)
    assert age.method == "analysis of variance"
