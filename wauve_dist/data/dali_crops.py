"""Crops cut by NVIDIA DALI where it decodes, so that a GPU hands over crops in place of frames.

Frames come as a batch, so ``fn.slice`` and ``fn.resize`` take a region of its own for each of them. They do what
``crops.crop_roi`` does: the same window of pixels, black outside the frame, and the same triangle filter over the same
region. Of the same frame a crop is within 1 grey level of Pillow's; decoders differ by up to 2, so a crop of DALI is
within 3 levels of PyAV's, in the mean less than 1. ``fn.warp_affine``, which takes a matrix for each frame of a
sequence, does not anti-alias: warped to a multiple of the crop's size and then resized, crops of noise were up to 108
levels off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from wauve_dist.data.crops import BoxesByFrame, CutFrame, RoiWindow, TrackCrop, roi_window
from wauve_dist.data.decoding import GreyFrame, check_sector
from wauve_dist.data.decoding.dali import decode_batches, import_dali, on_host
from wauve_dist.structures.sectors import Sector

_NUM_AT_ONCE = 32  # crops in a run of the pipeline: bounds the memory of large windows


def cut_frames(
    path: Path,
    boxes: BoxesByFrame,
    size: int,
    context: float,
    gpu: int | None,
    sector: Sector | None,
    whole: Set[int],
) -> Iterator[CutFrame]:
    """Cut boxes out of a video file in one pass; holds 16 frames, and crops, at a time.

    Args:
        path: of the file.
        boxes: of its tracks.
        size: see ``crops.crop_roi``.
        context: see ``crops.crop_roi``.
        gpu: number of the CUDA device that decodes and cuts, or None for the CPU.
        sector: see ``track_crops.cut_video``.
        whole: see ``track_crops.cut_video``.

    Yields:
        Something for every frame.

    Raises:
        VideoError: see ``decoding.dali.decode_batches``; or the sector leaves the frames.
        ValueError: an empty box.
    """
    pipeline = _pipeline(size, gpu, sector)
    shift_xyxy = 0 if sector is None else sector.shift_xyxy
    first = 0
    for batch in decode_batches(path, gpu):
        if sector is not None and first == 0:
            height, width, _ = batch[0].shape()
            check_sector(path, sector, width, height)
        numbers = range(first, first + len(batch))
        found = [(number, box_xyxy) for number in numbers for _, box_xyxy in boxes.get(number, ())]
        windows = [roi_window(box_xyxy - shift_xyxy, size, context) for _, box_xyxy in found]
        crops = _crops(pipeline, [batch[number - first] for number, _ in found], windows)
        for number in numbers:
            frame = on_host(batch[number - first]) if number in whole else None
            yield CutFrame(
                number,
                [TrackCrop(track_id, number, next(crops)) for track_id, _ in boxes.get(number, ())],
                frame if frame is None or sector is None else sector.blacken_around(frame),
            )
        first += len(batch)


def _crops(pipeline: Any, frames: Sequence[Any], windows: Sequence[RoiWindow]) -> Iterator[GreyFrame]:
    """Yield the crop of each window, out of the frame of the same place."""
    for start in range(0, len(frames), _NUM_AT_ONCE):
        part = windows[start : start + _NUM_AT_ONCE]
        regions_xyxy = np.array([window.region_xyxy for window in part], np.float32)
        (cut,) = pipeline.run(
            frames=frames[start : start + _NUM_AT_ONCE],
            start=np.array([(window.top, window.left) for window in part], np.int32),
            shape=np.array([(window.height, window.width) for window in part], np.int32),
            roi_start=np.ascontiguousarray(regions_xyxy[:, 1::-1]),
            roi_end=np.ascontiguousarray(regions_xyxy[:, :1:-1]),
        )
        yield from np.array(cut.as_cpu().as_array())[..., 0]


def _pipeline(size: int, gpu: int | None, sector: Sector | None) -> Any:
    nvidia_dali = import_dali()
    pipeline = nvidia_dali.Pipeline(batch_size=_NUM_AT_ONCE, num_threads=1, device_id=gpu, prefetch_queue_depth=1)
    with pipeline:
        fn, types = nvidia_dali.fn, nvidia_dali.types
        frames = fn.external_source(name="frames", device="cpu" if gpu is None else "gpu")
        if sector is not None:
            x1, y1, x2, y2 = sector
            frames = fn.slice(frames, start=(y1, x1), shape=(y2 - y1, x2 - x1), axis_names="HW")
        windows = fn.slice(
            frames,
            start=fn.external_source(name="start"),
            shape=fn.external_source(name="shape"),
            axis_names="HW",
            out_of_bounds_policy="pad",
            fill_values=0,
        )
        crops = fn.resize(
            windows,
            roi_start=fn.external_source(name="roi_start"),
            roi_end=fn.external_source(name="roi_end"),
            size=(size, size),
            interp_type=types.INTERP_TRIANGULAR,
            antialias=True,
        )
        pipeline.set_outputs(crops)
    pipeline.build()
    return pipeline
