"""launch/plan.py as a user runs it."""

import runpy
from pathlib import Path

import pytest
from published_study import predictions, readings
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint, proportion_effectsize

PLAN = runpy.run_path(str(Path(__file__).parents[2] / "launch" / "plan.py"))["main"]


@pytest.fixture
def plan(capsys):
    def call(*words):
        status = PLAN([str(word) for word in words])
        return status, capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pilot")
    predictions().to_csv(folder / "predictions.csv", index=False)
    readings().to_csv(folder / "readers.csv", index=False)
    return ("--predictions", folder / "predictions.csv", "--readers", folder / "readers.csv")


def test_a_sensitivity_gets_the_cases_for_its_precision(plan):
    status, output = plan("precision", "--expected", 0.9, "--half-width", 0.05)
    assert status == 0
    size = int(output.out.split()[0])
    low, high = proportion_confint(round(0.9 * size), size, method="beta")
    assert high - low <= 0.1


@pytest.mark.parametrize(
    ("question", "sizes"),
    [
        (("auc", "--auc", 0.9, "--null-auc", 0.85), lambda words: (words[0], words[3])),
        (("auc", "--auc", 0.9, "--null-auc", 0.8, "--negatives-per-positive", 2.5), lambda words: (words[0], words[3])),
        (("paired", "--share-first-only", 0.12, "--share-second-only", 0.04), lambda words: (words[0],)),
        (("groups", "--p1", 0.9, "--p2", 0.8), lambda words: (words[0], words[0])),
    ],
)
def test_the_size_that_is_given_has_the_power_that_was_asked_for(plan, question, sizes):
    status, output = plan(*question, "--power", 0.85)
    assert status == 0, output.err
    numbers = sizes(output.out.split())
    status, output = plan(*question, "--cases", *numbers)
    assert status == 0, output.err
    assert 0.85 <= float(output.out.removeprefix("power ")) < 0.86 + 0.1 / min(map(int, numbers))


def test_two_groups_agree_with_statsmodels(plan):
    _, output = plan("groups", "--p1", 0.9, "--p2", 0.8)
    # Cohen's arcsine approximation, another one than Fleiss's.
    reference = NormalIndPower().solve_power(proportion_effectsize(0.9, 0.8), alpha=0.05, power=0.8)
    assert int(output.out.split()[0]) == pytest.approx(reference, rel=0.03)


def test_a_pilot_tells_the_power_of_more_readers_and_videos(plan, pilot):
    status, output = plan("readers", *pilot, "--difference", 0.02, "--num-readers", 4, 12, "--cases", 190, 600)
    assert status == 0, output.err
    head, *rows = output.out.splitlines()
    assert head.split() == ["power", "190", "videos", "600", "videos"]
    powers = {row.split()[0]: [float(word) for word in row.split()[2:]] for row in rows}
    assert set(powers) == {"4", "12"}
    assert powers["4"][0] < powers["4"][1] < powers["12"][1] <= 1
    assert powers["4"][0] < powers["12"][0]


def test_a_stricter_level_costs_power(plan, pilot):
    question = ("readers", *pilot, "--difference", 0.02, "--num-readers", 8, "--cases", 400)
    usual, strict = (float(plan(*question, "--alpha", level)[1].out.split()[-1]) for level in (0.05, 0.01))
    assert strict < usual


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("precision", "--expected", 1.2, "--half-width", 0.05), "expected 1.2 must lie between 0 and 1"),
        (("auc", "--auc", 0.9, "--null-auc", 0.9), "there is no difference to find"),
        (("auc", "--auc", 0.9, "--null-auc", 0.8, "--cases", 0, 10), "cases 0 must be at least 1"),
        (("auc", "--auc", 0.9, "--null-auc", 0.8, "--negatives-per-positive", 0), "must be above 0"),
        (("paired", "--share-first-only", 0.7, "--share-second-only", 0.6), "1.3 must lie between 0 and 1"),
        (("paired", "--share-first-only", 0.1, "--share-second-only", -0.02), "must not be negative"),
        (("groups", "--p1", 0.9, "--p2", 1.9, "--cases", 10, 10), "must lie between 0 and 1"),
        (("groups", "--p1", 0.9, "--p2", 0.8, "--alpha", 0), "alpha 0 must lie between 0 and 1"),
    ],
)
def test_an_impossible_plan_is_refused(plan, question, message):
    status, output = plan(*question)
    assert (status, output.out) == (2, "")
    assert message in output.err


def test_a_pilot_without_assisted_readings_is_refused(plan, pilot, tmp_path):
    path = tmp_path / "alone.csv"
    readings().query("assisted == 0").to_csv(path, index=False)
    question = ("--difference", 0.02, "--num-readers", 4, "--cases", 100)
    status, output = plan("readers", "--predictions", pilot[1], "--readers", path, *question)
    assert status == 2
    assert "alone.csv: a pilot needs two readers at least, each alone and assisted" in output.err
