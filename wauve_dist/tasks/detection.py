"""Training the lesion detector: Faster R-CNN on single frames, judged by COCO average precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from wauve_dist.data.batches import FrameBatch
from wauve_dist.data.datamodules import FrameDataModule
from wauve_dist.evaluation.detection import coco_average_precision
from wauve_dist.models.detectors.backends import Backend, detector_class
from wauve_dist.structures.annotations import Annotations
from wauve_dist.structures.boxes import Detections
from wauve_dist.tasks.gathering import gather_rows
from wauve_dist.tasks.optimizers import OptimizerName, ScheduleName, optimizer_and_schedule


class DetectionTask(pl.LightningModule):
    """Faster R-CNN ResNet-34 FPN, frame by frame (Han et al. 2025).

    Args:
        image_size: frames are resized so that their long side has this many pixels.
        anchor_sizes: side of the square anchor of pyramid levels P2 to P6, pixels of the resized frame.
        anchor_ratios: height / width of the anchors.
        num_proposals: proposals a frame after the region proposal network's NMS.
        num_sampled_rois: proposals a frame that the box head is trained on.
        score_threshold: boxes below this score are dropped, 0..1; average precision needs the low ones too.
        nms_iou: of two boxes that overlap by more than this, the better one stays.
        max_detections: most boxes a frame.
        optimizer: ``sgd`` or ``adamw``.
        lr: peak learning rate at a global batch of ``lr_batch_size`` samples.
        lr_batch_size: the rate of another global batch follows from it, linearly for ``sgd``, with the square root
            for ``adamw``; None takes ``lr`` as it is.
        weight_decay: on weights of convolutions and linear layers only.
        schedule: ``cosine`` or ``step``.
        warmup_fraction: share of the steps with a linearly rising learning rate, 0..1.
        milestones: shares of the training at which ``step`` divides the rate by 10.
        training_sizes: each batch of a training is resized to one of these long sides, at random; none: ``image_size``.
        frozen_norms: the backbone's norms keep the scales and statistics that they were loaded with.
        backend: library that computes the detector, ``torchvision`` or ``detectron2``; a checkpoint of one runs with
            the other.

    Attributes:
        on_sectors: whether a loaded detector was trained on frames cut to their sectors, not on whole ones.
        validation_figures: that every validation logs, and a sweep may optimise.
        validation_truth: annotated frames and boxes of the last validation, the same on every rank.
        validation_boxes: the DETECTIONS of it.
    """

    validation_figures: ClassVar[Sequence[str]] = ("val/ap", "val/ap50", "val/ap75")
    on_sectors: bool = False
    validation_truth: Annotations
    validation_boxes: pd.DataFrame

    def __init__(
        self,
        image_size: int,
        anchor_sizes: Sequence[int],
        anchor_ratios: Sequence[float],
        num_proposals: int,
        num_sampled_rois: int,
        score_threshold: float,
        nms_iou: float,
        max_detections: int,
        optimizer: OptimizerName,
        lr: float,
        lr_batch_size: int | None,
        weight_decay: float,
        schedule: ScheduleName,
        warmup_fraction: float,
        milestones: Sequence[float] = (),
        training_sizes: Sequence[int] = (),
        frozen_norms: bool = False,
        backend: Backend = "torchvision",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.detector = detector_class(backend)(
            image_size,
            anchor_sizes,
            anchor_ratios,
            num_proposals,
            num_sampled_rois,
            score_threshold,
            nms_iou,
            max_detections,
            training_sizes,
            frozen_norms,
        )
        self._validation_rows: list[pd.DataFrame] = []

    @torch.no_grad()
    def detect(self, frames_NHW: Tensor) -> list[Detections]:
        """Find lesions: uint8 [N, H, W], grey, on the module's device, to boxes in the frames' own pixels."""
        assert not self.training, "detections come from a module in evaluation mode"
        return [
            Detections(found["boxes"].numpy(), found["scores"].numpy()) for found in self.detector(list(frames_NHW))
        ]

    def on_train_start(self) -> None:
        """Check that the detector can learn."""
        self.detector.check_frozen_norms()

    def training_step(self, batch: FrameBatch) -> Tensor:
        """Return the sum of the four losses of a batch of frames."""
        losses = self.detector.losses(batch.frames, batch.boxes_xyxy)
        total = torch.stack(list(losses.values())).sum()
        self.log("train/loss", total, prog_bar=True, batch_size=len(batch.frames))
        self.log_dict({f"train/{name}": value for name, value in losses.items()}, batch_size=len(batch.frames))
        return total

    def validation_step(self, batch: FrameBatch) -> None:
        """Keep truth and detections of a batch; they are judged at the epoch's end."""
        for video_id, frame, image, truth, found in zip(
            batch.video_ids,
            batch.frame_indices,
            batch.frames,
            batch.boxes_xyxy,
            self.detector(batch.frames),
            strict=True,
        ):
            self._validation_rows.append(
                pd.DataFrame(
                    {
                        "video_id": [video_id],
                        "frame": [frame],
                        "width": [image.shape[1]],
                        "height": [image.shape[0]],
                        "truth": [truth.cpu().numpy()],
                        "found": [found["boxes"].numpy()],
                        "scores": [found["scores"].numpy()],
                    }
                )
            )

    def on_validation_epoch_end(self) -> None:
        """Log COCO average precision over all validation frames, the same on every rank."""
        frames = gather_rows(self._validation_rows, key=["video_id", "frame"])
        self._validation_rows.clear()
        truth = _box_rows(frames, "truth").assign(instance_id=0, category_id=1)
        found = _box_rows(frames, "found").assign(score=np.concatenate(frames["scores"].to_list()))
        self.validation_truth, self.validation_boxes = Annotations(frames, truth), found
        result = coco_average_precision(self.validation_truth, found, video_ids=frames["video_id"].unique())
        self.log("val/ap", result["ap"], prog_bar=True)
        self.log("val/ap50", result["ap50"], prog_bar=True)
        self.log("val/ap75", result["ap75"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Learn from the data's part of the checkpoint what the weights were trained on."""
        self.on_sectors = checkpoint.get(FrameDataModule.__qualname__, {}).get("on_sectors", False)

    def configure_optimizers(self) -> Any:
        """Build the optimiser and its per-step schedule."""
        return optimizer_and_schedule(self)


def _box_rows(frames: pd.DataFrame, column: str) -> pd.DataFrame:
    """Unroll a column of [K, 4] boxes into a row per box."""
    counts = frames[column].map(len)
    rows = frames.loc[frames.index.repeat(counts), ["video_id", "frame"]].reset_index(drop=True)
    boxes_xyxy = np.concatenate([np.reshape(boxes, (-1, 4)) for boxes in frames[column]])
    return rows.assign(**dict(zip(("x1", "y1", "x2", "y2"), boxes_xyxy.T, strict=True)))
