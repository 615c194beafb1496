"""What a sweep has found."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from wauve_dist.structures.provenance import atomic_write
from wauve_dist.sweeps.sweep import PER_TRIAL, Sweep
from wauve_dist.sweeps.sweep_file import SweepRefused
from wauve_dist.sweeps.trials import Trial

_BEST = "best.yaml"


def print_status(folder: Path) -> None:
    """Print a line a trial, the best first, and how many are still to come.

    Raises:
        SweepRefused: there is no sweep in the folder.
    """
    sweep = Sweep(folder)
    trials = sweep.trials()
    lines = [["trial", "state", sweep.file.metric, *sweep.file.parameters]]
    for trial in best_first(sweep, trials):
        values = [in_words(trial.parameters[name]) for name in sweep.file.parameters]
        lines.append([str(trial.number), trial.state, in_words(trial.value), *values])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    counts = {state: sum(trial.state == state for trial in trials) for state in ("finished", "stopped", "failed")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"{sum(counts.values())} of {sweep.file.num_trials} trials have ended: {told}.")
    if sweep.is_stopped:
        print(f"The sweep is stopped; trials that had begun go on after: launch/sweep.py stop {folder} --undo")
    for trial in trials:
        if trial.fault:
            print(f"trial {trial.number} failed: {trial.fault} (see {sweep.log(trial.number)})")


def write_best(folder: Path) -> None:
    """Write the best trial's config as ``best.yaml`` and print the command that trains it again.

    Raises:
        SweepRefused: there is no sweep, or no trial of it has finished.
    """
    sweep = Sweep(folder)
    finished = [trial for trial in sweep.trials() if trial.state == "finished"]
    if not finished:
        raise SweepRefused(f"{folder}: no trial has finished. Look with launch/sweep.py status {folder}")
    best = best_first(sweep, finished)[0]
    run = sweep.run_folder(best.number)
    config: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    told = {key: value for key, value in config.items() if key not in PER_TRIAL}
    path = folder / _BEST
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(told, sort_keys=False))
    print(f"Trial {best.number}, the best of {len(finished)} that finished: {sweep.file.metric} {in_words(best.value)}")
    print(f"  checkpoint  {run / 'checkpoints' / 'best.ckpt'}")
    print(f"  parameters  {' '.join(best.options)}")
    print(f"  again       {shlex.join(['python', 'launch/train.py', '--config', str(path), '--out', 'DIR'])}")


def best_first(sweep: Sweep, trials: Sequence[Trial]) -> list[Trial]:
    """Order trials by their figure; those without one come last."""
    sign = 1 if sweep.file.goal == "minimize" else -1
    judged = sorted((trial for trial in trials if trial.value is not None), key=lambda trial: sign * (trial.value or 0))
    return judged + [trial for trial in trials if trial.value is None]


def in_words(value: Any) -> str:
    """Write a parameter or a figure as people read it."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
