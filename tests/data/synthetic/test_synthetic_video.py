"""Sweeps and their frames."""

import itertools

import numpy as np
import pytest

from wauve_dist.data.synthetic.cohort import draw_case
from wauve_dist.data.synthetic.scanner import VENDORS
from wauve_dist.data.synthetic.video import SyntheticVideo

# A value that is not finite would make a blank frame, and a blank frame has no lesion to find.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def video(index, frames=(24, 32), frame_size=128):
    return SyntheticVideo(draw_case(5, index), frame_size, *frames)


def correlation(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def test_the_same_case_gives_the_same_frames_and_boxes():
    for first, second in zip(video(3), video(3), strict=True):
        np.testing.assert_array_equal(first.pixels, second.pixels)
        assert first.box_xyxy == second.box_xyxy


def test_iterating_twice_gives_the_same_frames():
    sweep = video(2)
    for first, second in zip(sweep, sweep, strict=True):
        np.testing.assert_array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize("num_frames", [16, 32])
def test_no_sweep_starts_or_ends_on_the_lesion(num_frames):
    for index in range(40):
        sweep = video(index, (num_frames, num_frames))
        assert np.isfinite(sweep.poses).all()
        assert not sweep.lesion_mask(sweep.poses[0]).any(), index
        assert not sweep.lesion_mask(sweep.poses[-1]).any(), index


@pytest.mark.parametrize("index", range(8))
def test_the_lesion_comes_and_goes_once_and_stays_long_enough_for_a_clip(index):
    shown = np.array([box is not None for box in boxes_of(video(index, (32, 32)))])
    assert shown.sum() >= 8
    assert np.abs(np.diff(shown.astype(int))).sum() == 2


def boxes_of(sweep):
    return [sweep.screen.box_of(sweep.lesion_mask(pose)) for pose in sweep.poses]


@pytest.mark.parametrize("index", range(4))
def test_a_box_encloses_the_mask_tightly(index):
    sweep = video(index)
    frames = list(sweep)
    shown = [number for number, frame in enumerate(frames) if frame.box_xyxy]
    number = shown[len(shown) // 2]
    rows, columns = np.nonzero(sweep.lesion_mask(sweep.poses[number]))
    x1, y1, x2, y2 = frames[number].box_xyxy
    # The picture's corner on the screen is the same for rows and columns of every frame: compare extents, and that the
    # box lies on the screen.
    assert (x2 - x1, y2 - y1) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert 0 <= x1 < x2 <= 128
    assert 0 <= y1 < y2 <= 128


def test_a_lesion_is_darker_than_its_surroundings_where_its_box_is():
    contrasts = []
    for index in range(6):
        frames = list(video(index))
        shown = [frame for frame in frames if frame.box_xyxy]
        frame = shown[len(shown) // 2]
        x1, y1, x2, y2 = (int(side) for side in frame.box_xyxy)
        width, height = x2 - x1, y2 - y1
        core = frame.pixels[y1 + height // 4 : y2 - height // 4, x1 + width // 4 : x2 - width // 4]
        left, right = (
            frame.pixels[y1:y2, max(0, x1 - width // 3) : x1 - 2],
            frame.pixels[y1:y2, x2 + 2 : x2 + width // 3],
        )
        contrasts.append(np.concatenate([left.ravel(), right.ravel()]).mean() - core.mean())
    assert np.mean(contrasts) > 20
    assert np.sum(np.array(contrasts) > 0) >= 5


def test_speckle_follows_the_motion_and_does_not_flicker():
    sweep = video(1, (48, 48))
    noise = np.random.default_rng(0)
    envelopes = [np.log(sweep.envelope(pose, noise) + 1e-3)[80:100] for pose in sweep.poses[:24]]
    adjacent = np.mean([correlation(a, b) for a, b in itertools.pairwise(envelopes)])
    distant = np.mean([correlation(a, b) for a, b in zip(envelopes, envelopes[16:], strict=False)])
    assert adjacent > 0.5
    assert distant < adjacent - 0.25
    # A probe at rest sees the same speckle: only the receiver's noise is new.
    pose = sweep.poses[0]
    shallow = [sweep.envelope(pose, noise)[20:60] for _ in range(2)]
    assert correlation(*shallow) > 0.99


def test_malignant_features_live_on_a_part_of_the_sweep():
    malignant = [case for case in (draw_case(5, index) for index in range(60)) if case.label]
    covered = []
    for case in malignant[:8]:
        lesion = SyntheticVideo(case, 128, 32, 32).lesion
        steps = np.linspace(-0.9, 0.9, 13) * lesion.radii_mm[1]
        angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        u, z = lesion.radii_mm[0] * np.cos(angles), lesion.radii_mm[2] * np.sin(angles)
        ring = np.sqrt(1 - (steps / lesion.radii_mm[1]) ** 2)[:, None]
        points = (lesion.centre_mm[0] + ring * u, np.repeat(steps[:, None], 32, axis=1), lesion.centre_mm[2] + ring * z)
        _, cap, _ = lesion._geometry(*(np.asarray(axis, np.float32) for axis in points))
        covered.append((cap.mean(axis=1) > 0.5).mean())
    assert 0.2 < np.mean(covered) < 0.8
    assert max(covered) < 1.0


def test_vendors_differ_in_layout_and_text_is_burned_in():
    seen = {}
    for index in range(40):
        sweep = video(index, (16, 16))
        if sweep.case.vendor not in seen:
            seen[sweep.case.vendor] = next(iter(sweep)).pixels
    assert set(seen) == set(VENDORS)
    margins = {name: tuple(np.flatnonzero((pixels > 40).mean(axis=1) > 0.5)[[0, -1]]) for name, pixels in seen.items()}
    assert len(set(margins.values())) == len(VENDORS)
    for name, pixels in seen.items():
        caption_row = round(VENDORS[name].caption_y * 128)
        assert (pixels[caption_row : caption_row + 10] > 100).any(), name
