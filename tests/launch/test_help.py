import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"

# Each of these costs a good part of a second or more to import.
HEAVY = {"torch", "pytorch_lightning", "pandas", "scipy", "matplotlib", "wandb", "av", "jsonargparse"}

ASK_FOR_HELP = """
import runpy, sys
script = sys.argv[1]
sys.argv = [script, "--help"]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print("IMPORTED", *sys.modules)
"""


@pytest.mark.parametrize("script", sorted(LAUNCH.glob("*.py")), ids=lambda path: path.stem)
def test_help_imports_nothing_heavy(script):
    answer = subprocess.run(
        [sys.executable, "-c", ASK_FOR_HELP, str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    text, _, imported = answer.stdout.partition("IMPORTED")
    assert "usage:" in text
    assert not HEAVY & set(imported.split())


def test_the_long_help_of_training_lists_the_trainer(launch):
    answer = launch("train.py", "--help-all")
    assert answer.returncode == 0, answer.stderr
    assert "--trainer.max_epochs" in answer.stdout
