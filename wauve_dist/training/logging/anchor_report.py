"""What a detector's training says of its anchors before it starts."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn

from wauve_dist.data.datamodules import FrameDataModule
from wauve_dist.models.detectors.anchor_coverage import Anchors, FramedBoxes, coverage
from wauve_dist.tasks.detection import DetectionTask


class AnchorReport(pl.Callback):
    """Prints how the anchors cover the training boxes, warns where they do not, and keeps the figures.

    They are in the run's record beside its config: ``anchors`` in ``metrics/version_N/hparams.yaml`` and at W&B. Boxes
    count once at each of the sizes that are trained at, before any flip.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do so on rank 0, once the data were read."""
        data = getattr(trainer, "datamodule", None)
        if not (isinstance(pl_module, DetectionTask) and isinstance(data, FrameDataModule) and trainer.is_global_zero):
            return
        settings = pl_module.hparams
        corners, frame_sizes = data.training_boxes()
        if len(corners) == 0:
            rank_zero_warn("No training frame has a box: the detector can learn nothing but that there are no lesions.")
            return
        boxes = FramedBoxes(corners.astype(np.float64), frame_sizes.astype(np.float64))
        covered = coverage(
            Anchors(settings["anchor_sizes"], settings["anchor_ratios"]),
            boxes.resized(settings["training_sizes"] or [settings["image_size"]]),
        )
        print("\n".join(covered.lines()), flush=True)
        if (warning := covered.warning()) is not None:
            rank_zero_warn(warning)
        for logger in trainer.loggers:
            logger.log_hyperparams({"anchors": covered.figures()})
