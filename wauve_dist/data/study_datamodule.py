"""What both data modules share: the tables, the cache, and loaders that go on where a run was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.strategies import ParallelStrategy
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from wauve_dist.data.array_cache import ArrayRecipe, OnlineArray, cached_arrays
from wauve_dist.data.batches import ClipBatch, FrameBatch
from wauve_dist.data.decoding import Decoder, decoding_gpu
from wauve_dist.data.loaders import ResumableLoader, loader_options
from wauve_dist.data.samplers import EvaluationSampler, TrainingSampler
from wauve_dist.structures.sectors import Sector, sectors_of
from wauve_dist.structures.tables import read_manifest

_Batch = TypeVar("_Batch", ClipBatch, FrameBatch)

_SPLITS_OF_STAGE = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class StudyDataModule(pl.LightningDataModule):
    """Loaders whose order depends on (seed, epoch, rank) only; wants ``use_distributed_sampler=False``."""

    _bag_size = 1  # training samples that stay together

    def __init__(
        self,
        manifest: str,
        batch_size: int,
        num_workers: int,
        seed: int,
        cache_dir: str | None,
        cache_max_gb: float | None,
        decoder: Decoder,
    ) -> None:
        super().__init__()
        self._manifest, self._cache_dir = Path(manifest), None if cache_dir is None else Path(cache_dir)
        self._cache_max_gb, self._decoder = cache_max_gb, decoder
        self._batch_size, self._num_workers, self._seed = batch_size, num_workers, seed
        self._known: set[str] = set()
        self._warned: set[str] = set()
        self._sectors: dict[str, Sector] = {}
        self._resumable_loader: ResumableLoader[Any] | None = None
        self._position: dict[str, int] | None = None

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
        self._known = set(manifest["video_id"])
        self._sectors = sectors_of(manifest)
        videos = {split: manifest[manifest["split"] == split] for split in _SPLITS_OF_STAGE[stage]}
        for split, rows in videos.items():
            if rows.empty:
                raise ValueError(f"{self._manifest}: no video has split {split!r}. Assign some to it.")
        return videos

    def _check_known(self, video_ids: pd.Series, source: Path) -> None:
        if unknown := sorted(set(video_ids) - self._known):
            raise ValueError(
                f"{source}: names {len(unknown)} videos that {self._manifest} does not list: "
                f"{', '.join(map(repr, unknown[:5]))}{', …' if len(unknown) > 5 else ''}. "
                "Add them to the manifest, or use the files that belong together."
            )

    def _arrays(self, recipes: Mapping[str, ArrayRecipe], title: str) -> dict[str, Path | OnlineArray]:
        """Say where each recipe's array comes from, after filling the cache if there is one."""
        if self._cache_dir is None:
            return {video_id: OnlineArray(recipe) for video_id, recipe in recipes.items()}
        # One process of a node fills the cache, while the others and their devices wait for it.
        num_workers = self._num_workers * (self.trainer.num_devices if self.trainer else 1)
        gpus = self._gpus() if self._decoder == "dali" else []
        paths = cached_arrays(list(recipes.values()), self._cache_dir, num_workers, title, self._cache_max_gb, gpus)
        return dict(zip(recipes, paths, strict=True))

    def _gpus(self) -> list[int]:
        """Return the CUDA devices that this run has on this node; without a trainer on them, the current one if any."""
        strategy = self.trainer.strategy if self.trainer else None
        devices = [] if strategy is None else [strategy.root_device]
        if isinstance(strategy, ParallelStrategy):
            devices = strategy.parallel_devices or []
        gpus = [device.index for device in devices if device.type == "cuda"]
        return gpus or self._own_gpu()

    @staticmethod
    def _own_gpu() -> list[int]:
        gpu = decoding_gpu()
        return [] if gpu is None else [gpu]

    def _loader_options(self) -> dict[str, Any]:
        decodes = self._decoder == "dali" and self._cache_dir is None
        return loader_options(self._batch_size, self._num_workers, self._own_gpu() if decodes else None)

    def _warn_once(self, message: str) -> None:
        """Warn on the first rank; the tables are read twice there, to fill the cache and to load from it."""
        if message not in self._warned:
            self._warned.add(message)
            rank_zero_warn(message)

    def _report_missing(self, split: str, rows: pd.DataFrame, found: set[str], what: str, source: Path) -> None:
        """Warn of videos that give no sample; raise where none is left."""
        missing = [video_id for video_id in rows["video_id"] if video_id not in found]
        message = f"{source}: {len(missing)} of {len(rows)} videos of split {split!r} have no {what}"
        if len(missing) == len(rows):
            raise ValueError(f"{message}. Were it and the manifest made from the same data?")
        if missing:
            self._warn_once(f"{message} and take no part: {', '.join(missing)}.")

    def state_dict(self) -> dict[str, Any]:
        """Return where training is within its epoch, and what must stay for it to go on there."""
        assert self._resumable_loader is not None, "a checkpoint is saved in training"
        return {
            "num_training_samples": self._num_training_samples(),
            "on_sectors": bool(self._sectors),
            "global_batch_size": self._global_batch_size(),
            "position": self._resumable_loader.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where training was; Lightning's own way comes after its loaders have started.

        Raises:
            ValueError: with this data, or on this number of processes, steps would have other samples than before.
        """
        if (num_samples := self._num_training_samples()) != state_dict["num_training_samples"]:
            raise ValueError(
                f"The run was saved with {state_dict['num_training_samples']} training samples, and now there are "
                f"{num_samples}. Carry on with the data it was started on, or start a new run with --weights."
            )
        if state_dict.get("on_sectors", False) != bool(self._sectors):  # runs of before knew no sectors
            before, after = ("whole frames", "sectors") if self._sectors else ("sectors", "whole frames")
            raise ValueError(
                f"The run was begun on {before}, and by its sector_ columns {self._manifest} now asks for {after}. "
                "Carry on with the manifest it was started on, or start a new run with --weights."
            )
        saved, now = state_dict["global_batch_size"], self._global_batch_size()
        if saved != now:
            per_sample = now // self._batch_size  # processes x accumulated batches
            remedy = (
                f"Carry on with --data.batch_size {saved // per_sample}."
                if saved % per_sample == 0
                else f"Carry on with a number of processes that divides {saved}."
            )
            raise ValueError(
                f"The run was saved with {saved} samples a step over all processes, and now a step has {now}: "
                f"its schedule and its order of samples would be others. {remedy}"
            )
        self._position = state_dict["position"]
        if self._resumable_loader is not None:  # a sharded strategy restores last
            self._resumable_loader.load_state_dict(self._position)

    def _global_batch_size(self) -> int:
        accumulated = self.trainer.accumulate_grad_batches if self.trainer else 1
        return self._batch_size * self._rank_and_world_size()[1] * accumulated

    def _num_training_samples(self) -> int:
        raise NotImplementedError

    def _training_loader(self, dataset: Dataset[_Batch]) -> DataLoader[_Batch]:
        sampler = self._training_sampler()
        self._resumable_loader = ResumableLoader(dataset, sampler, **self._loader_options())
        if self._position is not None:
            self._resumable_loader.load_state_dict(self._position)
        return self._resumable_loader

    def _training_sampler(self) -> TrainingSampler:
        return TrainingSampler(self._num_training_samples(), self._seed, *self._rank_and_world_size(), self._bag_size)

    def _evaluation_loader(self, dataset: Dataset[_Batch], num_samples: int) -> DataLoader[_Batch]:
        rank, world_size = self._rank_and_world_size()
        if num_samples < world_size:  # Lightning needs a batch on every rank
            raise ValueError(
                f"{num_samples} evaluation samples do not reach {world_size} processes. "
                "Use fewer devices (--trainer.devices) or more data."
            )
        sampler = EvaluationSampler(num_samples, rank, world_size)
        return DataLoader(dataset, sampler=sampler, **self._loader_options())

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
