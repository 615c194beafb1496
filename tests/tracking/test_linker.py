import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wauve_dist.structures.boxes import Detections, box_iou
from wauve_dist.structures.tables import TRACKS
from wauve_dist.tracking.linker import Linker, LinkerSettings, link
from wauve_dist.tracking.tracks import track_rows

BOX_SIDES = ["x1", "y1", "x2", "y2"]


def _detections(boxes_xyxy, scores=None):
    boxes = np.array(boxes_xyxy, np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([0.9] * len(boxes) if scores is None else scores, np.float32))


def _square(x, y=100.0, side=40.0):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


NOTHING = _detections([])


@st.composite
def streams(draw):
    """A few lesions that move, flicker and fade, among spurious boxes, as a random number generator makes them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_frames, num_lesions = draw(st.integers(1, 60)), draw(st.integers(0, 4))
    centres, steps = rng.uniform(50, 400, (num_lesions, 2)), rng.normal(0, 3, (num_lesions, 2))
    sides = rng.uniform(20, 80, (num_lesions, 2))
    frames = []
    for _ in range(num_frames):
        centres = centres + steps
        seen = rng.random(num_lesions) < 0.85
        noise = rng.uniform(0, 400, (rng.poisson(1.0), 2))
        middle = np.concatenate([centres[seen] + rng.normal(0, 1, (seen.sum(), 2)), noise])
        side = np.concatenate([sides[seen], np.full((len(noise), 2), 30.0)])
        # Multiples of 1/64 below 2**10 are exact in float32, so that a translation loses nothing.
        boxes = np.round(np.concatenate([middle - side / 2, middle + side / 2], axis=1) * 64) / 64
        frames.append(_detections(boxes, rng.random(len(boxes))))
    return frames


@given(streams(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_boxes_in_a_frame_does_not_matter(frames, random):
    shuffled = []
    for boxes, scores in frames:
        order = random.sample(range(len(scores)), len(scores))
        shuffled.append(Detections(boxes[order], scores[order]))
    pd.testing.assert_frame_equal(link(frames), link(shuffled))


@given(streams(), st.integers(-200, 200), st.integers(-200, 200))
@settings(max_examples=40, deadline=None)
def test_moving_the_whole_video_moves_the_tracks_and_nothing_else(frames, dx, dy):
    moved = link([Detections(boxes + np.float32([dx, dy, dx, dy]), scores) for boxes, scores in frames])
    expected = link(frames)
    expected[BOX_SIDES] += np.float32([dx, dy, dx, dy])
    pd.testing.assert_frame_equal(moved, expected, check_exact=False, atol=1e-3, rtol=0)


@given(streams(), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_track_comes_out_as_soon_as_it_has_ended_and_the_same_as_from_the_whole_video(frames, cut):
    linker = Linker()
    early = [track for frame, found in enumerate(frames[:cut]) for track in linker.update(frame, found)]
    late = [track for frame, found in enumerate(frames[cut:], start=cut) for track in linker.update(frame, found)]
    for track in early:
        assert track.frames[-1] < cut - linker.settings.max_gap
    pd.testing.assert_frame_equal(track_rows(early + late + linker.finish()), link(frames))


@given(streams())
@settings(max_examples=60, deadline=None)
def test_every_track_is_whole_made_of_real_boxes_and_shares_none(frames):
    rows = link(frames)
    TRACKS.validate(rows.assign(video_id="v"))
    assert rows["track_id"].drop_duplicates().tolist() == list(range(rows["track_id"].nunique()))
    for _, track in rows.groupby("track_id"):
        assert (track["frame"].diff().dropna() == 1).all()
        assert not track["interpolated"].iloc[[0, -1]].any()
        assert (~track["interpolated"]).sum() >= 8
        assert track.loc[~track["interpolated"], "score"].ge(0.05).all()
    seen = rows[~rows["interpolated"]]
    assert not seen.duplicated(["frame", *BOX_SIDES]).any()
    for row in seen.itertuples():
        boxes, scores = frames[row.frame]
        same = (boxes == np.float32([row.x1, row.y1, row.x2, row.y2])).all(axis=1)
        assert np.float32(row.score) in scores[same]


def test_two_lesions_stay_two_tracks():
    rows = link([_detections([_square(50 + frame), _square(300 - frame)]) for frame in range(30)])
    assert rows.groupby("track_id").size().tolist() == [30, 30]
    for _, track in rows.groupby("track_id"):
        assert set(track["x1"].diff().dropna()) in ({1.0}, {-1.0})


def test_lesions_that_cross_keep_their_identities():
    # They pass through each other at 6 pixels per frame; at frames 19 to 21 they overlap by more than a half.
    def left(frame):
        return _square(80 + 6 * frame, y=100)

    def right(frame):
        return _square(320 - 6 * frame, y=104)

    assert box_iou(np.array([left(20)]), np.array([right(20)]))[0, 0] > 0.5
    rows = link([_detections([left(frame), right(frame)]) for frame in range(40)])
    assert rows["track_id"].nunique() == 2
    assert set(rows.groupby("track_id")["y1"].nunique()) == {1}


def test_a_moving_lesion_is_found_again_where_it_went_while_out_of_sight():
    frames = [_detections([_square(100 + 5 * frame)]) if frame not in range(20, 30) else NOTHING for frame in range(50)]
    rows = link(frames)
    # Ten frames later it is 55 pixels on: no overlap with the 40-pixel box seen last.
    assert set(rows["track_id"]) == {0}
    assert rows.loc[rows["interpolated"], "frame"].tolist() == list(range(20, 30))
    assert rows["x1"].tolist() == [80 + 5 * frame for frame in range(50)]


@pytest.mark.parametrize(("gap", "num_tracks"), [(0, 1), (1, 1), (5, 1), (6, 2), (12, 2)])
def test_gaps_up_to_the_limit_are_bridged_and_longer_ones_end_the_track(gap, num_tracks):
    here = _detections([_square(100)])
    rows = link([here] * 10 + [NOTHING] * gap + [here] * 10, LinkerSettings(max_gap=5))
    assert rows["track_id"].nunique() == num_tracks
    assert rows["interpolated"].sum() == (gap if num_tracks == 1 else 0)


def test_frames_after_the_last_box_do_not_belong_to_the_track():
    rows = link([_detections([_square(100)])] * 9 + [NOTHING] * 15)
    assert rows["frame"].tolist() == list(range(9))


def test_bridged_frames_do_not_make_a_track_long_enough():
    here = _detections([_square(100)])
    assert link([here] * 4 + [NOTHING] * 5 + [here] * 3).empty
    assert len(link([here] * 4 + [NOTHING] * 5 + [here] * 4)) == 13


def test_unsure_boxes_prolong_a_track_but_never_start_one():
    sure, unsure = _detections([_square(100)], [0.6]), _detections([_square(100)], [0.1])
    assert link([unsure] * 40).empty
    rows = link([unsure] * 5 + [sure] * 2 + [unsure] * 10)
    assert rows["frame"].tolist() == list(range(5, 17))
    assert rows["score"].tolist() == [np.float32(0.6)] * 2 + [np.float32(0.1)] * 10


def test_a_sure_box_has_precedence_over_an_unsure_one_that_fits_better():
    start = [_detections([_square(100)], [0.9])] * 10
    rows = link([*start, _detections([_square(100), _square(106)], [0.1, 0.9])])
    assert rows.iloc[-1]["x1"] == 86


def test_unsure_boxes_do_not_revive_a_lost_track():
    sure, unsure = _detections([_square(100)], [0.6]), _detections([_square(100)], [0.1])
    assert link([sure] * 10 + [NOTHING] * 3 + [unsure] * 5)["frame"].tolist() == list(range(10))


def test_noise_gives_no_track():
    rng = np.random.default_rng(0)
    below = [_detections([_square(100)], [0.049])] * 50
    assert link(below).empty
    scattered = [_detections([_square(*rng.uniform(0, 2000, 2)) for _ in range(5)]) for _ in range(200)]
    assert link(scattered).empty


def test_no_frames_and_frames_without_boxes_give_an_empty_table_of_the_right_types():
    for rows in (link([]), link([NOTHING] * 30)):
        assert rows.empty
        TRACKS.validate(rows.assign(video_id=pd.Series(dtype=str)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_score": 0.3},
        {"new_score": 1.1},
        {"min_score": -0.1},
        {"match_iou": 0.0},
        {"match_iou": 1.5},
        {"max_gap": -1},
        {"min_length": 0},
    ],
)
def test_a_setting_outside_its_range_is_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}={value:g} "):
        LinkerSettings(**wrong)


def test_memory_follows_the_tracks_in_sight_not_the_frames_gone_by():
    rng = np.random.default_rng(0)
    linker = Linker()
    for frame in range(3000):
        linker.update(frame, _detections([_square(*rng.uniform(0, 2000, 2)) for _ in range(3)]))
        assert len(linker._seen) == len(linker._motion) == len(linker._ids) < 10
