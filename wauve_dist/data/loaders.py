"""Loaders that can be left within an epoch and entered there again."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from wauve_dist.data.decoding import take_gpu
from wauve_dist.data.samplers import TrainingSampler

_Batch = TypeVar("_Batch")


class ResumableLoader(DataLoader[_Batch], Generic[_Batch]):
    """A training loader whose position is part of a checkpoint (Lightning's and torchdata's ``state_dict`` protocol).

    The position counts the batches that were handed out, not those that worker processes have prepared ahead.
    """

    def __init__(self, dataset: Dataset[_Batch], sampler: TrainingSampler, **kwargs: Any) -> None:
        super().__init__(dataset, sampler=sampler, **kwargs)
        self._training_sampler = sampler
        self._start = (0, 0)
        self._num_handed_out = 0

    def __iter__(self) -> Iterator[_Batch]:  # type: ignore[override]
        epoch, num_batches = self._start
        self._num_handed_out = num_batches if epoch == self._training_sampler.epoch else 0
        for batch in super().__iter__():
            self._num_handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches handed out."""
        return {"epoch": self._training_sampler.epoch, "num_batches": self._num_handed_out}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the epoch of ``state`` behind its batches; other epochs start at their beginning."""
        assert self.batch_size is not None
        self._start = (state["epoch"], state["num_batches"])
        self._training_sampler.start_at(state["epoch"], state["num_batches"] * self.batch_size)


def loader_options(batch_size: int, num_workers: int, decode_on: Sequence[int] | None = None) -> dict[str, Any]:
    """Return the options of a ``DataLoader`` for data sets that return whole batches (``__getitems__``).

    Args:
        batch_size: of this rank.
        num_workers: loading processes; 0 loads in this one.
        decode_on: for workers that decode with DALI, the CUDA devices, if any, that they do it on; None for others.
    """
    # A forked process cannot use CUDA once its parent has.
    spawned = {"multiprocessing_context": "spawn"} if decode_on is not None and num_workers > 0 else {}
    return {
        "batch_size": batch_size,
        "num_workers": num_workers,
        "collate_fn": _as_is,
        "worker_init_fn": partial(_start_worker, decode_on or ()),
        "pin_memory": torch.cuda.is_available(),
        "persistent_workers": num_workers > 0,
        **spawned,
    }


def _as_is(batch: _Batch) -> _Batch:
    """Stand in for collating: the data sets return whole batches."""
    return batch


def _start_worker(decode_on: Sequence[int], worker: int) -> None:
    take_gpu(decode_on, worker)
    # Serve the trainer to its end: Slurm signals every process of a job, and a last step still needs its batch.
    for stop_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(stop_signal, signal.SIG_IGN)
