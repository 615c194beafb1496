"""What a sweep file may say."""

from pathlib import Path

import pytest
import yaml

from wauve_dist.sweeps.creation import create_sweep
from wauve_dist.sweeps.sweep_file import Choice, EarlyStop, Range, SweepRefused, read_sweep_file

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "sweeps").glob("*.yaml"))
COMMAND = ["${env}", "${interpreter}", "${program}", "--config", "x.yaml", "${args}"]
GOOD = {
    "program": "launch/train.py",
    "method": "bayes",
    "metric": {"name": "val/auc", "goal": "maximize"},
    "run_cap": 7,
    "early_terminate": {"type": "hyperband", "min_iter": 2},
    "parameters": {
        "model.lr": {"distribution": "log_uniform_values", "min": 1.0e-5, "max": 1.0e-2},
        "model.num_frozen_stages": {"min": 0, "max": 4},
        "model.optimizer": {"values": ["sgd", "adamw"]},
        "model.schedule": {"value": "cosine"},
    },
    "command": COMMAND,
}


def read(tmp_path, **changes):
    content = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    return read_sweep_file(tmp_path / "sweep.yaml")


def test_a_sweep_file_is_read(tmp_path):
    file = read(tmp_path)
    assert (file.method, file.metric, file.goal, file.num_trials) == ("bayes", "val/auc", "maximize", 7)
    assert file.arguments == ("--config", "x.yaml")
    assert file.early_stop == EarlyStop(2, 3)
    assert file.parameters == {
        "model.lr": Range(1e-5, 1e-2, "log_uniform_values"),
        "model.num_frozen_stages": Range(0, 4, "int_uniform"),
        "model.optimizer": Choice(("sgd", "adamw")),
        "model.schedule": Choice(("cosine",)),
    }


def test_a_grid_has_its_points_or_as_many_as_it_is_capped_to(tmp_path):
    parameters = {"a": {"values": [1, 2, 3]}, "b": {"values": [1, 2]}, "c": {"value": 0}}
    assert read(tmp_path, method="grid", parameters=parameters, run_cap=None).num_trials == 6
    assert read(tmp_path, method="grid", parameters=parameters, run_cap=4).num_trials == 4
    assert read(tmp_path, method="grid", parameters=parameters, run_cap=40).num_trials == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methd": "grid"}, "cannot have methd. Valid keys: command, description"),
        ({"method": "bayesian"}, "method is 'bayesian'; it must be one of bayes, random, grid"),
        ({"metric": {"name": "val/auc"}}, "metric has no goal"),
        ({"metric": {"name": "val/auc", "goal": "max"}}, "metric.goal is 'max'; it must be one of minimize, maximize"),
        ({"run_cap": None}, "run_cap is missing: method bayes would go on for ever"),
        ({"run_cap": 0}, "run_cap is 0; it must be a whole number of at least 1"),
        ({"method": "grid"}, "parameters.model.lr is a range, which a grid cannot exhaust"),
        ({"program": "train.py"}, "program is 'train.py'; a trial is a run of launch/train.py"),
        ({"command": COMMAND[:-1]}, r"it must be \[\$\{env\}, \$\{interpreter\}, \$\{program\}, --config, YAML"),
        ({"parameters": {}}, "parameters is empty"),
        ({"parameters": {"a": {"min": 1}}}, r"parameters.a has \['min'\]; give value, or values, or min and max"),
        ({"parameters": {"a": {"min": 2, "max": 1}}}, "min is 2 and max 1; min must be less"),
        ({"parameters": {"a": {"min": "1e-3", "max": 1}}}, "from '1e-3' to 1, which are not both numbers"),
        ({"parameters": {"a": {"min": 0, "max": 1, "distribution": "log_uniform_values"}}}, "needs min above 0"),
        ({"parameters": {"a": {"min": 0, "max": 1, "distribution": "normal"}}}, "'normal'; it must be one of uniform"),
        ({"parameters": {"a": {"values": [1, 2, 1]}}}, "must be a list of different values"),
        ({"early_terminate": {"type": "hyperband"}}, "early_terminate has no min_iter"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "eta is 1; it must be a whole number"),
    ],
)
def test_a_faulty_sweep_file_is_refused_with_the_remedy(tmp_path, changes, message):
    with pytest.raises(SweepRefused, match=message) as refused:
        read(tmp_path, **changes)
    assert str(refused.value).startswith(str(tmp_path / "sweep.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_sweep_optimises_what_the_best_checkpoint_of_its_config_is_chosen_by(path):
    file = read_sweep_file(path)
    config = yaml.safe_load((path.parents[2] / file.arguments[1]).read_text())
    chosen_by = next(each for each in config["trainer"]["callbacks"] if "ModelCheckpoint" in each["class_path"])
    assert chosen_by["init_args"]["monitor"] == file.metric
    assert file.goal.startswith(chosen_by["init_args"]["mode"])


def test_what_each_trial_gets_from_its_agent_or_twice_is_refused(tmp_path):
    for name, message in (
        ("out", "the agents give --out to each trial. Leave it out."),
        ("data.manifest", "data.manifest is a parameter, and fixed on the command line. Choose one."),
    ):
        read(tmp_path, parameters={name: {"values": ["x", "y"]}})
        with pytest.raises(SweepRefused, match=message):
            create_sweep(tmp_path / "sweep.yaml", tmp_path / "out", ["--data.manifest=x"], 1, tmp_path)
    assert not (tmp_path / "out").exists()
