"""Videos over the processes of a machine, one GPU each: every video exactly once, in whatever order they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TypeVar

from wauve_dist.data.video_jobs import spawned_pool
from wauve_dist.inference.progress import FrameProgress
from wauve_dist.inference.video_prediction import Models, PredictionSettings, Video, VideoRows, predict_video
from wauve_dist.structures.clips import require_key_frames

_Passing = TypeVar("_Passing")

LoadModels = Callable[[int], Models]
"""Takes the number of the process, from 0, that the models are for."""


def predict_videos(
    videos: Sequence[Video], load_models: LoadModels, num_processes: int, settings: PredictionSettings, folder: Path
) -> list[VideoRows]:
    """Predict videos in this process, or in several of which each has models of its own.

    Args:
        videos: can be decoded.
        load_models: called once a process; must be picklable for more than one. Faulty checkpoints are found in this
            process, before another is started.
        num_processes: at least 1.
        settings: how to predict.
        folder: gets the pictures.

    Returns:
        The rows of each video, in their order.

    Raises:
        ValueError: the classifier wants key frames that the manifest does not list.
        ChildProcessError: a process was killed.
    """
    models = load_models(0)
    num_passes = (models.detector is not None) + (models.classifier is not None) * (1 + 2 * settings.overlay)
    if models.classifier is not None and models.classifier.clip_rule.from_manifest:
        require_key_frames({video.video_id: video.key_frames for video in videos})
    lengths = [num_passes * video.info.num_frames for video in videos]
    with FrameProgress(sum(lengths)) as progress:
        if num_processes == 1:
            results = []
            for video, length in zip(videos, lengths, strict=True):
                progress.start_video(video.video_id, length)
                results.append(predict_video(video, models, settings, folder, progress.count))
            return results
        del models
        with spawned_pool(min(num_processes, len(videos)), partial(_load, load_models)) as pool:
            # Longest first, so that none is left over when the others are done.
            order = sorted(range(len(videos)), key=lambda index: -lengths[index])
            running: dict[Future[VideoRows], int] = {
                pool.submit(_predict, videos[index], settings, folder): index for index in order
            }
            try:
                for ended in as_completed(running):
                    ended.result()
                    progress.end_video(videos[running[ended]].video_id, lengths[running[ended]])
            except BrokenProcessPool as error:
                raise ChildProcessError(
                    "A prediction process was killed, perhaps because memory ran out. "
                    "Use fewer --processes or a smaller --batch-size. Nothing was written."
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        by_index = {index: future.result() for future, index in running.items()}
        return [by_index[index] for index in range(len(videos))]


_models: Models
"""Of a process of the pool."""


def _load(load_models: LoadModels, process: int) -> None:
    global _models
    _models = load_models(process)


def _predict(video: Video, settings: PredictionSettings, folder: Path) -> VideoRows:
    return predict_video(video, _models, settings, folder, _uncounted)


def _uncounted(frames: Iterator[_Passing]) -> Iterator[_Passing]:
    return frames
