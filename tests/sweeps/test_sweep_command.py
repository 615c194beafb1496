"""launch/sweep.py with the real training."""

import contextlib
import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest
import yaml

from wauve_dist.cluster.training_config import resolved_config
from wauve_dist.sweeps.sweep_file import read_sweep_file
from wauve_dist.sweeps.trials import options
from wauve_dist.tasks.classification import ClassificationTask

REPOSITORY = Path(__file__).parents[2]
SHIPPED = sorted((REPOSITORY / "configs" / "sweeps").glob("*.yaml"))


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 300 s"
        time.sleep(0.05)


def process_with(*words):
    """Return the one process whose command line holds these words, one after the other."""
    wanted = b"\0" + "\0".join(words).encode() + b"\0"
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has ended meanwhile
            found += [int(path.parent.name)] if wanted in path.read_bytes() else []
    (only,) = found
    return only


@pytest.mark.slow
def test_a_sweep_from_its_file_to_the_command_of_its_best_trial(sweeps):
    # nan_at_step makes the second trial fail; the first and the third train.
    path = sweeps.write(
        parameters={"model.nan_at_step": {"values": [-1, 3, -2]}, "model.step_s": {"value": 0.4}},
        early_terminate={"type": "hyperband", "min_iter": 1},
    )
    status, said = sweeps.create(path)
    assert status == 0, said
    assert "3 trials" in said
    agents = [sweeps.start("agent", sweeps.out) for _ in range(2)]
    first = sweeps.out / "trials" / "0000"
    wait_until((first / "checkpoints" / "last.ckpt").exists)
    os.kill(process_with("--out", str(first)), signal.SIGKILL)
    said = [agent.communicate(timeout=600)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    with (sweeps.out / "results.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(row["state"], row["model.nan_at_step"]) for row in table] == [
        *(("finished", "-1"), ("failed", "3"), ("finished", "-2")),
    ]
    # Neither changes what is computed: the same numbers, though the first was killed and resumed.
    assert json.loads(first.with_suffix(".json").read_text())["num_kills"] == 1
    assert table[0]["val/loss"] == table[2]["val/loss"] != ""
    logged = []
    for version in ("version_0", "version_1"):
        with (first / "metrics" / version / "metrics.csv").open() as stream:
            logged += csv.DictReader(stream)
    assert min(float(row["val/loss"]) for row in logged if row["val/loss"]) == float(table[0]["val/loss"])
    assert {name for name in logged[0] if name.startswith("val/")} == set(ClassificationTask.validation_figures)

    status, said = sweeps.run("best", sweeps.out)
    assert status == 0, said
    assert f"python launch/train.py --config {sweeps.out / 'best.yaml'} --out DIR" in said
    again = sweeps.out / "best.yaml"
    config = yaml.safe_load(again.read_text())
    assert config["model"]["init_args"]["nan_at_step"] == -1
    assert "out" not in config
    status, said = sweeps.run("--config", again, "--out", sweeps.folder / "again", "--print_config", script="train.py")
    assert status == 0, said
    assert yaml.safe_load(said)["model"] == config["model"]
    status, said = sweeps.run("status", sweeps.out)
    assert "3 of 3 trials have ended: 2 finished, 0 stopped, 1 failed." in said
    assert "trial 1 failed: exit status" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"parameters": {"model.step_z": {"value": 1.0}}}, [], "step_z is not an option. Did you mean step_s?"),
        ({"parameters": {"model.step_s": {"values": [0.1, "fast"]}}}, [], "Got value: fast"),
        (
            {"metric": {"name": "val/auc", "goal": "maximize"}},
            [],
            "the sweep is to maximize val/auc, but the config's ModelCheckpoint chooses best.ckpt by minimize val/loss",
        ),
        ({}, ["--scheduler=wandb"], "W&B chooses by what trials upload, but --wandb is disabled. Give --wandb online."),
    ],
)
def test_what_no_trial_could_do_is_refused_before_anything_is_made(sweeps, changes, options, message):
    status, said = sweeps.create(sweeps.write(**changes), *options)
    assert status == 2
    assert message in said
    assert "Traceback" not in said
    assert not sweeps.out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_training_takes_the_parameters_of_a_shipped_sweep(path):
    file = read_sweep_file(path)
    last = {name: parameter.ends[-1] for name, parameter in file.parameters.items()}
    config = resolved_config(REPOSITORY / "launch", [*file.arguments, *options(last), "--out", "trial"])
    of_model = config["model"]["init_args"]
    taken = {**of_model, "classifier.dropout": of_model.get("classifier", {}).get("init_args", {}).get("dropout")}
    assert {name: taken[name.removeprefix("model.")] for name in last} == last
