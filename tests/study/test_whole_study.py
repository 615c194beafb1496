"""The whole chain through launch/study.py, small: twelve sweeps, a few training steps."""

import json
from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / "configs"
STAGES = ["data", "detector", "tracks", "classifier", "predictions", "report"]


@pytest.fixture(scope="module")
def tiny_study(tmp_path_factory):
    """Shrink the demo's own configs; all else stays as it is."""
    folder = tmp_path_factory.mktemp("configs")
    for name in ("detection", "classification"):
        config = yaml.safe_load((CONFIGS / name / "demo.yaml").read_text())
        config["trainer"] |= {"max_epochs": 1, "limit_train_batches": 3}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    study = yaml.safe_load((CONFIGS / "study" / "demo.yaml").read_text())
    study |= {"detector": str(folder / "detection.yaml"), "classifier": str(folder / "classification.yaml")}
    study["synthetic"] |= {"num_videos": 12, "frame_size": 96, "min_frames": 24, "max_frames": 28}
    study["synthetic"] |= {"val_fraction": 0.34, "test_fraction": 0.33}
    (folder / "study.yaml").write_text(yaml.safe_dump(study | {"resamples": 200}))
    return folder / "study.yaml"


@pytest.mark.slow
def test_two_runs_of_one_seed_end_in_the_same_metrics_and_a_done_study_is_kept(tiny_study, launch, tmp_path):
    for name in ("first", "second"):
        done = launch("study.py", "--config", tiny_study, "--out", tmp_path / name, timeout=290)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {entry.name for entry in (tmp_path / name).iterdir()} >= {*STAGES, "study.json"}
    first, second = ((tmp_path / name / "report" / "metrics.json").read_bytes() for name in ("first", "second"))
    assert first == second
    assert json.loads(first)["n"] == 4
    assert (tmp_path / "first" / "predictions" / "predictions.csv").read_bytes() == (
        tmp_path / "second" / "predictions" / "predictions.csv"
    ).read_bytes()

    again = launch("study.py", "--config", tiny_study, "--out", tmp_path / "first")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before, kept") == len(STAGES)
    other = launch("study.py", "--config", tiny_study, "--out", tmp_path / "first", "--seed=2")
    assert other.returncode == 2
    assert "--redo data" in other.stderr
