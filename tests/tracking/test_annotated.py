import pandas as pd
import pytest

from wauve_dist.structures.annotations import Annotations
from wauve_dist.structures.tables import TRACKS, TableError
from wauve_dist.tracking.annotated import annotations_to_tracks


def _annotations(rows):
    """Boxes of 10x10 pixels from (video, instance, frame, x1)."""
    boxes = pd.DataFrame(
        [(video, frame, instance, 1, x1, 5.0, x1 + 10, 15.0) for video, instance, frame, x1 in rows],
        columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"],
    )
    return Annotations(boxes[["video_id", "frame"]].drop_duplicates().assign(width=100, height=100), boxes)


def test_a_short_gap_is_interpolated_and_marked():
    tracks = annotations_to_tracks(_annotations([("a", 7, 3, 10.0), ("a", 7, 6, 40.0)]), max_gap=2)
    assert tracks["frame"].tolist() == [3, 4, 5, 6]
    assert tracks["x1"].tolist() == [10, 20, 30, 40]
    assert tracks["x2"].tolist() == [20, 30, 40, 50]
    assert tracks["interpolated"].tolist() == [False, True, True, False]
    assert set(tracks["score"]) == {1.0}
    assert set(tracks["track_id"]) == {0}


def test_a_gap_beyond_the_limit_splits_an_instance():
    tracks = annotations_to_tracks(_annotations([("a", 7, 3, 10.0), ("a", 7, 6, 40.0)]), max_gap=1)
    assert tracks[["track_id", "frame"]].to_numpy().tolist() == [[0, 3], [1, 6]]
    assert not tracks["interpolated"].any()


def test_each_lesion_of_each_video_is_its_own_track_in_any_row_order():
    rows = [(video, instance, frame, 10.0 * instance) for video in "ba" for frame in (2, 1, 0) for instance in (2, 1)]
    tracks = annotations_to_tracks(_annotations(rows))
    assert tracks[["video_id", "track_id", "frame"]].to_numpy().tolist() == [
        [video, track, frame] for video in "ab" for track in (0, 1) for frame in (0, 1, 2)
    ]
    assert tracks.loc[tracks["track_id"] == 1, "x1"].tolist() == [20.0] * 6


def test_two_boxes_of_one_instance_in_a_frame_are_refused():
    with pytest.raises(TableError, match=r"instance 0 has more than one box in frame 4 of video 'a'"):
        annotations_to_tracks(_annotations([("a", 0, 4, 10.0), ("a", 0, 4, 50.0)]))


def test_no_boxes_give_a_valid_empty_table():
    tracks = annotations_to_tracks(_annotations([]))
    assert tracks.empty
    TRACKS.validate(tracks)
