"""A sweep's YAML, in W&B's own schema: https://docs.wandb.ai/guides/sweeps/sweep-config-keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

Method = Literal["bayes", "random", "grid"]
Goal = Literal["minimize", "maximize"]
Scale = Literal["uniform", "log_uniform_values", "int_uniform"]

_COMMAND_START = ["${env}", "${interpreter}", "${program}"]
_COMMAND_END = "${args}"
_KEYS = {"name", "description", "program", "method", "metric", "parameters", "early_terminate", "run_cap", "command"}


class SweepRefused(ValueError):  # noqa: N818 - reads as what it is
    """A sweep cannot run as it is described; the message names the file, the key, its value and the remedy."""


@dataclass(frozen=True)
class Choice:
    """A parameter with the values that it may take; a constant has one."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that show whether a config can take them all."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A parameter between two numbers, both included, drawn uniformly by itself or by its logarithm."""

    low: float
    high: float
    scale: Scale

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that show whether a config can take them all."""
        return (self.low, self.high)


Parameter = Choice | Range


@dataclass(frozen=True)
class EarlyStop:
    """W&B's ``early_terminate`` of type hyperband.

    Attributes:
        min_iter: validations before the first judgement.
        eta: the best ``1 / eta`` go on; judgements follow at ``min_iter * eta ** k`` validations.
    """

    min_iter: int
    eta: int


@dataclass(frozen=True)
class SweepFile:
    """What a sweep's YAML says.

    Attributes:
        path: of the YAML.
        method: how configurations are chosen.
        metric: logged at validations, and the one that best.ckpt is chosen by.
        goal: what is wanted of it.
        parameters: options of launch/train.py without their dashes, such as ``model.lr``.
        arguments: of every trial, as the YAML's ``command`` has them before ``${args}``.
        early_stop: None lets each trial run to its end.
        num_trials: the YAML's ``run_cap``; of a grid, its points if they are fewer.
    """

    path: Path
    method: Method
    metric: str
    goal: Goal
    parameters: Mapping[str, Parameter]
    arguments: tuple[str, ...]
    early_stop: EarlyStop | None
    num_trials: int


def read_sweep_file(path: Path) -> SweepFile:
    """Read a sweep's YAML.

    Raises:
        SweepRefused: there is no such file, or a key is missing, unknown, or has a value that it cannot have.
    """
    if not path.is_file():
        shipped = ", ".join(sorted(str(found) for found in Path("configs/sweeps").glob("*.yaml")))
        raise SweepRefused(f"There is no sweep file {path}.{f' There are {shipped}.' if shipped else ''}")
    try:
        return _parsed(path, yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise SweepRefused(f"{path} is not YAML: {error}") from error
    except SweepRefused as error:
        raise SweepRefused(f"{path}: {error}") from error


def _parsed(path: Path, content: Any) -> SweepFile:
    _require_keys("the sweep", content, {"program", "method", "metric", "parameters", "command"}, _KEYS)
    if content["program"] != "launch/train.py":
        raise SweepRefused(f"program is {content['program']!r}; a trial is a run of launch/train.py.")
    method = _one_of("method", content["method"], get_args(Method))
    metric = content["metric"]
    _require_keys("metric", metric, {"name", "goal"}, {"name", "goal"})
    _require_mapping("parameters", content["parameters"])
    parameters = {name: _parameter(name, described) for name, described in content["parameters"].items()}
    if not parameters:
        raise SweepRefused("parameters is empty; give at least one, such as model.lr: {values: [0.001, 0.0001]}.")
    return SweepFile(
        path,
        cast(Method, method),
        str(metric["name"]),
        cast(Goal, _one_of("metric.goal", metric["goal"], get_args(Goal))),
        parameters,
        _fixed_arguments(content["command"]),
        _early_stop(content.get("early_terminate")),
        _num_trials(method, content.get("run_cap"), parameters),
    )


def _fixed_arguments(command: Any) -> tuple[str, ...]:
    words = [str(word) for word in command] if isinstance(command, list) else []
    if words[:3] != _COMMAND_START or words[-1:] != [_COMMAND_END] or "${" in "".join(words[3:-1]):
        raise SweepRefused(
            f"command is {command!r}; it must be [{', '.join(_COMMAND_START)}, --config, YAML, …, {_COMMAND_END}]."
        )
    return tuple(words[3:-1])


def _early_stop(described: Any) -> EarlyStop | None:
    if described is None:
        return None
    _require_keys("early_terminate", described, {"type", "min_iter"}, {"type", "min_iter", "eta"})
    _one_of("early_terminate.type", described["type"], ("hyperband",))
    stop = EarlyStop(described["min_iter"], described.get("eta", 3))  # 3 is W&B's
    for name, least in (("min_iter", 1), ("eta", 2)):
        _require_whole(f"early_terminate.{name}", getattr(stop, name), least)
    return stop


def _num_trials(method: str, run_cap: Any, parameters: Mapping[str, Parameter]) -> int:
    if run_cap is not None:
        _require_whole("run_cap", run_cap, 1)
    if method != "grid":
        if run_cap is None:
            raise SweepRefused(f"run_cap is missing: method {method} would go on for ever. Give a number of trials.")
        return int(run_cap)
    for name, parameter in parameters.items():
        if isinstance(parameter, Range):
            raise SweepRefused(f"parameters.{name} is a range, which a grid cannot exhaust. Give its values.")
    num_points = math.prod(len(cast(Choice, parameter).values) for parameter in parameters.values())
    return min(num_points, run_cap or num_points)


def _parameter(name: str, described: Any) -> Parameter:
    key = f"parameters.{name}"
    _require_keys(key, described, set(), {"value", "values", "min", "max", "distribution"})
    given = described.keys() - {"distribution"}
    if given == {"value"}:
        _one_of(f"{key}.distribution", described.get("distribution", "constant"), ("constant",))
        return Choice((described["value"],))
    if given == {"values"}:
        _one_of(f"{key}.distribution", described.get("distribution", "categorical"), ("categorical",))
        values = described["values"]
        if not isinstance(values, list) or not values or any(values.count(value) > 1 for value in values):
            raise SweepRefused(f"{key}.values is {values!r}; it must be a list of different values.")
        return Choice(tuple(values))
    if given != {"min", "max"}:
        raise SweepRefused(f"{key} has {sorted(given)}; give value, or values, or min and max.")
    low, high = described["min"], described["max"]
    if not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in (low, high)):
        raise SweepRefused(
            f"{key} goes from {low!r} to {high!r}, which are not both numbers (YAML takes 1e-3 for text: 1.0e-3)."
        )
    whole = isinstance(low, int) and isinstance(high, int)
    scale = described.get("distribution", "int_uniform" if whole else "uniform")
    _one_of(f"{key}.distribution", scale, get_args(Scale))
    if scale == "int_uniform" and not whole:
        raise SweepRefused(f"{key}: int_uniform needs whole numbers, not {low} and {high}.")
    if not (math.isfinite(low) and low < high < math.inf):
        raise SweepRefused(f"{key}: min is {low} and max {high}; min must be less than max, and both finite.")
    if scale == "log_uniform_values" and low <= 0:
        raise SweepRefused(f"{key}: log_uniform_values needs min above 0, not {low}.")
    return Range(low, high, cast(Scale, scale))


def _require_mapping(key: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise SweepRefused(f"{key} is {value!r}; it must have keys.")


def _require_keys(key: str, value: Any, required: set[str], known: set[str]) -> None:
    _require_mapping(key, value)
    if unknown := sorted(map(str, value.keys() - known)):
        raise SweepRefused(f"{key} cannot have {', '.join(unknown)}. Valid keys: {', '.join(sorted(known))}.")
    if missing := sorted(required - value.keys()):
        raise SweepRefused(f"{key} has no {', '.join(missing)}.")


def _one_of(key: str, value: Any, valid: Sequence[str]) -> str:
    if value not in valid:
        raise SweepRefused(f"{key} is {value!r}; it must be one of {', '.join(valid)}.")
    return str(value)


def _require_whole(key: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SweepRefused(f"{key} is {value!r}; it must be a whole number of at least {least}.")
