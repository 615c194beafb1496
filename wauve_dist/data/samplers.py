"""Who sees which sample, as a function of (seed, epoch, rank): nothing else, so that any run can be repeated.

A training sampler yields ``(epoch, sample)`` rather than ``sample``: data sets draw from the pair, so that their worker
processes need to be told nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

# Groups an octave of height / width: frames of a group differ by at most 19 % in it, so a batch pads at most that.
# Finer groups pad less, and mix fewer scanners in a batch, whose norms should see several.
_ASPECTS_PER_OCTAVE = 4


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
        epoch, order = self.epoch, self._order()
        bags = order[: self._num_bags - self._num_bags % self._world_size][self._rank :: self._world_size]
        of_rank = (bags[:, None] * self._bag_size + np.arange(self._bag_size)).ravel()
        position = self._start[1] if self._start[0] == epoch else 0
        return ((epoch, int(sample)) for sample in of_rank[position:])

    def _order(self) -> NDArray[np.int64]:
        """Return the numbers of all bags as one process sees them in this epoch."""
        return np.random.default_rng([self._seed, self.epoch]).permutation(self._num_bags)


class GroupedSampler(TrainingSampler):
    """A training sampler whose batches hold samples of one group, as far as there are enough.

    The order is a ``TrainingSampler``'s but for one thing: a sample waits until those drawn after it fill a batch of
    its group, which then goes out. Behind them come mixed batches of what the groups have left, and the last, smaller
    batch as it was drawn. A batch here is that of all ranks together, so that no rank waits for one with larger
    frames, and that any number of ranks sees the same samples in a step. With a single group the order is a
    ``TrainingSampler``'s exactly.

    Detectron2 (``AspectRatioGroupedDataset``) and torchvision's reference training (``GroupedBatchSampler``) group on
    each rank by itself, the former a stream without end, the latter filling up with samples that the epoch had before.

    Args:
        groups: whole number of each sample's group.
        batch_size: of this rank.
        seed: see ``TrainingSampler``.
        rank: likewise.
        world_size: likewise.
    """

    def __init__(self, groups: Sequence[int], batch_size: int, seed: int, rank: int, world_size: int) -> None:
        super().__init__(len(groups), seed, rank, world_size)
        self._groups, self._step_size = np.asarray(groups), batch_size * world_size

    def _order(self) -> NDArray[np.int64]:
        drawn = super()._order()
        # Those that sit out, for they are too few for every rank, are the last drawn: no group more often than others.
        in_full_batches, last_batch = np.split(drawn, [len(drawn) - len(drawn) % self._step_size])
        sent_at = np.full(len(in_full_batches), len(in_full_batches))
        for group in np.unique(self._groups):
            places = np.flatnonzero(self._groups[in_full_batches] == group)
            batches = places[: len(places) - len(places) % self._step_size].reshape(-1, self._step_size)
            sent_at[batches] = batches[:, -1:]
        return np.concatenate([in_full_batches[sent_at.argsort(kind="stable")], last_batch])


def checked_bag_size(clips_per_video: int, batch_size: int, mixup_alpha: float) -> int:
    """Return how many clips of a video attention pooling keeps together: ``clips_per_video``.

    Raises:
        ValueError: fewer than two, a batch that would cut through a video, or clips mixed of two videos.
    """
    if clips_per_video < 2:
        raise ValueError(
            f"clips_per_video (--data.clips_per_video) is {clips_per_video}; attention pooling learns from several "
            "clips of a video, so it must be at least 2."
        )
    if batch_size % clips_per_video:
        raise ValueError(
            f"batch_size (--data.batch_size) is {batch_size}; attention pooling takes whole videos, so it must be a "
            f"multiple of --data.clips_per_video, {clips_per_video}."
        )
    if mixup_alpha:
        raise ValueError(
            f"mixup_alpha (--data.mixup_alpha) is {mixup_alpha}; mixed clips belong to two videos, so that attention "
            "pooling cannot take them. Use one of the two."
        )
    return clips_per_video


def aspect_groups(heights: ArrayLike, widths: ArrayLike) -> list[int]:
    """Number frames by height over width, on a logarithmic scale with square frames amid their group.

    A detector pads the frames of a batch to a common size, and the padding costs as much as the frames.

    Args:
        heights: of N frames, pixels.
        widths: likewise.

    Returns:
        N whole numbers.
    """
    octaves = np.log2(np.asarray(heights) / np.asarray(widths))
    groups: list[int] = np.rint(octaves * _ASPECTS_PER_OCTAVE).astype(int).tolist()
    return groups


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
