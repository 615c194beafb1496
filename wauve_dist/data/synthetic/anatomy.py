"""A patient's breast: skin, fat with Cooper's ligaments, glandular tissue, pectoral muscle, chest wall with ribs.

Tissue coordinates are millimetres: x and y along the skin (muscle fibres run along x), z into the body.
Shapes: D depth samples, B beams.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from wauve_dist.data.synthetic.fields import Complex64Array, Float32Array, PeriodicField

_PATIENT_STREAM, _SCATTERER_STREAM = 11, 14

# Two-way attenuation at about 10 MHz; orders of magnitude after Duck, Physical Properties of Tissue (1990).
SKIN_DB_PER_MM = 1.6
FAT_DB_PER_MM = 0.9
GLAND_DB_PER_MM = 1.1
MUSCLE_DB_PER_MM = 1.1
BONE_DB_PER_MM = 4.0

# Mean echo levels relative to glandular tissue.
SKIN_DB = 2.0
FAT_DB = -9.0
MUSCLE_DB = -9.0
CHEST_DB = -14.0

# Length of texture along the skin, and across each layer; together with the field's own correlation length.
_TEXTURE_VOXELS = 3.0
_CONTACT_DB = 3.0
_LATERAL_MM = 3.6
_ACROSS_MM = {"skin": 0.6, "fat": 2.0, "gland": 1.0, "muscle": 0.4, "chest": 1.5}

# Scatterers per millimetre of tissue depth and along the skin; across the image plane see ``Anatomy.scatterers``.
_SCATTERER_VOXELS_PER_MM = 7.0
_SCATTERER_SLICE_SIGMA_VOXELS = 2.0


class Tissue(NamedTuple):
    """What the beams meet.

    Attributes:
        echo_db: float32 [D, B], mean power of the diffuse echo, dB relative to glandular tissue.
        attenuation_db_per_mm: float32 [D, B], two-way.
        specular: float32 [D, B], amplitude of the echo of interfaces, 1 is the amplitude of glandular tissue.
    """

    echo_db: Float32Array
    attenuation_db_per_mm: Float32Array
    specular: Float32Array


class Anatomy:
    """One patient's layers and textures; a function of (seed, patient) alone."""

    def __init__(self, seed: int, patient_index: int):
        rng = np.random.default_rng([seed, _PATIENT_STREAM, patient_index])
        self.skin_mm = float(rng.uniform(1.4, 2.4))
        self.fat_mm = float(rng.uniform(3.5, 9.0))  # depth of the fat's lower boundary below the skin
        self.muscle_z_mm = float(rng.uniform(25.0, 31.0))
        self.chest_z_mm = self.muscle_z_mm + float(rng.uniform(5.0, 9.0))
        self.has_rib = bool(rng.random() < 0.35)
        self._rib_x, self._rib_angle = rng.uniform(-8.0, 8.0), rng.uniform(-0.6, 0.6)
        self._fat_in_gland = float(rng.uniform(0.3, 1.6))  # texture above which gland is replaced by fat: density
        self._undulation_mm = float(rng.uniform(1.0, 2.2))
        self._fibre_slope = float(rng.uniform(-0.15, 0.15))
        self._origin: Float32Array = rng.uniform(0.0, 64.0, 3).astype(np.float32)
        self._texture = PeriodicField(rng, (64, 64, 64), (1.5, 1.5, 1.5))
        self._scatterers = _scatterer_field(seed)
        self._scatterer_origin: Float32Array = rng.uniform(0.0, 256.0, 3).astype(np.float32)

    def scatterers(
        self, lateral: Float32Array, slice_: Float32Array, z: Float32Array, slice_mm: float
    ) -> Complex64Array:
        """Echoes of the sub-resolution scatterers, fixed in the tissue, summed over the thickness of the slice.

        The elevational part of the point-spread function acts here, once, because the planes of a sweep are nearly
        parallel; its axial and lateral parts act on the image.

        Args:
            lateral: float32 [D, B], mm along the transducer, in the frame of the sweep.
            slice_: float32 [D, B], mm across the image plane.
            z: float32 [D, B], mm below the skin.
            slice_mm: standard deviation of the beam across the image plane.

        Returns:
            complex64 [D, B], circular Gaussian, E|value|^2 about 1.
        """
        scale = np.float32(_SCATTERER_VOXELS_PER_MM)
        across = np.float32(_SCATTERER_SLICE_SIGMA_VOXELS / slice_mm)
        points = np.stack([lateral * scale, slice_ * across, z * scale])
        points += self._scatterer_origin[:, None, None]
        return self._scatterers.sample(points)

    def tissue(self, x: Float32Array, y: Float32Array, z: Float32Array) -> Tissue:
        """Evaluate the layers at points [D, B] of an image plane."""
        skin, fat, muscle, chest = self._boundaries(x, y, z)
        depth_texture = (
            np.minimum(z, skin) / _ACROSS_MM["skin"]
            + np.clip(z - skin, 0, fat - skin) / _ACROSS_MM["fat"]
            + np.clip(z - fat, 0, muscle - fat) / _ACROSS_MM["gland"]
            + np.clip(z - muscle, 0, chest - muscle) / _ACROSS_MM["muscle"]
            + np.maximum(z - chest, 0) / _ACROSS_MM["chest"]
            + x * np.float32(self._fibre_slope)
        )
        points = np.stack([x / _LATERAL_MM, y / _LATERAL_MM, depth_texture]) * np.float32(_TEXTURE_VOXELS)
        texture = self._texture.sample(points + self._origin[:, None, None])
        coarse, fine = texture.real * np.float32(np.sqrt(2)), texture.imag * np.float32(np.sqrt(2))

        in_fat = _step(z - skin, 0.3)
        in_gland = _step(z - fat, 0.4)
        in_muscle = _step(z - muscle, 0.3)
        in_chest = _step(z - chest, 0.3)
        adipose = _step(coarse - self._fat_in_gland, 0.5)

        fat_db = FAT_DB + 1.5 * coarse
        gland_db = 3.5 * fine + 2.0 * coarse + adipose * (FAT_DB - 2.0 * coarse)
        muscle_db = MUSCLE_DB + 2.5 * coarse + 9.0 * _ridge(fine, 0.35)
        echo_db = np.float32(SKIN_DB) + in_fat * (fat_db - SKIN_DB)
        echo_db += in_gland * (gland_db - fat_db)
        echo_db += in_muscle * (muscle_db - gland_db)
        echo_db += in_chest * (CHEST_DB - muscle_db)

        attenuation = np.float32(SKIN_DB_PER_MM) + in_fat * np.float32(FAT_DB_PER_MM - SKIN_DB_PER_MM)
        attenuation += in_gland * np.float32(GLAND_DB_PER_MM - FAT_DB_PER_MM)
        attenuation += in_muscle * np.float32(MUSCLE_DB_PER_MM - GLAND_DB_PER_MM)
        attenuation += in_chest * np.float32(BONE_DB_PER_MM - MUSCLE_DB_PER_MM)
        # Uneven contact and refraction in the skin leave some beams weaker all the way down.
        attenuation += (1 - in_fat) * np.clip(fine[:1] * _CONTACT_DB, 0, None) / skin

        # Sheets of connective tissue lie where ``fine`` changes sign, and reflect best where they face the beam: where
        # it does so along the beam. Along the layers' boundaries ``coarse`` lets the reflection come and go.
        slope = np.abs(np.diff(fine, axis=0, prepend=fine[:1])) * np.float32(1.0 / (z[1, 0] - z[0, 0]))
        sheets = np.clip(slope * 1.2, 0, 1) ** 2 * _ridge(fine, 0.12)
        facing = np.clip(0.5 + 0.6 * coarse, 0.0, 1.5)
        specular = sheets * (
            0.9 * in_fat * (1 - in_gland)
            + in_gland * (1 - in_muscle) * (0.25 + 0.5 * facing)
            + in_muscle * (1 - in_chest) * 1.0 * facing
        )
        specular += 2.0 * _line(z, 0.2) + 1.2 * _line(z - skin, 0.15)
        specular += facing * (0.8 * _line(z - fat, 0.2) + 1.4 * _line(z - muscle, 0.2) + 2.2 * _line(z - chest, 0.3))
        return Tissue(echo_db, attenuation, specular)

    def _boundaries(self, x: Float32Array, y: Float32Array, z: Float32Array) -> tuple[Float32Array, ...]:
        """Depths [B] at which each beam meets skin/fat, fat/gland, gland/muscle and muscle/chest wall.

        Evaluated where the beam passes the boundary's mean depth: planes are steep and boundaries smooth.
        """
        depths = []
        for number, mean_depth in enumerate(
            (self.skin_mm, self.skin_mm + self.fat_mm, self.muscle_z_mm, self.chest_z_mm), start=1
        ):
            row = int(np.argmin(np.abs(z[:, z.shape[1] // 2] - mean_depth)))
            points = np.stack([x[row] / 7.0, y[row] / 7.0, np.full_like(x[row], 16.0 * number)])
            points = points * np.float32(_TEXTURE_VOXELS) + self._origin[:, None]
            wave = self._texture.sample(points).real
            amplitude = (0.1, self._undulation_mm, 0.8, 0.7)[number - 1]
            depth = np.float32(mean_depth) + np.float32(amplitude) * wave
            if number == 4 and self.has_rib:
                across = (x[row] - self._rib_x) * np.cos(self._rib_angle) + y[row] * np.sin(self._rib_angle)
                depth -= (4.0 * np.exp(-((across / 5.0) ** 4))).astype(np.float32)
            depths.append(depth)
        skin, fat, muscle, chest = depths
        fat = np.maximum(fat, skin + 0.5)
        muscle = np.maximum(muscle, fat + 1.0)
        return skin, fat, muscle, np.maximum(chest, muscle + 1.0)


@lru_cache(maxsize=1)
def _scatterer_field(seed: int) -> PeriodicField:
    """One block serves all patients of a data set, entered elsewhere by each: it is the dearest thing to draw."""
    rng = np.random.default_rng([seed, _SCATTERER_STREAM])
    return PeriodicField(rng, (128, 64, 256), (0.8, _SCATTERER_SLICE_SIGMA_VOXELS, 0.8))


def _step(distance: Float32Array, width: float) -> Float32Array:
    """Rise from 0 to 1 over ``width`` around distance 0."""
    return np.asarray(np.clip(distance * np.float32(1.0 / width) + np.float32(0.5), 0, 1))


def _ridge(texture: Float32Array, width: float) -> Float32Array:
    """1 on the sheets where a texture crosses zero, 0 away from them."""
    return np.asarray(np.clip(1 - np.abs(texture) * np.float32(1.0 / width), 0, 1))


def _line(distance: Float32Array, width_mm: float) -> Float32Array:
    """A thin interface."""
    return np.asarray(np.clip(1 - np.abs(distance) * np.float32(1.0 / width_mm), 0, 1))
