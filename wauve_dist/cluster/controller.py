"""What Slurm knows, asked through its own commands: they work without accounting and without a Python binding."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

_PATIENCE_S = 60

# https://slurm.schedmd.com/job_state_codes.html: a job never leaves these, unless it is queued again.
_FINAL_STATES = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
)


class SlurmError(RuntimeError):
    """Slurm cannot be reached, or refuses a request; the message is Slurm's own."""


@dataclass(frozen=True)
class JobState:
    """What Slurm says of a job.

    Attributes:
        name: such as PENDING, RUNNING or COMPLETED.
        reason: why it waits or why it ended.
        exit_code: of the batch script; 128 + the signal that ended it.
    """

    name: str
    reason: str
    exit_code: int

    @property
    def is_final(self) -> bool:
        """Tell whether the job has ended for good."""
        return self.name in _FINAL_STATES

    @property
    def exit_status(self) -> int:
        """What a shell would report: 0 only for a job that completed."""
        return 0 if self.name == "COMPLETED" else self.exit_code or 1


def require_slurm() -> None:
    """Refuse to go on where Slurm's commands are not installed, or would not do as the profile says.

    Raises:
        SlurmError: names the missing command.
        ValueError: names variables that sbatch prefers to the options in its script.
    """
    for command in ("sinfo", "sbatch", "scontrol", "squeue", "srun"):
        if shutil.which(command) is None:
            raise SlurmError(f"--slurm: there is no command {command} here. Submit from a login node of the cluster.")
    if overriding := sorted(name for name in os.environ if name.startswith("SBATCH_")):
        raise ValueError(
            f"{', '.join(overriding)} would override the profile. Unset, and say it there, or with --slurm.KEY."
        )


def check_partition(name: str | None) -> None:
    """Refuse a partition that the cluster does not have, or none where it has no default.

    Raises:
        ValueError: names the partitions that there are.
        SlurmError: Slurm cannot be reached.
    """
    listed = _answer("sinfo", "--noheader", "--format=%P").split()  # the default one ends in *
    known = ", ".join(sorted({partition.rstrip("*") for partition in listed}))
    if name is None and not any(partition.endswith("*") for partition in listed):
        raise ValueError(f"This cluster has no default partition: give --slurm.partition, one of {known}.")
    if name is not None and name not in known.split(", "):
        raise ValueError(f"--slurm.partition: there is no partition {name!r}. This cluster has {known}.")


def queued_jobs() -> set[str]:
    """Return the numbers of this user's jobs that have not ended."""
    return set(_answer("squeue", "--me", "--noheader", "--format=%A").split())


def job_state(job_id: str) -> JobState:
    """Ask for a job's state; Slurm knows it until some minutes after its end (MinJobAge)."""
    shown = _answer("scontrol", "--oneliner", "show", "job", job_id)
    found = dict(re.findall(r"(\S+?)=(\S*)", shown))
    code, _, signal = found["ExitCode"].partition(":")
    return JobState(found["JobState"], found["Reason"], int(code) or (128 + int(signal) if int(signal) else 0))


def _answer(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{' '.join(command)}: no answer within {_PATIENCE_S} s.") from error
    if done.returncode != 0:
        raise SlurmError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
