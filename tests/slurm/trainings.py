"""Tiny trainings on the throw-away cluster: two nodes, one process each."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from runs import tiny_config

REPOSITORY = Path(__file__).parents[2]
# Where a job finds the models of the tests.
MODELS = os.pathsep.join(str(REPOSITORY / "tests" / folder) for folder in ("training", "slurm"))
TWO_NODES = [
    *("--slurm", "slurm/cpu.yaml", "--slurm.nodes=2", "--slurm.tasks_per_node=1", "--slurm.cpus_per_task=1"),
    *("--slurm.memory=2G", "--slurm.environment={OMP_NUM_THREADS: '1'}"),
]
NUM_EPOCHS = 3
PATIENCE_S = 400  # a training takes half a minute on an idle machine


def arguments(out, data, step_s=0.0):
    """Arguments of launch/train.py for 3 epochs of 4 steps on two processes."""
    return [
        *("--config", tiny_config(out.parent), "--out", out, "--wandb=disabled", f"--trainer.max_epochs={NUM_EPOCHS}"),
        *(f"--data.manifest={data / 'manifest.csv'}", f"--data.tracks={data / 'tracks' / 'tracks.parquet'}"),
        *(f"--data.cache_dir={data / 'cache'}", "--model=straggler.Straggler", f"--model.step_s={step_s}"),
    ]


def environment(cluster, ledger=None):
    """Lead Slurm's commands to the cluster, and a job to the models of the tests."""
    extra = {"LEDGER": str(ledger)} if ledger else {}
    return {**cluster.environment, "PYTHONPATH": MODELS, **extra}


def launch(cluster, script, *words, ledger=None, timeout=PATIENCE_S):
    """Run a script of launch/ on the login node."""
    command = [sys.executable, str(REPOSITORY / "launch" / script), *map(str, words)]
    variables = environment(cluster, ledger)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=REPOSITORY, env=variables, check=False
    )


@contextmanager
def followed(cluster, script, *words, console):
    """Run a script of launch/ beside the test; what it prints goes to the file ``console``."""
    command = [sys.executable, str(REPOSITORY / "launch" / script), *map(str, words)]
    with console.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=REPOSITORY, env=environment(cluster))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(happened, process, console):
    """Wait for something that a followed script brings about."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, console.read_text()
        assert time.monotonic() < deadline, console.read_text()
        time.sleep(0.1)


def submitted(cluster, *words, ledger=None):
    """Submit a training with launch/train.py; return the job's number."""
    done = launch(cluster, "train.py", *words, ledger=ledger)
    assert done.returncode == 0, done.stderr
    return re.match(r"Job (\d+) ", done.stdout).group(1)


def wait_for_steps(cluster, job, ledger, rank, num_steps, timeout_s=PATIENCE_S):
    """Wait until a process has begun so many steps."""
    file = ledger / f"rank_{rank}.jsonl"
    deadline = time.monotonic() + timeout_s
    while not file.exists() or len(file.read_text().splitlines()) < num_steps:
        state = cluster.properties("job", job)
        assert state["JobState"] in {"PENDING", "RUNNING"}, Path(state["StdOut"]).read_text()
        assert time.monotonic() < deadline, f"no step {num_steps} after {timeout_s} s, the job is {state['JobState']}"
        time.sleep(0.1)


def samples_of_steps(ledger, num_processes=2):
    """Return which samples each (epoch, batch) of each rank saw, in every attempt."""
    seen = {}
    for rank in range(num_processes):
        for line in (ledger / f"rank_{rank}.jsonl").read_text().splitlines():
            entry = json.loads(line)
            seen.setdefault((rank, entry["epoch"], entry["batch"]), []).append(entry["samples"])
    return seen
