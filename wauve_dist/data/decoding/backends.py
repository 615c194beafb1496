"""The choice of a decoder: one contract, never switched silently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from wauve_dist.data.decoding import dali, pyav
from wauve_dist.data.decoding.video import GreyFrame, check_sector
from wauve_dist.structures.sectors import Sector

Decoder = Literal["pyav", "dali"]


def decode_frames(path: Path, decoder: Decoder = "pyav", sector: Sector | None = None) -> Iterator[GreyFrame]:
    """Yield every frame of a video, in constant memory.

    Args:
        path: a video file, an image (a video of one frame) or a folder of images (sorted by name).
        decoder: "pyav" decodes every codec of FFmpeg on the CPU; "dali" decodes on this process's GPU (NVDEC), or,
            where torch sees none, MJPEG, VP8 and VP9 on the CPU.
        sector: all of a frame that may be seen; the rest comes out black. None shows the whole.

    Yields:
        uint8 [H, W], full-range luma; B-mode carries no colour. Frame k is the k-th decoded frame with either.

    Raises:
        VideoError: see ``pyav.decode_frames`` and ``dali.decode_frames``; or the sector leaves the frames. Frames
            before the fault have been yielded.
    """
    if decoder == "pyav":
        frames = pyav.decode_frames(path)
    else:
        import torch

        frames = dali.decode_frames(path, torch.cuda.current_device() if torch.cuda.is_available() else None)
    return frames if sector is None else _blackened(frames, sector, path)


def _blackened(frames: Iterator[GreyFrame], sector: Sector, path: Path) -> Iterator[GreyFrame]:
    for number, frame in enumerate(frames):
        if number == 0:
            check_sector(path, sector, frame.shape[1], frame.shape[0])
        yield sector.blacken_around(frame)
