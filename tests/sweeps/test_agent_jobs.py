"""Agents as Slurm jobs: what sbatch would be given; tests/slurm runs jobs of ours on a cluster."""

import os
import re
from pathlib import Path

import pytest
import yaml

from wauve_dist.sweeps.submission import submit_agents
from wauve_dist.sweeps.sweep import BASE_CONFIG, SWEEP_FILE, Settings
from wauve_dist.sweeps.sweep_file import SweepRefused

REPOSITORY = Path(__file__).parents[2]
GPUS = REPOSITORY / "slurm" / "titan_rtx_8.yaml"
CPUS = REPOSITORY / "slurm" / "cpu.yaml"


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep of three trials, and commands of a Slurm with one partition."""
    (tmp_path / "bin").mkdir()
    for name in ("sinfo", "sbatch", "scontrol", "squeue", "srun"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho 'gpu*'\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    out = tmp_path / "sweep"
    out.mkdir()
    content = {
        **{"program": "launch/train.py", "method": "grid", "metric": {"name": "val/loss", "goal": "minimize"}},
        "command": ["${env}", "${interpreter}", "${program}", "${args}"],
        "parameters": {"model.lr": {"values": [0.1, 0.2, 0.3]}},
    }
    (out / SWEEP_FILE).write_text(yaml.safe_dump(content))
    Settings(1, str(tmp_path)).write(out)
    trains_on(out, accelerator="auto", devices="auto")
    return out


def trains_on(out, **trainer):
    (out / BASE_CONFIG).write_text(yaml.safe_dump({"trainer": trainer}))


def directives(script):
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, flags=re.MULTILINE))


def test_an_agent_is_one_task_with_all_that_the_processes_of_a_trial_need(sweep, capsys):
    options = ["--slurm.gpus_per_node=4", "--slurm.cpus_per_task", "3", "--slurm.partition=gpu"]
    submit_agents(sweep, GPUS, options, 2, REPOSITORY, dry_run=True)
    script = capsys.readouterr().out
    given = directives(script)
    expected = {"nodes": "1", "ntasks-per-node": "1", "cpus-per-task": "12", "gres": "gpu:4"}
    assert {name: given[name] for name in expected} == expected
    assert "gpus-per-node" not in given
    assert given["job-name"] == "sweep-agent"
    assert given["signal"].startswith("USR1@")  # of which the training is told by its agent
    assert script.strip().splitlines()[-1].startswith("srun ")
    assert not sweep.with_name("sweep.slurm").exists()


@pytest.mark.parametrize(
    ("trainer", "profile", "options", "num_agents", "message"),
    [
        ({}, GPUS, ["--slurm.nodes=2"], 1, "a trial runs on one node. Give --slurm.nodes 1"),
        ({}, GPUS, [], 4, "--agents is 4, but .* has 3 trials to run"),
        ({}, GPUS, [], 0, "--agents is 0; it must be at least 1"),
        ({}, GPUS, ["--model.lr=1"], 1, "--model.lr=1: submit takes no such options; those of trials belong to create"),
        ({"devices": 2}, GPUS, [], 1, "Trials have --trainer.devices 2, but the profile gives 8 processes"),
        ({}, CPUS, [], 1, "Trials have --trainer.devices auto, but the profile gives 2 processes"),
        ({"accelerator": "gpu"}, CPUS, [], 1, "Trials train on gpu, but --slurm.gpus_per_node is 0"),
    ],
)
def test_agents_whose_trials_would_not_fit_are_refused(sweep, trainer, profile, options, num_agents, message):
    trains_on(sweep, **{"accelerator": "auto", "devices": "auto", **trainer})
    with pytest.raises(SweepRefused, match=message):
        submit_agents(sweep, profile, ["--slurm.partition=gpu", *options], num_agents, REPOSITORY, dry_run=True)
