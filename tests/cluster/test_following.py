"""Following a job, with a stand-in for scontrol that gives one answer after the other."""

import os
import signal
import subprocess
import sys

import pytest

# A shell without a terminal starts what it puts into the background deaf to Ctrl-C.
FOLLOW = """
import signal
import sys
from pathlib import Path
from wauve_dist.cluster import following
from wauve_dist.cluster.submission import SubmittedJob
following._POLL_S = 0.2
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(following.follow(SubmittedJob("run", "7", Path(sys.argv[1]))).exit_status)
"""
# Takes the next line of `answers`; the last one is given for ever.
SCONTROL = """#!/bin/bash
cd "$(dirname "$0")"
answer=$(head -n 1 answers)
[[ $(wc -l <answers) = 1 ]] || sed -i 1d answers
echo "$answer line" >>log
case $answer in
  refused) echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1;;
  purged) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1;;
  *) echo "JobId=7 JobName=run JobState=${answer%%:*} Reason=None ExitCode=${answer#*:}";;
esac
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "scontrol").write_text(SCONTROL)
    (tmp_path / "scontrol").chmod(0o755)

    def follow(*answers):
        (tmp_path / "answers").write_text("".join(f"{answer}\n" for answer in answers))
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = [sys.executable, "-c", FOLLOW, str(tmp_path / "log")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, **pipes, text=True, env=environment)

    return follow


def test_a_job_is_followed_through_requeue_and_silence_to_its_end(start, tmp_path):
    process = start("PENDING:0:0", "RUNNING:0:0", "PENDING:0:0", "refused", "RUNNING:0:0", "COMPLETED:0:0")
    output, notes = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output == (tmp_path / "log").read_text()  # every line of the log once
    assert [line.split(" is ")[1] for line in notes.splitlines() if " is " in line] == [
        *("PENDING", "RUNNING", "PENDING", "RUNNING", "COMPLETED"),
    ]
    assert "Unable to contact slurm controller" in notes


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("FAILED:3:0", 3),
        ("CANCELLED:0:15", 143),
        ("TIMEOUT:0:0", 1),
        ("NODE_FAIL:0:0", 1),
        ("OUT_OF_MEMORY:0:125", 253),
    ],
)
def test_the_status_is_0_for_a_job_that_completed_only(start, end, status):
    process = start("RUNNING:0:0", end)
    process.communicate(timeout=60)
    assert process.returncode == status


def test_a_job_that_slurm_no_longer_knows_is_an_error(start):
    process = start("RUNNING:0:0", "purged")
    _, notes = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Invalid job id" in notes


def test_ctrl_c_ends_the_following_and_not_the_job(start):
    process = start("RUNNING:0:0")
    assert process.stdout.readline() == "RUNNING:0:0 line\n"
    process.send_signal(signal.SIGINT)
    _, notes = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Job 7 goes on unwatched. To cancel it: scancel 7" in notes
    assert "Traceback" not in notes
