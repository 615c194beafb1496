import hashlib
from collections import Counter

import numpy as np
import pytest

from wauve_dist.data.clip_sampling import ClipWindow, RandomClips, TrackSpan, balanced, track_spans, windows_of
from wauve_dist.data.clip_timing import ClipTiming
from wauve_dist.data.samplers import TrainingSampler
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
    spans = [[TrackSpan(3, 0, 30)], [TrackSpan(0, 0, 8), TrackSpan(1, 8, 11)], [TrackSpan(7, 0, 9)]]
    clips = RandomClips(spans, 8, 5000, 0, ClipTiming())
    drawn = clips.draw(0, np.arange(5000, 10000))
    assert drawn.videos.tolist() == [1] * 5000
    assert drawn.clip_indices.tolist() == list(range(5000))
    # 1 window in the first track, 4 in the second.
    counts = Counter(zip(drawn.track_ids.tolist(), drawn.rows[:, 0].tolist(), strict=True))
    assert sorted(counts) == [(0, 0), (1, 8), (1, 9), (1, 10), (1, 11)]
    # Binomial(5000, 1/5) has a standard deviation of 28.
    assert all(abs(count - 1000) < 120 for count in counts.values())


@pytest.mark.parametrize("timing", [ClipTiming(), ClipTiming(4, jitter=True)])
def test_a_draw_depends_on_seed_epoch_and_sample_only(timing):
    spans = [[TrackSpan(0, 0, 500)], [TrackSpan(0, 0, 700)]]

    def rows(seed, epoch, samples):
        drawn = RandomClips(spans, 8, 100, seed, timing).draw(epoch, np.array(samples))
        return list(zip(map(tuple, drawn.rows.tolist()), drawn.seeds.tolist(), strict=True))

    alone = [rows(4, 2, [sample])[0] for sample in range(200)]
    assert rows(4, 2, range(200)) == alone
    assert rows(4, 2, [150, 3]) == [alone[150], alone[3]]
    assert len({seed for _, seed in alone}) == 200
    assert min(seed for _, seed in alone) > 0  # 0 stands for no augmentation
    assert rows(4, 3, range(200)) != alone
    assert rows(5, 2, range(200)) != alone


def test_adjacent_frames_are_drawn_as_they_were_before_clips_had_a_stride():
    spans = [
        [TrackSpan(0, 0, 30)],
        [TrackSpan(0, 0, 8), TrackSpan(1, 8, 11)],
        [TrackSpan(7, 0, 9), TrackSpan(8, 12, 45)],
    ]
    drawn = RandomClips(spans, 8, 50, 4, ClipTiming()).draw(3, np.arange(150))
    assert (np.diff(drawn.rows) == 1).all()
    pinned = np.stack([drawn.track_ids, drawn.rows[:, 0], drawn.seeds]).astype("<i8")
    assert hashlib.sha256(pinned.tobytes()).hexdigest()[:16] == "89e3b95febfb6012"


def test_draws_are_not_tied_to_the_order_of_samples():
    drawn = RandomClips([[TrackSpan(0, 0, 10_007)]], 8, 2000, 3, ClipTiming()).draw(5, np.arange(2000))
    order = np.array([sample for _, sample in _at_epoch(TrainingSampler(2000, 3, 0, 1), 5)])
    # For independent sequences of 2,000 the correlation has a standard deviation of 0.022.
    assert abs(np.corrcoef(drawn.rows[order, 0], np.arange(2000))[0, 1]) < 0.1


def _at_epoch(sampler, epoch):
    sampler.set_epoch(epoch)
    return sampler


def test_rare_vendors_count_as_much_as_the_commonest():
    vendors = ["B"] * 7 + ["A"] * 3 + ["C"]
    chosen = balanced(vendors, seed=1)
    assert (np.diff(chosen) >= 0).all()
    times = np.bincount(chosen, minlength=11)
    assert times[:7].tolist() == [1] * 7
    assert sorted(times[7:10].tolist()) == [2, 2, 3]
    assert times[10] == 7
    assert balanced(vendors, seed=1).tolist() == chosen.tolist()
    # Whose turn it is to come once more is drawn: over seeds, everybody's.
    extra = {int(np.argmax(np.bincount(balanced(vendors, seed), minlength=11)[7:10])) for seed in range(20)}
    assert extra == {0, 1, 2}


def test_equal_groups_stay_as_they_are():
    assert balanced(["A", "B", "B", "A"], seed=0).tolist() == [0, 1, 2, 3]
