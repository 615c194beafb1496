"""What a score takes in beside its clip, through the command, with a network whose logits are known beforehand."""

import runpy
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from spots import sweep, write_video
from torch import nn

from wauve_dist.models.classifiers.clip_classifier import ClipClassifier
from wauve_dist.structures.tables import CLIPS, PREDICTIONS, read_table
from wauve_dist.tasks.classification import ClassificationTask

LAUNCHER = Path(__file__).parents[2] / "launch" / "predict.py"
OPTIMISER = dict(optimizer="sgd", lr=0.1, lr_batch_size=None, weight_decay=0.0, schedule="step", warmup_fraction=0.0)


class LeftSide(ClipClassifier):
    """Logit = brightness of the crop's left half, 0..1."""

    clip_length = 8

    def __init__(self):
        super().__init__()
        self.head_dropout, self.classifier = nn.Dropout(0.0), nn.Linear(1, 1)
        nn.init.ones_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def pooled(self, clips_NTHW):
        return clips_NTHW[..., : clips_NTHW.shape[-1] // 2].float().mean(dim=(1, 2, 3))[:, None] / 255

    def check_crop_size(self, crop_size):
        pass


@pytest.fixture
def predicted(tmp_path, capsys):
    """Judge two videos whose lesion is bright on the left and half as bright on the right."""
    frames = sweep(16, [(0, 16, 20, 30, 12, 200), (0, 16, 32, 30, 12, 100)])
    for name in "ab":
        write_video(tmp_path / f"{name}.avi", frames)
    boxes = {"x1": 20.0, "y1": 24.0, "x2": 44.0, "y2": 48.0, "score": 0.9, "interpolated": False}
    tracks = [pd.DataFrame({"video_id": name, "track_id": 0, "frame": range(16), **boxes}) for name in "ab"]
    pd.concat(tracks).to_parquet(tmp_path / "tracks.parquet")
    manifest = {"video_id": ["a", "b"], "patient_id": ["p", "q"], "path": ["a.avi", "b.avi"], "age": ["70", ""]}
    pd.DataFrame(manifest).to_csv(tmp_path / "manifest.csv", index=False)

    def run(task, *options):
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
        trainer.strategy.connect(task)
        trainer.save_checkpoint(tmp_path / "best.ckpt")
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        paths = {"videos": "manifest.csv", "tracks": "tracks.parquet", "classifier": "best.ckpt", "out": out.name}
        argv = [*(f"--{name}={tmp_path / file}" for name, file in paths.items()), "--device=cpu", *options]
        status = runpy.run_path(str(LAUNCHER))["main"](argv)
        assert status == 0
        read_table(out / "clips.parquet", CLIPS)
        scores = read_table(out / "predictions.csv", PREDICTIONS).set_index("video_id")["score"]
        return {video: torch.tensor(score).logit().item() for video, score in scores.items()}, capsys.readouterr().err

    return run


def task_with(**options):
    return ClassificationTask(LeftSide(), crop_size=24, roi_context=1.0, **OPTIMISER, **options)


def test_flips_are_as_trained_unless_the_command_says_otherwise(predicted):
    once, said = predicted(task_with())
    assert "Scores:" not in said
    twice, said = predicted(task_with(), "--test-time-flips")
    assert "Scores: with mirror images" in said
    assert twice["a"] == pytest.approx(once["a"] * 3 / 4, rel=0.05)  # the right half is half as bright
    assert predicted(task_with(test_time_flips=True))[0] == twice
    assert predicted(task_with(test_time_flips=True), "--no-test-time-flips")[0] == once


def test_the_fitted_temperature_divides_every_logit_and_is_named(predicted):
    plain, _ = predicted(task_with())
    cooled, said = predicted(task_with(temperature=2.5))
    assert "logits divided by 2.500, fitted to the validation videos" in said
    assert cooled == pytest.approx({video: logit / 2.5 for video, logit in plain.items()}, rel=1e-4)


def test_attention_is_named_and_weighs_clips_that_are_alike_alike(predicted):
    plain, _ = predicted(task_with())
    task = task_with(attention_pooling=True)
    nn.init.normal_(task.attention.energy.weight)
    attended, said = predicted(task)
    assert "Scores: clips weighed by learned attention" in said
    assert attended == pytest.approx(plain, abs=1e-5)


def test_a_known_age_joins_the_score_and_an_unknown_one_is_reported(predicted):
    plain, _ = predicted(task_with())
    task = task_with(covariates=["age"])
    task.fusion.standardise_by(torch.tensor([[50.0], [70.0]]))
    with torch.no_grad():
        task.fusion.coefficients.weight.copy_(torch.tensor([[1.0, -0.5]]))
    fused, said = predicted(task)
    assert "with age" in said
    assert "age of 1 of 2 videos" in " ".join(said.split())
    assert fused["a"] == pytest.approx(plain["a"] + 10 / 200**0.5, rel=1e-4)
    assert fused["b"] == pytest.approx(plain["b"] - 0.5, rel=1e-4)
