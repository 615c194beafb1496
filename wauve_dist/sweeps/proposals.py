"""The configuration that a trial tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wauve_dist.sweeps.sweep_file import Choice, Parameter, SweepFile
from wauve_dist.sweeps.trials import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Optuna's own ten would be half of a sweep of trainings, which is short.
_NUM_RANDOM_FIRST = 5


def proposal(file: SweepFile, seed: int, number: int, trials: Sequence[Trial]) -> dict[str, Any]:
    """Choose the parameters of trial ``number``.

    A grid's and a random configuration depend on ``seed`` and ``number`` alone. ``bayes`` also looks at the other
    trials, with the tree-structured Parzen estimator (Bergstra et al. 2011); those that still run count as bad ones,
    so that agents at work at once look in different places.

    Args:
        file: the sweep.
        seed: of the sweep.
        number: of the trial, from 0.
        trials: begun so far.
    """
    if file.method == "grid":
        values = [parameter.ends for parameter in file.parameters.values()]
        point = np.unravel_index(number, [len(each) for each in values])
        return {name: each[index] for name, each, index in zip(file.parameters, values, point, strict=True)}
    if file.method == "random":
        generator = np.random.default_rng([seed, number])
        return {name: _drawn(parameter, generator) for name, parameter in file.parameters.items()}
    return _most_promising(file, seed, number, trials)


def _drawn(parameter: Parameter, generator: np.random.Generator) -> Any:
    if isinstance(parameter, Choice):
        return parameter.values[int(generator.integers(len(parameter.values)))]
    low, high = parameter.low, parameter.high
    if parameter.scale == "int_uniform":
        return int(generator.integers(int(low), int(high), endpoint=True))
    if parameter.scale == "uniform":
        return float(generator.uniform(low, high))
    drawn = float(np.exp(generator.uniform(np.log(low), np.log(high))))
    return min(max(drawn, low), high)  # the logarithm and back may leave the range by a rounding error


def _most_promising(file: SweepFile, seed: int, number: int, trials: Sequence[Trial]) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=_NUM_RANDOM_FIRST,
        constant_liar=True,
        seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
    )
    study = optuna.create_study(direction=file.goal, sampler=sampler)
    space = {name: _distribution(parameter) for name, parameter in file.parameters.items()}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == "failed":
            continue
        # A trial that was stopped counts with what it had reached, on which it was judged.
        state = optuna.trial.TrialState.RUNNING if trial.state == "running" else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=trial.value,
                params=_encoded(file.parameters, trial.parameters),
                distributions=space,
            )
        )
    chosen = study.ask(space).params
    return {
        name: parameter.values[chosen[name]] if isinstance(parameter, Choice) else chosen[name]
        for name, parameter in file.parameters.items()
    }


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):  # by position, for Optuna takes no lists as values
        return CategoricalDistribution(list(range(len(parameter.values))))
    if parameter.scale == "int_uniform":
        return IntDistribution(int(parameter.low), int(parameter.high))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.scale == "log_uniform_values")


def _encoded(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: parameter.values.index(values[name]) if isinstance(parameter, Choice) else values[name]
        for name, parameter in parameters.items()
    }
