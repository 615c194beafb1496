"""B-mode imaging: from scatterers and tissue along the beams to grey levels.

The chain is that of Szabo, *Diagnostic Ultrasound Imaging* (2nd ed., chapters 8 and 10), at baseband: scatterers of
random phase, attenuation summed along each beam, a separable point-spread function whose width across the beams grows
away from the focus, receiver noise, time-gain compensation, envelope, log compression.
Shapes: D depth samples, B beams.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft, ndimage

from wauve_dist.data.synthetic.anatomy import Tissue
from wauve_dist.data.synthetic.fields import Complex64Array, Float32Array

NUM_BEAMS = 152
_SPARE_BEAMS = 6  # on either side, outside the picture: the lateral filter is circular


@dataclass(frozen=True)
class Vendor:
    """A make of scanner: its array, its picture and its screen.

    Attributes:
        width_mm: of the transducer.
        depth_mm: shown.
        apex_mm: distance behind the skin from which beams seem to come (trapezoid); infinite for a rectangle.
        axial_sigma_mm: of the point-spread function's amplitude, along the beam.
        lateral_sigma_mm: across the beam, at the focus.
        slice_sigma_mm: across the image plane.
        focus_mm: depth of the focus.
        dynamic_range_db: from black to white.
        gain_db: brightness of glandular tissue below white.
        tgc_db_per_mm: time-gain compensation.
        noise_db: receiver noise, relative to glandular tissue at the skin.
        smoothing_px: post-processing of the picture against speckle.
        sector_xywh: the picture's place on the screen, as fractions of the screen's side.
        ruler_side: side of the depth ruler.
        caption_y: height of the caption, as a fraction.
    """

    width_mm: float
    depth_mm: float
    apex_mm: float
    axial_sigma_mm: float
    lateral_sigma_mm: float
    slice_sigma_mm: float
    focus_mm: float
    dynamic_range_db: float
    gain_db: float
    tgc_db_per_mm: float
    noise_db: float
    smoothing_px: float
    sector_xywh: tuple[float, float, float, float]
    ruler_side: str
    caption_y: float


VENDORS = {
    "SynthA": Vendor(
        38, 38, np.inf, 0.13, 0.26, 0.75, 16, 60, -25, 0.98, -70, 0.9, (0.05, 0.08, 0.86, 0.86), "right", 0.02
    ),
    "SynthB": Vendor(
        38, 40, 75.0, 0.11, 0.22, 0.70, 18, 66, -29, 0.96, -74, 1.0, (0.04, 0.10, 0.92, 0.80), "left", 0.93
    ),
    "SynthC": Vendor(
        40, 42, np.inf, 0.16, 0.33, 0.90, 14, 54, -21, 1.00, -68, 0.7, (0.10, 0.05, 0.84, 0.88), "left", 0.94
    ),
    "SynthD": Vendor(
        44, 38, np.inf, 0.14, 0.28, 0.80, 17, 63, -29, 0.95, -72, 1.1, (0.02, 0.12, 0.96, 0.83), "right", 0.02
    ),
}


@dataclass(frozen=True)
class Beams:
    """The sampling grid of one scanner: ``num_samples`` depths on ``NUM_BEAMS`` beams and a few spare ones."""

    vendor: Vendor
    num_samples: int

    @cached_property
    def lateral_mm(self) -> Float32Array:
        """Where samples lie along the transducer, float32 [D, B]."""
        return np.asarray(self.feet_mm * (1 + self.depth_mm / np.float32(self.vendor.apex_mm)), np.float32)

    @cached_property
    def depth_mm(self) -> Float32Array:
        """How deep samples lie, float32 [D, B]."""
        column = (np.arange(self.num_samples, dtype=np.float32) + np.float32(0.5)) * np.float32(self.step_mm)
        return np.repeat(column[:, None], len(self.feet_mm), axis=1)

    @cached_property
    def feet_mm(self) -> Float32Array:
        """Where the beams leave the transducer, float32 [B]."""
        index = np.arange(-_SPARE_BEAMS, NUM_BEAMS + _SPARE_BEAMS, dtype=np.float32)
        return np.asarray(((index + np.float32(0.5)) / NUM_BEAMS - np.float32(0.5)) * np.float32(self.vendor.width_mm))

    @property
    def step_mm(self) -> float:
        """Distance between depth samples."""
        return self.vendor.depth_mm / self.num_samples

    def index_of(self, lateral_mm: Float32Array, depth_mm: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Invert the geometry: fractional sample and beam of points of the image plane."""
        feet = lateral_mm / (1 + depth_mm / np.float32(self.vendor.apex_mm))
        beams = (feet / np.float32(self.vendor.width_mm) + np.float32(0.5)) * NUM_BEAMS - np.float32(0.5)
        return depth_mm / np.float32(self.step_mm) - np.float32(0.5), beams + _SPARE_BEAMS

    @cached_property
    def lateral_transfer(self) -> Float32Array:
        """Transfer function of the lateral filter at each depth, float32 [D, B], of unit power gain."""
        vendor = self.vendor
        away = (self.depth_mm[:, :1] - vendor.focus_mm) / vendor.focus_mm
        sigma_mm = vendor.lateral_sigma_mm * np.sqrt(1 + 0.8 * away**2)
        cycles_per_mm = fft.fftfreq(len(self.feet_mm), d=vendor.width_mm / NUM_BEAMS)[None]
        transfer = np.exp(-2 * (np.pi * cycles_per_mm * sigma_mm) ** 2)
        return np.asarray((transfer / np.sqrt((transfer**2).mean(axis=1, keepdims=True))).astype(np.float32))


def echo_envelope(scatterers: Complex64Array, tissue: Tissue, beams: Beams, rng: np.random.Generator) -> Float32Array:
    """Receive the echoes of one frame.

    Args:
        scatterers: complex64 [D, B], unit power.
        tissue: echo level, attenuation and interfaces at the same points.
        beams: the sampling grid.
        rng: of the receiver noise.

    Returns:
        float32 [D, B], envelope after time-gain compensation; glandular tissue at the skin has a mean square of 1.
    """
    vendor = beams.vendor
    lost_db = np.cumsum(tissue.attenuation_db_per_mm, axis=0) * np.float32(beams.step_mm)
    gain_db = beams.depth_mm * np.float32(vendor.tgc_db_per_mm)
    # Interfaces are mirrors, of one phase along the beam; the factor makes up for what the axial filter takes of them.
    echo = scatterers * _amplitude(tissue.echo_db + gain_db - lost_db)
    echo += np.float32(3.0) * tissue.specular * _amplitude(gain_db - lost_db)
    echo = blur(echo, beams)
    noise = rng.standard_normal((*echo.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    echo += noise * (_amplitude(gain_db + np.float32(vendor.noise_db)) * np.float32(np.sqrt(0.5)))
    return np.asarray(np.abs(echo))


def blur(echo: Complex64Array, beams: Beams) -> Complex64Array:
    """Apply the axial and lateral point-spread function; power of white scatterers is kept.

    Args:
        echo: complex64 [D, B].
        beams: the sampling grid.
    """
    spectrum = fft.fft(echo, axis=1)
    spectrum *= beams.lateral_transfer
    echo = fft.ifft(spectrum, axis=1, overwrite_x=True)
    sigma = beams.vendor.axial_sigma_mm / beams.step_mm
    radius = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    parts = np.ascontiguousarray(echo).view(np.float32)
    return np.asarray(ndimage.correlate1d(parts, kernel, axis=0, mode="nearest").view(np.complex64))


def grey_levels(envelope: Float32Array, vendor: Vendor, gain_db: float) -> Float32Array:
    """Compress logarithmically, ``gain_db`` above the vendor's setting: 0 is black, 255 white, float32, same shape."""
    level_db = 20 * np.log10(envelope + np.float32(1e-6))
    return np.asarray(
        np.clip(
            255 * (1 + (level_db + np.float32(vendor.gain_db + gain_db)) / np.float32(vendor.dynamic_range_db)), 0, 255
        )
    )


def _amplitude(level_db: Float32Array) -> Float32Array:
    return np.asarray(np.exp(level_db * np.float32(np.log(10) / 20)))
