"""The lesion: a body that is star-shaped around its centre, with the descriptors of its case.

Its surface is an ellipsoid whose radius is modulated by a smooth random function of direction (lobulation) and by
narrow rays (spicules). Spicules, indistinct margin, halo and shadow live on a cap of the surface only: a sweep shows
them for a part of its frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wauve_dist.data.synthetic.anatomy import GLAND_DB_PER_MM, Anatomy, Tissue
from wauve_dist.data.synthetic.cohort import Case
from wauve_dist.data.synthetic.fields import Float32Array

_LESION_STREAM = 12
_NUM_LOBES = 12
_SPICULE_SHARPNESS = 90.0  # a ray is about 1/sqrt(90) = 6 degrees wide
_HALO_MM = 3.5  # beyond it nothing of the rim is left
_CIRCUMSCRIBED_MM = 0.15


class Window(NamedTuple):
    """The part [D', B'] of an image plane [D, B] that the lesion can touch."""

    rows: slice
    columns: slice


class Lesion:
    """One lesion in tissue coordinates of its sweep: u along the transducer, v along the sweep, z into the body."""

    def __init__(self, case: Case, anatomy: Anatomy):
        """Draw the body and place it.

        Args:
            case: gives the descriptors.
            anatomy: the lesion grows between its skin and its muscle, and is flattened where they leave no room.
        """
        rng = np.random.default_rng([case.seed, _LESION_STREAM, case.index])
        self.descriptors = look = case.descriptors
        top, bottom = anatomy.skin_mm + 2.0, anatomy.muscle_z_mm + 0.5
        ratio = look.height_to_width
        long_radius = look.size_mm / 2
        width_radius = long_radius if ratio <= 1 else long_radius / ratio
        height_radius = min(width_radius * ratio, 0.46 * (bottom - top))
        # Across the plane a lesion is somewhat shorter or as long as in it.
        self.radii_mm: Float32Array = np.array(
            [width_radius, width_radius * rng.uniform(0.8, 1.0), height_radius], np.float32
        )
        low, high = top + height_radius, bottom - height_radius
        self.centre_mm: Float32Array = np.array(
            [rng.uniform(-5.0, 5.0), 0.0, low + (high - low) * rng.beta(1.5, 2.0)], np.float32
        )
        self._tilt = float(rng.normal(0.0, 0.15 if ratio < 0.8 else 0.4))  # of the long axis, in the image plane
        self._lobe_vectors = rng.normal(0.0, 3.0, (_NUM_LOBES, 3)).astype(np.float32)
        self._lobe_phases = rng.uniform(0.0, 2 * np.pi, _NUM_LOBES).astype(np.float32)
        # The cap's axis points mostly along the sweep, to one side.
        axis = rng.normal(0.0, 0.45, 3) + np.array([0.0, rng.choice([-1.0, 1.0]), 0.0])
        self._cap_axis = _unit(axis)
        self._spicules = self._draw_spicules(rng)
        self._spicule_heights = rng.uniform(0.5, 1.0, look.num_spicules).astype(np.float32) * look.spicule_length
        self._mottle_waves = rng.normal(0.0, 0.9, (_NUM_LOBES, 3)).astype(np.float32)  # radians per mm
        spikes = look.spicule_length if look.num_spicules else 0.0
        self._largest_surface = min(1 + 2.5 * look.lobulation + spikes, 1.7)
        ru, rv, rz = map(float, self.radii_mm)
        cos, sin = np.cos(self._tilt), np.sin(self._tilt)
        extents_mm = np.array([np.hypot(ru * cos, rz * sin), rv, np.hypot(ru * sin, rz * cos)])
        self._reach_mm = (self._largest_surface * extents_mm + _HALO_MM).astype(np.float32)

    @property
    def size_mm(self) -> float:
        """Longest diameter of the ellipsoid behind the surface."""
        return 2 * float(self.radii_mm.max())

    @property
    def half_length_mm(self) -> float:
        """How far the surface reaches from the centre along the sweep, to either side."""
        polar, azimuth = np.meshgrid(np.linspace(0, np.pi, 60), np.linspace(0, 2 * np.pi, 120))
        directions = np.stack([np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)])
        directions = directions.astype(np.float32)
        reach = self._surface(directions, self._cap(directions)) * np.abs(directions[1])
        return float(self.radii_mm[1] * reach.max())

    def window(self, u: Float32Array, v: Float32Array, z: Float32Array) -> Window | None:
        """Find where in a plane of points [D, B] the lesion can be, or None."""
        centre, reach = self.centre_mm, self._reach_mm
        near = np.abs(u - centre[0]) < reach[0]
        near &= np.abs(v - centre[1]) < reach[1]
        near &= np.abs(z - centre[2]) < reach[2]
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if not len(rows):
            return None
        return Window(slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))

    def insert(self, tissue: Tissue, window: Window, u: Float32Array, v: Float32Array, z: Float32Array) -> None:
        """Replace the tissue of a window by the lesion, in place.

        Args:
            tissue: the plane, [D, B].
            window: where to look.
            u, v, z: the plane's points, float32 [D, B], mm.
        """
        look = self.descriptors
        directions, cap, distance_mm = self._geometry(u[window], v[window], z[window])
        margin_mm = np.float32(_CIRCUMSCRIBED_MM) + cap * np.float32(max(look.margin_mm - _CIRCUMSCRIBED_MM, 0.0))
        inside = np.clip(np.float32(0.5) - distance_mm / (2 * margin_mm), 0, 1)

        mottle = np.zeros_like(inside)
        points = np.stack([u[window], v[window], z[window]])
        for wave, phase in zip(self._mottle_waves, self._lobe_phases, strict=True):
            mottle += np.sin(_dot(points, wave) + phase)
        lesion_db = np.float32(look.contrast_db) + np.float32(look.heterogeneity_db * np.sqrt(2 / _NUM_LOBES)) * mottle
        echo_db = tissue.echo_db[window]
        echo_db += inside * (lesion_db - echo_db)
        rim = np.exp(-(((distance_mm - 1.3) / 1.1) ** 2)) * cap
        echo_db += np.float32(look.halo_db) * rim * (1 - inside)

        # A shadow is cast by the cap; enhancement, the mark of fluid, by the whole body.
        excess = np.float32(look.attenuation_db_per_mm) * (cap if look.attenuation_db_per_mm > 0 else 1.0)
        attenuation = tissue.attenuation_db_per_mm[window]
        attenuation += inside * (np.float32(GLAND_DB_PER_MM) + excess - attenuation)

        specular = tissue.specular[window]
        specular *= 1 - inside
        # A smooth margin mirrors the beam where it faces it: above and below.
        capsule = np.clip(1 - np.abs(distance_mm) / 0.25, 0, 1) * directions[2] ** 2
        specular += np.float32(1.0) * capsule * (1 - cap * min(1.0, look.margin_mm))

    def mask(self, u: Float32Array, v: Float32Array, z: Float32Array) -> NDArray[np.bool_]:
        """Tell which points [...] lie inside."""
        _, _, distance_mm = self._geometry(u, v, z)
        return np.asarray(distance_mm < 0)

    def _geometry(
        self, u: Float32Array, v: Float32Array, z: Float32Array
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Return directions [3, ...], the cap's weight and the signed distance to the surface in mm."""
        du, dv, dz = u - self.centre_mm[0], v - self.centre_mm[1], z - self.centre_mm[2]
        cos, sin = np.float32(np.cos(self._tilt)), np.float32(np.sin(self._tilt))
        du, dz = cos * du + sin * dz, cos * dz - sin * du
        scaled = np.stack([du / self.radii_mm[0], dv / self.radii_mm[1], dz / self.radii_mm[2]])
        radius = np.sqrt((scaled**2).sum(axis=0)) + np.float32(1e-6)
        directions = scaled / radius
        cap = self._cap(directions)
        excess = radius - self._surface(directions, cap)
        distance_mm = excess * np.sqrt(du**2 + dv**2 + dz**2) / radius
        return directions, cap, distance_mm

    def _surface(self, directions: Float32Array, cap: Float32Array) -> Float32Array:
        """Radius of the surface in each direction, relative to the ellipsoid's."""
        look = self.descriptors
        surface = np.zeros_like(directions[0])
        for vector, phase in zip(self._lobe_vectors, self._lobe_phases, strict=True):
            surface += np.cos(_dot(directions, vector) + phase)
        surface *= np.float32(look.lobulation * np.sqrt(2 / _NUM_LOBES)) * (np.float32(0.6) + cap * np.float32(0.4))
        surface += 1
        for spicule, height in zip(self._spicules, self._spicule_heights, strict=True):
            surface += height * np.exp(np.float32(_SPICULE_SHARPNESS) * (_dot(directions, spicule) - 1))
        return np.asarray(np.clip(surface, 0.4, self._largest_surface))

    def _cap(self, directions: Float32Array) -> Float32Array:
        """1 on the part of the surface that carries the malignant features, 0 elsewhere."""
        edge = np.float32(np.cos(self.descriptors.sector_half_angle))
        return np.asarray(np.clip((_dot(directions, self._cap_axis) - edge) / np.float32(0.4) + np.float32(0.5), 0, 1))

    def _draw_spicules(self, rng: np.random.Generator) -> Float32Array:
        """Draw directions [num_spicules, 3] on the cap, most of them near the middle of the sweep."""
        spicules: list[Float32Array] = []
        while len(spicules) < self.descriptors.num_spicules:
            direction = _unit(rng.normal(0.0, 1.0, 3) * np.array([1.0, 0.6, 1.0]))
            if direction @ self._cap_axis > np.cos(self.descriptors.sector_half_angle):
                spicules.append(direction)
        return np.array(spicules, np.float32).reshape(-1, 3)


def _dot(directions: Float32Array, vector: Float32Array) -> Float32Array:
    # Written out: a BLAS product would start threads and round differently from machine to machine.
    return np.asarray(directions[0] * vector[0] + directions[1] * vector[1] + directions[2] * vector[2])


def _unit(vector: NDArray[np.floating]) -> Float32Array:
    return np.asarray((vector / np.sqrt((vector**2).sum())).astype(np.float32))
