"""Data modules: from the tables of a study to batches. The only part of ``data`` that knows Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset, Sampler

from wauve_dist.data.augmentation import augment_clips
from wauve_dist.data.batches import ClipBatch, FrameBatch
from wauve_dist.data.clip_sampling import track_spans
from wauve_dist.data.crop_cache import cached_crops
from wauve_dist.data.datasets import (
    CroppedVideo,
    EvaluationClips,
    EvaluationFrames,
    StoredFrame,
    TrainingClips,
    TrainingFrames,
)
from wauve_dist.data.frame_store import cached_frames
from wauve_dist.data.samplers import EvaluationSampler, TrainingSampler
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.tables import TRACKS, read_manifest, read_table

_Batch = TypeVar("_Batch", ClipBatch, FrameBatch)

_SPLITS_OF_STAGE = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class _DataModule(pl.LightningDataModule):
    """Loaders whose order depends on (seed, epoch, rank) only; wants ``use_distributed_sampler=False``."""

    def __init__(self, manifest: str, batch_size: int, num_workers: int, seed: int, cache_dir: str) -> None:
        super().__init__()
        self._manifest, self._cache_dir = Path(manifest), Path(cache_dir)
        self._batch_size, self._num_workers, self._seed = batch_size, num_workers, seed

    def prepare_data(self) -> None:
        """Fill the cache in one process per node before the others look for it."""
        function = self.trainer.state.fn if self.trainer else None
        self.setup(function.value if function else "fit")

    def _videos(self, stage: str) -> dict[str, pd.DataFrame]:
        """Read the manifest's rows of every split that a stage needs, ordered by video."""
        manifest = read_manifest(self._manifest).sort_values("video_id", ignore_index=True)
        if "split" not in manifest:
            raise ValueError(
                f"{self._manifest}: has no column 'split'. Add it, with train, val or test for every video."
            )
        videos = {split: manifest[manifest["split"] == split] for split in _SPLITS_OF_STAGE[stage]}
        for split, rows in videos.items():
            if rows.empty:
                raise ValueError(f"{self._manifest}: no video has split {split!r}. Assign some to it.")
        return videos

    def _check_known(self, video_ids: pd.Series, source: Path) -> None:
        known = read_manifest(self._manifest)["video_id"]
        if unknown := sorted(set(video_ids) - set(known)):
            raise ValueError(
                f"{source}: names {len(unknown)} videos that {self._manifest} does not list: "
                f"{', '.join(map(repr, unknown[:5]))}{', …' if len(unknown) > 5 else ''}. "
                "Add them to the manifest, or use the files that belong together."
            )

    def _training_loader(self, dataset: Dataset[_Batch], num_samples: int) -> DataLoader[_Batch]:
        return self._loader(dataset, TrainingSampler(num_samples, self._seed, *self._rank_and_world_size()))

    def _evaluation_loader(self, dataset: Dataset[_Batch], num_samples: int) -> DataLoader[_Batch]:
        return self._loader(dataset, EvaluationSampler(num_samples, *self._rank_and_world_size()))

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, dataset: Dataset[_Batch], sampler: Sampler[int] | Sampler[tuple[int, int]]) -> DataLoader[_Batch]:
        return DataLoader(
            dataset,
            self._batch_size,
            sampler=sampler,
            num_workers=self._num_workers,
            collate_fn=_as_is,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self._num_workers > 0,
        )


class ClipDataModule(_DataModule):
    """Clips of 8 adjacent lesion crops: random ones to train on, the paper's to evaluate on.

    Args:
        manifest: manifest.csv with ``split`` and, for training and validation, ``label``.
        tracks: tracks.parquet, of a detector and linker or of annotations.
        crop_size: side of the square crops, pixels.
        roi_context: side of the crop over the longer side of the lesion's box.
        clips_per_video: clips drawn per training video and epoch.
        batch_size: clips per process.
        num_workers: loading processes per process, and processes that fill the cache; 0 works without others.
        seed: of order, draws and augmentation.
        cache_dir: where crops are kept; shared by runs.
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
        cache_dir: str,
    ) -> None:
        super().__init__(manifest, batch_size, num_workers, seed, cache_dir)
        self._tracks, self._crop_size, self._roi_context = Path(tracks), crop_size, roi_context
        self._clips_per_video = clips_per_video
        self._cropped: dict[str, list[CroppedVideo]] = {}

    def setup(self, stage: str) -> None:
        """Read the tables, and the crops of the splits that ``stage`` needs."""
        videos = self._videos(stage)
        tracks = read_table(self._tracks, TRACKS).sort_values(["video_id", "track_id", "frame"])
        self._check_known(tracks["video_id"], self._tracks)
        for split, rows in videos.items():
            self._check_labels(split, rows)
        files = {row.video_id: Path(row.path) for rows in videos.values() for row in rows.itertuples()}
        crops = cached_crops(
            files, tracks, self._crop_size, self._roi_context, self._cache_dir / "crops", self._num_workers
        )
        tracks_of = dict(iter(tracks.groupby("video_id")))
        self._cropped = {split: self._with_clips(split, rows, tracks_of, crops) for split, rows in videos.items()}

    def _check_labels(self, split: str, rows: pd.DataFrame) -> None:
        if split == "test":
            return
        if "label" not in rows or rows["label"].isna().any():
            unlabelled = rows if "label" not in rows else rows[rows["label"].isna()]
            raise ValueError(
                f"{self._manifest}: {len(unlabelled)} videos of split {split!r} have no label, the first is "
                f"{unlabelled['video_id'].iloc[0]!r}. Fill in column 'label' (0 or 1), or clear their split."
            )

    def _with_clips(
        self, split: str, rows: pd.DataFrame, tracks_of: dict[str, pd.DataFrame], crops: dict[str, Path]
    ) -> list[CroppedVideo]:
        cropped, without = [], []
        for row in rows.itertuples():
            spans = track_spans(tracks_of[row.video_id]) if row.video_id in tracks_of else []
            label = float("nan") if pd.isna(getattr(row, "label", None)) else float(row.label)
            if spans:
                cropped.append(CroppedVideo(row.video_id, label, crops[row.video_id], spans))
            else:
                without.append(row.video_id)
        if not cropped:
            raise ValueError(
                f"{self._tracks}: no video of split {split!r} has a track of 8 frames. Improve the detector."
            )
        if without:
            rank_zero_warn(
                f"{len(without)} of {len(rows)} videos of split {split!r} have no track of 8 frames in {self._tracks}, "
                f"so they give no clip: {', '.join(without)}."
            )
        return cropped

    def train_dataloader(self) -> DataLoader[ClipBatch]:
        """Random clips of the training videos."""
        dataset = TrainingClips(self._cropped["train"], self._clips_per_video, self._seed)
        return self._training_loader(dataset, len(dataset))

    def val_dataloader(self) -> DataLoader[ClipBatch]:
        """Every clip of the validation videos, exactly once over all processes."""
        dataset = EvaluationClips(self._cropped["val"])
        return self._evaluation_loader(dataset, len(dataset))

    def test_dataloader(self) -> DataLoader[ClipBatch]:
        """Every clip of the test videos, exactly once over all processes."""
        dataset = EvaluationClips(self._cropped["test"])
        return self._evaluation_loader(dataset, len(dataset))

    def on_after_batch_transfer(self, batch: ClipBatch, dataloader_idx: int) -> ClipBatch:
        """Augment training clips, on the device that they have arrived at."""
        if self.trainer is None or not self.trainer.training:
            return batch
        return batch._replace(clips=augment_clips(batch.clips, batch.sample_seeds))


class FrameDataModule(_DataModule):
    """Annotated frames for the detector; frames without a lesion are negatives.

    Args:
        manifest: manifest.csv with ``split``.
        annotations: annotations.json (COCO-VID).
        frames_per_video: most frames per video, evenly spaced over its annotated ones, so that a long video does
            not drown a short one.
        batch_size: frames per process.
        num_workers: loading processes per process, and processes that fill the cache; 0 works without others.
        seed: of order and augmentation.
        cache_dir: where frames are kept; shared by runs.
    """

    def __init__(
        self,
        manifest: str,
        annotations: str,
        frames_per_video: int,
        batch_size: int,
        num_workers: int,
        seed: int,
        cache_dir: str,
    ) -> None:
        super().__init__(manifest, batch_size, num_workers, seed, cache_dir)
        self._annotations, self._frames_per_video = Path(annotations), frames_per_video
        self._stored: dict[str, list[StoredFrame]] = {}

    def setup(self, stage: str) -> None:
        """Read the tables, and the frames of the splits that ``stage`` needs."""
        videos = self._videos(stage)
        annotations = read_annotations(self._annotations)
        self._check_known(annotations.frames["video_id"], self._annotations)
        files = {row.video_id: Path(row.path) for rows in videos.values() for row in rows.itertuples()}
        annotated = annotations.frames[annotations.frames["video_id"].isin(list(files))]
        frames = (
            pd.concat([evenly_spaced(rows, self._frames_per_video) for _, rows in annotated.groupby("video_id")])
            if len(annotated)
            else annotated
        )
        stores = cached_frames(files, frames, self._cache_dir / "frames", self._num_workers)
        boxes_of = {
            key: rows[["x1", "y1", "x2", "y2"]].to_numpy(np.float32)
            for key, rows in annotations.boxes.groupby(["video_id", "frame"])
        }
        frames_of = dict(iter(frames.groupby("video_id")))
        self._stored = {}
        for split, rows in videos.items():
            if without := [video_id for video_id in rows["video_id"] if video_id not in frames_of]:
                rank_zero_warn(
                    f"{len(without)} of {len(rows)} videos of split {split!r} have no frame in {self._annotations}, "
                    f"so the detector never sees them: {', '.join(without)}."
                )
            self._stored[split] = [
                StoredFrame(
                    video_id,
                    int(frame),
                    stores[video_id],
                    row,
                    boxes_of.get((video_id, frame), np.empty((0, 4), np.float32)),
                )
                for video_id in rows["video_id"]
                if video_id in frames_of
                for row, frame in enumerate(frames_of[video_id]["frame"])
            ]
            if not self._stored[split]:
                raise ValueError(f"{self._annotations}: lists no frame of a video of split {split!r}. Annotate some.")

    def train_dataloader(self) -> DataLoader[FrameBatch]:
        """Augmented frames of the training videos."""
        return self._training_loader(TrainingFrames(self._stored["train"], self._seed), len(self._stored["train"]))

    def val_dataloader(self) -> DataLoader[FrameBatch]:
        """Frames of the validation videos, each exactly once over all processes."""
        return self._evaluation_loader(EvaluationFrames(self._stored["val"]), len(self._stored["val"]))

    def test_dataloader(self) -> DataLoader[FrameBatch]:
        """Frames of the test videos, each exactly once over all processes."""
        return self._evaluation_loader(EvaluationFrames(self._stored["test"]), len(self._stored["test"]))


def evenly_spaced(rows: pd.DataFrame, num_rows: int) -> pd.DataFrame:
    """Keep at most ``num_rows`` rows at even distances, the first and the last among them."""
    chosen = np.linspace(0, len(rows) - 1, min(num_rows, len(rows))).round().astype(int)
    return rows.iloc[chosen]


def _as_is(batch: Sequence[_Batch] | _Batch) -> Sequence[_Batch] | _Batch:
    """Stand in for collating: the data sets return whole batches."""
    return batch
