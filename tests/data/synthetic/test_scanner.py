"""B-mode physics against its textbook laws."""

import dataclasses

import numpy as np
import pytest

from wauve_dist.data.synthetic.anatomy import Tissue
from wauve_dist.data.synthetic.fields import PeriodicField
from wauve_dist.data.synthetic.scanner import NUM_BEAMS, VENDORS, Beams, blur, echo_envelope, grey_levels

QUIET = {"noise_db": -200.0, "tgc_db_per_mm": 0.0}


def homogeneous(beams, attenuation_db_per_mm=0.0):
    shape = beams.depth_mm.shape
    return Tissue(
        np.zeros(shape, np.float32),
        np.full(shape, attenuation_db_per_mm, np.float32),
        np.zeros(shape, np.float32),
    )


def white_scatterers(beams, seed=0):
    parts = np.random.default_rng(seed).standard_normal((*beams.depth_mm.shape, 2)) * np.sqrt(0.5)
    return parts.astype(np.float32).view(np.complex64)[..., 0]


def quiet_beams(name="SynthA", **changes):
    return Beams(dataclasses.replace(VENDORS[name], **{**QUIET, **changes}), 256)


@pytest.mark.parametrize("name", list(VENDORS))
def test_fully_developed_speckle_is_rayleigh(name):
    beams = quiet_beams(name)
    field = PeriodicField(np.random.default_rng(0), (128, 16, 256), (0.8, 2.0, 0.8))
    z, u = beams.depth_mm * 7, beams.lateral_mm * 7
    scatterers = field.sample(np.stack([u, np.zeros_like(u), z]))
    envelope = echo_envelope(scatterers, homogeneous(beams), beams, np.random.default_rng(0))
    # Mean over standard deviation of a Rayleigh variable: sqrt(pi / (4 - pi)) = 1.913.
    assert envelope.mean() / envelope.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), abs=0.12)


def test_the_point_spread_function_keeps_the_power_of_white_scatterers_at_every_depth():
    beams = quiet_beams()
    power = np.mean([np.abs(blur(white_scatterers(beams, seed), beams)) ** 2 for seed in range(12)], axis=0)
    thirds = [part.mean() for part in np.array_split(power, 3)]
    np.testing.assert_allclose(thirds, 1.0, rtol=0.06)


def test_a_point_is_imaged_with_the_stated_widths_and_wider_away_from_the_focus():
    beams = quiet_beams()
    vendor = beams.vendor

    def sigmas_at(depth_mm):
        row, column = int(depth_mm / beams.step_mm), NUM_BEAMS // 2
        point = np.zeros(beams.depth_mm.shape, np.complex64)
        point[row, column] = 1.0
        image = np.abs(blur(point, beams))

        def sigma(profile, spacing):
            # Of the power, whose standard deviation is sqrt(2) smaller than a Gaussian amplitude's.
            weights = profile**2 / (profile**2).sum()
            position = np.arange(len(profile)) * spacing
            return np.sqrt(2 * ((weights * position**2).sum() - (weights * position).sum() ** 2))

        return sigma(image[:, column], beams.step_mm), sigma(image[row], vendor.width_mm / NUM_BEAMS)

    axial, lateral = sigmas_at(vendor.focus_mm)
    assert axial == pytest.approx(vendor.axial_sigma_mm, rel=0.03)
    assert lateral == pytest.approx(vendor.lateral_sigma_mm, rel=0.03)
    assert sigmas_at(36.0)[1] > 1.3 * lateral


def test_attenuation_dims_by_its_decibels_and_time_gain_brings_them_back():
    rng = np.random.default_rng(0)

    def level_db(beams, attenuation):
        envelope = echo_envelope(white_scatterers(beams), homogeneous(beams, attenuation), beams, rng)
        return [20 * np.log10(part.mean()) for part in np.array_split(envelope, 8)]

    plain = level_db(quiet_beams(), 0.0)
    dimmed = level_db(quiet_beams(), 0.5)
    centres_mm = (np.arange(8) + 0.5) / 8 * VENDORS["SynthA"].depth_mm
    np.testing.assert_allclose(np.subtract(plain, dimmed), 0.5 * centres_mm, atol=0.35)
    np.testing.assert_allclose(level_db(quiet_beams(tgc_db_per_mm=0.5), 0.5), plain, atol=0.1)


def test_an_absorber_casts_its_shadow_straight_below_itself():
    beams = quiet_beams()
    tissue = homogeneous(beams)
    tissue.attenuation_db_per_mm[60:120, 80:100] = 2.0
    envelope = echo_envelope(white_scatterers(beams), tissue, beams, np.random.default_rng(0))
    expected_db = 2.0 * 60 * beams.step_mm
    inside, beside, above = envelope[130:, 84:96], envelope[130:, 20:70], envelope[:55, 84:96]
    assert 20 * np.log10(beside.mean() / inside.mean()) == pytest.approx(expected_db, abs=1.0)
    assert above.mean() == pytest.approx(beside.mean(), rel=0.1)


@pytest.mark.parametrize("name", ["SynthA", "SynthB"])
def test_the_geometry_inverts(name):
    beams = Beams(VENDORS[name], 200)
    sample, beam = beams.index_of(beams.lateral_mm, beams.depth_mm)
    rows, columns = np.indices(sample.shape)
    np.testing.assert_allclose(sample, rows, atol=1e-3)
    np.testing.assert_allclose(beam, columns, atol=1e-3)


def test_the_dynamic_range_spans_black_to_white():
    vendor = VENDORS["SynthA"]
    white_db = -vendor.gain_db
    envelope = 10 ** ((white_db + np.array([5.0, 0.0, -vendor.dynamic_range_db / 2, -vendor.dynamic_range_db])) / 20)
    np.testing.assert_allclose(grey_levels(envelope.astype(np.float32), vendor, 0.0), [255, 255, 127.5, 0], atol=0.1)
