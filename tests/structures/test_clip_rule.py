import numpy as np
import pandas as pd
import pytest

from wauve_dist.structures.clips import Clip, ClipRule, listed_key_frames, require_key_frames
from wauve_dist.structures.tables import TableError, read_manifest


def boxes(track_id, first_frame, sides, scores):
    """A track of squares of these sides."""
    frames = np.arange(first_frame, first_frame + len(sides))
    corners = {"x1": 10.0, "y1": 20.0, "x2": 10.0 + np.array(sides), "y2": 20.0 + np.array(sides)}
    return pd.DataFrame({"track_id": track_id, "frame": frames, **corners, "score": scores, "interpolated": False})


# The lesion, track 3: frames 4 to 23, largest in frame 10, then 12, 9 and 20; most confident in frame 20, then 19, 21
# and 5. Track 7 is a large, doubtful box elsewhere.
SIDES = {10: 50.0, 12: 45.0, 9: 44.0, 20: 43.0}
SCORES = {20: 0.95, 19: 0.94, 21: 0.93, 5: 0.92}
LESION = boxes(3, 4, [SIDES.get(f, 30.0) for f in range(4, 24)], [SCORES.get(f, 0.7) for f in range(4, 24)])
OTHER = boxes(7, 2, [90.0] * 6, [0.99] * 6)
TRACKS = pd.concat([OTHER, LESION], ignore_index=True)


def frames_of(rule, tracks=TRACKS, listed=()):
    return [(clip.track_id, clip.start_frame) for clip in rule.clips(tracks, listed)]


def test_the_paper_s_clips_are_eight_adjacent_frames_one_after_the_other():
    assert ClipRule().clips(TRACKS, ()) == [Clip(3, 0, 4), Clip(3, 1, 12)]


def test_all_frames_of_all_tracks_for_an_image_network():
    assert frames_of(ClipRule(1)) == [*((3, frame) for frame in range(4, 24)), *((7, frame) for frame in range(2, 8))]


def test_of_the_primary_track_alone_whose_scores_sum_up_to_most_although_another_is_surer():
    assert frames_of(ClipRule(inputs="primary_track")) == [(3, 4), (3, 12)]
    assert frames_of(ClipRule(1, "primary_track")) == [(3, frame) for frame in range(4, 24)]
    assert frames_of(ClipRule(1, "primary_track"), TRACKS[TRACKS["track_id"] == 7]) == [(7, f) for f in range(2, 8)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (ClipRule(1, "one_key_frame", "largest"), [(3, 10)]),
        (ClipRule(1, "two_key_frames", "largest"), [(3, 10), (3, 20)]),  # 12 and 9 show the same section as 10
        (ClipRule(1, "one_key_frame", "most_confident"), [(3, 20)]),
        (ClipRule(1, "two_key_frames", "most_confident"), [(3, 20), (3, 5)]),
    ],
)
def test_key_frames_without_a_radiologist(rule, expected):
    assert frames_of(rule) == expected
    assert frames_of(rule, TRACKS.sample(frac=1, random_state=0)) == expected
    assert [clip.clip_index for clip in rule.clips(TRACKS, ())] == list(range(len(expected)))


def test_a_short_track_gives_the_next_best_and_a_track_of_one_frame_one_key_frame():
    rule = ClipRule(1, "two_key_frames", "largest")
    assert frames_of(rule, LESION[LESION["frame"].between(9, 13)]) == [(3, 10), (3, 12)]
    assert frames_of(rule, LESION[LESION["frame"] == 9]) == [(3, 9)]


def test_a_box_that_nobody_saw_is_no_key_frame():
    bridged = LESION.assign(interpolated=LESION["frame"] == 10)
    assert frames_of(ClipRule(1, "one_key_frame", "largest"), bridged) == [(3, 12)]


def test_listed_key_frames_come_in_their_order_with_the_most_confident_box():
    rule = ClipRule(1, "two_key_frames", "manifest")
    assert frames_of(rule, listed=(6, 22)) == [(7, 6), (3, 22)]
    assert frames_of(rule, listed=(30, 22)) == [(3, 22)]  # nothing was found in frame 30
    assert frames_of(ClipRule(1, "one_key_frame", "manifest"), listed=(22, 6)) == [(3, 22)]


def test_no_track_gives_nothing():
    for rule in (ClipRule(), ClipRule(1), ClipRule(1, "two_key_frames"), ClipRule(1, "one_key_frame", "manifest")):
        assert rule.clips(TRACKS[:0], (5,)) == []


def test_key_frames_are_for_image_networks():
    with pytest.raises(ValueError, match="takes 8 adjacent frames"):
        ClipRule(8, "two_key_frames")


def test_key_frames_of_a_manifest(tmp_path):
    (tmp_path / "a.avi").touch()
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("video_id,patient_id,path,key_frames\nv1,p1,a.avi,12 57\nv2,p2,a.avi,7\nv3,p3,a.avi,\n")
    listed = listed_key_frames(read_manifest(manifest))
    assert listed == {"v1": (12, 57), "v2": (7,), "v3": ()}
    with pytest.raises(ValueError, match=r"1 of 3 videos have no key frame in .*, the first is 'v3'"):
        require_key_frames(listed)
    manifest.write_text("video_id,patient_id,path,key_frames\nv1,p1,a.avi,12;57\n")
    with pytest.raises(TableError, match=r"row 2, column 'key_frames': '12;57' must be frame numbers from 0"):
        read_manifest(manifest)
