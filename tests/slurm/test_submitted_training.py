"""launch/train.py --slurm on a real Slurm, and what a job is given."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import state
from trainings import NUM_EPOCHS, PATIENCE_S, REPOSITORY, TWO_NODES, arguments, followed, launch, wait_until

from wauve_dist.cluster.snapshot import Snapshot

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

# Submits launch/say.py of the checkout in the current folder, on two nodes; prints the job's number.
SUBMIT = """
import sys
from pathlib import Path
from wauve_dist.cluster.following import follow
from wauve_dist.cluster.profile import read_profile
from wauve_dist.cluster.snapshot import Snapshot
from wauve_dist.cluster.submission import Job, LaunchScript, job_folder, refuse_if_queued, submit

root, options = Path.cwd(), sys.argv[1:]
folder = job_folder(root.parent / "run")
refuse_if_queued(folder)
snapshot = Snapshot.taken(root, folder)
profile = read_profile(root / "slurm" / "cpu.yaml", ["--slurm.nodes=2", "--slurm.tasks_per_node=1", *options])
body = LaunchScript(snapshot.folder / "launch" / "say.py", ("3",), root)
job = submit(Job("say", ("say.py",), body, profile), folder, snapshot)
print(job.number, flush=True)
sys.exit(follow(job).exit_status)
"""
# The second process fails when the first has ended: srun ends one that still runs, and reports the higher status.
SAY = """
import os, sys
import wauve_dist
if __name__ == "__main__":
    rank = int(os.environ["SLURM_PROCID"])
    print("MARK", "as submitted", rank, wauve_dist.__file__, os.getcwd())
    fifo = os.open("ended.fifo", os.O_RDONLY if rank else os.O_WRONLY)  # a number, which only the process's end closes
    if rank:
        os.read(fifo, 1)  # the end of the file
        sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    for part in ("wauve_dist", "slurm"):
        shutil.copytree(REPOSITORY / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("launch", "configs"):
        (root / part).mkdir()
    (root / "launch" / "say.py").write_text(SAY)
    os.mkfifo(root / "ended.fifo")
    return root


@pytest.fixture
def submit_say(cluster, checkout):
    """Start the submission from within the checkout, where Python would find that code first."""

    def start(*options):
        command = [sys.executable, "-c", SUBMIT, "--slurm.memory=1G", "--slurm.cpus_per_task=1", *options]
        variables = {**cluster.environment, "PYTHONPATH": str(checkout)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, **pipes, text=True, cwd=checkout, env=variables)

    return start


def test_a_job_runs_the_code_as_it_was_and_fails_as_its_process_does(submit_say, checkout, tmp_path):
    snapshot = Snapshot.of(checkout, tmp_path / "run.slurm")
    process = submit_say("--slurm.options={begin: now+3}")
    job = process.stdout.readline().strip()
    for edited in (checkout / "launch" / "say.py", checkout / "wauve_dist" / "__init__.py"):
        edited.write_text("print('MARK edited after submission')")
    output, notes = process.communicate(timeout=200)
    assert process.returncode == 3, notes  # of the second process, not of the first
    marks = sorted(line for line in output.splitlines() if line.startswith("MARK"))
    package = snapshot.folder / "wauve_dist" / "__init__.py"
    assert marks == [f"MARK as submitted {rank} {package} {checkout}" for rank in (0, 1)], output + notes
    assert f"Job {job} (say) is FAILED (NonZeroExitCode)" in notes
    record = json.loads((tmp_path / "run.slurm" / f"{job}.json").read_text())
    assert record["code"]["folder"] == snapshot.folder.name
    assert record["profile"]["nodes"] == 2


def test_a_second_job_for_the_same_run_is_refused_while_the_first_waits(cluster, submit_say):
    first = submit_say("--slurm.options={begin: now+600}")
    job = first.stdout.readline().strip()
    _, refusal = submit_say().communicate(timeout=60)
    assert f"Jobs {job} of the same --out are still in the queue" in refusal
    assert f"scancel {job}" in refusal
    cluster.call("scancel", job)
    assert first.wait(60) == 1  # a cancelled job is no success for who waits
    first.communicate()


def test_one_command_submits_follows_and_leaves_a_run(cluster, tiny_study_data, tmp_path):
    run = tmp_path / "my run"
    words = [*arguments(run, tiny_study_data), *TWO_NODES, "--wait", "--slurm.options={begin: now+2}"]
    console, before = tmp_path / "console.txt", head()
    with followed(cluster, "train.py", *words, console=console) as process:
        wait_until(lambda: "is in the queue" in console.read_text(), process, console)
        (tmp_path / "tiny.yaml").write_text("the YAML may change as soon as the job is in the queue")
        assert process.wait(PATIENCE_S) == 0, console.read_text()
    output = console.read_text()
    job = re.match(r"Job (\d+) \(my run\) is in the queue", output).group(1)
    log = tmp_path / "my run.slurm" / f"{job}.log"
    assert f"  follow  tail -F '{log}'\n" in output
    assert f"  cancel  scancel {job}\n" in output
    assert set(log.read_text().splitlines()) <= set(output.splitlines())
    assert "Starting with 2 processes" in output
    assert output.endswith(f"Job {job} (my run) is COMPLETED\n")
    assert state(run)["epoch"] == NUM_EPOCHS - 1
    record = json.loads(log.with_suffix(".json").read_text())
    assert record["code"]["commit"] in {before, head()}  # somebody may have committed meanwhile


def head():
    """Return the commit of this checkout; None outside git."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    return asked.stdout.strip() or None


def test_a_dry_run_prints_what_sbatch_takes_and_leaves_nothing(cluster, tiny_study_data, tmp_path):
    words = [*arguments(tmp_path / "run", tiny_study_data), *TWO_NODES, "--dry-run"]
    done = launch(cluster, "train.py", *words)
    assert done.returncode == 0, done.stderr
    assert {entry.name for entry in tmp_path.iterdir()} == {"tiny.yaml"}
    (tmp_path / "script.sh").write_text(done.stdout)
    cluster.call("sbatch", "--test-only", tmp_path / "script.sh")
    assert cluster.call("squeue", "--noheader", "--name=run") == ""


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--slurm.partition=gpu"], "there is no partition 'gpu'. This cluster has main, spare."),
        (["--slurm.nodez=2"], "--slurm.nodez is not an option. Did you mean slurm.nodes?"),
    ],
)
def test_what_the_cluster_cannot_give_is_refused_at_once(cluster, tiny_study_data, tmp_path, options, fault):
    start_s = time.monotonic()
    done = launch(cluster, "train.py", *arguments(tmp_path / "run", tiny_study_data), *TWO_NODES, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert fault in done.stderr
    assert time.monotonic() - start_s < 10  # no torch: a second on an idle machine


def test_what_the_job_would_stumble_over_is_refused_before_it_is_queued(cluster, tiny_study_data, tmp_path):
    words = [*arguments(tmp_path / "run", tiny_study_data), "--data.tracks=absent.parquet", *TWO_NODES]
    done = launch(cluster, "train.py", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --data.tracks: there is no file absent.parquet (from {REPOSITORY}).\n"
    assert {entry.name for entry in tmp_path.iterdir()} == {"tiny.yaml"}


def test_variables_that_would_override_the_profile_are_refused(cluster, tmp_path, monkeypatch):
    monkeypatch.setitem(cluster.environment, "SBATCH_PARTITION", "spare")
    done = launch(cluster, "train.py", *arguments(tmp_path / "run", tmp_path), *TWO_NODES)
    assert done.returncode == 2
    assert "SBATCH_PARTITION would override the profile." in done.stderr


def test_without_slurm_the_command_says_where_to_go(tiny_study_data, tmp_path):
    command = [sys.executable, str(REPOSITORY / "launch" / "train.py"), *map(str, arguments(tmp_path / "x", tmp_path))]
    variables = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    done = subprocess.run(
        [*command, *TWO_NODES], capture_output=True, text=True, cwd=REPOSITORY, env=variables, check=False
    )
    assert done.returncode == 2
    assert "there is no command sinfo here. Submit from a login node" in done.stderr
