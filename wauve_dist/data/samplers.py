"""Who sees which sample, as a function of (seed, epoch, rank): nothing else, so that any run can be repeated.

A training sampler yields ``(epoch, sample)`` rather than ``sample``: data sets draw from the pair, so that their worker
processes need to be told nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class TrainingSampler(Sampler[tuple[int, int]]):
    """A new order every epoch, of which every rank takes an equal share.

    Samples that do not divide evenly among the ranks, fewer than ``world_size``, sit the epoch out: the last of its
    order, so other ones every epoch. Step s of N ranks sees the samples that one process would see with an N times
    larger batch.

    Args:
        num_samples: in the data set, at least one per rank.
        seed: of all orders.
        rank: of this process, 0 to world_size - 1.
        world_size: number of processes.
        bag_size: samples that stay together, one after the other; ``num_samples`` is a multiple of it. Whole bags take
            the place of samples in all of the above.
    """

    def __init__(self, num_samples: int, seed: int, rank: int, world_size: int, bag_size: int = 1) -> None:
        if (num_bags := num_samples // bag_size) < world_size:
            raise ValueError(
                f"{num_bags} training {'samples' if bag_size == 1 else 'videos'} cannot keep {world_size} processes "
                "busy. Train on fewer devices (--trainer.devices) or on more data."
            )
        self._num_bags, self._bag_size = num_bags, bag_size
        self._seed, self._rank, self._world_size = seed, rank, world_size
        self.epoch = 0
        self._start = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; Lightning calls this before every epoch."""
        self.epoch = epoch

    def start_at(self, epoch: int, position: int) -> None:
        """Leave out the first ``position`` samples of this rank in ``epoch``: they were seen before a stop."""
        self._start = (epoch, position)

    def __len__(self) -> int:
        return self._num_bags // self._world_size * self._bag_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, order = self.epoch, np.random.default_rng([self._seed, self.epoch]).permutation(self._num_bags)
        bags = order[: self._num_bags - self._num_bags % self._world_size][self._rank :: self._world_size]
        of_rank = (bags[:, None] * self._bag_size + np.arange(self._bag_size)).ravel()
        position = self._start[1] if self._start[0] == epoch else 0
        return ((epoch, int(sample)) for sample in of_rank[position:])


class EvaluationSampler(Sampler[int]):
    """Rank r takes samples r, r + world_size, …: every sample exactly once, none to pad.

    Ranks may get one sample more or less than others, and so a batch more or less.
    """

    def __init__(self, num_samples: int, rank: int, world_size: int) -> None:
        self._samples = range(rank, num_samples, world_size)

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[int]:
        return iter(self._samples)
