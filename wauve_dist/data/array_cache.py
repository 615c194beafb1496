"""Arrays made from videos once, kept on disk as one .npy per video, and read through memory maps; or never kept.

A file is named by the hash of everything that decides its content, so it never goes stale and is never rewritten:
another video, box or setting gives another name. Several processes may build one cache at once; each moves whole
files into place, and the content is the same whoever comes first.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from wauve_dist.data.decoding import VideoError, take_gpu
from wauve_dist.data.video_jobs import run_jobs
from wauve_dist.structures.provenance import atomic_write, sha256_of
from wauve_dist.structures.tables import listed

_SUFFIX = ".npy"
_LEFTOVER_AGE_S = 86_400
_MAKE_ROOM = (
    "Choose another --data.cache_dir, or delete from this one what no run uses: files of it can be made again. "
    "A limit of --data.cache_max_gb can be raised."
)


class ArrayRecipe(Protocol):
    """How the array of one video is made; must survive pickling, for it travels to worker processes."""

    @property
    def video(self) -> Path:
        """The video that is decoded."""

    @property
    def settings(self) -> dict[str, object]:
        """Everything beside the video's bytes that decides the array, as JSON values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array, which is uint8."""

    def fill(self, array: NDArray[np.uint8]) -> None:
        """Decode the video once and write every element of an array of ``shape``.

        Raises:
            ValueError: the video and the recipe do not fit; the message names the video.
        """


class CacheFullError(OSError):
    """There is no room for an array; the message says how much is needed and where."""


def cached_arrays(
    recipes: Sequence[ArrayRecipe],
    cache_dir: Path,
    num_workers: int,
    title: str,
    max_gb: float | None = None,
    gpus: Sequence[int] = (),
) -> list[Path]:
    """Return the .npy of every recipe, after building those that are missing.

    Args:
        recipes: one per video.
        cache_dir: created if need be; may be shared by data sets, settings and processes.
        num_workers: processes that decode; 0 decodes in this one.
        title: what the progress bar calls the work.
        max_gb: most that all arrays in ``cache_dir`` may take, 1e9 bytes; None takes what the disk has.
        gpus: CUDA devices to decode on, if the recipes' decoder does; the processes take turns on them.

    Raises:
        CacheFullError: the missing arrays do not fit, which is known before any is made, or the disk filled up since.
        ValueError: all videos that cannot be used, one per line; the others stay cached.
    """
    # Hashing releases the GIL, so threads read as fast as the disk allows.
    with ThreadPoolExecutor(max(1, num_workers)) as threads:
        paths = [cache_dir / f"{key}{_SUFFIX}" for key in threads.map(_content_key, recipes)]
    missing = {path: recipe for path, recipe in zip(paths, recipes, strict=True) if not path.exists()}
    if missing:
        cache_dir.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(cache_dir)
        _check_room(missing.values(), cache_dir, max_gb)
        _build(missing, num_workers, title, gpus)
    return paths


class OnlineArray:
    """An array that may not be kept on disk: made from its video, in memory, whenever it is opened.

    Args:
        recipe: of the array; what is made is what the cache would hold.
    """

    def __init__(self, recipe: ArrayRecipe) -> None:
        self._recipe = recipe

    def open(self) -> NDArray[np.uint8]:
        """Return the array; the last two that were opened in this process are at hand."""
        return _in_memory(self)

    def make(self) -> NDArray[np.uint8]:
        """Decode the video."""
        array = np.empty(self._recipe.shape, np.uint8)
        self._recipe.fill(array)
        array.flags.writeable = False
        return array


_in_memory = lru_cache(maxsize=2)(OnlineArray.make)  # clips and frames of one video are often wanted in a row


def new_array(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Create a .npy to be filled through a map, with its place on the disk taken.

    Otherwise a disk that fills up would kill the process at some row, without a word.
    """
    array = open_memmap(path, "w+", np.uint8, shape)
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def open_array(source: Path | OnlineArray) -> NDArray[np.uint8]:
    """Return an array for reading, mapped from the cache or made on the spot."""
    return source.open() if isinstance(source, OnlineArray) else _mapped(source)


@lru_cache(maxsize=32_768)  # a process may have 65,530 maps on Linux; what is mapped never changes
def _mapped(path: Path) -> NDArray[np.uint8]:
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()
    assert dtype == np.uint8, f"{path} holds {dtype}"
    # NumPy's own map would keep a file descriptor open, of which a process has 1,024 by default. This one is private:
    # whatever happens in memory, the file stays as it is.
    mapped = torch.from_file(str(path), shared=False, size=start + math.prod(shape), dtype=torch.uint8)
    array: NDArray[np.uint8] = mapped.numpy()[start:].reshape(shape)
    array.flags.writeable = False
    return array


def _content_key(recipe: ArrayRecipe) -> str:
    if not recipe.video.exists():
        raise VideoError(f"{recipe.video}: there is no such video. Correct the manifest's path.")
    content = {"recipe": type(recipe).__name__, "video": sha256_of(recipe.video), **recipe.settings}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _remove_leftovers(cache_dir: Path) -> None:
    """Remove what killed writers left; no array takes a day to write."""
    for leftover in cache_dir.glob(f".*{_SUFFIX}"):
        with suppress(FileNotFoundError):  # another process may have done so, or moved it into place
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_AGE_S:
                leftover.unlink()


def _check_room(recipes: Iterable[ArrayRecipe], cache_dir: Path, max_gb: float | None) -> None:
    needed_gb = sum(math.prod(recipe.shape) for recipe in recipes) / 1e9
    room_gb, of_what = shutil.disk_usage(cache_dir).free / 1e9, "its disk has"
    if max_gb is not None:
        taken_gb = sum(path.stat().st_size for path in cache_dir.glob(f"*{_SUFFIX}")) / 1e9
        if max_gb - taken_gb < room_gb:
            room_gb, of_what = max(0.0, max_gb - taken_gb), f"{taken_gb:.3g} GB are in it, which of {max_gb:g} leaves"
    if needed_gb > room_gb:
        raise CacheFullError(
            f"{cache_dir}: needs {needed_gb:.3g} GB more, and {of_what} {room_gb:.3g} GB. {_MAKE_ROOM}"
        )


def _build(missing: dict[Path, ArrayRecipe], num_workers: int, title: str, gpus: Sequence[int]) -> None:
    jobs = [(recipe, path) for path, recipe in missing.items()]
    futures = run_jobs(_write, jobs, num_workers, title, partial(take_gpu, gpus))
    faults = [str(error) for future in futures if (error := future.exception()) is not None]
    if faults:
        raise ValueError(listed(sorted(faults)))


def _write(job: tuple[ArrayRecipe, Path]) -> None:
    recipe, path = job
    try:
        with atomic_write(path) as temporary:
            recipe.fill(new_array(temporary, recipe.shape))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        size_gb = math.prod(recipe.shape) / 1e9
        raise CacheFullError(
            f"{path.parent}: its disk filled up: there is no room for the {size_gb:.3g} GB of {recipe.video.name}. "
            f"What was cached stays. {_MAKE_ROOM}"
        ) from error
