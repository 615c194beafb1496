"""What W&B gets at the end of a validation, between steps: curves, the summary and, if asked for, pictures."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.strategies import DeepSpeedStrategy, ModelParallelStrategy
from torch import Tensor

from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.detection import DetectionTask
from wauve_dist.training.logging.run_charts import EpochAuc, auc_chart, classification_charts, detection_charts
from wauve_dist.training.logging.run_logging import wandb_loggers
from wauve_dist.training.logging.run_media import Maps, video_table


class ValidationLogging(pl.Callback):
    """Keeps W&B's summary and charts at the best epoch so far, by the figure that best.ckpt is chosen by.

    Args:
        key: secret behind the names of videos in a table with pictures; None leaves the table out. Where the network
            is spread over processes (DeepSpeed, FSDP2), the pictures show the lesions without the network's maps.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._epochs: list[EpochAuc] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the AUC of all epochs, so that a resumed run draws its whole curve."""
        return {"epochs": [tuple(epoch) for epoch in self._epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self._epochs = [EpochAuc(*epoch) for epoch in state_dict["epochs"]]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what there is, on rank 0; the tables are the same on all ranks."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        charts: dict[str, Any] = {}
        if "val/auc" in figures:
            limits = (figures[f"val/auc{limit}"] for limit in ("", "_low", "_high"))
            self._epochs.append(EpochAuc(trainer.current_epoch, *limits))
            charts |= auc_chart(self._epochs)
        is_best = _is_best(trainer, figures)
        if is_best and isinstance(pl_module, ClassificationTask):
            charts |= classification_charts(pl_module.validation_videos)
            if self._key is not None:
                loader: Any = trainer.val_dataloaders
                videos, clips = pl_module.validation_videos, pl_module.validation_clips
                charts["media/videos"] = video_table(
                    videos, clips, loader.dataset, self._key, _maps(trainer, pl_module)
                )
        if is_best and isinstance(pl_module, DetectionTask):
            charts |= detection_charts(pl_module.validation_truth, pl_module.validation_boxes)
        for logger in wandb_loggers(trainer):
            if charts:
                logger.log_metrics(charts, trainer.global_step)
            if is_best:
                best = {"best/epoch": trainer.current_epoch, "best/step": trainer.global_step}
                logger.summarize({**figures, **best})


def _is_best(trainer: pl.Trainer, figures: dict[str, float]) -> bool:
    """Tell whether best.ckpt, which is saved after this, will be of this epoch; without one the last epoch counts."""
    checkpoint = trainer.checkpoint_callback
    if not isinstance(checkpoint, ModelCheckpoint) or checkpoint.monitor not in figures:
        return True
    if checkpoint.best_model_score is None:
        return True
    now, before = figures[checkpoint.monitor], float(checkpoint.best_model_score)
    return now < before if checkpoint.mode == "min" else now > before


def _maps(trainer: pl.Trainer, task: ClassificationTask) -> Maps | None:
    """Return what computes the network's maps on rank 0 alone.

    None where the other ranks hold a part of the network.
    """
    if isinstance(trainer.strategy, (DeepSpeedStrategy, ModelParallelStrategy)):
        return None

    def maps(clips_NTHW: Tensor) -> Tensor:
        assert not task.training, "a validation runs in evaluation mode"
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            return task.classifier.maps(clips_NTHW.to(task.device)).float().cpu()

    return Maps(task.classifier.map_kind, maps)
