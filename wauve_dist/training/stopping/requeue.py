"""Gives a stopped job back to Slurm, to be started again."""

from __future__ import annotations

import os
import re
import subprocess


def requeue() -> str | None:
    """Requeue the Slurm job that this process runs in.

    Returns:
        None if Slurm will start it again, else why it will not.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return "not a Slurm job"
    try:
        shown = _scontrol("show", "job", "--oneliner", job)
    except (OSError, subprocess.SubprocessError) as error:
        return f"Slurm could not be asked ({error})"
    state = re.search(r"\bJobState=(\w+)", shown.stdout)
    if shown.returncode or state is None:
        return f"Slurm does not know job {job}: {shown.stderr.strip()}"
    if state.group(1) == "PENDING":
        return None  # requeued by Slurm itself
    if state.group(1) != "RUNNING":
        # A job that is cancelled shows as COMPLETING while its processes end, and a requeue would bring it back. One
        # whose node failed shows alike, and comes back by itself.
        return f"Slurm is ending the job, which is {state.group(1)}"
    done = _scontrol("requeue", job)
    return f"Slurm refused to requeue job {job}: {done.stderr.strip()}" if done.returncode else None


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scontrol", *arguments], check=False, capture_output=True, text=True, timeout=60)
