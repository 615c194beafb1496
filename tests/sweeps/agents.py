"""Agents at work on one folder, with a stand-in for the training that does in a second what that does in minutes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from wauve_dist.sweeps.sweep import BASE_CONFIG, SWEEP_FILE, Settings, Sweep

REPOSITORY = Path(__file__).parents[2]


class Work:
    """A sweep's folder, and agents."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "launch").mkdir()
        shutil.copy(Path(__file__).with_name("stand_in_training.py"), folder / "launch" / "train.py")
        self.out = folder / "sweep"

    def create(self, parameters, **more):
        self.out.mkdir()
        content = {
            **{"program": "launch/train.py", "method": "grid", "metric": {"name": "val/loss", "goal": "minimize"}},
            "command": ["${env}", "${interpreter}", "${program}", "${args}"],
            "parameters": {"seconds": {"value": 1.0}, "behaviour": {"value": "train"}, **parameters},
            **more,
        }
        (self.out / SWEEP_FILE).write_text(yaml.safe_dump(content, sort_keys=False))
        (self.out / BASE_CONFIG).write_text("seed_everything: 1\n")
        Settings(1, str(self.folder)).write(self.out)

    def agent(self, **variables):
        program = (
            "import sys; from pathlib import Path; from wauve_dist.sweeps.agent import run_agent\n"
            "sys.exit(run_agent(*map(Path, sys.argv[1:])))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program, self.out, self.folder / "launch"], env={**os.environ, **variables},
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def started(self):
        path = self.out / "started"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self):
        return [trial.state for trial in Sweep(self.out).trials()]


def ended(*agents):
    said = [agent.communicate(timeout=60)[0] for agent in agents]
    return [agent.returncode for agent in agents], "".join(said)


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.05)
