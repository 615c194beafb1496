from itertools import product

import numpy as np
import pandas as pd
import pytest

from wauve_dist.evaluation.detection import AP, AP50, AP75, average_precision_interval, coco_average_precision
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.structures.annotations import Annotations

SIZE = 256


def frames_of(*videos, num_frames=4):
    rows = [(video, frame, SIZE, SIZE) for video in videos for frame in range(num_frames)]
    return pd.DataFrame(rows, columns=["video_id", "frame", "width", "height"])


def boxes_of(*rows):
    table = pd.DataFrame(rows, columns=["video_id", "frame", "x1", "y1", "x2", "y2"])
    return table.assign(instance_id=1, category_id=2)


def found(*rows):
    return pd.DataFrame(rows, columns=["video_id", "frame", "x1", "y1", "x2", "y2", "score"])


def random_study(num_videos=12, seed=0):
    rng = np.random.default_rng(seed)
    true, seen = [], []
    for video in range(num_videos):
        name = f"v{video:02d}"
        (x, y), side = rng.uniform(10, 120, 2), rng.uniform(30, 90)
        for frame in range(10):
            if frame >= 3:
                true.append((name, frame, x, y, x + side, y + side))
                shift = rng.normal(0, side / 7, 4)
                if rng.random() < 0.85:
                    box = (x + shift[0], y + shift[1], x + side + shift[2], y + side + shift[3])
                    seen.append((name, frame, *box, rng.beta(4, 2)))
            for _ in range(rng.poisson(0.5)):
                corner = rng.uniform(0, 200, 2)
                seen.append((name, frame, *corner, *(corner + 40), rng.beta(2, 4)))
    names = [f"v{video:02d}" for video in range(num_videos)]
    return Annotations(frames_of(*names, num_frames=10), boxes_of(*true)), found(*seen), names


def naive_ap50(annotations, detections):
    """Greedy matching by score and 101-point interpolation, straight from COCO's definition."""
    unmatched = {
        key: rows[["x1", "y1", "x2", "y2"]].to_numpy().tolist()
        for key, rows in annotations.boxes.groupby(["video_id", "frame"])
    }
    hits = []
    for row in detections.sort_values("score", ascending=False, kind="stable").itertuples():
        candidates = unmatched.get((row.video_id, row.frame), [])
        best, best_iou = None, 0.5
        for number, (x1, y1, x2, y2) in enumerate(candidates):
            width = max(0, min(x2, row.x2) - max(x1, row.x1))
            height = max(0, min(y2, row.y2) - max(y1, row.y1))
            union = (x2 - x1) * (y2 - y1) + (row.x2 - row.x1) * (row.y2 - row.y1) - width * height
            if width * height / union >= best_iou:
                best, best_iou = number, width * height / union
        if best is not None:
            candidates.pop(best)
        hits.append(best is not None)
    true = np.cumsum(hits)
    precision, recall = true / np.arange(1, len(hits) + 1), true / len(annotations.boxes)
    return np.mean([max(precision[recall >= level - 1e-12], default=0.0) for level in np.linspace(0, 1, 101)])


def test_a_box_on_a_frame_without_a_lesion_is_a_false_positive():
    annotations = Annotations(frames_of("a"), boxes_of(*[("a", frame, 10, 10, 50, 50) for frame in range(3)]))
    hits = [("a", frame, 10, 10, 50, 50, 0.5 + frame / 10) for frame in range(3)]
    assert coco_average_precision(annotations, found(*hits), ["a"]) == {
        "ap": pytest.approx(1.0),
        "ap50": pytest.approx(1.0),
        "ap75": pytest.approx(1.0),
        "num_frames": 4,
        "num_boxes": 3,
    }
    # The fourth frame is annotated as empty: its box comes first by score, precision is at most 3/4.
    assert coco_average_precision(annotations, found(*hits, ("a", 3, 1, 1, 9, 9, 0.99)), ["a"])[
        "ap50"
    ] == pytest.approx(0.75)
    # A frame that nobody annotated says nothing.
    assert coco_average_precision(annotations, found(*hits, ("a", 7, 1, 1, 9, 9, 0.99)), ["a"])[
        "ap50"
    ] == pytest.approx(1.0)


def test_iou_thresholds_tell_close_from_loose_boxes():
    annotations = Annotations(frames_of("a"), boxes_of(("a", 0, 0, 0, 100, 100)))
    # 60 of 100 columns overlap: IoU 0.6, matched at 0.50, 0.55 and 0.60 of the ten thresholds.
    assert coco_average_precision(annotations, found(("a", 0, 0, 0, 60, 100, 0.9)), ["a"]) == {
        "ap": pytest.approx(0.3),
        "ap50": pytest.approx(1.0),
        "ap75": 0.0,
        "num_frames": 4,
        "num_boxes": 1,
    }


def test_only_the_videos_asked_for_count(capsys):
    annotations, detections, names = random_study()
    half = set(names[:6])
    subset = Annotations(
        annotations.frames[annotations.frames["video_id"].isin(half)],
        annotations.boxes[annotations.boxes["video_id"].isin(half)],
    )
    assert coco_average_precision(annotations, detections, names[:6]) == coco_average_precision(
        subset, detections[detections["video_id"].isin(half)], names[:6]
    )
    assert capsys.readouterr().out == ""


def test_ap50_agrees_with_the_definition():
    annotations, detections, names = random_study()
    expected = naive_ap50(annotations, detections)
    assert 0.3 < expected < 0.95
    assert coco_average_precision(annotations, detections, names)["ap50"] == pytest.approx(expected, abs=1e-9)
    interval = average_precision_interval(
        annotations, detections, {name: name for name in names}, AP50, seed=0, num_resamples=50
    )
    assert interval.value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("figure", "thresholds"), [("ap", AP), ("ap50", AP50), ("ap75", AP75)])
def test_each_ap_with_an_interval_is_that_of_pycocotools(figure, thresholds):
    annotations, detections, names = random_study()
    patients = {name: name for name in names}
    expected = coco_average_precision(annotations, detections, names)
    assert 0.02 < expected[figure] < 0.95
    interval = average_precision_interval(annotations, detections, patients, thresholds, seed=0, num_resamples=50)
    assert interval.value == pytest.approx(expected[figure], abs=1e-12)
    assert interval.ci_low < interval.value < interval.ci_high


def copied(tables, patients, multiset):
    """The tables of a data set in which each patient stands as often as in ``multiset``."""
    parts = [[], [], []]
    for copy, patient in enumerate(multiset):
        own = [name for name in patients if patients[name] == patient]
        for part, table in zip(parts, tables, strict=True):
            drawn = table[table["video_id"].isin(own)]
            part.append(drawn.assign(video_id=drawn["video_id"] + f"#{copy}"))
    frames, boxes, seen = (pd.concat(part, ignore_index=True) for part in parts)
    return Annotations(frames, boxes), seen


@pytest.mark.parametrize("confidence", [0.96, 0.74])
def test_weighing_a_patient_equals_copying_his_videos(confidence):
    """Three patients have 27 resamples: the exact distribution of AP50 is that over 27 data sets with copies."""
    annotations, detections, names = random_study(6)
    patients = {name: f"p{int(name[1:]) // 2}" for name in names}
    draws = list(product(sorted(set(patients.values())), repeat=3))
    by_multiset = {
        multiset: naive_ap50(*copied((*annotations, detections), patients, multiset))
        for multiset in {tuple(sorted(draw)) for draw in draws}
    }
    exact = sorted(by_multiset[tuple(sorted(draw))] for draw in draws)
    tail = (1 - confidence) / 2
    interval = average_precision_interval(
        annotations, detections, patients, AP50, seed=0, num_resamples=4000, confidence=confidence
    )
    assert len(set(exact)) == 10
    assert interval.ci_low == pytest.approx(exact[int(27 * tail)], abs=1e-9)
    assert interval.ci_high == pytest.approx(exact[-1 - int(27 * tail)], abs=1e-9)


def test_no_detection_at_all_is_zero():
    annotations, detections, names = random_study(3)
    assert coco_average_precision(annotations, detections.iloc[:0], names)["ap"] == 0.0
    assert (
        average_precision_interval(
            annotations, detections.iloc[:0], dict(zip(names, names, strict=True)), AP50, seed=0
        ).ci_high
        == 0.0
    )


def test_videos_without_annotation_and_without_lesions_are_refused():
    annotations, detections, names = random_study(3)
    with pytest.raises(EvaluationError, match=r"1 of 4 videos have no annotated frame \(other\)"):
        coco_average_precision(annotations, detections, [*names, "other"])
    empty = Annotations(annotations.frames, annotations.boxes.iloc[:0])
    with pytest.raises(EvaluationError, match="no lesion is annotated in the 30 frames of these 3 videos"):
        coco_average_precision(empty, detections, names)
