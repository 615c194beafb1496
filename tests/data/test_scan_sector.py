import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.scan_sector import _hull, find_scan_sector
from wauve_dist.data.synthetic.cohort import draw_case
from wauve_dist.data.synthetic.scanner import VENDORS
from wauve_dist.data.synthetic.video import SyntheticVideo

CASE_OF_VENDOR = {draw_case(7, index).vendor: draw_case(7, index) for index in range(30)}


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_scan_of_every_scanner_is_found_and_no_pixel_of_text(vendor):
    sweep = SyntheticVideo(CASE_OF_VENDOR[vendor], 256, 24, 24)
    screen = sweep.screen
    truth = np.zeros((256, 256), bool)
    truth[screen._place] = screen._inside
    text = screen._overlay > 0
    found = find_scan_sector(frame.pixels for frame in sweep)
    assert not (found & text).any()
    assert (text & truth).any(), "some text lies within the picture"
    assert overlap(found, truth & ~text) > 0.93


def fan(height, width):
    y, x = np.mgrid[:height, :width]
    radius, angle = np.hypot(x - width / 2, y + 20), np.arctan2(x - width / 2, y + 20)
    return (radius > 40) & (radius < height - 30) & (np.abs(angle) < 0.6)


def screen_text(height, width):
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(14)
    draw.text((5, 5), "DOE^JANE 1970-01-01", fill=255, font=font)
    draw.text((width - 110, height - 20), "St. Elsewhere", fill=160, font=font)
    draw.text((width // 2 - 20, height // 2), "L 3H 2cm", fill=230, font=font)  # over tissue
    return np.asarray(layer)


def video(rng, sector, text, clock=True, shadow=True):
    """Speckle in a sector, with a shadow that is black throughout and a clock that ticks."""
    for number in range(40):
        frame = np.where(sector, rng.rayleigh(45, sector.shape), 0).clip(0, 255).astype(np.uint8)
        if shadow:
            frame[sector.shape[0] // 2 :, sector.shape[1] // 2 + 30 : sector.shape[1] // 2 + 50] = 0
        if clock:
            frame[8 : 8 + 12, -40 + number % 10 : -20] = 200
        yield np.maximum(frame, text)


@pytest.mark.parametrize("shape", [(240, 320), (300, 260)])
def test_a_fan_with_a_shadow_is_found_whole_and_a_clock_is_none_of_it(shape):
    sector, text = fan(*shape), screen_text(*shape)
    found = find_scan_sector(video(np.random.default_rng(1), sector, text))
    assert not (found & (text > 0)).any()
    assert not found[:25, -45:].any()
    top = slice(30, None)  # the hull fills the arc at the probe
    assert overlap(found[top], (sector & (text == 0))[top]) > 0.9
    assert found[shape[0] * 3 // 4, shape[1] // 2 + 40], "the shadow belongs to the scan"


def test_a_scan_that_fills_the_screen_is_kept_to_its_border():
    everything = np.ones((200, 200), bool)
    found = find_scan_sector(video(np.random.default_rng(2), everything, np.zeros((200, 200), np.uint8), False, False))
    assert found.mean() > 0.99


@pytest.mark.parametrize("num_frames", [0, 1, 30])
def test_nothing_is_found_where_nothing_but_a_clock_moves(num_frames):
    frame = next(video(np.random.default_rng(3), fan(240, 320), screen_text(240, 320)))
    frames = []
    for number in range(num_frames):
        frames.append(frame.copy())
        frames[-1][5:15, 280 : 290 + number % 9] = 250
    assert find_scan_sector(frames) is None


@pytest.mark.real
def test_of_real_clips_without_ink_little_is_taken_for_ink(real_data):
    """Bright tissue that stands still is: the line at the probe, and in some clips reflectors below it."""
    shares, deep = [], []
    for path in sorted((real_data / "cine" / "videos").glob("*.avi")):
        found = find_scan_sector(decode_frames(path))
        within = _hull(found)
        taken = within & ~found
        shares.append(taken.sum() / within.sum())
        deep.append(int(taken[np.flatnonzero(within.any(axis=1))[0] + 12 :].sum()))
    print(f"\n{len(shares)} clips: {100 * min(shares):.1f} to {100 * max(shares):.1f} % of the scan is taken for ink;")
    print(f"in {np.count_nonzero(deep)} of them below its first 12 rows, too: up to {max(deep)} pixels")
    assert max(shares) < 0.03
