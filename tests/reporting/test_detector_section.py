"""The detector's part of a report, on a study of six videos whose figures are known by hand."""

import json
import runpy
from pathlib import Path

import pandas as pd
import pytest

from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.structures.tables import DETECTIONS, PREDICTIONS, TRACKS, write_table

SIDES = ["x1", "y1", "x2", "y2"]
LESION = (10.0, 10.0, 50.0, 50.0)
ELSEWHERE = (70.0, 70.0, 100.0, 100.0)
NUM_FRAMES = 30
SIZES = {"a": 8.0, "b": 10.0, "c": 10.1, "d": 25.0, "e": None, "normal": None}
# Found: all of a and b, half of c (one gap), nothing of d; a false track on b and two on the normal one.
COVERED = {"a": range(30), "b": range(30), "c": [*range(8), *range(20, 30)], "d": [], "e": range(30), "normal": []}
FALSE = {"b": 1, "normal": 2}
COMMAND = runpy.run_path(str(Path(__file__).parents[2] / "launch" / "evaluate.py"))


@pytest.fixture
def study(tmp_path):
    """The command's arguments."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    videos = list(SIZES)
    predictions = pd.DataFrame(
        {
            "video_id": videos,
            "patient_id": [f"p{video}" for video in videos],
            "label": pd.array([0, 1, 0, 1, 1, pd.NA], dtype="Int64"),  # a normal breast has no diagnosis
            "score": [0.1, 0.9, 0.4, 0.6, 0.8, None],
            "num_clips": 3,
            "model": "ours",
            "lesion_size_mm": list(SIZES.values()),
        }
    )
    write_table(predictions, folder / "predictions.csv", PREDICTIONS, {})
    frames = [(video, frame, 128, 128) for video in videos for frame in range(NUM_FRAMES)]
    true = [(video, frame, 1, 1, *LESION) for video, frame, *_ in frames if video != "normal"]
    annotations = Annotations(
        pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]),
        pd.DataFrame(true, columns=["video_id", "frame", "instance_id", "category_id", *SIDES]),
    )
    write_annotations(annotations, folder / "annotations.json", {})
    rows = [(video, 0, frame, *LESION, 0.9) for video, seen in COVERED.items() for frame in seen]
    rows += [
        (video, 1 + track, frame, *ELSEWHERE, 0.5 - track / 10)
        for video, number in FALSE.items()
        for track in range(number)
        for frame in range(10 * track, 10 * track + 10)
    ]
    tracks = pd.DataFrame(rows, columns=["video_id", "track_id", "frame", *SIDES, "score"]).assign(interpolated=False)
    write_table(tracks, folder / "tracks.parquet", TRACKS, {})
    write_table(tracks[["video_id", "frame", *SIDES, "score"]], folder / "detections.parquet", DETECTIONS, {})
    files = {"predictions": "csv", "annotations": "json", "detections": "parquet", "tracks": "parquet"}
    return {name: folder / f"{name}.{kind}" for name, kind in files.items()}


def evaluate(capsys, out, files, *more):
    arguments = [str(item) for name, path in files.items() for item in (f"--{name}", path)]
    status = COMMAND["main"]([*arguments, "--threshold", "0.5", "--resamples", "60", "--out", str(out), *more])
    error = capsys.readouterr().err
    return (json.loads((out / "metrics.json").read_text())["detection"] if status == 0 else None), error


def test_tracks_groups_and_intervals_by_hand(study, tmp_path, capsys):
    found, error = evaluate(capsys, tmp_path / "out", study, "--fps", "30")
    assert error == ""
    assert found["num_videos"] == 6  # the normal one, which has no label, is judged
    assert {name: figure["value"] for name, figure in found["tracks"].items()} == pytest.approx(
        {
            "lesion_recall": 4 / 5,
            "track_recall": (30 + 30 + 18 + 30) / 150,
            "track_purity": 108 / 138,
            "idf1": 2 * 108 / (150 + 138),
            "interruptions_per_lesion": 1 / 4,
            "false_positive_tracks_per_video": 3 / 6,
            "false_positive_tracks_per_minute": 3 / (6 * 30 / 30 / 60),
        }
    )
    for figure in (*found["tracks"].values(), *(found[f"{name}_interval"] for name in ("ap", "ap50", "ap75"))):
        assert figure["ci_low"] <= figure["value"] <= figure["ci_high"]
    small, large, without = (
        found["groups"][name] for name in ("lesion_size_mm<=10", "lesion_size_mm>10", "without_lesion")
    )
    assert [group["num_videos"] for group in (small, large, without)] == [2, 2, 1]
    assert (small["lesion_recall"]["value"], large["lesion_recall"]["value"]) == (1.0, 0.5)
    assert small["ap50_interval"]["value"] == pytest.approx(1.0)
    assert large["ap50_interval"]["value"] == pytest.approx(31 / 101)  # 18 of 60 boxes, no false one: recalls 0 to 0.30
    assert without["false_positive_tracks_per_minute"]["value"] == pytest.approx(2 * 60)
    assert without["false_positive_boxes_per_frame"]["value"] == pytest.approx(20 / 30)
    assert without["false_positive_boxes_per_frame"]["ci_low"] is None  # a single patient
    assert without["ap50_interval"] is None
    points = {point["false_positives_per_video"]: point["value"] for point in found["froc_per_video"]["points"]}
    assert points[0.125] == pytest.approx(4 / 5)
    assert found["froc_per_video"]["false_positives_per_video_of_all_tracks"] == pytest.approx(3 / 6)


def test_the_report_and_the_tables_show_them(study, tmp_path, capsys):
    evaluate(capsys, tmp_path / "out", study, "--fps", "30")
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("Track purity", "IDF1", "≤ 10 mm", "&gt; 10 mm", "Without a lesion", "False tracks per minute"):
        assert words in page
    table = pd.read_csv(tmp_path / "out" / "tables" / "detector.csv").set_index(["group", "metric"])
    assert table.loc[("all", "lesion_recall"), ["numerator", "denominator"]].tolist() == [4, 5]
    assert table.loc[("lesion_size_mm>10", "ap50"), "value"] == pytest.approx(31 / 101)
    assert len(pd.read_csv(tmp_path / "out" / "tables" / "froc_per_video.csv")) == 7


def test_frame_rates_are_those_of_the_videos_and_else_the_flag(study, tmp_path, capsys):
    predictions = pd.read_csv(study["predictions"], dtype=str)
    predictions.assign(fps=[60.0, 60, 60, 60, 60, None]).to_csv(study["predictions"], index=False)
    found, error = evaluate(capsys, tmp_path / "out", study, "--fps", "30")
    assert error == ""
    assert found["tracks"]["false_positive_tracks_per_minute"]["value"] == pytest.approx(3 / ((5 * 0.5 + 1) / 60))
    unknown, _ = evaluate(capsys, tmp_path / "unknown", study)
    assert "false_positive_tracks_per_minute" not in unknown["tracks"]
    assert "give --fps or a column fps" in (tmp_path / "unknown" / "report.html").read_text()
    predictions.assign(fps=[60.0, -1, 60, 60, 60, None]).to_csv(study["predictions"], index=False)
    _, error = evaluate(capsys, tmp_path / "wrong", study)
    assert "column 'fps' of the predictions, video 'b': '-1.0' is no number of frames per second" in error


def test_without_tracks_boxes_alone_are_judged(study, tmp_path, capsys):
    found, _ = evaluate(capsys, tmp_path / "out", {name: path for name, path in study.items() if name != "tracks"})
    assert "tracks" not in found
    assert set(found["groups"]["lesion_size_mm>10"]) == {"num_videos", "ap50_interval"}
    assert "--tracks was not given" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        (("predictions", "tracks"), (), "--tracks needs --detections and --annotations"),
        (("predictions", "detections", "annotations"), ("--fps", "30"), "--fps needs --tracks"),
        (("predictions", "detections", "annotations", "tracks"), ("--fps", "0"), "--fps 0 must be greater than 0"),
    ],
)
def test_flags_that_do_not_fit_are_refused(study, tmp_path, capsys, given, more, message):
    _, error = evaluate(capsys, tmp_path / "out", {name: study[name] for name in given}, *more)
    assert message in error


def test_no_track_at_all_leaves_a_gap_where_a_figure_is_undefined(study, tmp_path, capsys):
    write_table(pd.read_parquet(study["tracks"]).iloc[:0], study["tracks"], TRACKS, {})
    found, error = evaluate(capsys, tmp_path / "out", study, "--fps", "30")
    assert error == ""
    assert found["tracks"]["lesion_recall"]["value"] == found["tracks"]["idf1"]["value"] == 0
    assert found["tracks"]["track_purity"]["value"] is None
    assert found["tracks"]["track_purity"]["method"] == "nothing to divide by"
    assert "nan" not in (tmp_path / "out" / "report.html").read_text().lower().split()
