"""A detector that Detectron2 begins to train, torchvision trains on, and either runs."""

from pathlib import Path

import pandas as pd
import pytest
import torch

pytest.importorskip(
    "detectron2",
    reason="Detectron2 is not installed: python -m pip install --no-build-isolation "
    "'git+https://github.com/facebookresearch/detectron2.git'",
)

CONFIG = Path(__file__).parents[2] / "configs" / "detection" / "demo.yaml"
FILES = {"manifest": "manifest.csv", "annotations": "annotations.json", "cache_dir": "cache"}


@pytest.mark.slow
def test_a_training_changes_the_library_halfway_and_both_predict_the_same(launch, tiny_study_data, tmp_path):
    data = [f"--data.{name}={tiny_study_data / file}" for name, file in FILES.items()]
    options = ["--data.batch_size=2", "--trainer.check_val_every_n_epoch=1", "--trainer.limit_train_batches=2"]
    for backend, epochs, resume in (("detectron2", 1, []), ("torchvision", 2, ["--resume"])):
        done = launch(
            *("train.py", "--config", CONFIG, "--out", tmp_path / "run", *data, *options, *resume),
            *("--model.backend", backend, "--trainer.max_epochs", epochs),
        )
        assert done.returncode == 0, done.stderr
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    assert {int(state["step"]) for state in checkpoint["optimizer_states"][0]["state"].values()} == {4}

    found = []
    for backend in ("detectron2", "torchvision"):
        done = launch(
            *("predict.py", "--videos", tiny_study_data / "manifest.csv", "--split", "test", "--device", "cpu"),
            *("--detector", tmp_path / "run" / "checkpoints" / "last.ckpt", "--detector-backend", backend),
            *("--out", tmp_path / backend),
        )
        assert done.returncode == 0, done.stderr
        found.append(pd.read_parquet(tmp_path / backend / "detections.parquet"))
    assert len(found[0]) > 100
    pd.testing.assert_frame_equal(*found, check_exact=False, rtol=0, atol=1e-3)
