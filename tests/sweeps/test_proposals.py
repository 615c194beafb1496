"""Configurations that are tried, and trials that are given up."""

import itertools
import math
from pathlib import Path

from wauve_dist.sweeps.early_stopping import is_hopeless, rung_reached
from wauve_dist.sweeps.proposals import proposal
from wauve_dist.sweeps.sweep_file import Choice, EarlyStop, Range, SweepFile
from wauve_dist.sweeps.trials import Trial, options, validation_figures


def sweep_file(method, parameters, goal="minimize"):
    return SweepFile(Path("x"), method, "val/loss", goal, parameters, (), None, 40)


def test_a_grid_tries_every_point_once():
    parameters = {"a": Choice((1, 2, 3)), "b": Choice(("x", [4, 5])), "c": Choice((None,))}
    file = sweep_file("grid", parameters)
    tried = [tuple(proposal(file, 1, number, []).values()) for number in range(6)]
    assert tried == list(itertools.product((1, 2, 3), ("x", [4, 5]), (None,)))


def test_random_configurations_depend_on_seed_and_number_and_fill_their_ranges():
    parameters = {"lr": Range(1e-5, 1e-1, "log_uniform_values"), "n": Range(0, 3, "int_uniform"), "o": Choice("ab")}
    file = sweep_file("random", parameters)
    drawn = [proposal(file, 1, number, []) for number in range(400)]
    assert drawn[7] == proposal(file, 1, 7, [])
    assert drawn[7] != proposal(file, 2, 7, [])
    below_middle = sum(each["lr"] < 1e-3 for each in drawn)
    assert 160 < below_middle < 240  # half of the decades, within four standard deviations
    assert {each["n"] for each in drawn} == {0, 1, 2, 3}
    assert {each["o"] for each in drawn} == {"a", "b"}
    assert all(1e-5 <= each["lr"] <= 1e-1 for each in drawn)


def test_bayes_finds_a_valley_that_random_search_misses():
    """The mean of the last ten of sixty guesses of a valley's place, by the same number of seeds."""
    parameters = {"lr": Range(1e-6, 1.0, "log_uniform_values"), "o": Choice((["bad"], ["good"]))}

    def depth(values):
        return (math.log10(values["lr"]) + 3) ** 2 + (values["o"] == ["bad"]) * 4

    def late_mean(method, seed):
        file, trials = sweep_file(method, parameters), []
        for number in range(60):
            values = proposal(file, seed, number, trials)
            state = "stopped" if number % 5 == 4 else "finished"
            trials.append(Trial(number, values, state, depth(values)))
        return sum(trial.value for trial in trials[-10:]) / 10

    seeds = range(3)
    assert sum(late_mean("bayes", seed) for seed in seeds) < 0.5 * sum(late_mean("random", seed) for seed in seeds)


def test_bayes_is_the_same_for_the_same_history_and_heeds_running_and_failed_trials():
    file = sweep_file("bayes", {"lr": Range(0.0, 1.0, "uniform")}, goal="maximize")
    trials = [Trial(number, {"lr": number / 10}, "finished", number / 10) for number in range(8)]
    trials += [Trial(8, {"lr": 0.9}, "failed"), Trial(9, {"lr": 0.75}, "running")]
    assert proposal(file, 1, 10, trials) == proposal(file, 1, 10, trials[::-1])
    assert proposal(file, 1, 10, trials) != proposal(file, 1, 11, trials)


def test_rungs_are_those_of_hyperband():
    rule = EarlyStop(min_iter=2, eta=3)
    reached = [rung_reached(number, rule) for number in (0, 1, 2, 5, 6, 17, 18, 53, 54)]
    assert reached == [None, None, 2, 2, 6, 6, 18, 18, 54]


def test_the_best_third_go_on():
    others = [[0.5, 0.1], [0.6, 0.6], [0.7], [0.8, 0.0], [0.4]]  # at rung 1: six with ours, of which two go on
    assert not is_hopeless([0.45], others, 1, "minimize", 3)
    assert is_hopeless([0.55], others, 1, "minimize", 3)
    assert not is_hopeless([0.75, 0.0], others, 1, "maximize", 3)
    assert is_hopeless([0.65, 1.0], others, 1, "maximize", 3)  # what came after the rung does not count
    # At rung 2 there are four with ours, so that two go on; one of one or two always does.
    assert not is_hopeless([0.55, 0.05], others, 2, "minimize", 3)
    assert is_hopeless([0.55, 0.3], others, 2, "minimize", 3)
    assert not is_hopeless([9.0], [[0.1]], 1, "minimize", 3)


def test_figures_are_read_across_resumes_and_while_they_are_written(tmp_path):
    for version, text in {
        "version_0": "epoch,step,val/auc\n0,7,0.5\n0,8,\n1,15,0.6\n2,23,0.65\n",
        "version_10": "step,val/auc,x\n31,nan,1\n39,0.9,2\n47,0.8",
        "version_2": "step,val/auc\n23,0.7\n",
    }.items():
        (tmp_path / "metrics" / version).mkdir(parents=True)
        (tmp_path / "metrics" / version / "metrics.csv").write_text(text)
    assert validation_figures(tmp_path, "val/auc") == [0.5, 0.6, 0.7, 0.9]
    assert validation_figures(tmp_path, "val/loss") == []
    assert validation_figures(tmp_path / "none", "val/auc") == []


def test_options_are_yaml_for_the_command_line():
    values = {"a": 1e-05, "b": "adamw", "c": True, "d": None, "e": [1, 2.5], "f": 3}
    assert options(values) == ["--a=1e-05", "--b=adamw", "--c=true", "--d=null", "--e=[1, 2.5]", "--f=3"]
