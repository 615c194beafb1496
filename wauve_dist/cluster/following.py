"""Waits for a job's end and shows its log meanwhile."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from wauve_dist.cluster.controller import JobState, SlurmError, job_state
from wauve_dist.cluster.submission import SubmittedJob

_POLL_LOG_S = 0.5
_POLL_STATE_S = 3.0  # gentle on a controller that serves a whole cluster
_MAX_SILENCE_S = 600.0


def follow(job: SubmittedJob) -> JobState:
    """Print a job's log as it grows, until the job ends; return its end. A job that is queued again has not ended.

    Raises:
        SlurmError: Slurm gave no answer for ten minutes, or no longer knows the job.
    """
    shown = 0
    state: JobState | None = None
    answered_s = asked_s = time.monotonic()
    while state is None or not state.is_final:
        if time.monotonic() - asked_s > _POLL_STATE_S or state is None:
            asked_s = time.monotonic()
            try:
                latest = job_state(job.number)
            except SlurmError as error:
                if "Invalid job id" in str(error) or asked_s - answered_s > _MAX_SILENCE_S:
                    raise
                print(f"Slurm does not answer, asking again: {error}", file=sys.stderr)
                time.sleep(_POLL_STATE_S)
                continue
            answered_s = time.monotonic()
            if state is None or latest.name != state.name:
                because = f" ({latest.reason})" if latest.reason != "None" else ""
                print(f"Job {job.number} is {latest.name}{because}", file=sys.stderr)
            state = latest
        shown = _print_from(job.log, shown)
        if not state.is_final:
            time.sleep(_POLL_LOG_S)
    _print_from(job.log, shown)
    return state


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
