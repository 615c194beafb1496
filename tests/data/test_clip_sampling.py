from collections import Counter

import numpy as np
import pytest

from wauve_dist.data.clip_sampling import ClipWindow, TrackSpan, random_clip, track_spans, windows_of
from wauve_dist.structures.clips import Clip

# Three tracks of one video: 8, 7 and 19 frames.
TRACK_IDS = [2] * 8 + [4] * 7 + [9] * 19
FRAMES = [*range(5, 13), *range(0, 7), *range(30, 49)]


def test_tracks_too_short_for_a_clip_keep_their_rows_but_give_no_span():
    assert track_spans(TRACK_IDS, FRAMES, 8) == [TrackSpan(2, 0, 8), TrackSpan(9, 15, 19)]
    assert track_spans([], [], 8) == []


def test_a_track_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="track 1 skips frames: 3 boxes from frame 4 to 7"):
        track_spans([1, 1, 1], [4, 5, 7], 8)


def test_an_image_network_takes_every_track():
    assert [span.num_frames for span in track_spans(TRACK_IDS, FRAMES, 1)] == [8, 7, 19]


def test_clips_are_found_among_the_crops_of_their_video():
    clips = [Clip(9, 1, 38), Clip(4, 0, 0)]
    assert windows_of(clips, TRACK_IDS, FRAMES) == [ClipWindow(9, 1, 23), ClipWindow(4, 0, 8)]


def test_every_window_of_every_track_is_drawn_equally_often():
    spans = [TrackSpan(0, 0, 8), TrackSpan(1, 8, 11)]  # 1 and 4 windows
    rng = np.random.default_rng(0)
    counts = Counter(random_clip(spans, 8, 0, rng) for _ in range(5000))
    assert sorted(counts) == [ClipWindow(0, 0, 0), *(ClipWindow(1, 0, row) for row in (8, 9, 10, 11))]
    # Binomial(5000, 1/5) has a standard deviation of 28.
    assert all(abs(count - 1000) < 120 for count in counts.values())
