from itertools import product

import numpy as np
import pandas as pd
import pytest

from wauve_dist.evaluation.froc import FROC_RATES, froc, froc_per_video
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.track_metrics import judge_tracks
from wauve_dist.structures.annotations import Annotations

LESION = (10.0, 10.0, 50.0, 50.0)
NOTHING = (100.0, 100.0, 140.0, 140.0)


def study(boxes_per_video):
    """Videos of four frames with a lesion in each of the first three; found boxes as (frame, box, score)."""
    frames, true, found = [], [], []
    for video, boxes in boxes_per_video.items():
        frames += [(video, frame, 256, 256) for frame in range(4)]
        true += [(video, frame, 1, 2, *LESION) for frame in range(3)]
        found += [(video, frame, *box, score) for frame, box, score in boxes]
    annotations = Annotations(
        pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]),
        pd.DataFrame(true, columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]),
    )
    return annotations, pd.DataFrame(found, columns=["video_id", "frame", "x1", "y1", "x2", "y2", "score"])


def sensitivities(result):
    return [point.value for point in result.points]


# By falling score: hit, miss, hit, miss, miss, hit; 8 frames, 6 lesions.
BOXES = {
    "a": [(0, LESION, 0.9), (3, NOTHING, 0.8), (1, LESION, 0.7)],
    "b": [(3, NOTHING, 0.6), (0, NOTHING, 0.5), (0, LESION, 0.4)],
}


def test_by_hand():
    result = froc(*study(BOXES), {"a": "p", "b": "q"}, seed=0, num_resamples=50)
    # One false positive in 8 frames is 1/8: hits before the second one count. Two are 1/4, three 3/8.
    assert FROC_RATES[:3] == (0.125, 0.25, 0.5)
    np.testing.assert_allclose(sensitivities(result), [2 / 6, 2 / 6, 3 / 6, 3 / 6, 3 / 6, 3 / 6, 3 / 6])
    np.testing.assert_allclose(result.false_positives, np.array([0, 0, 1, 1, 2, 3, 3]) / 8)
    np.testing.assert_allclose(result.sensitivity, np.array([0, 1, 1, 2, 2, 2, 3]) / 6)


def test_boxes_of_one_score_are_let_through_together():
    boxes = {"a": [(0, LESION, 0.5), (3, NOTHING, 0.5)]}
    # 4 frames: letting the pair through costs 1/4 of a false positive per frame.
    result = froc(*study({**boxes, "b": []}), {"a": "p", "b": "q"}, seed=0, num_resamples=20)
    np.testing.assert_allclose(sensitivities(result)[:2], [1 / 6, 1 / 6])
    alone = froc(*study({"a": boxes["a"], "b": [(3, NOTHING, 0.9)]}), {"a": "p", "b": "q"}, seed=0, num_resamples=20)
    np.testing.assert_allclose(sensitivities(alone)[:2], [0, 1 / 6])


def test_a_second_box_on_a_lesion_is_a_false_positive():
    result = froc(
        *study({"a": [(0, LESION, 0.9), (0, LESION, 0.8)], "b": []}), {"a": "p", "b": "q"}, seed=0, num_resamples=20
    )
    np.testing.assert_allclose(result.false_positives, [0, 0, 1 / 8])


def test_limits_are_those_of_the_exact_distribution_over_patients():
    """Two patients have four resamples: a twice, b twice, and twice both, with probabilities 1/4, 1/4 and 1/2."""
    patients = {"a": "p", "b": "q"}
    result = froc(*study(BOXES), patients, seed=0, num_resamples=2000)
    by_draw = []
    for draw in product("ab", repeat=2):
        copies = {f"{video}{number}": BOXES[video] for number, video in enumerate(draw)}
        whole = froc(*study(copies), {name: name for name in copies}, seed=0, num_resamples=20)
        by_draw.append(sensitivities(whole))
    low, high = np.min(by_draw, axis=0), np.max(by_draw, axis=0)
    np.testing.assert_allclose([point.ci_low for point in result.points], low)
    np.testing.assert_allclose([point.ci_high for point in result.points], high)


def test_no_detection_finds_nothing_and_no_lesion_is_refused():
    annotations, found = study(BOXES)
    patients = {"a": "p", "b": "q"}
    empty = froc(annotations, found.iloc[:0], patients, seed=0, num_resamples=20)
    assert sensitivities(empty) == [0.0] * 7
    with pytest.raises(EvaluationError, match="no lesion is annotated"):
        froc(Annotations(annotations.frames, annotations.boxes.iloc[:0]), found, patients, seed=0)


def judged_tracks(tracks_per_video):
    """As ``study``, with tracks of four frames as (box, score) in place of boxes."""
    annotations, _ = study({video: [] for video in tracks_per_video})
    rows = [
        (video, number, frame, *box, score, False)
        for video, tracks in tracks_per_video.items()
        for number, (box, score) in enumerate(tracks)
        for frame in range(4)
    ]
    columns = ["video_id", "track_id", "frame", "x1", "y1", "x2", "y2", "score", "interpolated"]
    return judge_tracks(annotations, pd.DataFrame(rows, columns=columns), tracks_per_video)


def test_per_video_by_hand():
    # By falling score: found, false, false, found; a second track on a lesion is neither. 3 videos, 3 lesions.
    tracks = {
        "a": [(LESION, 0.9), (LESION, 0.7)],
        "b": [(NOTHING, 0.8), (NOTHING, 0.6), (LESION, 0.5)],
        "c": [],
    }
    result = froc_per_video(judged_tracks(tracks), {"a": "p", "b": "q", "c": "r"}, seed=0, num_resamples=50)
    np.testing.assert_allclose(result.false_positives, np.array([0, 0, 1, 2, 2]) / 3)
    np.testing.assert_allclose(result.sensitivity, np.array([0, 1, 1, 1, 2]) / 3)
    assert FROC_RATES[2:4] == (0.5, 1.0)
    np.testing.assert_allclose(sensitivities(result), np.array([1, 1, 1, 2, 2, 2, 2]) / 3)


def test_per_video_weighing_a_patient_equals_copying_his_videos():
    tracks = {"a": [(LESION, 0.9), (NOTHING, 0.4)], "b": [(NOTHING, 0.8), (LESION, 0.5)]}
    result = froc_per_video(judged_tracks(tracks), {"a": "p", "b": "q"}, seed=0, num_resamples=300)
    by_draw = []
    for draw in product("ab", repeat=2):
        copies = {f"{video}{number}": tracks[video] for number, video in enumerate(draw)}
        whole = froc_per_video(judged_tracks(copies), {name: name for name in copies}, seed=0, num_resamples=20)
        by_draw.append(sensitivities(whole))
    np.testing.assert_allclose([point.ci_low for point in result.points], np.min(by_draw, axis=0))
    np.testing.assert_allclose([point.ci_high for point in result.points], np.max(by_draw, axis=0))


def test_per_video_without_a_lesion_is_refused_and_without_a_track_nothing_is_found():
    judged = judged_tracks({"a": [], "b": []})
    assert sensitivities(froc_per_video(judged, {"a": "p", "b": "q"}, seed=0, num_resamples=20)) == [0.0] * 7
    with pytest.raises(EvaluationError, match="no lesion is annotated in these 2 videos"):
        froc_per_video(judged._replace(lesions=judged.lesions.iloc[:0]), {"a": "p", "b": "q"}, seed=0)
