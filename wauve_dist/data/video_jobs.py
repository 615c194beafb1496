"""The same work on many videos: side by side, under a progress bar, with all faults told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def _just_start(_: int) -> None:
    pass


def run_jobs(
    function: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    num_workers: int,
    title: str,
    start_worker: Callable[[int], None] = _just_start,
) -> list[Future[_Result]]:
    """Call a function with each job.

    A fault of the input, a ``ValueError``, waits in its future until all jobs have ended; any other error ends the
    work at once.

    Args:
        function: and ``jobs`` must survive pickling.
        jobs: one a video.
        num_workers: processes; 0 works in this one. The results do not depend on it.
        title: what the progress bar, on stderr, calls the work.
        start_worker: called once by each worker, with its number, before its first job; must survive pickling.

    Returns:
        Ended futures, in the order of ``jobs``.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("videos"))
    console = Console(stderr=True)
    with (
        Progress(*columns, TimeRemainingColumn(), console=console) as progress,
        _executor(min(num_workers, len(jobs)), start_worker) as pool,
    ):
        bar = progress.add_task(title, total=len(jobs))
        futures = [pool.submit(function, job) for job in jobs]
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not isinstance(error, ValueError):
                    raise error
                progress.advance(bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return futures


def spawned_pool(num_workers: int, start_worker: Callable[[int], None]) -> ProcessPoolExecutor:
    """Return a pool of processes, each of which first calls ``start_worker`` with its number, from 0."""
    # A forked child would inherit locks of OpenMP, CUDA and the progress bar's thread.
    context = get_context("spawn")
    return ProcessPoolExecutor(num_workers, context, partial(_start_next, start_worker), (context.Value("i", 0),))


def _executor(num_workers: int, start_worker: Callable[[int], None]) -> Executor:
    if num_workers == 0:
        return ThreadPoolExecutor(1, initializer=start_worker, initargs=(0,))
    return spawned_pool(num_workers, start_worker)


def _start_next(start_worker: Callable[[int], None], num_started: Synchronized[int]) -> None:
    with num_started.get_lock():
        number = num_started.value
        num_started.value += 1
    start_worker(number)
