"""What the cache does when its disk is too small, and when a writer is killed."""

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from wauve_dist.data.array_cache import CacheFullError, cached_arrays, new_array, open_array

SIDE = 512
ROW_BYTES = SIDE * SIDE


class CountingRecipe(NamedTuple):
    """Row k of its array is k throughout. While ``stall`` exists, it stops after the first row.

    It writes an ``other_file`` of two rows, if one is named, as other users of the disk would.
    """

    video: Path
    num_rows: int
    stall: Path
    other_file: Path | None = None

    @property
    def settings(self):
        return {"num_rows": self.num_rows}

    @property
    def shape(self):
        return self.num_rows, SIDE, SIDE

    def fill(self, array):
        if self.other_file:
            new_array(self.other_file, (2, SIDE, SIDE))
        for row in range(self.num_rows):
            array[row] = row
            while self.stall.exists():
                time.sleep(0.02)


def recipes(folder, *nums_rows):
    made = []
    for number, num_rows in enumerate(nums_rows):
        video = folder / f"{number}.avi"
        video.write_text(f"video {number}")
        made.append(CountingRecipe(video, num_rows, folder / "stall"))
    return made


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 2 MiB: room for seven rows and what goes with them."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)  # maps of its files may outlive the test


def test_what_cannot_fit_is_refused_before_anything_is_made(small_disk, tmp_path):
    with pytest.raises(CacheFullError, match=r"disk: needs 0\.00262 GB more, and its disk has 0\.0021 GB") as caught:
        cached_arrays(recipes(tmp_path, 5, 5), small_disk, 0, "Arrays")
    assert "--data.cache_dir" in str(caught.value)
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_disk_that_fills_up_meanwhile_stops_the_work_and_keeps_what_is_whole(small_disk, tmp_path, num_workers):
    cached_arrays(recipes(tmp_path, 3), small_disk, 0, "Arrays")
    _, first, second = recipes(tmp_path, 3, 2, 2)
    missing = [first._replace(other_file=small_disk / "other"), second]
    with pytest.raises(CacheFullError, match=r"its disk filled up: there is no room .* of [12]\.avi"):
        cached_arrays(missing, small_disk, num_workers, "Arrays")
    kept = [np.load(path)[:, 0, 0].tolist() for path in small_disk.glob("*.npy")]
    assert [0, 1, 2] in kept
    assert sorted(kept) in ([[0, 1, 2]], [[0, 1], [0, 1, 2]])


def test_a_limit_counts_what_is_there_already(tmp_path):
    cache = tmp_path / "cache"
    limit_gb = 5 * ROW_BYTES / 1e9 + 1e-6
    (first,) = cached_arrays(recipes(tmp_path, 3), cache, 0, "Arrays", limit_gb)
    with pytest.raises(CacheFullError, match=r"needs 0\.000786 GB more, and 0\.000787 GB are in it, which of 0\.00131"):
        cached_arrays(recipes(tmp_path, 3, 3), cache, 0, "Arrays", limit_gb)
    assert cached_arrays(recipes(tmp_path, 3), cache, 0, "Arrays", 0) == [first]
    assert len(cached_arrays(recipes(tmp_path, 3, 2), cache, 0, "Arrays", limit_gb)) == 2


def test_a_killed_writer_leaves_nothing_that_is_used(tmp_path):
    cache, (recipe,) = tmp_path / "cache", recipes(tmp_path, 4)
    recipe.stall.touch()
    writer = multiprocessing.get_context("spawn").Process(target=cached_arrays, args=([recipe], cache, 0, "Arrays"))
    writer.start()
    deadline = time.monotonic() + 100
    while not (cache.exists() and list(cache.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    recipe.stall.unlink()
    (leftover,) = cache.iterdir()

    (path,) = cached_arrays([recipe], cache, 0, "Arrays")
    assert path != leftover
    np.testing.assert_array_equal(open_array(path)[:, 7, 7], [0, 1, 2, 3])
    assert leftover.exists(), "it might be another process at work"

    two_days_ago = time.time() - 2 * 86_400
    os.utime(leftover, (two_days_ago, two_days_ago))
    cached_arrays(recipes(tmp_path, 4, 1), cache, 0, "Arrays")
    assert not leftover.exists()
