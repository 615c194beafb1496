"""Chooses what a sweep tries, and what it gives up, from nothing but the sweep's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wauve_dist.sweeps.early_stopping import is_hopeless, rung_reached
from wauve_dist.sweeps.proposals import proposal
from wauve_dist.sweeps.sweep import Sweep
from wauve_dist.sweeps.trials import Trial


class LocalScheduler:
    """The scheduler of a sweep without a server.

    Args:
        sweep: to choose for.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._judged: set[tuple[int, int]] = set()

    def propose(self, number: int, begun: Sequence[Trial]) -> Trial:
        """Choose the configuration of trial ``number``."""
        return Trial(number, proposal(self._sweep.file, self._sweep.settings.seed, number, begun))

    def gives_up(self, trial: Trial) -> bool:
        """Judge a running trial, once at each rung that it reaches."""
        file = self._sweep.file
        if file.early_stop is None:
            return False
        own = self._sweep.figures(trial)
        rung = rung_reached(len(own), file.early_stop)
        if rung is None or (trial.number, rung) in self._judged:
            return False
        self._judged.add((trial.number, rung))
        others = [self._sweep.figures(other) for other in self._sweep.trials() if other.number != trial.number]
        return is_hopeless(own, others, rung, file.goal, file.early_stop.eta)

    def variables(self, trial: Trial) -> Mapping[str, str]:
        """Return no environment variables: the options of the trial say all."""
        return {}
