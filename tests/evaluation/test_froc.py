from itertools import product

import numpy as np
import pandas as pd
import pytest

from wauve_dist.evaluation.froc import FALSE_POSITIVES_PER_FRAME, froc
from wauve_dist.evaluation.inputs import EvaluationError
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
    assert FALSE_POSITIVES_PER_FRAME[:3] == (0.125, 0.25, 0.5)
    np.testing.assert_allclose(sensitivities(result), [2 / 6, 2 / 6, 3 / 6, 3 / 6, 3 / 6, 3 / 6, 3 / 6])
    np.testing.assert_allclose(result.false_positives_per_frame, np.array([0, 0, 1, 1, 2, 3, 3]) / 8)
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
    np.testing.assert_allclose(result.false_positives_per_frame, [0, 0, 1 / 8])


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
