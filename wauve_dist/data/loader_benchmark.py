"""How many cached training clips a second one process reads, beside a bare copy of as many bytes."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import default_collate

from wauve_dist.data.clip_sampling import TrackSpan
from wauve_dist.data.clip_timing import ClipTiming
from wauve_dist.data.datasets import CroppedVideo, TrainingClips
from wauve_dist.data.loaders import ResumableLoader, loader_options
from wauve_dist.data.samplers import TrainingSampler
from wauve_dist.structures.clips import CLIP_LENGTH

_BATCH_SIZE = 64
_CROP_SIZE = 224
_CROPS_PER_VIDEO = 60
_CLIPS_PER_VIDEO = 40


class LoaderRate(NamedTuple):
    """Speed of one way to fill batches.

    Attributes:
        way: in words.
        per_cpu_s: clips per second of processor time, median of the epochs.
        slowest: of the epochs.
        fastest: of the epochs.
        share: of the rate of a bare copy in the same epoch, median.
        memory_growth_mib: private memory at its largest within the epochs, over that before the first, MiB. Pages of
            the cache are the system's, shared by all processes, and not counted.
    """

    way: str
    per_cpu_s: float
    slowest: float
    fastest: float
    share: float
    memory_growth_mib: float


def benchmark_loader(num_videos: int, num_epochs: int, seed: int) -> list[LoaderRate]:
    """Fill a cache with noise, and read epochs of 8x224x224 clips from it in turns; the copy comes first.

    Args:
        num_videos: in the cache, of 3 MB each, 2 or more.
        num_epochs: of 40 clips a video.
        seed: of pixels and draws.

    Raises:
        ValueError: too few videos for a batch.
    """
    if num_videos * _CLIPS_PER_VIDEO < _BATCH_SIZE:
        raise ValueError(f"--cached-videos {num_videos}: give {_BATCH_SIZE // _CLIPS_PER_VIDEO + 1} or more.")
    with tempfile.TemporaryDirectory() as folder:
        videos = _fill(Path(folder), num_videos, seed)
        ways: dict[str, Callable[[int], Iterator[int]]] = {
            "a bare copy of as many bytes": _copies(num_videos),
            "ours": _ours(videos, seed),
            "a clip at a time, collated by torch": _clip_by_clip(videos, seed),
        }
        return _measure(ways, num_epochs)


def _measure(ways: dict[str, Callable[[int], Iterator[int]]], num_epochs: int) -> list[LoaderRate]:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    growth_mib = dict.fromkeys(ways, 0.0)
    for way in ways.values():  # maps the files, and brings them into memory
        list(way(0))
    for epoch in range(1, num_epochs + 1):
        for name, way in ways.items():
            before_mib, num_clips, start_s = _private_mib(), 0, time.process_time()
            spent_s = 0.0
            for num_in_batch in way(epoch):
                spent_s += time.process_time() - start_s
                num_clips += num_in_batch
                growth_mib[name] = max(growth_mib[name], _private_mib() - before_mib)
                start_s = time.process_time()
            rates[name].append(num_clips / spent_s)
    copies = next(iter(rates.values()))
    return [
        LoaderRate(
            name,
            statistics.median(found),
            min(found),
            max(found),
            statistics.median(own / copy for own, copy in zip(found, copies, strict=True)),
            growth_mib[name],
        )
        for name, found in rates.items()
    ]


def _fill(folder: Path, num_videos: int, seed: int) -> list[CroppedVideo]:
    rng = np.random.default_rng(seed)
    videos = []
    half = _CROPS_PER_VIDEO // 2
    for number in range(num_videos):
        path = folder / f"{number}.npy"
        np.save(path, rng.integers(0, 256, (_CROPS_PER_VIDEO, _CROP_SIZE, _CROP_SIZE), np.uint8))
        spans = [TrackSpan(0, 0, half), TrackSpan(1, half, _CROPS_PER_VIDEO - half)]
        videos.append(CroppedVideo(f"v{number}", f"p{number}", float(number % 2), path, spans, []))
    return videos


def _copies(num_videos: int) -> Callable[[int], Iterator[int]]:
    # Too large for the processor's caches, as the files are.
    num_clips = num_videos * _CROPS_PER_VIDEO // CLIP_LENGTH // _BATCH_SIZE * _BATCH_SIZE or _BATCH_SIZE
    source = np.ones((num_clips, CLIP_LENGTH, _CROP_SIZE, _CROP_SIZE), np.uint8)
    target = np.empty_like(source[:_BATCH_SIZE])

    def epoch(_: int) -> Iterator[int]:
        for batch in range(num_videos * _CLIPS_PER_VIDEO // _BATCH_SIZE):
            first = batch * _BATCH_SIZE % num_clips
            np.copyto(target, source[first : first + _BATCH_SIZE])
            yield _BATCH_SIZE

    return epoch


def _ours(videos: list[CroppedVideo], seed: int) -> Callable[[int], Iterator[int]]:
    clips = TrainingClips(videos, CLIP_LENGTH, _CLIPS_PER_VIDEO, seed, ClipTiming())
    sampler = TrainingSampler(len(clips), seed, 0, 1)
    loader = ResumableLoader(clips, sampler, **loader_options(_BATCH_SIZE, 0))

    def epoch(number: int) -> Iterator[int]:
        sampler.set_epoch(number)
        for batch in loader:
            yield len(batch.labels)

    return epoch


def _clip_by_clip(videos: list[CroppedVideo], seed: int) -> Callable[[int], Iterator[int]]:
    """What a data set with ``__getitem__`` does: a map, a generator and a tensor for every clip."""

    def clip(epoch: int, sample: int) -> tuple[torch.Tensor, float]:
        video = videos[sample // _CLIPS_PER_VIDEO]
        assert isinstance(video.crops, Path)
        crops: NDArray[np.uint8] = np.load(video.crops, mmap_mode="r")
        start = np.random.default_rng([seed, epoch, sample]).integers(_CROPS_PER_VIDEO // 2 - CLIP_LENGTH + 1)
        return torch.from_numpy(np.array(crops[start : start + CLIP_LENGTH])), video.label

    def epoch(number: int) -> Iterator[int]:
        order = np.random.default_rng([seed, number]).permutation(len(videos) * _CLIPS_PER_VIDEO).tolist()
        for first in range(0, len(order), _BATCH_SIZE):
            batch = default_collate([clip(number, sample) for sample in order[first : first + _BATCH_SIZE]])
            yield len(batch[1])

    return epoch


def _private_mib() -> float:
    """Memory of this process that is not backed by files, from Linux's own account."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("Linux names RssAnon since version 4.5")
