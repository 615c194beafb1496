"""How many frames a second the linker takes on one core."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wauve_dist.structures.boxes import Detections
from wauve_dist.tracking.linker import Linker

_STEADY, _SIDE_PX, _SPACING_PX = 0.9, 60.0, 150.0


@dataclass(frozen=True)
class LinkerSpeed:
    """What was linked, and the processor time that it took.

    Attributes:
        num_frames: of the video.
        boxes_per_frame: in each.
        num_tracks: found.
        cpu_s: processor time of the fastest pass, which other work on the machine hardly moves.
    """

    num_frames: int
    boxes_per_frame: int
    num_tracks: int
    cpu_s: float

    @property
    def frames_per_s(self) -> float:
        """Frames per second of processor time."""
        return self.num_frames / self.cpu_s


def benchmark_linker(num_frames: int, num_boxes: int, rounds: int, seed: int) -> LinkerSpeed:
    """Link a made-up video frame by frame, as prediction does.

    Four boxes in five are objects that drift, fade, and are missed in one frame of ten; the others lie anywhere.

    Args:
        num_frames: of the video.
        num_boxes: in each frame.
        rounds: passes; the fastest counts.
        seed: of the boxes.

    Raises:
        ValueError: a number below 1.
    """
    for flag, number in (("--frames", num_frames), ("--boxes", num_boxes), ("--rounds", rounds)):
        if number < 1:
            raise ValueError(f"{flag} {number}: must be at least 1.")
    frames = list(_frames(num_frames, num_boxes, seed))
    cpu_s, num_tracks = np.inf, 0
    for _ in range(rounds):
        linker, start_s = Linker(), time.process_time()
        num_tracks = sum(len(linker.update(number, found)) for number, found in enumerate(frames))
        num_tracks += len(linker.finish())
        cpu_s = min(cpu_s, time.process_time() - start_s)
    return LinkerSpeed(num_frames, num_boxes, num_tracks, cpu_s)


def _frames(num_frames: int, num_boxes: int, seed: int) -> Iterator[Detections]:
    rng = np.random.default_rng(seed)
    num_steady = round(_STEADY * num_boxes)
    columns = int(np.ceil(np.sqrt(num_boxes)))
    centres = _SPACING_PX * np.stack(np.divmod(np.arange(num_steady), columns), axis=1)
    for number in range(num_frames):
        drift = 20 * np.sin(number / 50 + np.arange(num_steady))[:, None]
        seen = rng.random(num_steady) < 0.9
        middle = np.concatenate(
            [
                (centres + drift + rng.normal(0, 2, (num_steady, 2)))[seen],
                rng.uniform(0, _SPACING_PX * columns, (num_boxes - seen.sum(), 2)),
            ]
        )
        boxes_xyxy = np.concatenate([middle - _SIDE_PX / 2, middle + _SIDE_PX / 2], axis=1).astype(np.float32)
        yield Detections(boxes_xyxy, rng.beta(4, 2, len(middle)).astype(np.float32))
