"""Which trials are not worth their hours: successive halving without waiting for others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wauve_dist.sweeps.sweep_file import EarlyStop, Goal


def best_of(figures: Sequence[float], goal: Goal) -> float:
    """Return the smallest or the largest."""
    return min(figures) if goal == "minimize" else max(figures)


def rung_reached(num_validations: int, rule: EarlyStop) -> int | None:
    """Return the last rung, in validations, that a trial has reached; None before the first."""
    if num_validations < rule.min_iter:
        return None
    rung = rule.min_iter
    while rung * rule.eta <= num_validations:
        rung *= rule.eta
    return rung


def is_hopeless(own: Sequence[float], others: Sequence[Sequence[float]], rung: int, goal: Goal, eta: int) -> bool:
    """Judge a trial that has reached a rung against all trials that have reached it too.

    It goes on if its best figure up to there is among the best ``1 / eta`` (rounded up), or if fewer than ``eta``
    trials have come so far. A trial is judged when it gets there, by what is known then, and waits for nobody: the
    asynchronous rule of Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", with the rungs of
    W&B's hyperband.

    Args:
        own: figures of the trial's validations, in their order.
        others: those of the other trials, ended or not.
        rung: number of validations.
        goal: what is wanted of a figure.
        eta: see ``EarlyStop``.
    """
    ours = best_of(own[:rung], goal)
    theirs = [best_of(figures[:rung], goal) for figures in others if len(figures) >= rung]
    num_trials = len(theirs) + 1
    num_better = sum(their < ours if goal == "minimize" else their > ours for their in theirs)
    return num_trials >= eta and num_better >= math.ceil(num_trials / eta)
