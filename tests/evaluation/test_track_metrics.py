import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.track_metrics import TRACK_RATIOS, judge_tracks
from wauve_dist.structures.annotations import Annotations

SIDES = ["x1", "y1", "x2", "y2"]
LEFT = (10.0, 10.0, 50.0, 50.0)
RIGHT = (100.0, 10.0, 140.0, 50.0)
NOWHERE = (10.0, 200.0, 50.0, 240.0)


def annotated(num_frames, *lesions, video="v"):
    """A video of so many frames; lesions as (instance, frames, box)."""
    frames = pd.DataFrame({"video_id": video, "frame": range(num_frames), "width": 300, "height": 300})
    rows = [(video, frame, instance, 1, *box) for instance, where, box in lesions for frame in where]
    columns = ["video_id", "frame", "instance_id", "category_id", *SIDES]
    boxes = pd.DataFrame(rows, columns=columns).astype({"video_id": str, "frame": int, "instance_id": int})
    return Annotations(frames, boxes)


def tracked(*tracks, video="v"):
    """Tracks as (number, frames, box, score)."""
    rows = [(video, number, frame, *box, score, False) for number, where, box, score in tracks for frame in where]
    table = pd.DataFrame(rows, columns=["video_id", "track_id", "frame", *SIDES, "score", "interpolated"])
    return table.astype({"video_id": str, "track_id": int, "frame": int})


def united(*studies):
    annotations, tracks = zip(*studies, strict=True)
    return (
        Annotations(*(pd.concat(tables, ignore_index=True) for tables in zip(*annotations, strict=True))),
        pd.concat(tracks, ignore_index=True),
    )


def ratios(counts):
    sums = counts.sum()
    return {name: sums[over] / sums[under] for name, (over, under) in TRACK_RATIOS.items() if sums[under]}


def test_a_perfect_track_by_hand():
    judged = judge_tracks(annotated(12, (7, range(2, 12), LEFT)), tracked((0, range(2, 12), LEFT, 0.5)), ["v"])
    assert ratios(judged.counts) == {
        "lesion_recall": 1,
        "track_recall": 1,
        "track_purity": 1,
        "idf1": 1,
        "interruptions_per_lesion": 0,
        "false_positive_tracks_per_video": 0,
    }
    assert judged.lesions.to_dict("records") == [
        {"video_id": "v", "instance_id": 7, "boxes": 10, "covered_boxes": 10, "interruptions": 0, "score": 0.5}
    ]


def test_a_broken_a_mixed_and_a_made_up_track_by_hand():
    annotations = annotated(20, (1, range(20), LEFT), (2, range(20), RIGHT))
    # Lesion 1 is under track 0 in frames 0 to 5 and under track 1 in 10 to 19; track 1 was on lesion 2 in 6 to 9.
    tracks = tracked(
        (0, range(6), LEFT, 0.9),
        (1, range(6, 10), RIGHT, 0.6),
        (1, range(10, 20), LEFT, 0.8),
        (2, range(8), NOWHERE, 0.4),
    )
    judged = judge_tracks(annotations, tracks, ["v"])
    assert judged.tracks[["track_id", "boxes", "pure_boxes", "is_true"]].to_numpy().tolist() == [
        [0, 6, 6, True],
        [1, 14, 10, True],
        [2, 8, 0, False],
    ]
    assert judged.tracks["instance_id"].tolist() == [1, 1, pd.NA]
    assert judged.tracks["score"].tolist() == pytest.approx([0.9, (4 * 0.6 + 10 * 0.8) / 14, 0.4])
    assert judged.lesions[["covered_boxes", "interruptions"]].to_numpy().tolist() == [[16, 1], [4, 0]]
    assert judged.lesions["score"].tolist() == pytest.approx([0.9, np.nan], nan_ok=True)
    # The best assignment gives lesion 1 track 1 (10 boxes), since track 0 with lesion 1 and track 1 with lesion 2
    # explain 6 + 4 only as well; either way 10 of 40 true and 28 found boxes.
    assert ratios(judged.counts) == pytest.approx(
        {
            "lesion_recall": 1 / 2,
            "track_recall": 20 / 40,
            "track_purity": 16 / 28,
            "idf1": 20 / 68,
            "interruptions_per_lesion": 1 / 2,
            "false_positive_tracks_per_video": 1,
        }
    )


def test_the_assignment_of_identities_is_global():
    """Lesion by lesion, the longest overlap first, would explain 6 + 0 boxes; the best assignment 5 + 5."""
    annotations = annotated(11, (1, range(11), LEFT), (2, range(5), RIGHT))
    tracks = tracked((0, range(5), RIGHT, 0.5), (0, range(5, 11), LEFT, 0.5), (1, range(5), LEFT, 0.5))
    assert judge_tracks(annotations, tracks, ["v"]).counts["identified_boxes"].tolist() == [2 * 10]


def test_an_overlap_of_exactly_one_half_counts_and_less_does_not():
    half, less = (10.0, 10.0, 50.0, 30.0), (10.0, 10.0, 50.0, 29.9)
    for box, is_true in ((half, True), (less, False)):
        judged = judge_tracks(annotated(8, (1, range(8), LEFT)), tracked((0, range(8), box, 0.5)), ["v"])
        assert judged.tracks["is_true"].tolist() == [is_true]


def test_a_lesion_that_leaves_the_picture_does_not_interrupt_its_cover():
    seen = [*range(5), *range(9, 14)]
    judged = judge_tracks(
        annotated(14, (1, seen, LEFT)), tracked((0, range(5), LEFT, 0.5), (1, range(9, 14), LEFT, 0.5)), ["v"]
    )
    assert judged.lesions["interruptions"].tolist() == [0]


def test_what_lies_on_frames_that_nobody_annotated_is_left_aside():
    annotations = annotated(10, (1, range(10), LEFT))
    tracks = tracked((0, range(30), LEFT, 0.5), (1, range(10, 30), NOWHERE, 0.9))
    judged = judge_tracks(annotations, tracks, ["v"])
    assert judged.tracks["track_id"].tolist() == [0]
    assert judged.counts[["frames", "track_boxes", "false_tracks"]].to_numpy().tolist() == [[10, 10, 0]]


def test_videos_without_a_lesion_and_without_a_track_count():
    annotations, tracks = united(
        (annotated(40, video="normal"), tracked((0, range(8), NOWHERE, 0.5), (1, range(9), LEFT, 0.5), video="normal")),
        (annotated(30, (1, range(30), LEFT), video="missed"), tracked(video="missed")),
    )
    judged = judge_tracks(annotations, tracks, ["normal", "missed"])
    assert judged.counts.loc["normal", ["lesions", "frames", "false_tracks"]].tolist() == [0, 40, 2]
    assert judged.counts.loc["missed", ["lesions", "found_lesions", "track_boxes"]].tolist() == [1, 0, 0]


def test_no_track_at_all_finds_nothing():
    judged = judge_tracks(annotated(8, (1, range(8), LEFT)), tracked(), ["v"])
    assert judged.tracks.empty
    assert ratios(judged.counts) == {
        "lesion_recall": 0,
        "track_recall": 0,
        "idf1": 0,
        "false_positive_tracks_per_video": 0,
    }


def test_unknown_videos_and_a_lesion_twice_in_a_frame_are_refused():
    annotations = annotated(8, (1, range(8), LEFT), (1, [3], RIGHT))
    with pytest.raises(EvaluationError, match=r"instance 1 has more than one box in frame 3 of video 'v' \(1 such"):
        judge_tracks(annotations, tracked(), ["v"])
    with pytest.raises(EvaluationError, match=r"1 of 2 videos have no annotated frame \(w\)"):
        judge_tracks(annotations, tracked(), ["v", "w"])


def random_video(rng, name):
    """Lesions far apart that come and go; tracks that follow one, jump to another, or follow none."""
    num_frames, num_lesions = int(rng.integers(5, 40)), int(rng.integers(0, 4))
    places = [np.array([10.0 + 200 * number, 10, 90 + 200 * number, 90]) for number in range(4)]
    lesions = [
        (number + 3, [frame for frame in range(num_frames) if rng.random() < 0.8], places[number])
        for number in range(num_lesions)
    ]
    pieces = []
    for number in range(int(rng.integers(0, 6))):
        place = places[rng.integers(0, 4)]
        for frame in range(*sorted(rng.integers(0, num_frames, 2))):
            if rng.random() < 0.1:
                place = places[rng.integers(0, 4)]
            pieces.append((number, [frame], place + rng.normal(0, 12, 4), float(rng.random())))
    return annotated(num_frames, *lesions, video=name), tracked(*pieces, video=name)


@st.composite
def studies(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return united(*(random_video(rng, name) for name in ("a", "b", "c")))


@given(studies())
@settings(max_examples=10, deadline=None)
def test_counts_stay_within_what_there_is(study):
    counts = judge_tracks(*study, ["a", "b", "c"]).counts
    assert counts.index.tolist() == ["a", "b", "c"]
    for part, whole in (
        ("found_lesions", "covered_lesions"),
        ("covered_lesions", "lesions"),
        ("covered_boxes", "lesion_boxes"),
        ("pure_boxes", "track_boxes"),
        ("identified_boxes", "all_boxes"),
        ("interruptions", "covered_boxes"),
    ):
        assert (counts[part] >= 0).all()
        assert (counts[part] <= counts[whole]).all()
    assert (counts["identified_boxes"] <= 2 * counts[["covered_boxes", "pure_boxes"]].min(axis=1)).all()


@given(studies(), st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None)
def test_neither_the_order_of_rows_nor_the_numbers_of_tracks_matter(study, random):
    annotations, tracks = study
    numbers = list(range(10))
    random.shuffle(numbers)
    renamed = tracks.assign(track_id=tracks["track_id"].map(dict(enumerate(numbers))))
    shuffled = renamed.sample(frac=1, random_state=random.randrange(1000))
    pd.testing.assert_frame_equal(
        judge_tracks(annotations, shuffled, ["a", "b", "c"]).counts, judge_tracks(*study, ["a", "b", "c"]).counts
    )


@given(studies())
@settings(max_examples=8, deadline=None)
def test_true_boxes_as_tracks_are_perfect(study):
    annotations, _ = study
    tracks = annotations.boxes.rename(columns={"instance_id": "track_id"}).assign(score=1.0, interpolated=False)
    counts = judge_tracks(annotations, tracks, ["a", "b", "c"]).counts
    assert set(ratios(counts).values()) <= {0, 1}
    assert counts["false_tracks"].sum() == counts["interruptions"].sum() == 0
    assert (counts["identified_boxes"] == counts["all_boxes"]).all()


def overlap(one, other):
    width = max(0, min(one.x2, other.x2) - max(one.x1, other.x1))
    height = max(0, min(one.y2, other.y2) - max(one.y1, other.y1))
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_py_motmetrics(seed):
    """IDF1, recall and fragmentations of py-motmetrics (1.4 when written)."""
    motmetrics = pytest.importorskip("motmetrics", reason="py-motmetrics is not installed: pip install motmetrics")
    rng = np.random.default_rng(seed)
    annotations, tracks = united(*(random_video(rng, name) for name in ("a", "b", "c", "d")))
    ours = ratios(judge_tracks(annotations, tracks, list("abcd")).counts)
    accumulators = []
    for video in "abcd":
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        for frame in annotations.frames.loc[annotations.frames["video_id"] == video, "frame"]:
            true, found = (
                table[(table["video_id"] == video) & (table["frame"] == frame)] for table in (annotations.boxes, tracks)
            )
            overlaps = [[overlap(one, other) for other in found.itertuples()] for one in true.itertuples()]
            distances = [[1 - value if value >= 0.5 else np.nan for value in row] for row in overlaps]
            accumulator.update(true["instance_id"].tolist(), found["track_id"].tolist(), distances)
        accumulators.append(accumulator)
    names = ["idf1", "recall", "num_fragmentations"]
    theirs = motmetrics.metrics.create().compute_many(
        accumulators, metrics=names, names=list("abcd"), generate_overall=True
    )
    overall = theirs.loc["OVERALL"]
    assert 0 < overall["idf1"] < 1
    assert ours["idf1"] == pytest.approx(overall["idf1"])
    assert ours["track_recall"] == pytest.approx(overall["recall"])
    counts = judge_tracks(annotations, tracks, list("abcd")).counts
    assert counts["interruptions"].tolist() == theirs.loc[list("abcd"), "num_fragmentations"].tolist()
