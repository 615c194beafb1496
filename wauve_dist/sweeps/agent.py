"""Takes trials of a sweep, one after the other, until there are none left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from wauve_dist.sweeps.early_stopping import best_of
from wauve_dist.sweeps.local_scheduler import LocalScheduler
from wauve_dist.sweeps.sweep import BASE_CONFIG, Sweep
from wauve_dist.sweeps.trials import NoTrialYet, Trial
from wauve_dist.sweeps.wandb_scheduler import WandbScheduler
from wauve_dist.sweeps.wandb_sweep import WandbSweep
from wauve_dist.training.child_process import ending_with_us
from wauve_dist.training.stopping.checkpoint_files import newest_intact
from wauve_dist.training.stopping.requeue import requeue
from wauve_dist.training.stopping.stop_signals import STOP_SIGNALS

_POLL_S = 1.0
_MAX_KILLS = 3
_RETRY_S = 5.0  # as W&B's agent
_PATIENCE_S = 600.0

Ending = Literal["by itself", "without promise", "to go on later"]


class Scheduler(Protocol):
    """Chooses what a sweep tries, and what it gives up."""

    def propose(self, number: int, begun: Sequence[Trial]) -> Trial | None:
        """Return trial ``number``, to be run next; None where there is nothing more to try."""

    def gives_up(self, trial: Trial) -> bool:
        """Tell whether a running trial is not worth going on with; asked every second."""

    def variables(self, trial: Trial) -> Mapping[str, str]:
        """Return further environment variables of a trial's process."""


def run_agent(folder: Path, launch_folder: Path) -> int:
    """Run trials of the sweep in ``folder``, each as a process of its own, ``launch/train.py``.

    A trial that fails is recorded, and the next one taken. One whose process or agent was killed is taken up again,
    where it was saved last; a process that was killed three times has failed. A signal to stop goes on to the
    training, which saves; in a Slurm job, the job is then queued again. Where the sweep is stopped, the training saves,
    and the agent ends.

    Args:
        folder: of the sweep.
        launch_folder: of the code to run.

    Returns:
        Exit status: 0 when there is nothing left to take, or Slurm will start this agent again.

    Raises:
        SweepRefused: there is no sweep in the folder, or W&B refuses its agents.
        NoTrialYet: W&B has not answered for ten minutes, or had nothing to run.
    """
    STOP_SIGNALS.install()
    sweep = Sweep(folder)
    at = WandbSweep.read(sweep.folder)
    scheduler = LocalScheduler(sweep) if at is None else WandbScheduler(sweep, at)
    waits_since_s: float | None = None
    while STOP_SIGNALS.received is None:
        try:
            if not _run_next(sweep, scheduler, launch_folder):
                print(_why_none_is_left(sweep))
                return 0
            waits_since_s = None
        except NoTrialYet as reason:
            if waits_since_s is None:
                waits_since_s = time.monotonic()
                print(f"{reason}; waits {_PATIENCE_S / 60:.0f} minutes at most.", flush=True)
            elif time.monotonic() > waits_since_s + _PATIENCE_S:
                raise
            time.sleep(_RETRY_S)
    if "SLURM_JOB_ID" not in os.environ:
        return 128 + STOP_SIGNALS.received
    print("Asks Slurm to start this agent again.", flush=True)  # Slurm may end the job before anything more is said
    if (refusal := requeue()) is None:
        return 0
    print(f"Not queued again: {refusal}", flush=True)
    return 128 + STOP_SIGNALS.received


def _run_next(sweep: Sweep, scheduler: Scheduler, launch_folder: Path) -> bool:
    """Take a trial, run it and record what has become of it; return whether there was one."""
    with sweep.next_trial(scheduler.propose) as taken:
        if taken is None:
            return False
        trial, lock = taken
        print(f"trial {trial.number}: {' '.join(trial.options)}", flush=True)
        ended = _run(sweep, trial, scheduler, launch_folder, lock)
        sweep.record(ended)
    value = "" if ended.value is None else f", {sweep.file.metric} {ended.value:.4g}"
    print(f"trial {ended.number}: {ended.state}{value}{f' ({ended.fault})' if ended.fault else ''}", flush=True)
    return True


def _run(sweep: Sweep, trial: Trial, scheduler: Scheduler, launch_folder: Path, lock: int) -> Trial:
    """Run a trial, or go on with it; return what has become of it."""
    run = sweep.run_folder(trial.number)
    is_saved = newest_intact(run / "checkpoints")[0] is not None
    if not is_saved and run.exists():
        shutil.rmtree(run)  # it was killed before it had saved anything
    argv = [sys.executable, str(launch_folder / "train.py"), "--config", str(sweep.folder / BASE_CONFIG)]
    argv += [*trial.options, "--out", str(run), *["--resume"] * is_saved]
    with sweep.log(trial.number).open("a") as log:
        process = subprocess.Popen(
            ending_with_us(argv),  # it saves then
            cwd=sweep.settings.working_folder,
            env={**_outside_slurm(os.environ), **scheduler.variables(trial)},
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C comes to the agent, which passes it on
            pass_fds=[lock],
        )
    ending = _wait(process, sweep, trial, scheduler)
    figures = sweep.figures(trial)
    value = best_of(figures, sweep.file.goal) if figures else None
    if process.returncode == 0 and value is None:
        return replace(trial, state="failed", fault=f"it logged no {sweep.file.metric}")
    if process.returncode == 0:
        return replace(trial, state="finished", value=value)
    if ending == "without promise":
        return replace(trial, state="stopped", value=value)
    if ending == "to go on later":
        return trial
    if process.returncode < 0 or process.returncode > 128:
        trial = replace(trial, num_kills=trial.num_kills + 1)
        if trial.num_kills < _MAX_KILLS:
            return trial
    lines = sweep.log(trial.number).read_text(errors="replace").strip().splitlines()
    return replace(trial, state="failed", fault=f"exit status {process.returncode}: {lines[-1] if lines else ''}")


def _wait(process: subprocess.Popen[bytes], sweep: Sweep, trial: Trial, scheduler: Scheduler) -> Ending:
    """Wait for a training's end, or bring it about; tell how it came to it."""
    while True:
        try:
            process.wait(_POLL_S)
            return "by itself"
        except subprocess.TimeoutExpired:
            pass
        if STOP_SIGNALS.received or sweep.is_stopped:
            process.send_signal(signal.SIGUSR1)  # Slurm's, too, before it preempts
            process.wait()
            return "to go on later"
        if scheduler.gives_up(trial):
            process.terminate()
            process.wait()
            return "without promise"


def _why_none_is_left(sweep: Sweep) -> str:
    if sweep.is_stopped:
        return f"The sweep is stopped. Undo with: launch/sweep.py stop {sweep.folder} --undo"
    num_running = sum(trial.state == "running" for trial in sweep.trials())
    return f"No trial is left to take{f'; {num_running} are run by other agents' if num_running else ''}."


def _outside_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables without Slurm's: a trial starts its processes on this node, and the job is the agent's."""
    return {name: value for name, value in environment.items() if not name.startswith(("SLURM_", "SRUN_"))}
