"""Arrays made from videos once, kept on disk as one .npy per video, and read through memory maps.

A file is named by the hash of everything that decides its content, so it never goes stale and is never rewritten:
another video, box or setting gives another name. Several processes may build one cache at once; each moves whole
files into place, and the content is the same whoever comes first.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from wauve_dist.data.decoding import VideoError
from wauve_dist.structures.provenance import atomic_write, sha256_of

_MAX_REPORTED_VIDEOS = 20


class ArrayRecipe(Protocol):
    """How the array of one video is made; must survive pickling, for it travels to worker processes."""

    @property
    def video(self) -> Path:
        """The video that is decoded."""

    @property
    def settings(self) -> dict[str, object]:
        """Everything beside the video's bytes that decides the array, as JSON values."""

    def fill(self, target: Path) -> None:
        """Decode the video once and write the array to ``target``.

        Raises:
            ValueError: the video and the recipe do not fit; the message names the video.
        """


def cached_arrays(recipes: Sequence[ArrayRecipe], cache_dir: Path, num_workers: int, title: str) -> list[Path]:
    """Return the .npy of every recipe, after building those that are missing.

    Args:
        recipes: one per video.
        cache_dir: created if need be; may be shared by data sets, settings and processes.
        num_workers: processes that decode; 0 decodes in this one.
        title: what the progress bar calls the work.

    Raises:
        ValueError: all videos that cannot be used, one per line; the others stay cached.
    """
    # Hashing releases the GIL, so threads read as fast as the disk allows.
    with ThreadPoolExecutor(max(1, num_workers)) as threads:
        paths = [cache_dir / f"{key}.npy" for key in threads.map(_content_key, recipes)]
    missing = {path: recipe for path, recipe in zip(paths, recipes, strict=True) if not path.exists()}
    if missing:
        _build(missing, num_workers, title)
    return paths


@lru_cache(maxsize=32_768)  # a process may have 65,530 maps on Linux
def open_array(path: Path) -> NDArray[np.uint8]:
    """Map a cached array for reading; its content never changes, so the map is kept open."""
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


def _build(missing: dict[Path, ArrayRecipe], num_workers: int, title: str) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    faults: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("videos"))
    with Progress(*columns, TimeRemainingColumn()) as progress, _executor(min(num_workers, len(missing))) as executor:
        task = progress.add_task(title, total=len(missing))
        futures: list[Future[None]] = [executor.submit(_write, recipe, path) for path, recipe in missing.items()]
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, ValueError):
                faults.append(str(error))
            elif error is not None:
                executor.shutdown(cancel_futures=True)
                raise error
            progress.advance(task)
    if faults:
        more = len(faults) - _MAX_REPORTED_VIDEOS
        raise ValueError(
            "\n".join(sorted(faults)[:_MAX_REPORTED_VIDEOS]) + (f"\n… and {more} more" if more > 0 else "")
        )


def _executor(num_workers: int) -> Executor:
    if num_workers == 0:
        return ThreadPoolExecutor(1)
    # A forked child would inherit locks of OpenMP and of the progress bar's thread.
    return ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"))


def _write(recipe: ArrayRecipe, path: Path) -> None:
    with atomic_write(path) as temporary:
        recipe.fill(temporary)
