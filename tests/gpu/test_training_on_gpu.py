"""Both tasks trained on one batch through Lightning, in each mixed precision; then the detector against the CPU."""

import copy

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from wauve_dist.data.batches import ClipBatch, FrameBatch
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.detection import DetectionTask

pytestmark = pytest.mark.gpu

OPTIMIZATION = {
    "optimizer": "adamw",
    "lr": 1e-3,
    "lr_batch_size": None,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_fraction": 0.1,
}
FRAME_SIZE, LESION_SIZE = 128, 40


class Losses(pl.Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        assert pl_module.device.type == "cuda"
        self.values.append(float(outputs["loss"]))


def train_on_one_batch(task, batch, precision, num_steps, folder):
    pl.seed_everything(0)
    losses = Losses()
    trainer = pl.Trainer(
        accelerator="gpu",
        devices=1,
        precision=precision,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[losses],
    )
    trainer.fit(task, DataLoader([batch] * num_steps, batch_size=None, collate_fn=lambda batch: batch))
    assert np.isfinite(losses.values).all()
    return losses.values


def clip_batch():
    """Bright clips are malignant."""
    labels = torch.arange(8) % 2
    clips = torch.randint(0, 100, (8, 8, 64, 64)) + 100 * labels.view(-1, 1, 1, 1)
    names = [f"video {n}" for n in range(8)]
    numbers = torch.arange(8)
    return ClipBatch(clips.to(torch.uint8), labels.float(), numbers, names, names, numbers, numbers)


def frame_batch():
    """A dark square on grey, somewhere else in each frame."""
    rng = np.random.default_rng(0)
    frames, boxes_xyxy = [], []
    for left, top in rng.integers(4, FRAME_SIZE - LESION_SIZE - 4, (8, 2)):
        frame = torch.full((FRAME_SIZE, FRAME_SIZE), 160, dtype=torch.uint8)
        frame[top : top + LESION_SIZE, left : left + LESION_SIZE] = 20
        frames.append(frame)
        boxes_xyxy.append(torch.tensor([[left, top, left + LESION_SIZE, top + LESION_SIZE]], dtype=torch.float32))
    return FrameBatch(frames, boxes_xyxy, [f"video {n}" for n in range(8)], list(range(8)))


def detection_task():
    return DetectionTask(
        image_size=FRAME_SIZE,
        anchor_sizes=[12, 24, 40, 64, 96],
        anchor_ratios=[0.5, 1.0, 2.0],
        num_proposals=100,
        num_sampled_rois=32,
        score_threshold=0.5,
        nms_iou=0.3,
        max_detections=20,
        **OPTIMIZATION,
    )


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "32-true"])
def test_the_classifier_learns_one_batch(precision, tmp_path):
    task = ClassificationTask(I3DResNet50(dropout=0.0), crop_size=64, roi_context=1.5, **OPTIMIZATION)
    losses = train_on_one_batch(task, clip_batch(), precision, 30, tmp_path)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_the_detector_learns_one_batch_in_mixed_precision(precision, tmp_path):
    losses = train_on_one_batch(detection_task(), frame_batch(), precision, 60, tmp_path)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.usefixtures("exact_float32")
def test_a_trained_detector_finds_the_same_boxes_on_gpu_and_cpu(cuda, tmp_path):
    task, batch = detection_task(), frame_batch()
    train_on_one_batch(task, batch, "32-true", 150, tmp_path)
    frames = torch.stack(batch.frames)
    on_cpu = copy.deepcopy(task).cpu().eval().detect(frames)
    on_gpu = task.to(cuda).eval().detect(frames.to(cuda))
    assert any(len(found.scores) for found in on_cpu)
    for cpu, gpu, truth in zip(on_cpu, on_gpu, batch.boxes_xyxy, strict=True):
        np.testing.assert_allclose(gpu.scores, cpu.scores, atol=1e-3)
        np.testing.assert_allclose(gpu.boxes_xyxy, cpu.boxes_xyxy, atol=0.05)  # pixels
        if len(gpu.scores):
            np.testing.assert_allclose(gpu.boxes_xyxy[0], truth[0].numpy(), atol=10)
