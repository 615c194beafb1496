"""launch/sweep.py, trainings of two processes and W&B's real client against a stand-in for W&B's server."""

import json
import os
import signal
import sys
import time

import pytest
import yaml
from agents import REPOSITORY
from wandb_grid import WandbGrid

from wauve_dist.sweeps.sweep import Sweep

sys.path.append(str(REPOSITORY / "tests" / "training"))

from wandb_server import serving

pytestmark = pytest.mark.slow


def runs_at(server):
    """Return run id to the sweep that its client has said it is of, its summary, and its parameters."""
    found = {}
    for path, content in server.asked:
        variables = content.get("variables") or {}
        if "upsertBucket" in content.get("query", ""):
            run = found.setdefault(variables["name"], {"sweep": variables["sweep"], "summary": {}, "preempted": False})
            run["config"] = json.loads(variables["config"])
        elif path.endswith("/file_stream"):
            run = found[path.split("/")[-2]]
            run["preempted"] |= bool(content.get("preempting"))
            for line in content.get("files", {}).get("wandb-summary.json", {}).get("content", []):
                run["summary"] |= json.loads(line)
    return found


def test_wandb_chooses_the_trials_and_gets_their_figures_though_one_is_preempted(sweeps, monkeypatch):
    grid = WandbGrid({"model.step_s": [0.4, 0.001]})
    with serving(answers=grid.answers()) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        path = sweeps.write(parameters={"model.step_s": {"values": [0.4, 0.001]}})
        status, said = sweeps.create(path, "--scheduler=wandb", wandb="online", devices=2)
        assert status == 0, said
        assert yaml.safe_load(grid.config)["parameters"] == {"model.step_s": {"values": [0.4, 0.001]}}
        assert str(sweeps.config) not in grid.config
        preempted = sweeps.start("agent", sweeps.out)
        save = sweeps.out / "trials" / "0000" / "checkpoints" / "last.ckpt"
        deadline = time.monotonic() + 300
        while not save.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(preempted.pid, signal.SIGUSR1)
        said, _ = preempted.communicate(timeout=600)
        assert preempted.returncode == 128 + signal.SIGUSR1, said
        status, said = sweeps.run("agent", sweeps.out)
        assert status == 0, said
    trials = Sweep(sweeps.out).trials()
    assert [(trial.state, trial.run_id, trial.parameters) for trial in trials] == [
        ("finished", "given0", {"model.step_s": 0.4}),
        ("finished", "given1", {"model.step_s": 0.001}),
    ]
    runs = runs_at(server)
    assert set(runs) == {"given0", "given1"}  # two processes each, of which one talks to W&B
    assert [runs[run_id]["preempted"] for run_id in ("given0", "given1")] == [True, False]
    for trial in trials:
        run = runs[trial.run_id]
        assert run["sweep"] == "sweep1"
        assert run["config"]["model.step_s"]["value"] == trial.parameters["model.step_s"]
        assert run["summary"]["val/loss"] == pytest.approx(trial.value)
