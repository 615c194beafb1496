"""Batches out of the caches. A whole batch is asked for at once, so each crop is copied once, from disk to batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from wauve_dist.data.array_cache import OnlineArray, open_array
from wauve_dist.data.augmentation import augment_frame
from wauve_dist.data.batch_buffers import lend_tensor
from wauve_dist.data.batches import ClipBatch, FrameBatch
from wauve_dist.data.clip_sampling import ClipWindow, RandomClips, TrackSpan
from wauve_dist.data.clip_timing import ClipTiming


class CroppedVideo(NamedTuple):
    """A video's crops.

    Attributes:
        video_id: its name.
        patient_id: whose it is.
        label: 1 malignant, 0 benign, NaN unknown.
        crops: where its uint8 [T, S, S] come from.
        spans: its tracks that are long enough for a clip.
        clips: what is judged of it in evaluation; empty in training.
        covariates: F numbers of the manifest, NaN where missing.
    """

    video_id: str
    patient_id: str
    label: float
    crops: Path | OnlineArray
    spans: Sequence[TrackSpan]
    clips: Sequence[ClipWindow]
    covariates: Sequence[float] = ()


class TrainingClips(Dataset[ClipBatch]):
    """Random clips, the same number of every video; indices are ``(epoch, sample)`` (see ``TrainingSampler``).

    Args:
        videos: in an order that must not change between runs: draws are keyed by it.
        clip_length: frames of a clip.
        clips_per_video: draws per video and epoch.
        seed: of all draws.
        timing: of a clip's frames.
        bag_size: for the batches; ``clips_per_video`` where the indices keep the clips of a video together.
    """

    def __init__(
        self,
        videos: Sequence[CroppedVideo],
        clip_length: int,
        clips_per_video: int,
        seed: int,
        timing: ClipTiming,
        bag_size: int = 1,
    ) -> None:
        self._videos, self._bag_size = videos, bag_size
        self._random_clips = RandomClips([video.spans for video in videos], clip_length, clips_per_video, seed, timing)

    def __len__(self) -> int:
        return len(self._random_clips)

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> ClipBatch:
        epochs, samples = np.array(indices, np.int64).T
        assert (epochs == epochs[0]).all(), "a batch belongs to one epoch"
        drawn = self._random_clips.draw(int(epochs[0]), samples)
        batch = _clip_batch([self._videos[video] for video in drawn.videos], *drawn[1:])
        return batch._replace(bag_size=self._bag_size)


class EvaluationClips(Dataset[ClipBatch]):
    """What is judged of the videos, in their order; indices are whole numbers.

    Args:
        videos: with their clips.
        clip_length: frames of a clip.
    """

    def __init__(self, videos: Sequence[CroppedVideo], clip_length: int) -> None:
        self._clips = [(video, clip) for video in videos for clip in video.clips]
        self._clip_length = clip_length

    @property
    def keys(self) -> list[tuple[str, int, int]]:
        """Video, track and number of the clip in it, of every sample."""
        return [(video.video_id, clip.track_id, clip.clip_index) for video, clip in self._clips]

    def __len__(self) -> int:
        return len(self._clips)

    def __getitems__(self, indices: Sequence[int]) -> ClipBatch:
        videos, windows = zip(*(self._clips[index] for index in indices), strict=True)
        track_ids, clip_indices, first_rows = np.array(windows, np.int64).T
        rows = first_rows[:, None] + np.arange(self._clip_length)
        return _clip_batch(videos, track_ids, clip_indices, rows, np.zeros_like(first_rows))


def _clip_batch(
    videos: Sequence[CroppedVideo],
    track_ids: NDArray[np.int64],
    clip_indices: NDArray[np.int64],
    rows: NDArray[np.int64],
    seeds: NDArray[np.int64],
) -> ClipBatch:
    size = open_array(videos[0].crops).shape[-1]
    clips = lend_tensor((*rows.shape, size, size))
    for target, video, rows_of_clip in zip(clips.numpy(), videos, rows, strict=True):
        crops = open_array(video.crops)
        assert rows_of_clip[-1] < len(crops)
        crops.take(rows_of_clip, axis=0, out=target, mode="clip")  # the mode that writes without a buffer
    return ClipBatch(
        clips,
        torch.tensor([video.label for video in videos], dtype=torch.float32),
        torch.tensor(seeds),
        [video.video_id for video in videos],
        [video.patient_id for video in videos],
        torch.tensor(track_ids),
        torch.tensor(clip_indices),
        torch.tensor([video.covariates for video in videos]) if videos[0].covariates else None,
    )


class StoredFrame(NamedTuple):
    """An annotated frame in the frame store.

    Attributes:
        video_id: its video.
        frame: its number in the video, from 0.
        store: where uint8 [K, H, W] come from.
        row: the frame's row in it.
        size: its H and W, pixels.
        boxes_xyxy: float32 [N, 4], absolute pixels; N is 0 without lesion.
    """

    video_id: str
    frame: int
    store: Path | OnlineArray
    row: int
    size: tuple[int, int]
    boxes_xyxy: NDArray[np.float32]


class TrainingFrames(Dataset[FrameBatch]):
    """Augmented frames; indices are ``(epoch, sample)`` (see ``TrainingSampler``).

    Args:
        frames: in an order that must not change between runs: augmentation is keyed by it.
        seed: of all augmentation.
    """

    def __init__(self, frames: Sequence[StoredFrame], seed: int) -> None:
        self._frames, self._seed = frames, seed

    def __len__(self) -> int:
        return len(self._frames)

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> FrameBatch:
        images = []
        for epoch, sample in indices:
            stored = self._frames[sample]
            rng = np.random.default_rng([self._seed, epoch, sample])
            images.append(augment_frame(open_array(stored.store)[stored.row], stored.boxes_xyxy, rng))
        return _frame_batch([self._frames[sample] for _, sample in indices], images)


class EvaluationFrames(Dataset[FrameBatch]):
    """Frames as they are; indices are whole numbers."""

    def __init__(self, frames: Sequence[StoredFrame]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitems__(self, indices: Sequence[int]) -> FrameBatch:
        chosen = [self._frames[index] for index in indices]
        return _frame_batch(chosen, [(open_array(stored.store)[stored.row], stored.boxes_xyxy) for stored in chosen])


def _frame_batch(
    chosen: Sequence[StoredFrame], images: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]]
) -> FrameBatch:
    return FrameBatch(
        [torch.from_numpy(np.array(frame)) for frame, _ in images],
        [torch.from_numpy(np.array(boxes_xyxy)) for _, boxes_xyxy in images],
        [stored.video_id for stored in chosen],
        [stored.frame for stored in chosen],
    )
