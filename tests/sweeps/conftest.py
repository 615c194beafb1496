import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
sys.path.append(str(REPOSITORY / "tests" / "training"))

from runs import environment, tiny_config  # noqa: E402 - from the folder of the training's tests


class SweepsAtWork:
    """Creates and runs sweeps of the tiny training, 3 epochs of some steps, by the commands that a user gives."""

    def __init__(self, folder, data):
        self.folder, self.data = folder, data
        self.out = folder / "sweep"
        self.config = tiny_config(folder)

    def write(self, **changes):
        """Write a sweep's YAML: by default a grid of learning rates, two, by val/loss."""
        content = {
            "program": "launch/train.py",
            "method": "grid",
            "metric": {"name": "val/loss", "goal": "minimize"},
            "parameters": {"model.step_s": {"values": [0.0, 0.001]}},
            "command": ["${env}", "${interpreter}", "${program}", "--config", str(self.config), "${args}"],
        }
        path = self.folder / "sweep.yaml"
        path.write_text(yaml.safe_dump({**content, **changes}))
        return path

    def start(self, *arguments, script="sweep.py"):
        """Start launch/sweep.py in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, REPOSITORY / "launch" / script, *map(str, arguments)],
            cwd=REPOSITORY, env=environment(), text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *arguments, script="sweep.py"):
        """Run launch/sweep.py to its end; returns its exit status and what it has printed."""
        process = self.start(*arguments, script=script)
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def create(self, path, *options, wandb="disabled", devices=1):
        """Create the sweep on the tiny data."""
        return self.run(
            *("create", path, "--out", self.out, f"--data.manifest={self.data / 'manifest.csv'}"),
            *(f"--data.tracks={self.data / 'tracks' / 'tracks.parquet'}", f"--data.cache_dir={self.data / 'cache'}"),
            *(f"--wandb={wandb}", f"--trainer.devices={devices}", *options),
        )


@pytest.fixture
def sweeps(tmp_path, tiny_study_data):
    return SweepsAtWork(tmp_path, tiny_study_data)
