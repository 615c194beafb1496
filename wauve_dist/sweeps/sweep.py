"""A sweep's folder, which all its agents share: on one machine, or on the nodes of a cluster.

    sweep.yaml          the sweep file, as it was
    config.yaml         of every trial, resolved; a trial lays its parameters over it
    sweep.json          seed, and the folder that relative paths start from
    wandb.json          where W&B's server has the sweep, if that chooses the trials
    stopped             there while the sweep is stopped
    results.csv         a row a trial
    trials/0007/        run folder of launch/train.py
    trials/0007.json    record (``Trial``)
    trials/0007.log     what the run has printed
    trials/0007.wandb.yaml  its parameters for W&B's client, if W&B chooses the trials
    trials/0007.lock    held by the agent that runs it, and by the run

Who may do what is decided by locks (flock), which the kernel frees when their holder dies, in whatever way: no agent
needs to tell that it has ended, and none waits for a dead one. A network file system must support them (NFS 4, GPFS,
and Lustre mounted with ``-o flock`` do).
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from wauve_dist.structures.provenance import atomic_write
from wauve_dist.sweeps.sweep_file import SweepFile, SweepRefused, read_sweep_file
from wauve_dist.sweeps.trials import Trial, validation_figures

SWEEP_FILE = "sweep.yaml"
BASE_CONFIG = "config.yaml"
RESULTS = "results.csv"
PER_TRIAL = ("out", "resume")
"""Options of launch/train.py that each trial has its own of."""
_SETTINGS = "sweep.json"
_STOPPED = "stopped"
_LOCK = ".lock"


@dataclass(frozen=True)
class Settings:
    """What a sweep has been given beside its file.

    Attributes:
        seed: of the proposals.
        working_folder: absolute; relative paths in the config start from it.
    """

    seed: int
    working_folder: str

    def write(self, folder: Path) -> None:
        """Write them into a sweep's folder."""
        with atomic_write(folder / _SETTINGS) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n")


class Sweep:
    """A sweep that was created.

    Args:
        folder: of the sweep.

    Attributes:
        folder: absolute.
        file: what is searched, and how.
        settings: of its creation.

    Raises:
        SweepRefused: there is no sweep in the folder.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / _SETTINGS).is_file():
            raise SweepRefused(f"{folder} holds no sweep. Make one: launch/sweep.py create SWEEP.yaml --out {folder}")
        self.folder = folder.absolute()
        self.file: SweepFile = read_sweep_file(self.folder / SWEEP_FILE)
        self.settings = Settings(**json.loads((self.folder / _SETTINGS).read_text()))

    def run_folder(self, number: int) -> Path:
        """Return the run folder of a trial."""
        return self.folder / "trials" / f"{number:04d}"

    def log(self, number: int) -> Path:
        """Return the log of a trial."""
        return self.run_folder(number).with_suffix(".log")

    def trials(self) -> list[Trial]:
        """Return the trials that have begun, by number."""
        return [
            Trial.read(path) for path in sorted((self.folder / "trials").glob("[0-9]*.json"))
        ]  # not what is being written

    def figures(self, trial: Trial) -> list[float]:
        """Return what a trial's validations have logged of the metric, in their order."""
        return validation_figures(self.run_folder(trial.number), self.file.metric)

    @property
    def is_stopped(self) -> bool:
        """Nobody may take or go on with a trial."""
        return (self.folder / _STOPPED).exists()

    def stop(self) -> None:
        """Have running trials save and end, and their agents with them."""
        (self.folder / _STOPPED).touch()

    def undo_stop(self) -> None:
        """Let agents take trials again, first those that were saved."""
        (self.folder / _STOPPED).unlink(missing_ok=True)

    @contextmanager
    def next_trial(self, propose: Callable[[int, Sequence[Trial]], Trial | None]) -> Iterator[tuple[Trial, int] | None]:
        """Take a trial for as long as the block runs: an abandoned one if there is one, else a new one.

        Args:
            propose: makes trial N of those that have begun; None where there is nothing more to try. What it raises
                goes on to the caller.

        Yields:
            The trial, and the file descriptor of its lock, which the run inherits; None where the sweep is stopped,
            or all trials have ended or are run by somebody.
        """
        taken = self._taken(propose)
        try:
            yield taken
        finally:
            if taken:
                os.close(taken[1])

    def record(self, trial: Trial) -> None:
        """Write a trial's record, and the table of all trials."""
        with self._all_others_wait():
            trial.write(self._record(trial.number))
            self._write_results()

    def _taken(self, propose: Callable[[int, Sequence[Trial]], Trial | None]) -> tuple[Trial, int] | None:
        if self.is_stopped:
            return None
        with self._all_others_wait():
            begun = {trial.number: trial for trial in self.trials()}
            for number in range(self.file.num_trials):
                trial = begun.get(number)
                if trial and trial.state != "running":
                    continue
                if trial is None:
                    trial = propose(number, list(begun.values()))
                    if trial is None:
                        return None
                    trial.write(self._record(number))
                lock = _opened(self.run_folder(number).with_suffix(_LOCK))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                return trial, lock
        return None

    @contextmanager
    def _all_others_wait(self) -> Iterator[None]:
        lock = _opened(self.folder / _LOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _record(self, number: int) -> Path:
        return self.run_folder(number).with_suffix(".json")

    def _write_results(self) -> None:
        with atomic_write(self.folder / RESULTS) as temporary, temporary.open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["trial", "state", self.file.metric, *self.file.parameters])
            for trial in self.trials():
                values = [trial.parameters[name] for name in self.file.parameters]
                writer.writerow([trial.number, trial.state, "" if trial.value is None else trial.value, *values])


def _opened(lock: Path) -> int:
    lock.parent.mkdir(parents=True, exist_ok=True)
    return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
