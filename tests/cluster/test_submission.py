"""The batch script, run by bash with a stand-in for srun; tests/slurm runs it on a cluster."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wauve_dist.cluster.profile import read_profile
from wauve_dist.cluster.snapshot import Snapshot
from wauve_dist.cluster.submission import Job, LaunchScript, batch_script, job_folder

SLURM = Path(__file__).parents[2] / "slurm"

# Shows what it was given; the words after its own options are the process to start.
SRUN = """#!/bin/bash
for word in "$@"; do printf 'srun <%s>\\n' "$word"; done
printf 'cwd <%s>\\n' "$PWD"
env | sed --quiet --regexp-extended 's/^(PYTHONPATH|OMP_NUM_THREADS|SRUN_CPUS_PER_TASK|NOTE)=(.*)/\\1 <\\2>/p'
"""


@pytest.fixture
def stand_in_for_srun(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(SRUN)
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def job(checkout):
    profile = read_profile(SLURM / "a100_multinode.yaml", ["--slurm.account=lab 7", "--slurm.constraint=a100&nvlink"])
    body = LaunchScript(checkout / "launch" / "say.py", (), Path.cwd())
    return Job("run 1", ("launch/say.py",), body, profile)


def directives(script):
    """Read the ``#SBATCH`` lines as sbatch does: up to the first command, with the quotes of a shell."""
    head = re.split(r"^[^#\n]", script, maxsplit=1, flags=re.MULTILINE)[0]
    words = re.findall(r"^#SBATCH (--.*)$", head, flags=re.MULTILINE)
    unquoted = subprocess.run(
        ["bash", "-c", "\n".join(f"printf '%s\\n' {word}" for word in words)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name: value for name, _, value in (line[2:].partition("=") for line in unquoted.stdout.splitlines())}


@pytest.mark.usefixtures("stand_in_for_srun")
def test_the_directives_say_what_the_profile_says_and_what_resuming_needs(job, checkout, tmp_path):
    folder = job_folder(tmp_path / "my run")
    script = batch_script(job, folder, Snapshot.of(checkout, folder))
    given = directives(script)
    assert given.pop("wckey") == "submitit"
    assert given == {
        "job-name": "run 1",
        "partition": "a100",
        "account": "lab 7",
        "constraint": "a100&nvlink",
        "nodes": "2",
        "ntasks-per-node": "8",
        "gpus-per-node": "8",
        "cpus-per-task": "12",
        "mem": "0",
        "time": "1-00:00:00",
        "signal": "USR1@300",
        "requeue": "",
        "open-mode": "append",
        "output": f"{tmp_path}/my run.slurm/%j.log",
    }


@pytest.mark.usefixtures("stand_in_for_srun")
def test_a_job_waits_for_another_and_takes_further_options(job, checkout, tmp_path):
    profile = replace(job.profile, requeue=False, options={"exclude": "n[1-2]", "--mail_type": "END"})
    waiting = replace(job, after="17", profile=profile)
    given = directives(batch_script(waiting, tmp_path, Snapshot.of(checkout, tmp_path)))
    assert (given["dependency"], given["kill-on-invalid-dep"]) == ("afterok:17", "yes")
    assert (given["exclude"], given["mail-type"]) == ("n[1-2]", "END")
    assert "no-requeue" in given
    assert "requeue" not in given


def run_script(script, tmp_path, **environment):
    (tmp_path / "script.sh").write_text(script)
    variables = {**os.environ, "SLURM_CPUS_PER_TASK": "12", **environment}
    return subprocess.run(
        ["bash", tmp_path / "script.sh"], capture_output=True, text=True, check=False, cwd=tmp_path, env=variables
    )


@pytest.mark.usefixtures("stand_in_for_srun")
def test_the_processes_start_in_the_snapshot_with_what_they_need(job, checkout, tmp_path):
    folder = job_folder(tmp_path / "it's mine")
    snapshot = Snapshot.taken(checkout, folder)
    job = replace(job, profile=replace(job.profile, environment={"NOTE": "$HOME 'x'"}, setup=["NOTE2=set"]))
    done = run_script(batch_script(job, folder, snapshot), tmp_path, PYTHONPATH="/mine")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    started = [line.removeprefix("srun ") for line in lines if line.startswith("srun")]
    assert started == [
        "<--kill-on-bad-exit=1>",
        f"<{sys.executable}>",
        "<-u>",
        "<-m>",
        "<submitit.core._submit>",
        f"<{folder}>",
    ]
    assert set(lines) >= {
        f"cwd <{snapshot.folder}>",
        f"PYTHONPATH <{snapshot.folder}:/mine>",
        "OMP_NUM_THREADS <1>",
        "SRUN_CPUS_PER_TASK <12>",
        "NOTE <$HOME 'x'>",
    }


@pytest.mark.usefixtures("stand_in_for_srun")
def test_a_line_of_the_setup_that_fails_ends_the_job(job, checkout, tmp_path):
    job = replace(job, profile=replace(job.profile, setup=["false"]))
    snapshot = Snapshot.taken(checkout, tmp_path)
    done = run_script(batch_script(job, tmp_path, snapshot), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("name", ["100%", "a\\b"])
def test_a_path_that_slurm_would_change_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="Choose another --out"):
        job_folder(tmp_path / name)


def test_a_body_runs_its_script_in_the_users_folder_as_by_hand(tmp_path):
    script = tmp_path / "tell.py"
    script.write_text(
        "import os, signal, sys\n"
        "if __name__ == '__main__':\n"
        "    print(os.getcwd(), sys.argv[1:], signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "    sys.exit(3)\n"
    )
    (tmp_path / "here").mkdir()
    program = (
        "import signal, sys; from pathlib import Path; from wauve_dist.cluster.submission import LaunchScript\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "LaunchScript(Path(sys.argv[1]), ('--a', 'b c'), Path(sys.argv[2]))()"
    )
    command = [sys.executable, "-c", program, str(script), str(tmp_path / "here")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (3, f"{tmp_path / 'here'} ['--a', 'b c'] True"), done.stderr
