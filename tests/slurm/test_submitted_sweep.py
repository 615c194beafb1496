"""Agents of a sweep as jobs of a real Slurm; stand-ins train in seconds and give the trials as W&B's server does."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from wandb_server import serving

from wauve_dist.sweeps.sweep import BASE_CONFIG, SWEEP_FILE, Settings, Sweep
from wauve_dist.sweeps.wandb_sweep import WandbSweep

sys.path.append(str(Path(__file__).parents[1] / "sweeps"))

from wandb_grid import WandbGrid

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 240


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose launch/train.py is the stand-in."""
    root = tmp_path / "checkout"
    for part in ("wauve_dist", "launch", "slurm"):
        shutil.copytree(REPOSITORY / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "configs").mkdir()
    shutil.copy(REPOSITORY / "tests" / "sweeps" / "stand_in_training.py", root / "launch" / "train.py")
    return root


def create(out, points, server):
    out.mkdir()
    parameters = {name: {"values": values} for name, values in points.items()}
    content = {
        **{"program": "launch/train.py", "method": "grid", "metric": {"name": "val/loss", "goal": "minimize"}},
        **{"command": ["${env}", "${interpreter}", "${program}", "${args}"], "parameters": parameters},
    }
    (out / SWEEP_FILE).write_text(yaml.safe_dump(content, sort_keys=False))
    (out / BASE_CONFIG).write_text(yaml.safe_dump({"trainer": {"accelerator": "cpu", "devices": 1}}))
    WandbSweep(server.environment["WANDB_BASE_URL"], "me", "wauve_dist", "sweep1").write(out)
    Settings(1, str(out.parent)).write(out)


def wait_until(condition, jobs):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        logs = "".join(path.read_text() for path in jobs.glob("*.log"))
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE_S} s: {logs}"
        time.sleep(0.2)


@pytest.fixture
def wandb():
    """W&B's server with a sweep of six points."""
    grid = WandbGrid({"behaviour": ["train", "fail"], "lr": [0.1, 0.2, 0.3], "seconds": [8.0]})
    with serving(answers=grid.answers()) as server:
        yield grid, server


def test_a_sweep_on_three_agents_survives_a_failure_a_preemption_and_an_outage(cluster, checkout, tmp_path, wandb):
    out, jobs = tmp_path / "sweep", tmp_path / "sweep.slurm"
    grid, server = wandb
    create(out, grid.points, server)
    command = [sys.executable, checkout / "launch" / "sweep.py", "submit", out, "--agents=3", "--slurm=slurm/cpu.yaml"]
    options = ["--slurm.tasks_per_node=1", "--slurm.cpus_per_task=1", "--slurm.memory=1G"]
    variables = {**os.environ, **cluster.environment, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, cwd=checkout, env=variables
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is in the queue") == 3

    def started():
        return [json.loads(line) for line in (out / "started").read_text().splitlines()]

    wait_until((out / "trials" / "0000" / "checkpoints" / "last.ckpt").exists, jobs)
    said = {log.stem: log.read_text() for log in jobs.glob("*.log")}
    first = next(number for number, text in said.items() if "trial 0:" in text)
    subprocess.run(["scancel", "--signal=USR1", first], check=True, env=variables)  # as before the time limit
    wait_until(lambda: len(grid.given) >= 3, jobs)
    server.is_down = True
    wait_until(lambda: any("W&B does not answer" in log.read_text() for log in jobs.glob("*.log")), jobs)
    assert len(Sweep(out).trials()) == len(grid.given) < 6
    server.is_down = False
    wait_until(lambda: len(list(out.glob("trials/*.json"))) == 6, jobs)
    wait_until(lambda: all(trial.state != "running" for trial in Sweep(out).trials()), jobs)
    trials = Sweep(out).trials()
    assert {trial.run_id: trial.parameters for trial in trials} == grid.given
    states = [(trial.parameters["behaviour"], trial.state) for trial in trials]
    assert states == [("train", "finished")] * 3 + [("fail", "failed")] * 3
    runs = sorted((name, resumed) for name, resumed, _ in started())
    assert runs == sorted([("0000", True), *((f"{number:04d}", False) for number in range(6))])
    assert "Asks Slurm to start this agent again." in (jobs / f"{first}.log").read_text()
