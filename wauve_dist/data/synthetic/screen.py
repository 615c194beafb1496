"""The scanner's screen: the picture in its place, with the text and the rulers that scanners burn into videos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from wauve_dist.data.synthetic.fields import Float32Array
from wauve_dist.data.synthetic.scanner import Beams, grey_levels

_INK = 190


class Screen:
    """Turns envelopes [D, B] into frames [frame_size, frame_size] of one video."""

    def __init__(self, beams: Beams, frame_size: int, gain_db: float, caption: str, footer: str):
        """Lay out the screen.

        Args:
            beams: the grid that envelopes come on.
            frame_size: side of the square screen, pixels.
            gain_db: the operator's, added to the vendor's setting.
            caption: burned in above the picture (fictitious).
            footer: burned in at the picture's lower edge.
        """
        vendor = beams.vendor
        self._beams, self._frame_size, self._gain_db = beams, frame_size, gain_db
        left, top, width, height = (round(fraction * frame_size) for fraction in vendor.sector_xywh)
        # Square pixels: the picture is as large as its place allows, in the middle of it.
        spread = 1 + vendor.depth_mm / vendor.apex_mm
        mm_per_px = max(vendor.depth_mm / height, vendor.width_mm * spread / width)
        rows = np.arange(int(vendor.depth_mm / mm_per_px))
        columns = np.arange(int(vendor.width_mm * spread / mm_per_px))
        lateral = (columns - (len(columns) - 1) / 2) * mm_per_px
        lateral_mm, depth_mm = (grid.astype(np.float32) for grid in np.meshgrid(lateral, (rows + 0.5) * mm_per_px))
        sample, beam = beams.index_of(lateral_mm, depth_mm)
        foot = lateral_mm / (1 + depth_mm / np.float32(vendor.apex_mm))
        self._inside = np.abs(foot) <= vendor.width_mm / 2
        left += (width - len(columns)) // 2
        self.mm_per_px = mm_per_px
        self._place = (slice(top, top + len(rows)), slice(left, left + len(columns)))
        self._lateral_mm, self._depth_mm = lateral_mm, depth_mm
        last_row, last_column = beams.depth_mm.shape[0] - 1, beams.depth_mm.shape[1] - 1
        sample, beam = np.clip(sample, 0, last_row - 1e-3), np.clip(beam, 0, last_column - 1e-3)
        self._corner = sample.astype(np.int32) * (last_column + 1) + beam.astype(np.int32)
        self._weights = (sample - np.floor(sample), beam - np.floor(beam))
        # Elements at the array's ends see less: the picture's sides are darker.
        edge = np.clip((np.abs(foot) / (vendor.width_mm / 2) - 0.8) / 0.2, 0, 1)
        self._shade: Float32Array = np.where(self._inside, 1 - 0.35 * edge**2, 0).astype(np.float32)
        self._overlay = self._burn_in(caption, footer, left, top, len(rows), len(columns))

    @property
    def points_mm(self) -> tuple[Float32Array, Float32Array]:
        """Lateral position and depth of the picture's pixels, float32 [H, W] each."""
        return self._lateral_mm, self._depth_mm

    def frame(self, envelope: Float32Array) -> NDArray[np.uint8]:
        """Show one envelope.

        Returns:
            uint8 [frame_size, frame_size].
        """
        vendor = self._beams.vendor
        picture = self._scan_convert(grey_levels(envelope, vendor, self._gain_db))
        picture = ndimage.gaussian_filter(picture, vendor.smoothing_px * self._frame_size / 256, truncate=2.5)
        picture *= self._shade
        frame = np.zeros((self._frame_size, self._frame_size), np.uint8)
        frame[self._place] = picture.astype(np.uint8)
        return np.maximum(frame, self._overlay)

    def box_of(self, mask: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
        """Enclose a mask [H, W] of the picture tightly: x1, y1, x2, y2 on the screen, or None if it is empty."""
        visible = mask & self._inside
        rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
        if not len(rows):
            return None
        top, left = self._place[0].start, self._place[1].start
        return (
            float(left + columns[0]),
            float(top + rows[0]),
            float(left + columns[-1] + 1),
            float(top + rows[-1] + 1),
        )

    def _scan_convert(self, levels: Float32Array) -> Float32Array:
        """Interpolate [D, B] at the picture's pixels, [H, W]."""
        flat, stride = levels.reshape(-1), levels.shape[1]
        down, across = self._weights
        upper = flat.take(self._corner) * (1 - across) + flat.take(self._corner + 1) * across
        lower = flat.take(self._corner + stride) * (1 - across) + flat.take(self._corner + stride + 1) * across
        return np.asarray(upper + (lower - upper) * down)

    def _burn_in(self, caption: str, footer: str, left: int, top: int, height: int, width: int) -> NDArray[np.uint8]:
        """Draw everything that does not move, uint8 [frame_size, frame_size], 0 where nothing is drawn."""
        vendor, size = self._beams.vendor, self._frame_size
        layer = Image.new("L", (size, size))
        draw = ImageDraw.Draw(layer)
        font = ImageFont.load_default(max(8.0, size / 28))
        draw.text((left, vendor.caption_y * size), caption, fill=_INK, font=font)
        draw.text((left + width // 20, top + height - 1.4 * size / 25), footer, fill=_INK, font=font)
        ruler_x = left - 3 if vendor.ruler_side == "left" else left + width + 2
        for tick_mm in range(0, int(vendor.depth_mm) + 1, 5):
            y = top + round(tick_mm / self.mm_per_px)
            half = 2 if tick_mm % 10 == 0 else 1
            draw.line([(ruler_x - half, y), (ruler_x + half, y)], fill=_INK)
        focus_y = top + round(vendor.focus_mm / self.mm_per_px)
        draw.polygon([(ruler_x, focus_y - 3), (ruler_x, focus_y + 3), (ruler_x - 4, focus_y)], fill=_INK)
        return np.asarray(layer)
