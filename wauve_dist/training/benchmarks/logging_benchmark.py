"""What logging costs of a step: all figures of every step, to CSV and to W&B offline."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from wauve_dist.training.benchmarks.distributed_benchmark import Workload, fit_workload, in_processes, spread
from wauve_dist.training.logging.run_logging import build_loggers
from wauve_dist.training.logging.step_figures import StepFigures
from wauve_dist.training.strategies.ddp import TunedDDPStrategy

_NUM_WARM_UP_STEPS = 3  # as in the benchmark of strategies
_NUM_STEPS = 30
_FIGURE_HOOKS = ("on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end")


@dataclass(frozen=True)
class LoggingCost:
    """Durations on rank 0 of each step after the warm-up, seconds.

    Attributes:
        step_s: of the whole step.
        logging_s: of what logging did in it.
    """

    step_s: list[float]
    logging_s: list[float]

    @property
    def share(self) -> float:
        """What logging takes of all steps together, 0..1."""
        return sum(self.logging_s) / sum(self.step_s)


def measure_logging(workload: Workload) -> LoggingCost:
    """Train with the loggers of launch/train.py, and log in every step: the dearest that a config can ask for."""
    return in_processes(workload, _train, workload)[0]


def print_logging_benchmark(workload: Workload) -> None:
    """Measure and print it."""
    cost = measure_logging(workload)
    per_step = f"{1e3 * statistics.median(cost.logging_s):.2f} ms of {spread(cost.step_s, 's')}"
    print(f"\nlogging in every step, CSV and W&B offline: {per_step}, {100 * cost.share:.2f} % of the time")


def _train(workload: Workload) -> LoggingCost:
    clock = _Clock()
    figures = StepFigures()
    for hook in _FIGURE_HOOKS:
        clock.time(figures, hook)
    with tempfile.TemporaryDirectory() as folder:
        loggers = build_loggers(Path(folder), "offline", "benchmark", tensorboard=False)
        for logger in loggers:
            clock.time(logger, "log_metrics")
        fit_workload(workload, TunedDDPStrategy(), [figures, clock], _NUM_WARM_UP_STEPS + _NUM_STEPS, loggers)
    return LoggingCost(clock.step_s[_NUM_WARM_UP_STEPS:], clock.logging_s[_NUM_WARM_UP_STEPS:])


class _Clock(pl.Callback):
    """Times steps, from end to end, and what it is told to time within them; the last of the callbacks."""

    def __init__(self) -> None:
        self.step_s: list[float] = []
        self.logging_s: list[float] = []
        self._end_s = time.perf_counter()
        self._logging_s = 0.0
        self._is_timing = False

    def time(self, owner: Any, name: str) -> None:
        """Time a method from now on; what it calls in turn is counted once."""
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._is_timing:
                return method(*arguments, **options)
            self._is_timing, start_s = True, time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self._logging_s += time.perf_counter() - start_s
                self._is_timing = False

        setattr(owner, name, timed)

    def on_train_batch_end(self, *_: Any) -> None:
        """Close the account of a step; what the loggers write after it belongs to the next."""
        now_s = time.perf_counter()
        self.step_s.append(now_s - self._end_s)
        self.logging_s.append(self._logging_s)
        self._end_s, self._logging_s = now_s, 0.0
