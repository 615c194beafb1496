"""Data modules: from the tables of a study to batches. The only part of ``data`` that knows Lightning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader

from wauve_dist.data.augmentation import augment_clips, mix_clips
from wauve_dist.data.batches import ClipBatch, FrameBatch
from wauve_dist.data.clip_sampling import ClipWindow, TrackSpan, balanced, track_spans, windows_of
from wauve_dist.data.clip_timing import checked_timing, short_tracks
from wauve_dist.data.crop_cache import CropRecipe, crop_recipes
from wauve_dist.data.datasets import (
    CroppedVideo,
    EvaluationClips,
    EvaluationFrames,
    StoredFrame,
    TrainingClips,
    TrainingFrames,
)
from wauve_dist.data.decoding import Decoder
from wauve_dist.data.frame_store import frame_recipes
from wauve_dist.data.loaders import loader_options
from wauve_dist.data.manifest_columns import covariate_values, group_of_each, missing_counts, require_columns
from wauve_dist.data.samplers import GroupedSampler, TrainingSampler, aspect_groups, checked_bag_size
from wauve_dist.data.study_datamodule import StudyDataModule
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.clips import (
    CLIP_LENGTH,
    ClipRule,
    Inputs,
    KeyFrameRule,
    listed_key_frames,
    require_key_frames,
)
from wauve_dist.structures.sectors import clip_to_sectors
from wauve_dist.structures.tables import TRACKS, read_table


class ClipDataModule(StudyDataModule):
    """Clips of adjacent lesion crops: random ones to train on, the paper's to evaluate on.

    Args:
        manifest: manifest.csv with ``split`` and, for training and validation, ``label``; where it gives sectors,
            crops are black outside.
        tracks: tracks.parquet, of a detector and linker or of annotations.
        crop_size: side of the square crops, pixels.
        roi_context: side of the crop over the longer side of the lesion's box.
        clips_per_video: clips drawn per training video and epoch.
        batch_size: clips per process.
        num_workers: loading processes per process; as many as a node then has fill the cache. 0 works without others.
        seed: of order, draws and augmentation.
        cache_dir: where crops are kept; shared by runs. None keeps nothing on disk: clips are the same, but whole
            videos are decoded for them again and again.
        inputs: what is judged of a video of validation or test (see ``ClipRule``).
        key_frames: where key frames come from (see ``ClipRule``).
        covariates: columns of numbers of the manifest that join the classifier's logit (see ``LateFusion``), such as
            ``age`` and ``lesion_size_mm``; a cell may be empty.
        balance: column of the manifest, such as ``vendor``, of which each value gets as many training clips: the videos
            of the rarer ones are repeated; None draws alike from every video.
        mixup_alpha: of mix-up among training clips (see ``mix_clips``); 0 mixes none.
        training_stride: frames from one frame of a training clip to the next (MMAction2's ``frame_interval``); 1 is the
            paper's adjacent frames. A track that is too short gives clips of the largest stride that fits; a warning
            says how many do. Evaluation is on adjacent frames, whatever the stride.
        temporal_jitter: move each frame of a training clip by 0 to ``training_stride`` - 1 frames, at random.
        attention_pooling: for a classifier that weighs the clips of a video (see ``ClassificationTask``): the training
            clips of a video stay together in one batch.
        clip_length: frames of a clip; the training command takes it from the network.
        decoder: decodes the videos and cuts the crops, "pyav" or "dali" (see ``track_crops.cut_video``).
        cache_max_gb: most that ``cache_dir`` may hold, 1e9 bytes; None takes what its disk has.
    """

    def __init__(
        self,
        manifest: str,
        tracks: str,
        crop_size: int,
        roi_context: float,
        clips_per_video: int,
        batch_size: int,
        num_workers: int,
        seed: int,
        cache_dir: str | None,
        inputs: Inputs = "all",
        key_frames: KeyFrameRule = "largest",
        covariates: Sequence[str] = (),
        balance: str | None = None,
        mixup_alpha: float = 0.0,
        training_stride: int = 1,
        temporal_jitter: bool = False,
        attention_pooling: bool = False,
        clip_length: int = CLIP_LENGTH,
        decoder: Decoder = "pyav",
        cache_max_gb: float | None = None,
    ) -> None:
        super().__init__(manifest, batch_size, num_workers, seed, cache_dir, cache_max_gb, decoder)
        self._tracks, self._crop_size, self._roi_context = Path(tracks), crop_size, roi_context
        self._clips_per_video = clips_per_video
        self._clip_rule = ClipRule(clip_length, inputs, key_frames)
        self._covariates, self._balance, self._mixup_alpha = covariates, balance, mixup_alpha
        if mixup_alpha < 0:
            raise ValueError(f"mixup_alpha (--data.mixup_alpha) is {mixup_alpha}; it must be above 0, or 0 for none.")
        self._timing = checked_timing(training_stride, temporal_jitter, clip_length)
        if attention_pooling:
            self._bag_size = checked_bag_size(clips_per_video, batch_size, mixup_alpha)
        self._cropped: dict[str, list[CroppedVideo]] = {}

    def setup(self, stage: str) -> None:
        """Read the tables, and the crops of the splits that ``stage`` needs."""
        videos = self._videos(stage)
        tracks = read_table(self._tracks, TRACKS)
        self._check_known(tracks["video_id"], self._tracks)
        for split, rows in videos.items():
            self._check_labels(split, rows)
        recipes = crop_recipes(_files(videos), tracks, self._crop_size, self._roi_context, self._decoder, self._sectors)
        spans = {video_id: self._spans(video_id, recipe) for video_id, recipe in recipes.items()}
        crops = self._arrays(recipes, "Cutting lesion crops")
        tracks_of = dict(list(tracks.groupby("video_id")))
        self._cropped = {}
        for split, rows in videos.items():
            labels = rows["label"] if "label" in rows else pd.Series(pd.NA, rows.index)
            covariates = self._covariate_values(split, rows)
            windows = {} if split == "train" else self._windows(rows, tracks_of, recipes)
            self._cropped[split] = [
                CroppedVideo(
                    video_id,
                    patient_id,
                    float("nan") if pd.isna(label) else float(label),
                    crops[video_id],
                    spans[video_id],
                    windows.get(video_id, []),
                    values,
                )
                for video_id, patient_id, label, values in zip(
                    rows["video_id"], rows["patient_id"], labels, covariates, strict=True
                )
                if (spans.get(video_id) if split == "train" else windows.get(video_id))
            ]
            found = {video.video_id for video in self._cropped[split]}
            lacking = f"track of {self._clip_rule.clip_length} frames"
            if split != "train" and self._clip_rule.from_manifest:
                lacking = "box in a listed key frame"
            self._report_missing(split, rows, found, lacking, self._tracks)
        if "train" in videos:
            lengths = [span.num_frames for video in self._cropped["train"] for span in video.spans]
            if message := short_tracks(self._timing, lengths, self._clip_rule.clip_length):
                self._warn_once(message)
        if "train" in videos and self._balance is not None:
            self._cropped["train"] = self._balanced(self._cropped["train"], videos["train"], self._balance)

    def _covariate_values(self, split: str, rows: pd.DataFrame) -> list[list[float]]:
        require_columns(self._manifest, rows, self._covariates, "--data.covariates")
        if missing := missing_counts(rows, self._covariates):
            rank_zero_info(f"Missing in split {split!r}: {missing}; the fusion has a coefficient for that")
        values: list[list[float]] = covariate_values(rows, self._covariates).tolist()
        return values

    def training_covariates(self) -> Tensor:
        """Return the covariates of the training videos, each video once: float32 [V, F], NaN where missing."""
        return torch.tensor(list({video.video_id: video.covariates for video in self._cropped["train"]}.values()))

    def _balanced(self, cropped: list[CroppedVideo], rows: pd.DataFrame, column: str) -> list[CroppedVideo]:
        group_of = group_of_each(self._manifest, rows, column, "--data.balance")
        groups = [group_of[video.video_id] for video in cropped]
        repeated = [cropped[index] for index in balanced(groups, self._seed)]
        rank_zero_info(f"Balanced by {column}: {len(groups)} training videos count as {len(repeated)}")
        return repeated

    def _windows(
        self, videos: pd.DataFrame, tracks_of: Mapping[str, pd.DataFrame], recipes: Mapping[str, CropRecipe]
    ) -> dict[str, list[ClipWindow]]:
        """Find what is judged of the videos in their crops; a video without a track is absent."""
        rule = self._clip_rule
        listed = listed_key_frames(videos)
        if rule.from_manifest:
            require_key_frames(listed)
        return {
            video_id: windows_of(
                rule.clips(tracks_of[video_id], listed[video_id]),
                recipes[video_id].track_ids,
                recipes[video_id].frames,
            )
            for video_id in videos["video_id"]
            if video_id in recipes
        }

    def _spans(self, video_id: str, recipe: CropRecipe) -> list[TrackSpan]:
        try:
            return track_spans(recipe.track_ids, recipe.frames, self._clip_rule.clip_length)
        except ValueError as error:
            raise ValueError(f"{self._tracks}, video {video_id!r}: {error}") from error

    def _check_labels(self, split: str, rows: pd.DataFrame) -> None:
        if split == "test":
            return
        if "label" not in rows or rows["label"].isna().any():
            unlabelled = rows if "label" not in rows else rows[rows["label"].isna()]
            raise ValueError(
                f"{self._manifest}: {len(unlabelled)} videos of split {split!r} have no label, the first is "
                f"{unlabelled['video_id'].iloc[0]!r}. Fill in column 'label' (0 or 1), or clear their split."
            )

    def train_dataloader(self) -> DataLoader[ClipBatch]:
        """Random clips of the training videos."""
        return self._training_loader(self._training_clips())

    def training_clips_of(self, epoch: int, num_batches: int) -> Iterator[Tensor]:
        """Yield the first augmented clips of an epoch once more: uint8 [N, T, S, S] on the CPU, this rank's share.

        Args:
            epoch: decides which.
            num_batches: at most.
        """
        sampler = self._training_sampler()
        sampler.set_epoch(epoch)
        loader = DataLoader(self._training_clips(), sampler=sampler, **loader_options(self._batch_size, 0))
        for batch in islice(loader, num_batches):
            yield augment_clips(batch.clips, batch.sample_seeds)

    def _training_clips(self) -> TrainingClips:
        return TrainingClips(
            self._cropped["train"],
            self._clip_rule.clip_length,
            self._clips_per_video,
            self._seed,
            self._timing,
            self._bag_size,
        )

    def _num_training_samples(self) -> int:
        return len(self._cropped["train"]) * self._clips_per_video

    def val_dataloader(self) -> DataLoader[ClipBatch]:
        """What is judged of the validation videos, exactly once over all processes."""
        dataset = EvaluationClips(self._cropped["val"], self._clip_rule.clip_length)
        return self._evaluation_loader(dataset, len(dataset))

    def test_dataloader(self) -> DataLoader[ClipBatch]:
        """What is judged of the test videos, exactly once over all processes."""
        dataset = EvaluationClips(self._cropped["test"], self._clip_rule.clip_length)
        return self._evaluation_loader(dataset, len(dataset))

    def transfer_batch_to_device(self, batch: ClipBatch, device: torch.device, dataloader_idx: int) -> ClipBatch:
        """Leave the seeds behind: reading them back from a GPU would wait for the step before."""
        moved: ClipBatch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved._replace(sample_seeds=batch.sample_seeds)

    def on_after_batch_transfer(self, batch: ClipBatch, dataloader_idx: int) -> ClipBatch:
        """Augment training clips, on the device that they have arrived at."""
        if self.trainer is None or not self.trainer.training:
            return batch
        clips, labels = augment_clips(batch.clips, batch.sample_seeds), batch.labels
        if self._mixup_alpha:
            clips, labels = mix_clips(clips, labels, batch.sample_seeds, self._mixup_alpha)
        return batch._replace(clips=clips, labels=labels)


class FrameDataModule(StudyDataModule):
    """Annotated frames for the detector; frames without a lesion are negatives.

    Args:
        manifest: manifest.csv with ``split``; where it gives sectors, frames are cut to them.
        annotations: annotations.json (COCO-VID).
        frames_per_video: most frames per video, evenly spaced over its annotated ones, so that a long video does
            not drown a short one.
        batch_size: frames per process.
        num_workers: loading processes per process; as many as a node then has fill the cache. 0 works without others.
        seed: of order and augmentation.
        cache_dir: where frames are kept; shared by runs. None keeps nothing on disk (see ``ClipDataModule``).
        decoder: of the videos, "pyav" or "dali" (see ``decoding.decode_frames``).
        cache_max_gb: most that ``cache_dir`` may hold, 1e9 bytes; None takes what its disk has.
    """

    def __init__(
        self,
        manifest: str,
        annotations: str,
        frames_per_video: int,
        batch_size: int,
        num_workers: int,
        seed: int,
        cache_dir: str | None,
        decoder: Decoder = "pyav",
        cache_max_gb: float | None = None,
    ) -> None:
        super().__init__(manifest, batch_size, num_workers, seed, cache_dir, cache_max_gb, decoder)
        self._annotations, self._frames_per_video = Path(annotations), frames_per_video
        self._stored: dict[str, list[StoredFrame]] = {}

    def setup(self, stage: str) -> None:
        """Read the tables, and the frames of the splits that ``stage`` needs."""
        videos = self._videos(stage)
        annotations = read_annotations(self._annotations)
        self._check_known(annotations.frames["video_id"], self._annotations)
        recipes = frame_recipes(
            _files(videos), annotations.frames, self._frames_per_video, self._decoder, self._sectors
        )
        boxes = self._boxes_seen(annotations.boxes[annotations.boxes["video_id"].isin(list(recipes))])
        stores = self._arrays(recipes, "Decoding annotated frames")
        boxes_of: dict[tuple[str, int], list[tuple[float, ...]]] = defaultdict(list)
        for box in boxes.itertuples():
            boxes_of[box.video_id, box.frame].append((box.x1, box.y1, box.x2, box.y2))
        self._stored = {}
        for split, rows in videos.items():
            self._stored[split] = [
                StoredFrame(
                    video_id, frame, stores[video_id], row, recipe.shape[1:], _boxes_array(boxes_of[video_id, frame])
                )
                for video_id in rows["video_id"]
                if (recipe := recipes.get(video_id)) is not None
                for row, frame in enumerate(recipe.frames)
            ]
            self._report_missing(split, rows, set(recipes), "annotated frame", self._annotations)
            num_missed = int(boxes["video_id"].isin(rows["video_id"]).sum())
            if num_missed and not any(len(stored.boxes_xyxy) for stored in self._stored[split]):
                raise ValueError(
                    f"frames_per_video (--data.frames_per_video) is {self._frames_per_video}, evenly spaced from a "
                    f"video's first annotated frame to its last, and none of these shows one of the {num_missed} boxes "
                    f"of the {split} videos. Raise it."
                )

    def _boxes_seen(self, boxes: pd.DataFrame) -> pd.DataFrame:
        """Bring boxes into the pixels of the frames as they are kept: whole, or cut to their sectors."""
        if not self._sectors:
            return boxes
        clipped = clip_to_sectors(boxes, self._sectors)
        if (outside := (clipped[:, :2] >= clipped[:, 2:]).any(axis=1)).any():
            first = boxes.iloc[int(outside.argmax())]
            raise ValueError(
                f"{self._annotations}: {outside.sum()} boxes lie outside the sectors that {self._manifest} gives, the "
                f"first in frame {first['frame']} of {first['video_id']!r}. Correct the sectors or the boxes; "
                "launch/prepare.py lint names them all."
            )
        corners = boxes[["x1", "y1", "x2", "y2"]]
        if num_cut := int((clipped != corners.to_numpy(np.float32)).any(axis=1).sum()):
            self._warn_once(
                f"{num_cut} of {len(boxes)} boxes reach out of their video's sector and are cut at its edge"
            )
        shifts = np.array([self._sectors[video_id].shift_xyxy for video_id in boxes["video_id"]]).reshape(-1, 4)
        return boxes.assign(**dict(zip(corners, (clipped - shifts).T, strict=True)))

    def training_boxes(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the boxes of all training frames, [N, 4], and width and height of each one's frame, [N, 2]; pixels."""
        boxes_xyxy = np.concatenate([stored.boxes_xyxy for stored in self._stored["train"]])
        sizes = [stored.size[::-1] for stored in self._stored["train"] for _ in stored.boxes_xyxy]
        return boxes_xyxy, np.array(sizes, np.int64).reshape(-1, 2)

    def train_dataloader(self) -> DataLoader[FrameBatch]:
        """Augmented frames of the training videos."""
        return self._training_loader(TrainingFrames(self._stored["train"], self._seed))

    def _num_training_samples(self) -> int:
        return len(self._stored["train"])

    def _training_sampler(self) -> TrainingSampler:
        """Let batches hold frames of about one aspect: a detector pads the frames of a batch to a common size."""
        heights, widths = zip(*(stored.size for stored in self._stored["train"]), strict=True)
        groups = aspect_groups(heights, widths)
        return GroupedSampler(groups, self._batch_size, self._seed, *self._rank_and_world_size())

    def val_dataloader(self) -> DataLoader[FrameBatch]:
        """Frames of the validation videos, each exactly once over all processes."""
        return self._evaluation_loader(EvaluationFrames(self._stored["val"]), len(self._stored["val"]))

    def transfer_batch_to_device(self, batch: FrameBatch, device: torch.device, dataloader_idx: int) -> FrameBatch:
        """Leave the truth of an evaluation behind: it is judged by the host, which would wait for every box."""
        moved: FrameBatch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        is_training = self.trainer is not None and self.trainer.training
        return moved if is_training else moved._replace(boxes_xyxy=batch.boxes_xyxy)

    def test_dataloader(self) -> DataLoader[FrameBatch]:
        """Frames of the test videos, each exactly once over all processes."""
        return self._evaluation_loader(EvaluationFrames(self._stored["test"]), len(self._stored["test"]))


def _files(videos: Mapping[str, pd.DataFrame]) -> dict[str, Path]:
    return {row.video_id: Path(row.path) for rows in videos.values() for row in rows.itertuples()}


def _boxes_array(boxes: Sequence[tuple[float, ...]]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)
