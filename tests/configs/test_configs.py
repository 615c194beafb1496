"""Every YAML in configs/ is parsed by the command that it is for, and every experiment trains."""

import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import yaml
from pytorch_lightning.cli import LightningArgumentParser

from wauve_dist.study.config import read_study_config
from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.detection import DetectionTask

CONFIGS = Path(__file__).parents[2] / "configs"
STUDIES = sorted((CONFIGS / "study").glob("*.yaml"))
DETECTION = sorted((CONFIGS / "detection").glob("*.yaml"))
CLASSIFICATION = sorted((CONFIGS / "classification").glob("*.yaml"))
STRATEGIES = sorted((CONFIGS / "strategy").glob("*.yaml"))
SWEEPS = sorted((CONFIGS / "sweeps").glob("*.yaml"))  # tests/sweeps runs them

# Two steps on a CPU in seconds; all else is the experiment's own.
TINY = [
    *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto", "--trainer.precision=32-true"),
    *("--trainer.max_steps=2", "--trainer.limit_train_batches=2", "--data.batch_size=2", "--data.num_workers=0"),
    "--trainer.check_val_every_n_epoch=1",
]
TINY_DETECTION = [*TINY, "--model.image_size=96", "--model.num_proposals=50", "--data.frames_per_video=6"]
TINY_CLASSIFICATION = [*TINY, "--data.crop_size=64", "--data.clips_per_video=1"]
TINY_NETWORK = {
    "TimeSformer": [
        *("--model.classifier.image_size=64", "--model.classifier.hidden_size=24"),
        *("--model.classifier.num_layers=1", "--model.classifier.num_heads=3"),
    ]
}


def test_every_yaml_belongs_to_a_command():
    known = {*STUDIES, *DETECTION, *CLASSIFICATION, *STRATEGIES, *SWEEPS}
    assert set(CONFIGS.rglob("*.yaml")) == known


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_config_parses(path):
    config = read_study_config(path, ["--seed=7"])
    assert config.seed == 7


def test_a_mistyped_key_of_a_study_is_refused_with_the_valid_names(tmp_path):
    (tmp_path / "study.yaml").write_text((CONFIGS / "study" / "demo.yaml").read_text().replace("seed:", "sead:"))
    with pytest.raises(ValueError, match=r"sead is not an option. Did you mean seed\? Valid names: annotations, class"):
        read_study_config(tmp_path / "study.yaml", [])


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_a_strategy_lays_over_an_experiment(path, tmp_path):
    parser = LightningArgumentParser()
    parser.add_argument("-c", "--config", action="config")
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    (tmp_path / "experiment.yaml").write_text(
        yaml.safe_dump(
            {"trainer": yaml.safe_load((CONFIGS / "classification" / "i3d_r50.yaml").read_text())["trainer"]}
        )
    )
    config = parser.parse_args([f"--config={tmp_path / 'experiment.yaml'}", f"--config={path}"])
    expected = yaml.safe_load(path.read_text())["trainer"]["strategy"]
    assert config.trainer.strategy.class_path == expected["class_path"]
    given = {name: config.trainer.strategy.init_args[name] for name in expected.get("init_args", {})}
    assert given == expected.get("init_args", {})
    assert config.trainer.devices == 8  # what the overlay does not say is the experiment's


def trained(paths):
    """Return cases of a test; most experiments take half a minute, so only the demo's is tried every time."""
    return [path if path.stem == "demo" else pytest.param(path, marks=pytest.mark.slow) for path in paths]


def train(launch, path, out, data, *options):
    return launch(
        *("train.py", "--config", path, "--out", out, f"--data.manifest={data / 'manifest.csv'}"),
        *(f"--data.cache_dir={data / 'cache'}", *options),
    )


@pytest.mark.parametrize("path", trained(DETECTION), ids=lambda path: path.stem)
def test_detector_trains_from_its_config(path, launch, tiny_study_data, tmp_path):
    annotations = f"--data.annotations={tiny_study_data / 'annotations.json'}"
    done = train(launch, path, tmp_path / "run", tiny_study_data, annotations, *TINY_DETECTION)
    assert done.returncode == 0, done.stderr
    assert_complete(tmp_path / "run", DetectionTask.validation_figures)


@pytest.mark.parametrize("path", trained(CLASSIFICATION), ids=lambda path: path.stem)
def test_classifier_trains_from_its_config(path, launch, tiny_study_data, tmp_path):
    tracks = f"--data.tracks={tiny_study_data / 'tracks' / 'tracks.parquet'}"
    config = yaml.safe_load(path.read_text())
    network = config["model"]["init_args"]["classifier"]["class_path"].split(".")[-1]
    tiny = [*TINY_CLASSIFICATION, *TINY_NETWORK.get(network, [])]
    done = train(launch, path, tmp_path / "run", tiny_study_data, tracks, *tiny)
    assert done.returncode == 0, done.stderr
    assert_complete(tmp_path / "run", ClassificationTask.validation_figures)
    task = ClassificationTask.load_from_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert type(task.classifier).__name__ == network
    assert task.hparams["crop_size"] == 64  # given to the data, linked to the model
    assert task.clip_rule.inputs == config["data"]["init_args"].get("inputs", "all")


def assert_complete(run, figures):
    """Check that the run folder holds what the README promises."""
    assert {entry.name for entry in run.iterdir()} == {"checkpoints", "config.yaml", "metrics", "run.json", "wandb"}
    assert {entry.name for entry in (run / "checkpoints").glob("*.ckpt")} == {"best.ckpt", "last.ckpt"}
    logged = (run / "metrics" / "version_0" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert set(figures) <= set(logged)
    record = json.loads((run / "checkpoints" / "best.ckpt.provenance.json").read_text())
    assert "manifest" in record["made_from"]
    assert list((run / "wandb").glob("offline-run-*/run-*.wandb"))
