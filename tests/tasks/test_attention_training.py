"""Attention pooling in training and validation, from clips whose logits and energies are known beforehand."""

import numpy as np
import pandas as pd
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
# video, label, grey level left and right: the left half is the logit, the right half what the attention looks at
CLIPS = [
    *(("a", 1.0, 120, 30), ("a", 1.0, 80, 90), ("a", 1.0, 140, 60)),
    *(("b", 0.0, 70, 20), ("b", 0.0, 130, 80), ("b", 0.0, 90, 0)),
    *(("c", 1.0, 110, 50), ("c", 1.0, 160, 10), ("c", 1.0, 60, 40)),
]


class Halves(ClipClassifier):
    """Features are what the halves of a clip are like; the logit is (left level - 100) / 10."""

    clip_length = 8

    def __init__(self):
        super().__init__()
        self.head_dropout, self.classifier = nn.Dropout(0.0), nn.Linear(2, 1)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.tensor([[1.0, 0.0]]))
            self.classifier.bias.zero_()

    def pooled(self, clips_NTHW):
        levels = clips_NTHW.float().unflatten(-1, (2, -1)).mean(dim=(1, 2, 4))
        return (levels - torch.tensor([100.0, 0.0])) / torch.tensor([10.0, 100.0])

    def check_crop_size(self, crop_size):
        pass


def make_task(**options):
    torch.manual_seed(0)
    task = ClassificationTask(Halves(), crop_size=4, roi_context=1.0, **OPTIMISER, **options)
    if task.attention is not None:
        nn.init.normal_(task.attention.energy.weight)
    return task.eval()


def batch_of(clips, bag_size=1):
    videos, labels, left, right = zip(*clips, strict=True)
    images = (
        torch.tensor([left, right], dtype=torch.uint8).T.repeat_interleave(2, dim=1)[:, None, None].repeat(1, 8, 4, 1)
    )
    number = {clip: index for index, clip in enumerate(CLIPS)}
    indices = torch.tensor([number[clip] for clip in clips])
    return ClipBatch(
        images, torch.tensor(labels), indices, list(videos), list(videos), indices * 0, indices, bag_size=bag_size
    )


@torch.no_grad()
def expected_logits(task):
    """Pool in NumPy what the task's own attention says of each clip."""
    _, _, left, right = np.array(CLIPS, object).T
    features = torch.tensor(np.stack([(left - 100) / 10, right / 100], axis=1).astype(np.float32))
    weights = np.exp(task.attention(features).numpy()).reshape(3, 3)
    assert weights.std() > 0.05
    return (weights * features[:, 0].numpy().reshape(3, 3)).sum(axis=1) / weights.sum(axis=1)


def validated(task, clips, batch_size, folder):
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    batches = [batch_of(clips[first : first + batch_size]) for first in range(0, len(clips), batch_size)]
    [logged] = trainer.validate(task, DataLoader(batches, batch_size=None), verbose=False)
    return trainer, logged


def entropy(logits, targets=(1, 0, 1)):
    return (np.log1p(np.exp(logits)) - np.array(targets) * logits).mean()


def test_the_training_loss_is_that_of_whole_videos():
    task = make_task(attention_pooling=True)
    task.log = lambda *_, **__: None
    loss = task.training_step(batch_of(CLIPS, bag_size=3))
    assert loss.item() == pytest.approx(entropy(expected_logits(task)), rel=1e-5)
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())


def test_neither_batches_that_cut_a_video_nor_the_order_of_clips_change_its_score(tmp_path):
    task = make_task(attention_pooling=True)
    expected = 1 / (1 + np.exp(-expected_logits(task)))
    for batch_size, clips in ((9, CLIPS), (2, CLIPS), (1, CLIPS[::-1]), (4, CLIPS[4:] + CLIPS[:4])):
        _, logged = validated(task, clips, batch_size, tmp_path)
        assert task.validation_videos["score"].to_dict() == pytest.approx(
            dict(zip("abc", expected, strict=True)), abs=1e-6
        )
        assert logged["val/loss"] == pytest.approx(entropy(expected_logits(task)), rel=1e-5)
        assert task.validation_clips.groupby("video_id")["weight"].sum().tolist() == pytest.approx([1, 1, 1])


def test_a_temperature_divides_the_logits_of_videos_and_a_checkpoint_carries_the_attention(tmp_path):
    task = make_task(attention_pooling=True, calibrate=True)
    trainer, logged = validated(task, CLIPS, 2, tmp_path)
    temperature = logged["val/temperature"]
    assert task.validation_videos["score"].tolist() == pytest.approx(
        1 / (1 + np.exp(-expected_logits(task) / temperature))
    )
    platt = (3 / 4, 1 / 3, 3 / 4)  # two malignant videos and a benign one
    losses = [entropy(expected_logits(task) / (temperature * factor), platt) for factor in (0.9, 1, 1.1)]
    assert losses[1] == min(losses)
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    loaded = load_task(ClassificationTask, tmp_path / "best.ckpt", "--classifier", torch.device("cpu"))
    ours, theirs = (each.score_clips(batch_of(CLIPS).clips) for each in (task, loaded))
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.energies, theirs.energies)


def test_without_it_a_video_s_score_is_the_mean_of_its_clips_and_no_weight_is_kept(tmp_path):
    task = make_task()
    assert not any(name.startswith("attention") for name in task.state_dict())
    validated(task, CLIPS, 2, tmp_path)
    scores = pd.Series([1 / (1 + np.exp((100 - left) / 10)) for _, _, left, _ in CLIPS])
    expected = scores.groupby([video for video, *_ in CLIPS]).mean()
    assert task.validation_videos["score"].to_dict() == pytest.approx(expected.to_dict())
    assert not {"energy", "weight"} & set(task.validation_clips)
    assert task.score_clips(batch_of(CLIPS).clips).energies is None
