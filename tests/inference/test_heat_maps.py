from functools import partial

import numpy as np
import pandas as pd
import pytest
from spots import BrightnessClassifier, sweep

from wauve_dist.data.crops import crop_roi
from wauve_dist.data.track_crops import cut_frames
from wauve_dist.inference.heat_maps import HeatMaps, find_maps, place
from wauve_dist.inference.pipeline import score_tracks
from wauve_dist.models.class_activation import even_grid, interpolation, strided_grid
from wauve_dist.structures.clips import Clip
from wauve_dist.structures.tables import TRACKS, empty_table


@pytest.mark.parametrize(("num_cells", "pixels_a_cell"), [(7, 32), (2, 5), (1, 8), (4, 1)])
def test_interpolation_of_an_even_grid_keeps_the_mean(num_cells, pixels_a_cell):
    num_pixels = num_cells * pixels_a_cell
    weights = interpolation(num_cells, even_grid(num_cells), 0, num_pixels, range(num_pixels))
    assert weights.sum(axis=1) == pytest.approx(np.ones(num_pixels), abs=1e-6)
    assert weights.mean(axis=0) == pytest.approx(np.full(num_cells, 1 / num_cells), abs=1e-6)


def test_interpolation_by_hand():
    # Two cells over four pixels: centres at 1 and 3, pixel centres at 0.5, 1.5, 2.5, 3.5.
    assert interpolation(2, even_grid(2), 0, 4, range(4)).tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    assert interpolation(2, even_grid(2), 1, 5, range(2, 4)).tolist() == [[0.75, 0.25], [0.25, 0.75]]
    # A trunk's two cells over 64 pixels: centred on pixels 0 and 32.
    weights = interpolation(2, strided_grid(2, 64), 0, 64, range(64))
    assert weights[[0, 8, 32, 63]] == pytest.approx(np.array([[1, 0], [0.75, 0.25], [0, 1], [0, 1]]))


def test_a_trunk_of_another_stride_is_not_drawn_at_the_wrong_place():
    with pytest.raises(AssertionError, match="stride"):
        strided_grid(4, 64)


@pytest.mark.parametrize(
    "box_xyxy",
    [(40.0, 30.0, 72.0, 50.0), (40.25, 30.5, 72.0, 62.5), (-10.0, 20.0, 30.0, 50.0), (90.0, 70.0, 140.0, 120.0)],
)
@pytest.mark.parametrize("grid", [even_grid(4), strided_grid(4, 128)])
def test_cropping_a_map_that_was_placed_back_gives_the_map(box_xyxy, grid):
    """The crop is the network's own, so a map lies where the network saw what it shows."""
    cells = np.random.default_rng(0).uniform(20, 235, (4, 4)).astype(np.float32)
    frame = np.zeros((96, 128), np.float32)
    placed = place(cells, grid, box_xyxy, 1.5, 96, 128)
    frame[placed.rows, placed.columns] = placed.pixels
    crop = crop_roi(np.rint(frame).astype(np.uint8), np.array(box_xyxy), 64, 1.5)
    across = interpolation(4, grid, 0, 64, range(64))
    expected = across @ cells @ across.T
    seen = crop_roi(np.full((96, 128), 255, np.uint8), np.array(box_xyxy), 64, 1.5) == 255
    seen[[0, -1]] = seen[:, [0, -1]] = False  # where the crop looks a little beyond its region
    assert seen.sum() > 500
    assert np.abs(crop - expected)[seen].max() < 4


def test_a_region_outside_the_picture_places_nothing():
    placed = place(np.ones((2, 2), np.float32), even_grid(2), (-50.0, -50.0, -20.0, -20.0), 1.0, 96, 128)
    assert placed.pixels.size == 0


def test_maps_show_where_in_the_frame_and_when_the_clip_was_bright():
    """A square that is bright in the second half of a clip, in the upper left of the region."""
    frames = sweep(12, [(0, 12, 20, 30, 32, 60), (6, 12, 20, 30, 16, 255)])
    box = {"x1": 20.0, "y1": 30.0, "x2": 52.0, "y2": 62.0}
    tracks = pd.DataFrame({"track_id": 0, "frame": range(2, 12), **box, "score": 0.9, "interpolated": False})
    classifier = BrightnessClassifier()
    cut = partial(cut_frames, frames)
    clips = score_tracks(cut, tracks, classifier, batch_size=4)
    maps = find_maps(cut, tracks, clips, classifier, batch_size=4)
    assert list(maps.cells) == [Clip(0, 0, 2)]
    [cells] = maps.cells.values()
    assert cells.shape == (4, 4, 4)
    assert clips["score"].to_numpy() == pytest.approx(cells.mean() + 0.5, abs=1e-6)
    bright = cells > 0
    assert bright[2:, :2, :2].all()
    assert bright.sum() == 2 * 2 * 2
    by_frame = maps.by_frame()
    assert set(by_frame) == {(0, frame) for frame in range(2, 10)}
    assert by_frame[0, 9] == pytest.approx(cells[3], abs=1e-6)
    assert by_frame[0, 5] == pytest.approx((0.75 * cells[1] + 0.25 * cells[2]), abs=1e-6)


def test_one_scale_for_the_whole_video():
    cells = {Clip(0, index, 8 * index): np.full((1, 2, 2), value, np.float32) for index, value in enumerate((1, -3, 2))}
    assert HeatMaps("contribution", 1, 64, 1.5, cells).limit == 3
    assert HeatMaps("contribution", 1, 64, 1.5, {}).limit == 1


def test_a_video_without_clips_has_no_maps():
    tracks, classifier = empty_table(TRACKS), BrightnessClassifier()
    cut = partial(cut_frames, sweep(4, []))
    clips = score_tracks(cut, tracks, classifier, batch_size=4)
    assert find_maps(cut, tracks, clips, classifier, batch_size=4).cells == {}
