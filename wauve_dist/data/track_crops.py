"""The crops of all tracks of a video, in one pass: decoded once, whatever the number of tracks, by either decoder.

With PyAV frames are decoded and cut on the CPU. With DALI the pass stays where DALI decodes: on a GPU, frames come into
its memory and only crops leave it. Both give crops of the same filter, so that training and prediction may use either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from wauve_dist.data import dali_crops
from wauve_dist.data.crops import BoxesByFrame, CutFrame, TrackBox, TrackCrop, crop_roi
from wauve_dist.data.decoding import Decoder, GreyFrame, GreyView, check_sector, decode_views, decoding_gpu, is_images
from wauve_dist.structures.sectors import Sector

FrameCutter: TypeAlias = Callable[[pd.DataFrame, int, float], Iterable[CutFrame]]
"""Takes tracks of a video, side and context of their crops, and passes over the video; see ``cut_video``."""


def cut_video(
    path: Path,
    tracks: pd.DataFrame,
    size: int,
    context: float,
    decoder: Decoder = "pyav",
    sector: Sector | None = None,
    whole: Set[int] = frozenset(),
) -> Iterator[CutFrame]:
    """Cut every box of a video's tracks in one pass, in constant memory.

    The pass goes on to the last frame, so that a decoder that counts its frames gets to say what is missing.

    Args:
        path: see ``decoding.decode_frames``.
        tracks: of the video; columns track_id, frame, x1, y1, x2, y2; any order.
        size: see ``crops.crop_roi``.
        context: see ``crops.crop_roi``.
        decoder: decodes and cuts (see ``decoding.decode_frames`` and ``dali_crops``); images, which DALI is not asked
            to read, are cut on the CPU.
        sector: all of a frame that may be seen; the rest is black. None shows the whole.
        whole: numbers of the frames that are kept whole, too.

    Yields:
        Something for every frame.

    Raises:
        VideoError: see ``decoding.decode_frames``.
        ValueError: an empty box, or a track that goes on beyond the last frame.
    """
    if decoder == "pyav" or is_images(path):
        return cut_frames(_within(decode_views(path, decoder), path, sector), tracks, size, context, sector, whole)
    boxes = _by_frame(tracks)
    cut = dali_crops.cut_frames(path, boxes, size, context, decoding_gpu(), sector, whole)
    return _to_the_last_box(boxes, cut)


def cut_frames(
    frames: Iterable[GreyFrame | GreyView],
    tracks: pd.DataFrame,
    size: int,
    context: float,
    sector: Sector | None = None,
    whole: Set[int] = frozenset(),
) -> Iterator[CutFrame]:
    """Cut boxes out of frames that are in this process's memory; see ``cut_video``.

    Args:
        frames: uint8 [H, W] each, in order from frame 0.
        tracks: see ``cut_video``, and so on.
        size: likewise.
        context: likewise.
        sector: likewise.
        whole: likewise.
    """
    boxes = _by_frame(tracks)
    return _to_the_last_box(
        boxes,
        (
            CutFrame(
                number,
                [
                    TrackCrop(track_id, number, crop_roi(frame, box_xyxy, size, context, sector))
                    for track_id, box_xyxy in boxes.get(number, ())
                ],
                _shown(frame, sector) if number in whole else None,
            )
            for number, frame in enumerate(frames)
        ),
    )


def _within(views: Iterator[GreyView], path: Path, sector: Sector | None) -> Iterator[GreyView]:
    for number, view in enumerate(views):
        if number == 0 and sector is not None:
            check_sector(path, sector, view.shape[1], view.shape[0])
        yield view


def _shown(frame: GreyFrame | GreyView, sector: Sector | None) -> GreyFrame:
    return frame[:, :] if sector is None else sector.blacken_around(frame[:, :])


def _by_frame(tracks: pd.DataFrame) -> BoxesByFrame:
    ordered = tracks.sort_values(["frame", "track_id"])
    boxes_xyxy = ordered[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    boxes: dict[int, list[TrackBox]] = defaultdict(list)
    for track_id, frame, box_xyxy in zip(ordered["track_id"], ordered["frame"], boxes_xyxy, strict=True):
        boxes[int(frame)].append(TrackBox(int(track_id), box_xyxy))
    return dict(boxes)


def _to_the_last_box(boxes: BoxesByFrame, cut: Iterable[CutFrame]) -> Iterator[CutFrame]:
    num_frames = 0
    for frame in cut:
        num_frames += 1
        yield frame
    if beyond := [number for number in boxes if not 0 <= number < num_frames]:
        number = min(beyond)
        raise ValueError(
            f"track {boxes[number][0].track_id} has a box in frame {number}, but the video has {num_frames} frames "
            f"(the last is {num_frames - 1}). Were the tracks made from another version of it?"
        )
