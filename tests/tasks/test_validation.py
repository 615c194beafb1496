"""What a validation logs, from clips whose scores are chosen: a clip's brightness is its logit."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from wauve_dist.data.batches import ClipBatch
from wauve_dist.inference.checkpoints import load_task
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier
from wauve_dist.tasks.classification import ClassificationTask

OPTIMISER = dict(optimizer="sgd", lr=0.1, lr_batch_size=None, weight_decay=0.0, schedule="step", warmup_fraction=0.0)


class Brightness(ClipClassifier):
    """Logit = (grey level - 100) / 10, times a weight to learn."""

    clip_length = 8

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, clips_NTHW):
        return self.weight * (clips_NTHW.float().mean(dim=(1, 2, 3)) - 100) / 10

    def check_crop_size(self, crop_size):
        pass


def batch_of(clips):
    """Make a batch of (video, label, grey level); every video is a patient."""
    videos, labels, levels = zip(*clips, strict=True)
    images = torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 8, 4, 4)
    numbers = torch.arange(len(clips))
    return ClipBatch(images, torch.tensor(labels), numbers, list(videos), list(videos), numbers * 0, numbers)


def validated(clips, folder, **options):
    task = ClassificationTask(Brightness(), crop_size=4, roi_context=1.0, **OPTIMISER, **options)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    batches = [batch_of(clips[first : first + 3]) for first in range(0, len(clips), 3)]
    [logged] = trainer.validate(task, DataLoader(batches, batch_size=None), verbose=False)
    return task, logged


def score(level):
    return 1 / (1 + torch.tensor((100 - level) / 10).exp().item())


def test_videos_are_judged_by_the_mean_of_their_clips(tmp_path):
    clips = [("a", 1.0, 120), ("a", 1.0, 80), ("b", 0.0, 90), ("c", 0.0, 110), ("d", 1.0, 130), ("d", 1.0, 90)]
    task, logged = validated(clips, tmp_path)
    expected = {"a": 0.5, "b": score(90), "c": score(110), "d": (score(130) + score(90)) / 2}
    assert task.validation_videos["score"].to_dict() == pytest.approx(expected)
    # Of the four pairs of a malignant and a benign video, a < c and d < c are wrong.
    assert logged["val/auc"] == 0.5
    assert logged["val/auc_low"] <= 0.5 <= logged["val/auc_high"]
    assert logged["val/sensitivity_at_specificity_95"] == 0.0  # above c, the highest, no malignant video is left
    assert logged["val/specificity_at_sensitivity_95"] == 0.5  # at a, the lowest malignant one, only b is spared
    # Fewer than 20 videos are one bin: half of them are malignant, their mean score is what it is.
    assert logged["val/calibration_error"] == pytest.approx(abs(sum(expected.values()) / 4 - 0.5))
    losses = [-torch.tensor(score(level) if label else 1 - score(level)).log().item() for _, label, level in clips]
    assert logged["val/loss"] == pytest.approx(sum(losses) / 6)


def test_the_training_loss_takes_the_extras_of_the_config():
    batch = batch_of([("a", 1.0, 120), ("b", 0.0, 110)])
    logits = torch.tensor([2.0, 1.0])

    def loss(**extras):
        task = ClassificationTask(Brightness(), crop_size=4, roi_context=1.0, **OPTIMISER, **extras)
        task.log = lambda *_, **__: None

        return task.training_step(batch).item()

    p, q = logits.sigmoid().tolist()
    entropy = [-torch.tensor(p).log().item(), -torch.tensor(1 - q).log().item()]
    assert loss() == pytest.approx(sum(entropy) / 2)
    assert loss(pos_weight=4.0) == pytest.approx((4 * entropy[0] + entropy[1]) / 2)
    assert loss(focal_gamma=2.0) == pytest.approx(((1 - p) ** 2 * entropy[0] + q**2 * entropy[1]) / 2)
    wrong = [-torch.tensor(1 - p).log().item(), -torch.tensor(q).log().item()]
    assert loss(label_smoothing=0.1) == pytest.approx((0.95 * sum(entropy) + 0.05 * sum(wrong)) / 2)


def test_the_temperature_that_is_fitted_is_used_and_kept(tmp_path):
    rng = np.random.default_rng(0)
    levels = rng.integers(60, 141, 90)
    # Labels follow logits a third as large as the network's.
    labels = (rng.random(90) < 1 / (1 + np.exp((100 - levels) / 30))).astype(float)
    clips = [(f"v{n}", label, int(level)) for n, (label, level) in enumerate(zip(labels, levels, strict=True))]
    task, logged = validated(clips, tmp_path, calibrate=True)
    plain, _ = validated(clips, tmp_path)
    temperature = task.hparams["temperature"]
    assert logged["val/temperature"] == pytest.approx(temperature)
    assert 2 < temperature < 5
    assert plain.hparams["temperature"] == 1
    expected = 1 / (1 + np.exp((100 - levels) / 10 / temperature))
    by_video = task.validation_videos["score"].loc[[video for video, _, _ in clips]]
    np.testing.assert_allclose(by_video, expected, rtol=1e-6)
    batch = batch_of(clips[:4])
    np.testing.assert_allclose(task.eval().score_clips(batch.clips).scores, expected[:4], rtol=1e-5)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    loaded = load_task(ClassificationTask, tmp_path / "best.ckpt", "--classifier", torch.device("cpu"))
    assert torch.equal(loaded.score_clips(batch.clips).scores, task.score_clips(batch.clips).scores)
    resumed = ClassificationTask(Brightness(), crop_size=4, roi_context=1.0, **OPTIMISER, calibrate=True)
    resumed.on_load_checkpoint(torch.load(tmp_path / "best.ckpt", weights_only=True))
    assert resumed.hparams["temperature"] == temperature


class LeftSide(Brightness):
    """Sees the left half only."""

    def forward(self, clips_NTHW):
        return super().forward(clips_NTHW[..., : clips_NTHW.shape[-1] // 2])


def test_flips_average_the_logits_of_a_clip_and_its_mirror_image():
    clips = torch.full((1, 8, 4, 4), 120, dtype=torch.uint8)
    clips[..., 2:] = 90
    options = {"crop_size": 4, "roi_context": 1.0, **OPTIMISER}
    once, twice = (ClassificationTask(LeftSide(), **options, test_time_flips=flips).eval() for flips in (False, True))
    assert once.score_clips(clips).scores.item() == pytest.approx(score(120))
    assert twice.score_clips(clips).scores.item() == pytest.approx(score(105))
    assert twice.score_clips(clips.flip(-1)).scores.item() == pytest.approx(score(105))


def test_what_is_known_of_the_patient_joins_the_logit():
    options = {"crop_size": 4, "roi_context": 1.0, **OPTIMISER}
    task = ClassificationTask(Brightness(), **options, covariates=["age"]).eval()
    task.fusion.standardise_by(torch.tensor([[40.0], [60.0]]))
    with torch.no_grad():
        task.fusion.coefficients.weight.copy_(torch.tensor([[2.0, -0.5]]))
    clips = batch_of([("a", 1.0, 110), ("a", 1.0, 90)]).clips
    joined = 2 * 10 / 200**0.5
    assert task.score_clips(clips, {"age": 60.0, "other": 3.0}).scores.tolist() == pytest.approx(
        [score(110 + 10 * joined), score(90 + 10 * joined)]
    )
    for unknown in ({"age": float("nan")}, {}, None):
        assert task.score_clips(clips, unknown).scores.tolist() == pytest.approx([score(105), score(85)])
