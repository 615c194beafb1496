import weakref

import numpy as np
import pandas as pd
import pytest

from wauve_dist.data.crops import crop_roi
from wauve_dist.data.track_crops import cut_frames


def tracks_table(rows):
    return pd.DataFrame(rows, columns=["track_id", "frame", "x1", "y1", "x2", "y2"])


def test_all_tracks_are_cut_in_one_pass_in_order_of_frame():
    frames = list(np.random.default_rng(1).integers(0, 256, (4, 60, 80), np.uint8))
    tracks = tracks_table([(7, 2, 10, 10, 30, 20), (7, 1, 9, 10, 29, 20), (3, 2, 40, 30, 50, 50)])
    cut = list(cut_frames(iter(frames), tracks, size=16, context=1.5, whole={1}))
    assert [frame.number for frame in cut] == [0, 1, 2, 3]
    assert [[(crop.track_id, crop.frame) for crop in frame.crops] for frame in cut] == [
        [],
        [(7, 1)],
        [(3, 2), (7, 2)],
        [],
    ]
    np.testing.assert_array_equal(cut[2].crops[0].crop, crop_roi(frames[2], np.array([40, 30, 50, 50]), 16, 1.5))
    assert [frame.whole is None for frame in cut] == [True, False, True, True]
    np.testing.assert_array_equal(cut[1].whole, frames[1])


def test_a_long_video_is_never_held_in_memory():
    alive = []

    def stream():
        for number in range(50):
            frame = np.full((40, 40), number, np.uint8)
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            assert sum(reference() is not None for reference in alive) <= 2

    tracks = tracks_table([(0, frame, 10, 10, 20, 20) for frame in range(50)])
    assert [frame.crops[0].crop[8, 8] for frame in cut_frames(stream(), tracks, 16, 1)] == list(range(50))


def test_a_track_beyond_the_last_frame_is_refused():
    frames = [np.zeros((20, 20), np.uint8)] * 5
    with pytest.raises(ValueError, match="track 4 has a box in frame 5, but the video has 5 frames"):
        list(cut_frames(frames, tracks_table([(4, 5, 1, 1, 9, 9), (6, 7, 1, 1, 9, 9)]), 8, 1))
