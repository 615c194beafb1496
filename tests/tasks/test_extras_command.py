"""All extras at once, through the training command, as a person would ask for them."""

import numpy as np
import pandas as pd
import pytest
import torch

CALLBACKS = {
    "pytorch_lightning.callbacks.EMAWeightAveraging": {"decay": 0.5},
    "wauve_dist.tasks.precise_batch_norm.PreciseBatchNorm": {"num_batches": 1},
    "pytorch_lightning.callbacks.EarlyStopping": {"monitor": "val/auc", "patience": 5},
}


def train(launch, data, out, *options):
    """Train the demo's classifier for two epochs of two batches."""
    done = launch(
        *("train.py", "--config", "configs/classification/demo.yaml", "--out", out, "--wandb=disabled"),
        *(f"--data.manifest={data / 'manifest.csv'}", f"--data.cache_dir={data / 'cache'}"),
        *(f"--data.tracks={data / 'tracks' / 'tracks.parquet'}", "--data.batch_size=4"),
        *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.max_epochs=2"),
        *("--trainer.check_val_every_n_epoch=1", "--trainer.limit_train_batches=2", *options),
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_all_extras_train_together_and_their_checkpoint_says_so(launch, tiny_study_data, tmp_path):
    options = [
        *("--model.pos_weight=2", "--model.label_smoothing=0.1", "--model.focal_gamma=2", "--model.layer_decay=0.5"),
        *("--model.num_frozen_stages=1", "--model.channels_last=true", "--model.activation_checkpointing=true"),
        *("--model.test_time_flips=true", "--model.calibrate=true", "--data.balance=vendor"),
        *("--data.mixup_alpha=0.2", "--data.covariates=[age, lesion_size_mm]"),
    ]
    for name, arguments in CALLBACKS.items():
        options += [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{k}={v}" for k, v in arguments.items())]
    out = tmp_path / "run"
    done = train(launch, tiny_study_data, out, *options)
    assert "Balanced by vendor" in done.stdout + done.stderr
    logged = pd.read_csv(out / "metrics" / "version_0" / "metrics.csv")
    for name in ("auc", "sensitivity_at_specificity_95", "specificity_at_sensitivity_95", "calibration_error"):
        assert logged[f"val/{name}"].dropna().between(0, 1).sum() == 2
    saved = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    hparams = saved["hyper_parameters"]
    assert hparams["covariates"] == ["age", "lesion_size_mm"]
    assert hparams["temperature"] == pytest.approx(logged["val/temperature"].dropna().iloc[-1], rel=1e-4)
    manifest = pd.read_csv(tiny_study_data / "manifest.csv").query("split == 'train'")
    np.testing.assert_allclose(
        saved["state_dict"]["fusion.mean"], manifest[["age", "lesion_size_mm"]].mean(), rtol=1e-5
    )


@pytest.mark.slow
def test_attention_pooling_learns_weights_that_prediction_uses(launch, tiny_study_data, tmp_path):
    train(launch, tiny_study_data, tmp_path / "run", "--data.attention_pooling=true")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["hyper_parameters"]["attention_pooling"] is True
    assert saved["state_dict"]["attention.energy.weight"].abs().max() > 0
    done = launch(
        *("predict.py", "--videos", tiny_study_data / "manifest.csv", "--split=test", "--classifier", checkpoint),
        *("--tracks", tiny_study_data / "tracks" / "tracks.parquet", "--out", tmp_path / "out", "--overlay"),
    )
    assert done.returncode == 0, done.stderr
    clips = pd.read_parquet(tmp_path / "out" / "clips.parquet")
    np.testing.assert_allclose(clips.groupby("video_id")["weight"].sum(), 1)
    scores = pd.read_csv(tmp_path / "out" / "predictions.csv").set_index("video_id")["score"]
    pooled = (clips["weight"] * clips["logit"]).groupby(clips["video_id"]).sum()
    np.testing.assert_allclose(scores[pooled.index], 1 / (1 + np.exp(-pooled)))
