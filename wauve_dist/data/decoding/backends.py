"""The choice of a decoder: one contract, never switched silently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from wauve_dist.data.decoding import dali, pyav
from wauve_dist.data.decoding.grey_view import GreyView
from wauve_dist.data.decoding.video import GreyFrame, check_sector
from wauve_dist.structures.sectors import Sector

Decoder = Literal["pyav", "dali"]


def decode_frames(path: Path, decoder: Decoder = "pyav", sector: Sector | None = None) -> Iterator[GreyFrame]:
    """Yield every frame of a video, in constant memory.

    Args:
        path: a video file, an image (a video of one frame) or a folder of images (sorted by name).
        decoder: "pyav" decodes every codec of FFmpeg on the CPU; "dali" decodes on ``decoding_gpu`` (NVDEC), or, where
            there is none, MJPEG, VP8 and VP9 on the CPU.
        sector: all of a frame that may be seen; the rest comes out black. None shows the whole.

    Yields:
        uint8 [H, W], full-range luma; B-mode carries no colour. Frame k is the k-th decoded frame with either.

    Raises:
        VideoError: see ``pyav.decode_views`` and ``dali.decode_frames``; or the sector leaves the frames. Frames
            before the fault have been yielded.
    """
    for number, view in enumerate(decode_views(path, decoder)):
        frame = view[:, :]
        if sector is None:
            yield frame
            continue
        if number == 0:
            check_sector(path, sector, frame.shape[1], frame.shape[0])
        yield sector.blacken_around(frame)


def decode_views(path: Path, decoder: Decoder = "pyav") -> Iterator[GreyView]:
    """Yield every frame of a video for those who look at some frames, or parts of them; see ``decode_frames``."""
    if decoder == "pyav":
        return pyav.decode_views(path)
    return map(GreyView, dali.decode_frames(path, decoding_gpu()))


def decoding_gpu() -> int | None:
    """Return where DALI decodes: the CUDA device that this thread has set in torch, None where torch sees none."""
    import torch

    return torch.cuda.current_device() if torch.cuda.is_available() else None


def take_gpu(gpus: Sequence[int], worker: int) -> None:
    """Set this thread's CUDA device for a worker that decodes, so that workers take turns on the devices.

    Args:
        gpus: their numbers; without any nothing is set.
        worker: its number, from 0.
    """
    if gpus:
        import torch

        torch.cuda.set_device(gpus[worker % len(gpus)])
