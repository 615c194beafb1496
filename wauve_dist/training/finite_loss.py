"""Ends a training whose loss is no number any more, and says on which videos."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor


class FiniteLoss(pl.Callback):
    """Looks at the loss of a step once the next one is under way, so that no step waits for the accelerator."""

    def __init__(self) -> None:
        self._last: tuple[int, Tensor, Any] | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the step before, and keep this one."""
        self._check(trainer)
        self._last = (batch_idx, outputs["loss"], batch.video_ids)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the epoch's last step."""
        self._check(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check before a save: weights that have seen such a loss are worth nothing."""
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        if self._last is None:
            return
        batch_idx, loss, video_ids = self._last
        self._last = None
        if not loss.isfinite():
            raise ValueError(
                f"The training loss became {float(loss)} in epoch {trainer.current_epoch}, batch {batch_idx}, rank "
                f"{trainer.global_rank}, on the videos {', '.join(sorted(set(video_ids)))}. The last save is from "
                "before. Lower --model.lr, clip gradients (--trainer.gradient_clip_val 1), or look at these videos."
            )
