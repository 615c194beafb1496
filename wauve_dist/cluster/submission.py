"""Jobs for Slurm through submitit: what they run, the script that starts them, and what is recorded of them.

All that belongs to the jobs of a run folder OUT lies beside it in OUT.slurm: ``JOB.log`` (all processes), ``JOB.json``
(command, profile, code), submitit's own files, and ``code-HASH/``, the code that the jobs run.
"""

from __future__ import annotations

import json
import os
import runpy
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wauve_dist.cluster.controller import SlurmError, queued_jobs
from wauve_dist.cluster.profile import SlurmProfile
from wauve_dist.cluster.snapshot import Snapshot
from wauve_dist.structures.provenance import atomic_write

if TYPE_CHECKING:
    import submitit

# Starts a command on every task of a job. One that ends in an error ends the job: without the option the others wait
# half an hour at the next collective.
STEP = ("srun", "--kill-on-bad-exit=1")
_RECORD_SUFFIX = ".json"


@dataclass(frozen=True)
class LaunchScript:
    """Body of a process of a job: a script of ``launch/``, run as a person would.

    It has no ``checkpoint`` method: saving and queueing again is the training's own affair, not submitit's.

    Attributes:
        script: in the snapshot.
        arguments: of the script.
        working_folder: that relative paths among the arguments start from.
    """

    script: Path
    arguments: tuple[str, ...]
    working_folder: Path

    def __call__(self) -> None:
        """Run the script in this process."""
        leave_submitit(self.working_folder)
        sys.argv = [str(self.script), *self.arguments]
        runpy.run_path(str(self.script), run_name="__main__")


def leave_submitit(working_folder: Path) -> None:
    """Start the body of a job as if by hand: in the user's folder, and with no signal handler of submitit's."""
    os.chdir(working_folder)
    for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True)
class Job:
    """A job to submit.

    Attributes:
        name: shown in the queue.
        command: that it carries out, for the record.
        body: what it runs: on every task of its allocation, or once, on the first node.
        profile: what it is given.
        once: run ``body`` once; it starts steps itself, if any.
        after: number of a job that must have completed; if that fails, this one is cancelled.
    """

    name: str
    command: tuple[str, ...]
    body: Callable[[], None]
    profile: SlurmProfile
    once: bool = False
    after: str | None = None


@dataclass(frozen=True)
class SubmittedJob:
    """A job in Slurm's queue, by its number, and the log of all its processes."""

    name: str
    number: str
    log: Path

    def __str__(self) -> str:
        """Say where the log is, and how to follow and to cancel the job."""
        return (
            f"Job {self.number} ({self.name}) is in the queue.\n"
            f"  log     {self.log}\n"
            f"  follow  tail -F {shlex.quote(str(self.log))}\n"
            f"  state   squeue --jobs {self.number}\n"
            f"  cancel  scancel {self.number}"
        )


def job_folder(out: Path) -> Path:
    """Return the folder of all jobs of the run folder ``out``.

    Raises:
        ValueError: Slurm would take a part of the path for a pattern.
    """
    folder = Path(os.path.abspath(out))
    folder = folder.with_name(folder.name + ".slurm")
    if "%" in str(folder) or "\\" in str(folder):
        raise ValueError(f"--out {out}: Slurm replaces % and \\ in the paths of logs. Choose another --out.")
    return folder


def refuse_if_queued(folder: Path) -> None:
    """Refuse a second job for a run folder while the first is in the queue: they would write into the same files.

    Raises:
        ValueError: names the jobs that wait or run.
    """
    numbers = {record.name.removesuffix(_RECORD_SUFFIX) for record in folder.glob(f"*{_RECORD_SUFFIX}")}
    if waiting := sorted(numbers & queued_jobs(), key=int):
        raise ValueError(
            f"Jobs {', '.join(waiting)} of the same --out are still in the queue. Wait for their end, or cancel them: "
            f"scancel {' '.join(waiting)}"
        )


def batch_script(job: Job, folder: Path, snapshot: Snapshot) -> str:
    """Return the script that ``submit`` hands to sbatch."""
    executor = _executor(job, folder, snapshot)
    # The one method that writes the script; plug-ins of submitit override it, so that it is as stable as public ones.
    script: str = executor._make_submission_file_text(executor._submitit_command_str, uid="")
    return script


def submit(job: Job, folder: Path, snapshot: Snapshot) -> SubmittedJob:
    """Hand a job to sbatch and record it.

    Args:
        job: what to submit.
        folder: for the job's files, see ``job_folder``.
        snapshot: the code that it runs, taken.

    Raises:
        SlurmError: sbatch refused the job.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        number: str = _executor(job, folder, snapshot).submit(job.body).job_id
    except (FailedJobError, FailedSubmissionError) as error:
        raise SlurmError(f"sbatch refused the job. {str(error).strip()}") from error
    record = {
        "command": job.command,
        "working_folder": os.getcwd(),
        "after": job.after,
        "profile": asdict(job.profile),
        "code": {
            "folder": snapshot.folder.name,
            "sha256": snapshot.sha256,
            "commit": snapshot.commit,
            "changed_files": snapshot.changed_files,
        },
    }
    with atomic_write(folder / f"{number}{_RECORD_SUFFIX}") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    return SubmittedJob(job.name, number, folder / f"{number}.log")


def _executor(job: Job, folder: Path, snapshot: Snapshot) -> submitit.SlurmExecutor:
    import submitit

    profile = job.profile
    options: dict[str, str | bool] = {
        **{name.lstrip("-").replace("_", "-"): value for name, value in profile.options.items()},
        "output": str(folder / "%j.log"),
        "time": profile.time,
        # To the processes of the steps; the batch script itself could do nothing with it.
        "signal": f"USR1@{profile.signal_lead_s}",
        "requeue" if profile.requeue else "no-requeue": True,
    }
    if job.after is not None:
        options |= {"dependency": f"afterok:{job.after}", "kill-on-invalid-dep": "yes"}
    # In submitit's own srun every process would write to a terminal of its own, with the control codes of progress
    # bars, and into a log of its own.
    python = shlex.join([sys.executable] if job.once else [*STEP, sys.executable])
    executor = submitit.SlurmExecutor(folder, python=python)
    executor.update_parameters(
        job_name=job.name,
        partition=profile.partition,
        account=profile.account,
        qos=profile.qos,
        constraint=profile.constraint,
        nodes=profile.nodes,
        ntasks_per_node=profile.processes_per_node,
        # Per node and not per task: every process sees all GPUs of its node and takes the one of its local rank, as
        # Lightning expects and NCCL needs to pass data from GPU to GPU directly.
        gpus_per_node=profile.gpus_per_node or None,
        cpus_per_task=profile.cpus_per_task,
        mem=profile.memory,
        stderr_to_stdout=True,
        setup=_setup(profile, snapshot),
        use_srun=False,
        additional_parameters=options,
    )
    return executor


def _setup(profile: SlurmProfile, snapshot: Snapshot) -> list[str]:
    """Return the shell lines before the job's command: the profile's, then what every job needs."""
    code = shlex.quote(str(snapshot.folder))
    variables = {
        # More threads per process wait for each other: decoding and cropping already run in the loaders.
        "OMP_NUM_THREADS": "1",
        # The log follows the run line by line, and keeps the last words of a process that is killed.
        "PYTHONUNBUFFERED": "1",
        **profile.environment,
    }
    return [
        "set -e",
        *profile.setup,
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        # Since Slurm 22.05 srun takes this from no other variable, and would bind a process with its loaders to a core.
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
        # Python looks first where it is started, which must not be the checkout, then here, then where it is installed.
        f"cd {code}",
        f"export PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}}",
    ]
