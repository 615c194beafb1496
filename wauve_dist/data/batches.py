"""What the data modules hand to the tasks."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ClipBatch(NamedTuple):
    """N clips of lesion crops.

    Attributes:
        clips: uint8 [N, T, S, S], grey, T frames each.
        labels: float32 [N], 1 malignant, 0 benign, NaN unknown.
        sample_seeds: int64 [N], the key of each sample's augmentation; 0 in evaluation. Stays on the CPU.
        video_ids: N names.
        patient_ids: N names; resampling is by patient.
        track_ids: int64 [N].
        clip_indices: int64 [N], the clip's number in its track; in training the number of the random draw.
        covariates: float32 [N, F], NaN where missing; None without any.
        bag_size: this many clips, one after the other, are of one video; N is a multiple of it.
    """

    clips: Tensor
    labels: Tensor
    sample_seeds: Tensor
    video_ids: list[str]
    patient_ids: list[str]
    track_ids: Tensor
    clip_indices: Tensor
    covariates: Tensor | None = None
    bag_size: int = 1


class FrameBatch(NamedTuple):
    """N frames of any size with their lesion boxes.

    Attributes:
        frames: N tensors uint8 [H, W], grey.
        boxes_xyxy: N tensors float32 [K, 4], absolute pixels; K is 0 in a frame without lesion.
        video_ids: N names.
        frame_indices: N frame numbers in their videos, from 0.
    """

    frames: list[Tensor]
    boxes_xyxy: list[Tensor]
    video_ids: list[str]
    frame_indices: list[int]
