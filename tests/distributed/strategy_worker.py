"""Trains a tiny task under one strategy after the other, in every process of a torchrun: see test_strategies.py.

usage: strategy_worker.py OUT JOBS, where JOBS is JSON: a list of {name, strategy, task, ...} (see ``train``).
"""

import importlib
import json
import os
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn
from torch.utils.data import DataLoader, Dataset

from wauve_dist.data.batches import ClipBatch, FrameBatch
from wauve_dist.data.samplers import EvaluationSampler, TrainingSampler
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.detection import DetectionTask
from wauve_dist.tasks.optimizers import optimizer_and_schedule

CONFIGS = Path(__file__).parents[2] / "configs" / "strategy"
NUM_SAMPLES, GLOBAL_BATCH, NUM_VALIDATED = 8, 4, 5  # two steps an epoch; an uneven share to validate
OPTIMIZATION = {
    "lr": 1e-3,
    "lr_batch_size": GLOBAL_BATCH,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_fraction": 0.0,
}
DETECTOR = {
    "image_size": 64,
    "anchor_sizes": [12, 24, 40, 64, 96],
    "anchor_ratios": [1.0],
    "num_proposals": 20,
    "num_sampled_rois": 16,
    "score_threshold": 0.01,
    "nms_iou": 0.3,
    "max_detections": 5,
}


class Clips(Dataset):
    """Noise; malignant clips are brighter. Every ``bag_size`` clips are a video."""

    def __init__(self, bag_size):
        self.bag_size = bag_size

    def __getitems__(self, samples):
        numbers = torch.tensor([sample if isinstance(sample, int) else sample[1] for sample in samples])
        videos = numbers // self.bag_size
        labels = (videos % 2).float()
        clips = [
            torch.randint(0, 150, (8, 64, 64), generator=torch.Generator().manual_seed(n)) + 100 * int(label)
            for n, label in zip(numbers.tolist(), labels, strict=True)
        ]
        names = [f"video {n}" for n in videos.tolist()]
        return ClipBatch(
            torch.stack(clips).to(torch.uint8), labels, numbers, names, names, videos, numbers, bag_size=self.bag_size
        )


class Frames(Dataset):
    """A dark square on grey; every fourth frame, and so some whole batches, without one."""

    def __getitems__(self, samples):
        numbers = [sample if isinstance(sample, int) else sample[1] for sample in samples]
        frames, boxes_xyxy = [], []
        for n in numbers:
            frame, left = torch.full((64, 64), 160, dtype=torch.uint8), 4 + n % 30
            boxes = torch.zeros(0, 4)
            if n % 4:
                frame[20:44, left : left + 24] = 20
                boxes = torch.tensor([[left, 20.0, left + 24, 44]])
            frames.append(frame)
            boxes_xyxy.append(boxes)
        return FrameBatch(frames, boxes_xyxy, [f"video {n}" for n in numbers], [0] * len(numbers))


class Perceptron(pl.LightningModule):
    """So small that fp16 runs on a CPU; its first gradients overflow fp16 at a loss scale of 2^16."""

    def __init__(self, optimizer, lr, lr_batch_size, weight_decay, schedule, warmup_fraction, milestones=()):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def training_step(self, batch):
        outputs = self.layers(batch.clips.float().mean(dim=(2, 3)) / 128)
        return 100 * nn.functional.mse_loss(outputs[:, 0].float(), batch.labels)

    def validation_step(self, batch):
        self.layers(batch.clips.float().mean(dim=(2, 3)) / 128)

    def configure_optimizers(self):
        return optimizer_and_schedule(self)


class Witness(pl.Callback):
    """Keeps losses, and freezes batch norms where asked: their statistics depend on how a batch is split."""

    def __init__(self, path_after_first_epoch, freezes_norms):
        self.path, self.freezes_norms, self.losses, self.buffers = path_after_first_epoch, freezes_norms, [], {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        for module in pl_module.modules():
            if self.freezes_norms and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.path)

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.buffers = {name: buffer.clone() for name, buffer in pl_module.named_buffers()}


def strategy_of(overlay, **overrides):
    """Build what configs/strategy/OVERLAY.yaml describes."""
    if overlay == "none":
        return "auto"
    given = yaml.safe_load((CONFIGS / f"{overlay}.yaml").read_text())["trainer"]["strategy"]
    module, _, name = given["class_path"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**{**given.get("init_args", {}), **overrides})


def train(
    out,
    name,
    strategy,
    task="classification",
    num_epochs=2,
    optimizer="adamw",
    precision="32-true",
    freezes_norms=True,
    resume=None,
    clip=None,
    accumulate=1,
    compression=None,
    bag_size=1,
):
    """Train; leave NAME.epoch0.ckpt, NAME.ckpt and, for every rank, NAME.RANK.pt: its losses, its last buffers."""
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    pl.seed_everything(0)
    if task == "classification":
        options = {"optimizer": optimizer, "attention_pooling": bag_size > 1, **OPTIMIZATION}
        module = ClassificationTask(I3DResNet50(dropout=0.0), crop_size=64, roi_context=1.5, **options)
        data = Clips(bag_size)
    elif task == "perceptron":
        module, data = Perceptron(optimizer, **OPTIMIZATION), Clips(bag_size)
    else:
        module, data = DetectionTask(**DETECTOR, optimizer=optimizer, **OPTIMIZATION), Frames()
    witness = Witness(out / f"{name}.epoch0.ckpt", freezes_norms)
    overrides = {"gradient_compression": compression} if compression else {}
    plugins, built = [], strategy_of(strategy, **overrides)
    if precision == "16-mixed" and not strategy.startswith("zero"):  # Lightning trains it on GPUs only
        plugins, precision = [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))], None
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy=built,
        precision=precision,
        plugins=plugins,
        max_epochs=num_epochs,
        gradient_clip_val=clip,
        accumulate_grad_batches=accumulate,
        callbacks=[witness],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    batch_size = GLOBAL_BATCH // world_size // accumulate
    loaders = [
        DataLoader(data, batch_size, sampler=sampler, collate_fn=lambda batch: batch)
        for sampler in (
            TrainingSampler(NUM_SAMPLES, 0, rank, world_size, bag_size),
            EvaluationSampler(NUM_VALIDATED, rank, world_size),
        )
    ]
    trainer.fit(module, *loaders, ckpt_path=out / f"{resume}.ckpt" if resume else None, weights_only=True)
    trainer.save_checkpoint(out / f"{name}.ckpt")
    torch.save({"losses": witness.losses, "buffers": witness.buffers}, out / f"{name}.{rank}.pt")


if __name__ == "__main__":
    for job in json.loads(sys.argv[2]):
        train(Path(sys.argv[1]), **job)
