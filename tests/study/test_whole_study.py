"""The whole chain through launch/study.py, small: twelve sweeps, a few training steps."""

import json

import pytest
import yaml

STAGES = ["data", "detector", "tracks", "classifier", "predictions", "report"]


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

    record = yaml.safe_load((tmp_path / "first" / "detector" / "metrics" / "version_0" / "hparams.yaml").read_text())
    assert record["anchors"]["boxes"] > 0

    again = launch("study.py", "--config", tiny_study, "--out", tmp_path / "first")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before, kept") == len(STAGES)
    other = launch("study.py", "--config", tiny_study, "--out", tmp_path / "first", "--seed=2")
    assert other.returncode == 2
    assert "--redo data" in other.stderr
