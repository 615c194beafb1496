"""Grey frames into AVI files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wauve_dist.structures.provenance import atomic_write

FRAME_RATE = 30


class _Encoder(NamedTuple):
    name: str
    pixel_format: str
    options: dict[str, str]


CODECS = {
    "mjpeg": _Encoder("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "3"}),
    # AVI stores no presentation times, so it cannot hold the reordered frames of B-pictures.
    "h264": _Encoder("libx264", "yuv420p", {"crf": "18", "preset": "veryfast", "bf": "0", "threads": "1"}),
    "mpeg4": _Encoder("mpeg4", "yuv420p", {"qmin": "2", "qmax": "3"}),
}


def write_avi(path: Path, frames: Iterable[NDArray[np.uint8]], frame_size: int, codec: str) -> None:
    """Encode frames; the file appears when it is whole.

    Args:
        path: of the AVI file.
        frames: uint8 [frame_size, frame_size] each; consumed one by one.
        frame_size: side of the frames, pixels, even (chroma is subsampled).
        codec: a key of ``CODECS``.
    """
    import av

    encoder = CODECS[codec]
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="avi") as container:
        stream = container.add_stream(encoder.name, rate=FRAME_RATE, options=encoder.options)
        stream.width = stream.height = frame_size
        stream.pix_fmt = encoder.pixel_format
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        container.mux(stream.encode(None))
