"""One synthetic video: frames and the lesion's box in each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wauve_dist.data.synthetic.anatomy import Anatomy
from wauve_dist.data.synthetic.cohort import Case
from wauve_dist.data.synthetic.fields import Float32Array
from wauve_dist.data.synthetic.lesion import Lesion
from wauve_dist.data.synthetic.scanner import VENDORS, Beams, echo_envelope
from wauve_dist.data.synthetic.screen import Screen
from wauve_dist.data.synthetic.sweep import Pose, draw_sweep, plane_points

MIN_BOX_SIDE_PX = 6  # at 256 pixels; a smaller cross-section is not annotated
_VIDEO_STREAM = 13
_SAMPLES_PER_PIXEL = 1.0
_GAIN_SPREAD_DB = 2.0


class Frame(NamedTuple):
    """One frame.

    Attributes:
        pixels: uint8 [frame_size, frame_size].
        box_xyxy: the lesion's bounding box in absolute pixels, or None where it does not show.
    """

    pixels: NDArray[np.uint8]
    box_xyxy: tuple[float, float, float, float] | None


class SyntheticVideo:
    """The sweep over one lesion; a function of (case, frame size, frame count range) alone."""

    def __init__(self, case: Case, frame_size: int, min_frames: int, max_frames: int):
        """Draw tissue, lesion and path; frames are rendered on iteration.

        Args:
            case: patient, lesion, scanner.
            frame_size: side of the square frame, pixels.
            min_frames, max_frames: range, inclusive, that the number of frames is drawn from.
        """
        rng = np.random.default_rng([case.seed, _VIDEO_STREAM, case.index])
        vendor = VENDORS[case.vendor]
        self.case = case
        self.frame_size = frame_size
        self._anatomy = Anatomy(case.seed, case.patient_index)
        self.lesion = Lesion(case, self._anatomy)
        self.beams = Beams(vendor, round(_SAMPLES_PER_PIXEL * vendor.sector_xywh[3] * frame_size))
        num_frames = int(rng.integers(min_frames, max_frames + 1))
        self.poses = draw_sweep(rng, num_frames, self.lesion.half_length_mm)
        direction = rng.uniform(0.0, 2 * np.pi)
        self._direction = np.float32(np.cos(direction)), np.float32(np.sin(direction))
        day = np.datetime64("2031-01-01") + int(rng.integers(0, 1000))
        self.screen = Screen(
            self.beams,
            frame_size,
            gain_db=float(rng.normal(0.0, _GAIN_SPREAD_DB)),
            caption=f"SYN {case.patient_id.upper()}  {day}",
            footer=f"{'LR'[int(rng.integers(2))]} {rng.integers(1, 13)}H  {rng.integers(1, 8)} cm FN",
        )
        self._noise_seed = int(rng.integers(2**62))

    def __len__(self) -> int:
        return len(self.poses)

    def __iter__(self) -> Iterator[Frame]:
        noise = np.random.default_rng(self._noise_seed)
        for pose in self.poses:
            pixels = self.screen.frame(self.envelope(pose, noise))
            yield Frame(pixels, self._box(pose))

    def envelope(self, pose: Pose, noise: np.random.Generator) -> Float32Array:
        """Echo envelope [D, B] before log compression, see ``scanner.echo_envelope``."""
        u, v, z = plane_points(pose, self.beams.lateral_mm, self.beams.depth_mm)
        cos, sin = self._direction
        tissue = self._anatomy.tissue(u * cos - v * sin, u * sin + v * cos, z)
        window = self.lesion.window(u, v, z)
        if window is not None:
            self.lesion.insert(tissue, window, u, v, z)
        scatterers = self._anatomy.scatterers(u, v, z, self.beams.vendor.slice_sigma_mm)
        return echo_envelope(scatterers, tissue, self.beams, noise)

    def lesion_mask(self, pose: Pose) -> NDArray[np.bool_]:
        """Pixels [H, W] of the picture, without the screen around it, that show the lesion."""
        u, v, z = plane_points(pose, *self.screen.points_mm)
        mask = np.zeros(u.shape, bool)
        window = self.lesion.window(u, v, z)
        if window is not None:
            mask[window] = self.lesion.mask(u[window], v[window], z[window])
        return mask

    def _box(self, pose: Pose) -> tuple[float, float, float, float] | None:
        box = self.screen.box_of(self.lesion_mask(pose))
        if box is None:
            return None
        smallest = MIN_BOX_SIDE_PX * self.frame_size / 256
        return box if min(box[2] - box[0], box[3] - box[1]) >= smallest else None
