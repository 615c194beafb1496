"""A clip classifier small enough that a test may kill it twenty times; all around it is the real system."""

import inspect
import json
import math
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from wauve_dist.models.classifiers.clip_classifier import ClipClassifier
from wauve_dist.tasks.classification import ClassificationTask


class TinyNetwork(ClipClassifier):
    """Three frames of four channels, and a norm."""

    clip_length = 8

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv3d(1, 4, 3, stride=(2, 4, 4)), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout(0.3)),
            *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 1)),
        )

    def forward(self, clips_NTHW):
        return self.body(clips_NTHW.unsqueeze(1).float() / 255).squeeze(1)

    def maps(self, clips_NTHW):
        features_NCTHW = self.body[:4](clips_NTHW.unsqueeze(1).float() / 255)
        cells = (features_NCTHW.shape[2], *(math.ceil(side / 32) for side in clips_NTHW.shape[2:]))  # as a trunk has
        pooled_NCTHW = F.adaptive_avg_pool3d(features_NCTHW, cells)
        return torch.einsum("ncthw,c->nthw", pooled_NCTHW, self.body[6].weight[0])

    def check_crop_size(self, crop_size):
        pass


class TinyTask(ClassificationTask):
    """Has what could differ after a resume: dropout, batch norm, momentum, a schedule, a monitored metric.

    Writes a ledger of the samples of every step: ``$LEDGER/rank_R.jsonl``.
    """

    def __init__(
        self,
        crop_size: int,
        roi_context: float,
        step_s: float = 0.0,
        nan_at_step: int = -1,
        fail_on_rank: int = -1,
        signal_in: str = "",
    ):
        settings = dict(optimizer="sgd", lr=0.05, lr_batch_size=4, weight_decay=1e-3)
        settings |= dict(schedule="cosine", warmup_fraction=0.1)
        super().__init__(TinyNetwork(), crop_size, roi_context, **settings)
        # Under the command, Lightning keeps only what the config names.
        parameters = inspect.signature(ClassificationTask).parameters.values()
        defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
        self.save_hyperparameters({**defaults, **settings})
        self.step_s, self.nan_at_step, self.fail_on_rank = step_s, nan_at_step, fail_on_rank
        self._signal_in = signal_in

    def training_step(self, batch, batch_idx):
        time.sleep(self.step_s)
        if self.global_rank == self.fail_on_rank and batch_idx == 2:
            raise ZeroDivisionError(f"rank {self.global_rank} met a bad batch")
        if ledger := os.environ.get("LEDGER"):
            entry = {"epoch": self.current_epoch, "batch": batch_idx, "samples": batch.sample_seeds.tolist()}
            with (Path(ledger) / f"rank_{self.global_rank}.jsonl").open("a") as stream:
                stream.write(json.dumps(entry) + "\n")
        loss = F.binary_cross_entropy_with_logits(self(batch.clips), batch.labels)
        return loss * torch.nan if self.global_step == self.nan_at_step else loss

    def validation_step(self, batch):
        self._signal_myself("validation")
        super().validation_step(batch)

    def on_save_checkpoint(self, checkpoint):
        self._signal_myself("save")

    def _signal_myself(self, where):
        if self._signal_in == where and self.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
