"""Figures of the steps themselves: how fast they go, what they wait for, how large the gradients are."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DeepSpeedStrategy
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from wauve_dist.data.batches import ClipBatch


class StepFigures(pl.Callback):
    """Logs throughput, data wait, gradient norm and GPU memory every ``log_every_n_steps``.

    - ``train/clips_per_s`` or ``train/frames_per_s``: over all processes, in the steps since the last figures;
      validation and saves in between do not count.
    - ``train/data_wait_share``: share of that time in which rank 0 waited for its next batch, 0..1.
    - ``train/grad_norm``: 2-norm of all gradients, before clipping.
    - ``train/gpu_memory_gb``: most memory that tensors took on rank 0's GPU so far, 1e9 bytes.

    A GPU's use in percent is W&B's own figure, among its system metrics.

    Attributes:
        throughput: the last figure with its unit, for people; empty before the first.
    """

    def __init__(self) -> None:
        self.throughput = ""
        self._grad_norm: Tensor | float | None = None
        self._batch_end_s: float | None = None
        self._reset()

    def _reset(self) -> None:
        self._step_s = self._wait_s = 0.0
        self._num_samples = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do not count what lies between epochs."""
        self._batch_end_s = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do not count a validation."""
        self._batch_end_s = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Do not count a save."""
        self._batch_end_s = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count the wait for this batch."""
        self._batch_start_s = time.perf_counter()
        if self._batch_end_s is not None:
            self._wait_s += self._batch_start_s - self._batch_end_s
            self._step_s += self._batch_start_s - self._batch_end_s

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure the gradients on all ranks, since they may be spread over these; no rank waits for the result."""
        if trainer._logger_connector.should_update_logs and not isinstance(trainer.strategy, DeepSpeedStrategy):
            gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            self._grad_norm = norm.full_tensor() if isinstance(norm, DTensor) else norm

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step; log if figures are due."""
        self._batch_end_s = time.perf_counter()
        self._step_s += self._batch_end_s - self._batch_start_s
        self._num_samples += len(batch.video_ids)
        if not trainer._logger_connector.should_update_logs:
            return
        unit = "clips" if isinstance(batch, ClipBatch) else "frames"
        per_s = trainer.world_size * self._num_samples / self._step_s
        self.throughput = f"{per_s:.1f} {unit}/s"
        figures = {f"train/{unit}_per_s": per_s, "train/data_wait_share": self._wait_s / self._step_s}
        if isinstance(trainer.strategy, DeepSpeedStrategy):  # it keeps the gradients to itself
            self._grad_norm = trainer.model.get_global_grad_norm()  # type: ignore[union-attr, operator]
        if self._grad_norm is not None:
            figures["train/grad_norm"] = float(self._grad_norm)
        if pl_module.device.type == "cuda":
            figures["train/gpu_memory_gb"] = torch.cuda.max_memory_allocated(pl_module.device) / 1e9
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.fit_loop.epoch_loop._batches_that_stepped)
        self._reset()
