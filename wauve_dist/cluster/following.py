"""Waits for a job's end and shows its log meanwhile."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from wauve_dist.cluster.controller import JobState, SlurmError, job_state
from wauve_dist.cluster.submission import SubmittedJob

_POLL_S = 3.0  # gentle on a controller that serves a whole cluster
_MAX_SILENCE_S = 600.0


def follow(job: SubmittedJob) -> JobState:
    """Print a job's log as it grows, until the job ends; return its end. A job that is queued again has not ended.

    Ctrl-C ends the following, not the job, with status 130.

    Raises:
        SlurmError: Slurm gave no answer for ten minutes, or no longer knows the job.
    """
    num_bytes, told = 0, ""
    try:
        while not (state := _answered(job.number)).is_final:
            told = _tell(job, state, told)
            num_bytes = _print_from(job.log, num_bytes)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        print(f"\nJob {job.number} goes on unwatched. To cancel it: scancel {job.number}", file=sys.stderr)
        sys.exit(130)
    _print_from(job.log, num_bytes)
    _tell(job, state, told)
    return state


def _answered(number: str) -> JobState:
    """Ask for a job's state until Slurm answers: a busy controller is no reason to lose sight of a job."""
    start_s = time.monotonic()
    while True:
        try:
            return job_state(number)
        except SlurmError as error:
            if "Invalid job id" in str(error) or time.monotonic() - start_s > _MAX_SILENCE_S:
                raise
            print(f"Slurm does not answer, asking again. {error}", file=sys.stderr)
            time.sleep(_POLL_S)


def _tell(job: SubmittedJob, state: JobState, told: str) -> str:
    because = f" ({state.reason})" if state.reason != "None" else ""
    sentence = f"Job {job.number} ({job.name}) is {state.name}{because}"
    if sentence != told:
        print(sentence, file=sys.stderr)
    return sentence


def _print_from(log: Path, offset: int) -> int:
    """Print what the log holds from byte ``offset`` on; return its length."""
    if not log.exists():
        return offset
    with log.open("rb") as stream:
        stream.seek(offset)
        added = stream.read()
    sys.stdout.buffer.write(added)
    sys.stdout.buffer.flush()
    return offset + len(added)
