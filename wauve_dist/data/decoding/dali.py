"""Video decoding with NVIDIA DALI: on a GPU by NVDEC, without one on the CPU (MJPEG, VP8 and VP9 only).

The same operator and the same contract in both cases. A video is one stream through a pipeline of its own, in constant
memory beside the file itself, so every process that decodes has its own NVDEC session: several are needed to fill a
card. Frames are counted against the file's packets, for DALI says nothing when a file ends early.

Operator: ``fn.experimental.inputs.video`` of https://docs.nvidia.com/deeplearning/dali.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from wauve_dist.data.decoding.images import decode_images, is_images
from wauve_dist.data.decoding.pyav import check_video
from wauve_dist.data.decoding.video import GreyFrame, VideoError

_CPU_CODECS = ("mjpeg", "vp8", "vp9")
_GPU_CODECS = (*_CPU_CODECS, "h264", "hevc", "mpeg4", "av1")

_INPUT = "video"  # name of the operator that is fed
_NUM_BUFFERED = 16  # frames a pipeline hands over at once


def decode_frames(path: Path, gpu: int | None) -> Iterator[GreyFrame]:
    """Yield every frame of a video; see ``pyav.decode_views`` for the contract. Images are read as there.

    Args:
        path: a video file, an image or a folder of images.
        gpu: number of the CUDA device whose NVDEC decodes, or None for the CPU.

    Yields:
        uint8 [H, W]. Frame k is PyAV's frame k; of grey videos, its pixels are within 2 grey levels of PyAV's.

    Raises:
        VideoError: see ``decode_batches``.
    """
    if is_images(path):
        yield from decode_images(path)
        return
    for batch in decode_batches(path, gpu):
        frames = batch.as_cpu()
        for index in range(len(frames)):
            yield on_host(frames[index])


def decode_batches(path: Path, gpu: int | None) -> Iterator[Any]:
    """Yield all frames of a video file, a few at a time, where DALI has decoded them.

    Args:
        path: of the file.
        gpu: see ``decode_frames``.

    Yields:
        DALI's TensorList of up to 16 frames, uint8 [H, W, 1] each, in the memory of the GPU if there is one.

    Raises:
        VideoError: the video is damaged, DALI cannot decode its codec there, or does not yield the frames it holds.
            Damage inside a frame may be concealed by NVDEC: ``launch/doctor.py`` decodes every frame and finds it.
    """
    info = check_video(path)
    where, codecs = ("CPU", _CPU_CODECS) if gpu is None else ("GPU", _GPU_CODECS)
    if info.codec not in codecs:
        raise VideoError(
            f"{path}: DALI cannot decode {info.codec} on the {where} (only {', '.join(codecs)}). Decode it with "
            "--decoder pyav, or transcode it for the GPU: launch/prepare.py transcode --manifest MANIFEST --out DIR"
        )
    pipeline = _pipeline(gpu)
    pipeline.feed_input(_INPUT, [np.fromfile(path, np.uint8)])
    num_frames = 0
    while num_frames < info.num_frames:
        try:
            (batch,) = pipeline.run()
        except RuntimeError as error:  # the only type that DALI raises for data it cannot decode
            raise VideoError(
                f"{path}: DALI stopped after {num_frames} of {info.num_frames} frames. Examine it with "
                f"launch/doctor.py, or use --decoder pyav. DALI says: {_reason(error)}"
            ) from error
        height, width, _ = batch[0].shape()
        if (width, height) != (info.width, info.height):
            raise VideoError(
                f"{path}: DALI yields frames of {width}x{height} pixels in place of {info.width}x{info.height}. "
                "Use --decoder pyav."
            )
        num_frames += len(batch)
        yield batch
    if num_frames > info.num_frames:
        raise VideoError(f"{path}: DALI yields {num_frames} frames, it holds {info.num_frames}. Use --decoder pyav.")


def on_host(frame: Any) -> GreyFrame:
    """Bring one of DALI's tensors, uint8 [H, W, 1], into this process's memory: uint8 [H, W]."""
    return np.array(np.asarray(frame.as_cpu())[..., 0])


def import_dali() -> Any:
    """Return ``nvidia.dali``, which is typed in part only, and not installed everywhere.

    Raises:
        ValueError: it is not; says how to install it.
    """
    try:
        return import_module("nvidia.dali")
    except ImportError as error:
        raise ValueError("--decoder dali needs NVIDIA DALI: pip install 'wauve-dist[gpu]'") from error


def _pipeline(gpu: int | None) -> Any:
    nvidia_dali = import_dali()
    # A batch of single frames rather than a sequence: what works on frames later may treat each its own way.
    pipeline = nvidia_dali.Pipeline(batch_size=_NUM_BUFFERED, num_threads=1, device_id=gpu, prefetch_queue_depth=1)
    with pipeline:
        fn, types = nvidia_dali.fn, nvidia_dali.types
        device = "cpu" if gpu is None else "mixed"
        frames = fn.experimental.inputs.video(name=_INPUT, sequence_length=1, device=device)
        grey = fn.color_space_conversion(frames, image_type=types.RGB, output_type=types.GRAY)
        pipeline.set_outputs(fn.squeeze(grey, axis_names="F"))
    pipeline.build()
    return pipeline


def _reason(error: RuntimeError) -> str:
    """The last sentence of DALI's report, which comes with a traceback of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if not line.startswith(("C++", "File", "Current"))), "nothing")
