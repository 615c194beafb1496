"""One video of the data set on disk; all that a worker process imports (pandas takes longer to load than a video)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wauve_dist.data.synthetic.cohort import Case
from wauve_dist.data.synthetic.encoding import write_avi
from wauve_dist.data.synthetic.video import SyntheticVideo


@dataclass(frozen=True)
class VideoSettings:
    """What decides a video's bytes besides its seed and index.

    Attributes:
        frame_size: side of the square frames, pixels.
        min_frames, max_frames: range, inclusive, of frames per video.
        codec: a key of ``encoding.CODECS``.
        focality: 0..1. Spicules, indistinct margin, halo and shadow live on a part of a lesion's surface, so that part
            of a sweep shows them; shape, lobulation, texture and enhancement are the whole body's and show in every
            frame. At 0 both tell malignant from benign, at 1 only the former do, and their part is half as wide.
    """

    frame_size: int = 256
    min_frames: int = 32
    max_frames: int = 64
    codec: str = "mjpeg"
    focality: float = 0.0


class WrittenVideo(NamedTuple):
    """What the tables must know of a video that is on disk.

    Attributes:
        video_index: of its case.
        lesion_size_mm: longest diameter.
        boxes: of every frame, x1, y1, x2, y2 in absolute pixels, or None where the lesion does not show.
    """

    video_index: int
    lesion_size_mm: float
    boxes: list[tuple[float, float, float, float] | None]


def write_video(case: Case, settings: VideoSettings, folder: Path) -> WrittenVideo:
    """Render and encode ``folder/<video_id>.avi``."""
    video = SyntheticVideo(case, settings.frame_size, settings.min_frames, settings.max_frames)
    boxes: list[tuple[float, float, float, float] | None] = []

    def pixels_of_frames() -> Iterator[NDArray[np.uint8]]:
        for frame in video:
            boxes.append(frame.box_xyxy)
            yield frame.pixels

    write_avi(folder / f"{case.video_id}.avi", pixels_of_frames(), settings.frame_size, settings.codec)
    return WrittenVideo(case.index, video.lesion.size_mm, boxes)
