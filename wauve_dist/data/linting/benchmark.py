"""How long the linter takes to find duplicates in an archive of simulated hashes, and how much memory."""

from __future__ import annotations

import resource
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wauve_dist.data.linting.duplicates import shared_frames
from wauve_dist.data.linting.frame_hashes import FrameHashes

# Bits of one scanner's frames are biased alike, which crowds the index. With shares of ones from Beta(2, 2), two frames
# become candidates about as often as across patients of the Cineclip demo set (0.6 % and 0.7 % of pairs), and with four
# bits drawn anew per frame its neighbours differ as often as there (1.4 bits in the mean).
_BIAS = 2.0
_REDRAWN_BITS = 4

_NUM_COPIES = 50  # videos that repeat a part of another one, with a few bits changed
_FLIPS_PER_COPY = 3


class LinterSpeed(NamedTuple):
    """What was measured.

    Attributes:
        num_frames: hashes that were compared.
        duration_s: seconds to find all pairs of videos that share frames.
        cpu_s: seconds of processor time for that, on one core.
        peak_gib: largest memory of this process so far, GiB.
        num_planted: pairs of videos that were made to share frames.
        num_found: how many of them were found.
        num_extra: pairs that were found besides.
    """

    num_frames: int
    duration_s: float
    cpu_s: float
    peak_gib: float
    num_planted: int
    num_found: int
    num_extra: int


def benchmark_linter(num_videos: int, frames_per_video: int, seed: int) -> LinterSpeed:
    """Simulate hashes that wander through each video as a sweep does, plant copies, and look for them.

    Args:
        num_videos: at least 100.
        frames_per_video: at least 8.
        seed: of the simulation.

    Raises:
        ValueError: too few videos or frames to plant copies in.
    """
    if num_videos < 2 * _NUM_COPIES or frames_per_video < 8:
        raise ValueError(
            f"--videos {num_videos} --frames {frames_per_video}: give {2 * _NUM_COPIES} or more videos of 8 or more "
            "frames."
        )
    hashes, planted = _simulate(num_videos, frames_per_video, np.random.default_rng(seed))
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    table = shared_frames(hashes)
    duration_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    found = set(zip(table["first"], table["second"], strict=True))
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    return LinterSpeed(
        len(hashes.videos), duration_s, cpu_s, peak_gib, len(planted), len(planted & found), len(found - planted)
    )


def _simulate(num_videos: int, num_frames: int, rng: np.random.Generator) -> tuple[FrameHashes, set[tuple[int, int]]]:
    pictures, downward = (_sweeps(num_videos, num_frames, rng) for _ in range(2))
    pixels = rng.integers(0, 2**64, (num_videos, num_frames), np.uint64)
    planted = {(first, first + _NUM_COPIES) for first in range(_NUM_COPIES)}
    length = num_frames // 4
    for first, second in planted:
        for hashed in (pictures, downward):
            hashed[second, :length] = hashed[first, -length:] ^ _flips((length,), _FLIPS_PER_COPY, rng)
    return FrameHashes(
        np.repeat(np.arange(num_videos, dtype=np.int32), num_frames),
        np.tile(np.arange(num_frames, dtype=np.int32), num_videos),
        pixels.ravel(),
        pictures.ravel(),
        downward.ravel(),
        np.full(num_videos, num_frames, np.int64),
        np.full((num_videos, 2), 512, np.int64),
        {},
    ), planted


def _sweeps(num_videos: int, num_frames: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Hashes that change by a few bits from frame to frame: uint64 [videos, frames]."""
    share_of_ones = rng.beta(_BIAS, _BIAS, 64)
    bits = rng.random((num_videos, 64)) < share_of_ones
    hashes = np.empty((num_videos, num_frames), np.uint64)
    rows = np.arange(num_videos)
    for frame in range(num_frames):
        hashes[:, frame] = np.packbits(bits, axis=1).view(">u8").ravel()
        for _ in range(_REDRAWN_BITS):
            places = rng.integers(0, 64, num_videos)
            bits[rows, places] = rng.random(num_videos) < share_of_ones[places]
    return hashes


def _flips(shape: tuple[int, ...], num_bits: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Masks of at most ``num_bits`` random bits."""
    masks = np.zeros(shape, np.uint64)
    for _ in range(num_bits):
        masks |= np.uint64(1) << rng.integers(0, 64, shape, np.uint64)
    return masks
