from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from spots import AttendingClassifier, BrightnessClassifier, manifest_of, sweep, write_video

from wauve_dist.data.decoding import VideoError
from wauve_dist.inference.prediction import predict
from wauve_dist.inference.video_prediction import Models, PredictionSettings
from wauve_dist.structures.boxes import Detections
from wauve_dist.structures.provenance import read_provenance
from wauve_dist.structures.tables import CLIPS, DETECTIONS, PREDICTIONS, TRACKS, TableError, read_table
from wauve_dist.tracking.linker import LinkerSettings

SETTINGS = PredictionSettings(LinkerSettings(), batch_size=8, call_threshold=0.5, model="spots", overlay=False)
TABLES = {
    "detections.parquet": DETECTIONS,
    "tracks.parquet": TRACKS,
    "clips.parquet": CLIPS,
    "predictions.csv": PREDICTIONS,
}


def _run(tmp_path, manifest, detector, classifier, settings=SETTINGS, out="out"):
    source = tmp_path / "manifest.csv"
    manifest.to_csv(source, index=False)
    models = Models(detector, classifier)
    return predict(manifest, lambda _: models, 1, tmp_path / out, settings, {"videos": source})


def _tables(folder):
    return {name: read_table(folder / name, schema) for name, schema in TABLES.items()}


def test_the_chain_by_hand(tmp_path, detector, classifier):
    # A spot of 24 pixels in frames 5 to 29 (25 frames: three clips and one frame left over) and, overlapping in
    # time, a brighter one of 20 pixels in frames 10 to 19 (one clip and two frames left over).
    frames = sweep(40, [(5, 30, 20, 30, 24, 153), (10, 20, 80, 50, 20, 255)])
    _run(tmp_path, manifest_of([write_video(tmp_path / "a.avi", frames)]), detector, classifier)
    found = _tables(tmp_path / "out")

    assert len(found["detections.parquet"]) == 25 + 10
    tracks = found["tracks.parquet"]
    assert tracks.groupby("track_id")["frame"].agg(["min", "max", "size"]).to_numpy().tolist() == [
        [5, 29, 25],
        [10, 19, 10],
    ]
    assert tracks[tracks["track_id"] == 1][["x1", "y1", "x2", "y2"]].drop_duplicates().to_numpy().tolist() == [
        [80, 50, 100, 70]
    ]
    clips = found["clips.parquet"]
    assert clips[["track_id", "clip_index", "start_frame"]].to_numpy().tolist() == [
        [0, 0, 5],
        [0, 1, 13],
        [0, 2, 21],
        [1, 0, 10],
    ]
    # 153/255 inside the first spot's crop, 1 inside the second's; a crop's rim mixes with the background a little.
    assert clips["score"].to_numpy() == pytest.approx([0.6, 0.6, 0.6, 1.0], abs=0.04)
    row = found["predictions.csv"].iloc[0]
    assert row["score"] == pytest.approx(clips["score"].sum() / 4, abs=1e-12)
    assert row["num_clips"] == 4
    assert row["model"] == "spots"


def test_a_classifier_with_attention_weighs_all_clips_of_a_video_against_each_other(tmp_path, detector):
    spots = [(0, 8, 20, 30, 24, 153), (8, 16, 20, 30, 24, 230), (16, 27, 20, 30, 24, 180)]
    video = write_video(tmp_path / "a.avi", sweep(27, spots))
    still = write_video(tmp_path / "b.avi", sweep(10, []))
    for size in (1, 2, 64):
        settings = replace(SETTINGS, batch_size=size)
        _run(tmp_path, manifest_of([video, still]), detector, AttendingClassifier(), settings, out=f"out{size}")
    found = _tables(tmp_path / "out1")
    clips = found["clips.parquet"]
    loudness = np.exp(3 * clips["score"])
    assert clips["score"].std() > 0.1
    assert clips["weight"].tolist() == pytest.approx((loudness / loudness.sum()).tolist())
    logits = np.log(clips["score"] / (1 - clips["score"]))
    assert clips["logit"].tolist() == pytest.approx(logits.tolist(), abs=1e-5)
    scores = found["predictions.csv"].set_index("video_id")["score"]
    assert scores["a"] == pytest.approx(1 / (1 + np.exp(-(clips["weight"] * logits).sum())), abs=1e-6)
    assert np.isnan(scores["b"])
    for name in ("clips.parquet", "predictions.csv"):
        for other in (2, 64):
            pd.testing.assert_frame_equal(_tables(tmp_path / f"out{other}")[name], found[name], atol=1e-5)


def test_a_video_without_a_clip_keeps_its_row_with_an_empty_score(tmp_path, detector, classifier):
    image = tmp_path / "image.png"
    Image.fromarray(sweep(1, [(0, 1, 20, 30, 24, 200)])[0]).save(image)
    videos = [
        write_video(tmp_path / "empty.avi", sweep(12, [])),
        write_video(tmp_path / "brief.avi", sweep(12, [(2, 9, 20, 30, 24, 200)])),
        image,
        write_video(tmp_path / "full.avi", sweep(12, [(2, 10, 20, 30, 24, 200)])),
    ]
    _run(tmp_path, manifest_of(videos), detector, classifier)
    predictions = _tables(tmp_path / "out")["predictions.csv"].set_index("video_id")
    assert predictions["num_clips"].to_dict() == {"empty": 0, "brief": 0, "image": 0, "full": 1}
    assert predictions["score"].notna().to_dict() == {"empty": False, "brief": False, "image": False, "full": True}
    assert {file.name for file in (tmp_path / "out" / "thumbnails").iterdir()} == {
        f"{video.stem}.jpg" for video in videos
    }


def test_no_box_at_all_gives_valid_empty_tables(tmp_path, detector, classifier):
    _run(tmp_path, manifest_of([write_video(tmp_path / "empty.avi", sweep(12, []))]), detector, classifier)
    found = _tables(tmp_path / "out")
    assert {name: len(table) for name, table in found.items()} == {**dict.fromkeys(TABLES, 0), "predictions.csv": 1}


def test_predictions_carry_split_and_subgroups_and_no_path(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.avi", sweep(10, [(0, 10, 20, 30, 24, 200)]))
    manifest = manifest_of([video], label=pd.array([1], "Int64"), split="test", site="north", parity=["even"])
    _run(tmp_path, manifest, detector, classifier)
    row = _tables(tmp_path / "out")["predictions.csv"].iloc[0]
    assert row[["label", "split", "site", "parity"]].tolist() == [1, "test", "north", "even"]
    assert "path" not in row
    assert str(tmp_path) not in (tmp_path / "out" / "predictions.csv").read_text()


def test_without_a_classifier_it_stops_after_the_tracks(tmp_path, detector):
    video = write_video(tmp_path / "a.avi", sweep(10, [(0, 10, 20, 30, 24, 200)]))
    assert _run(tmp_path, manifest_of([video]), detector, None) is None
    names = {entry.name for entry in (tmp_path / "out").iterdir() if not entry.name.endswith(".provenance.json")}
    assert names == {"detections.parquet", "tracks.parquet"}


def test_the_batch_size_changes_no_table(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.avi", sweep(45, [(0, 41, 20, 30, 24, 153), (10, 30, 80, 50, 20, 255)]))
    for size in (1, 3, 64):
        settings = PredictionSettings(LinkerSettings(), size, 0.5, "spots", overlay=False)
        _run(tmp_path, manifest_of([video]), detector, classifier, settings, out=f"out{size}")
        assert max(detector.batch_sizes) <= size
        assert max(shape[0] for shape in classifier.shapes) <= size
        detector.batch_sizes.clear()
        classifier.shapes.clear()
    tables = [_tables(tmp_path / f"out{size}") for size in (1, 3, 64)]
    for name in TABLES:
        pd.testing.assert_frame_equal(tables[0][name], tables[1][name])
        pd.testing.assert_frame_equal(tables[0][name], tables[2][name])


def test_the_tables_record_what_they_were_made_from(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.avi", sweep(10, [(0, 10, 20, 30, 24, 200)]))
    settings = PredictionSettings(LinkerSettings(max_gap=3), 8, 0.5, "spots", overlay=False)
    _run(tmp_path, manifest_of([video]), detector, classifier, settings)
    for name in TABLES:
        record = read_provenance(tmp_path / "out" / name)
        assert set(record["made_from"]) == {"videos"}
        assert record["settings"]["linker"]["max_gap"] == 3


def test_ids_with_folders_give_thumbnails_in_folders(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.avi", sweep(10, [(0, 10, 20, 30, 24, 200)]))
    _run(tmp_path, manifest_of([video]).assign(video_id="benign/a"), detector, classifier)
    assert (tmp_path / "out" / "thumbnails" / "benign" / "a.jpg").is_file()


@pytest.mark.parametrize("video_id", ["../../evil", "/etc/evil", "..", "a//b", "a/./b"])
def test_an_id_that_would_leave_the_output_folder_is_refused(tmp_path, detector, classifier, video_id):
    video = write_video(tmp_path / "a.avi", sweep(10, []))
    with pytest.raises(TableError, match="cannot name a file in the output folder"):
        _run(tmp_path, manifest_of([video]).assign(video_id=video_id), detector, classifier)
    assert not (tmp_path / "out").exists()


def test_a_manifest_column_that_predictions_need_is_refused(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.avi", sweep(10, []))
    with pytest.raises(TableError, match="column 'model'"):
        _run(tmp_path, manifest_of([video], model="Logiq E9"), detector, classifier)


def test_all_bad_videos_are_named_before_anything_is_computed(tmp_path, detector, classifier):
    good = write_video(tmp_path / "good.avi", sweep(10, [(0, 10, 20, 30, 24, 200)]))
    text = tmp_path / "text.avi"
    text.write_text("not a video")
    zero = tmp_path / "zero.avi"
    zero.touch()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(good.read_bytes()[:-2000])
    no_frames = tmp_path / "noframes"
    no_frames.mkdir()
    bad = [text, zero, cut, no_frames, tmp_path / "gone.avi"]
    with pytest.raises(VideoError) as caught:
        _run(tmp_path, manifest_of([good, *bad]), detector, classifier)
    lines = str(caught.value).splitlines()
    assert [path.stem in line for path, line in zip(bad, lines, strict=True)] == [True] * len(bad)
    assert detector.batch_sizes == []
    assert not (tmp_path / "out").exists()


def test_a_used_output_folder_is_refused_and_left_alone(tmp_path, detector, classifier):
    video = write_video(tmp_path / "a.avi", sweep(10, []))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"already holds another run \(notes.txt\)"):
        _run(tmp_path, manifest_of([video]), detector, classifier)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_a_crash_or_an_interruption_there_is_nothing(tmp_path, detector, error):
    class Failing(BrightnessClassifier):
        def score_clips(self, clips, facts=None):
            raise error

    video = write_video(tmp_path / "a.avi", sweep(10, [(0, 10, 20, 30, 24, 200)]))
    with pytest.raises(error):
        _run(tmp_path, manifest_of([video]), detector, Failing())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.avi", "manifest.csv"]


@pytest.mark.parametrize(("wrong", "words"), [({"batch_size": 0}, "batch_size=0"), ({"call_threshold": 2}, "=2 must")])
def test_a_setting_outside_its_range_is_refused(wrong, words):
    right = {"batch_size": 8, "call_threshold": 0.5}
    with pytest.raises(ValueError, match=words):
        PredictionSettings(LinkerSettings(), **{**right, **wrong}, model="m", overlay=False)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path, classifier):
    import tracemalloc

    class Fixed:
        """One box in every frame, at no cost."""

        device = torch.device("cpu")

        def detect(self, frames):
            box = np.array([[20, 30, 44, 54]], np.float32)
            return [Detections(box, np.array([0.9], np.float32)) for _ in frames]

    peaks = {}
    for num_frames in (40, 4000):
        video = write_video(tmp_path / f"{num_frames}.avi", sweep(num_frames, [(0, num_frames, 20, 30, 24, 200)]))
        tracemalloc.start()
        _run(tmp_path, manifest_of([video]), Fixed(), classifier, out=f"out{num_frames}")
        peaks[num_frames] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # 4,000 frames are 49 MB; what may grow are the rows of the tables, some hundred bytes a frame.
    assert peaks[4000] < peaks[40] + 4e6
