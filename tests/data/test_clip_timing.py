import numpy as np
import pytest

from wauve_dist.data.clip_sampling import RandomClips, TrackSpan
from wauve_dist.data.clip_timing import ClipTiming, short_tracks

FOUR, JITTERED = ClipTiming(4), ClipTiming(4, jitter=True)


def rows(timing, *lengths, count=4000, clip_length=8):
    """Draw clips of one video with tracks of these lengths, one behind the other."""
    starts = np.cumsum([0, *lengths])
    spans = [
        TrackSpan(number, int(start), length)
        for number, (start, length) in enumerate(zip(starts, lengths, strict=False))
    ]
    return RandomClips([spans], clip_length, count, 1, timing).draw(0, np.arange(count))


@pytest.mark.parametrize(
    ("timing", "strides"),
    [
        # 8 frames at a stride of 4 take 1 + 7 * 4 = 29 frames, at 3 22, at 2 15.
        (FOUR, {100: 4, 29: 4, 28: 3, 22: 3, 21: 2, 15: 2, 14: 1, 8: 1}),
        # Where each may be moved by up to 3 frames they take 8 * 4 = 32, at 3 24, at 2 16.
        (JITTERED, {100: 4, 32: 4, 31: 3, 24: 3, 23: 2, 16: 2, 15: 1, 8: 1}),
        (ClipTiming(), {100: 1, 8: 1}),
    ],
)
def test_a_short_track_has_the_largest_stride_that_fits(timing, strides):
    assert timing.strides_within(np.array([*strides]), 8).tolist() == [*strides.values()]


def test_every_place_that_a_stretched_clip_has_is_drawn_equally_often():
    drawn = rows(FOUR, 31, 9)
    assert set(map(tuple, np.diff(drawn.rows))) == {(4,) * 7, (1,) * 7}
    # Rows 0 to 30 have 3 places at a stride of 4; rows 31 to 39 have 2 at a stride of 1.
    places, counts = np.unique(drawn.rows[:, 0], return_counts=True)
    assert places.tolist() == [0, 1, 2, 31, 32]
    assert np.abs(counts - 800).max() < 110  # Binomial(4000, 1/5) has a standard deviation of 25


def test_jitter_moves_each_frame_on_its_own_within_its_stride():
    drawn = rows(JITTERED, 32).rows
    moves = drawn - 4 * np.arange(8)
    assert moves.min() == 0
    assert moves.max() == 3
    for frame in range(8):
        assert np.abs(np.bincount(moves[:, frame]) - 1000).max() < 120
    # Independent moves of 4,000 clips correlate by 0.016 at random.
    assert np.abs(np.corrcoef(moves.T) - np.eye(8)).max() < 0.08


def test_no_frame_leaves_its_track_or_comes_before_the_one_before_it():
    lengths = (8, 9, 15, 16, 17, 31, 32, 33, 60)
    drawn = rows(JITTERED, *lengths)
    starts = np.cumsum([0, *lengths])
    assert (np.diff(drawn.rows) >= 1).all()
    assert (drawn.rows[:, 0] >= starts[drawn.track_ids]).all()
    assert (drawn.rows[:, -1] < starts[drawn.track_ids + 1]).all()
    assert set(drawn.track_ids.tolist()) == set(range(len(lengths)))  # no track vanishes


def test_clips_are_augmented_alike_whatever_their_timing():
    plain = rows(ClipTiming(), 60)
    for timing in (FOUR, JITTERED):
        assert rows(timing, 60).seeds.tolist() == plain.seeds.tolist()


def test_how_many_tracks_are_short_is_said_with_what_they_have_instead():
    assert short_tracks(FOUR, [29, 40], 8) is None
    assert short_tracks(ClipTiming(), [8], 8) is None
    message = short_tracks(FOUR, [8, 28, 22, 40], 8)
    assert "3 of 4 training tracks have fewer than the 29 frames" in message
    assert message.endswith("largest stride that fits: 1 in 1, 3 in 2.")
