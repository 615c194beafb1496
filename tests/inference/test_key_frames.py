"""Judging key frames, and judging tracks that were found before."""

import pandas as pd
import pytest
from spots import BrightnessClassifier, SpotDetector, manifest_of, sweep, write_video

from wauve_dist.inference.prediction import predict
from wauve_dist.inference.video_prediction import Models, PredictionSettings
from wauve_dist.structures.clips import ClipRule
from wauve_dist.structures.tables import CLIPS, PREDICTIONS, TRACKS, read_table
from wauve_dist.tracking.linker import LinkerSettings

SETTINGS = PredictionSettings(LinkerSettings(), batch_size=8, call_threshold=0.5, model="spots", overlay=False)


class ImageClassifier(BrightnessClassifier):
    def __init__(self, inputs, key_frames="largest"):
        super().__init__()
        self.clip_rule = ClipRule(1, inputs, key_frames)


@pytest.fixture
def video(tmp_path):
    # A spot of 24 pixels in 25 frames that grows to 30 in frame 11 and, brighter, to 28 in frame 22.
    frames = sweep(40, [(5, 30, 20, 30, 24, 153), (11, 12, 20, 30, 30, 153), (22, 23, 20, 30, 28, 204)])
    return write_video(tmp_path / "a.avi", frames)


def run(tmp_path, video, classifier, out="out", detector=None, tracks=None, **columns):
    source = tmp_path / "manifest.csv"
    manifest = manifest_of([video], **columns)
    manifest.to_csv(source, index=False)
    models = Models(detector, classifier)
    predict(manifest, lambda _: models, 1, tmp_path / out, SETTINGS, {"videos": source}, tracks)
    return read_table(tmp_path / out / "clips.parquet", CLIPS)


@pytest.mark.parametrize(
    ("classifier", "frames"),
    [
        (ImageClassifier("one_key_frame"), [11]),
        (ImageClassifier("two_key_frames"), [11, 22]),
        (ImageClassifier("one_key_frame", "most_confident"), [22]),
        (ImageClassifier("two_key_frames", "manifest"), [7, 28]),
        (ImageClassifier("all"), list(range(5, 30))),
    ],
)
def test_the_video_s_score_is_the_mean_over_what_is_judged(tmp_path, video, classifier, frames):
    clips = run(tmp_path, video, classifier, detector=SpotDetector(), key_frames="7 28")
    assert clips["start_frame"].tolist() == frames
    assert all(shape[1:] == (1, 32, 32) for shape in classifier.shapes)
    # The spot fills its crop; the rim mixes with the background a little.
    expected = [0.8 if frame == 22 else 0.6 for frame in frames]
    assert clips["score"].to_numpy() == pytest.approx(expected, abs=0.04)
    row = read_table(tmp_path / "out" / "predictions.csv", PREDICTIONS).iloc[0]
    assert row["score"] == pytest.approx(clips["score"].mean(), abs=1e-12)
    assert row["num_clips"] == len(frames)


def test_key_frames_that_the_manifest_lacks_are_asked_for_before_anything_is_computed(tmp_path, video):
    detector = SpotDetector()
    with pytest.raises(ValueError, match="1 of 1 videos have no key frame"):
        run(tmp_path, video, ImageClassifier("one_key_frame", "manifest"), detector=detector)
    assert detector.batch_sizes == []


def test_known_tracks_give_the_scores_of_the_detector_that_found_them(tmp_path, video):
    first = run(tmp_path, video, BrightnessClassifier(), "first", detector=SpotDetector())
    tracks = read_table(tmp_path / "first" / "tracks.parquet", TRACKS)
    second = run(tmp_path, video, BrightnessClassifier(), "second", tracks=tracks)
    pd.testing.assert_frame_equal(first, second)
    assert not (tmp_path / "second" / "detections.parquet").exists()
    again = read_table(tmp_path / "second" / "tracks.parquet", TRACKS)
    pd.testing.assert_frame_equal(tracks, again)


def test_a_video_that_known_tracks_lack_has_no_lesion(tmp_path, video):
    clips = run(tmp_path, video, BrightnessClassifier(), tracks=read_no_tracks())
    assert clips.empty
    row = read_table(tmp_path / "out" / "predictions.csv", PREDICTIONS).iloc[0]
    assert pd.isna(row["score"])


def read_no_tracks():
    columns = ["video_id", "track_id", "frame", "x1", "y1", "x2", "y2", "score", "interpolated"]
    return TRACKS.validate(pd.DataFrame([("other", 0, 0, 1, 1, 2, 2, 0.5, False)], columns=columns))
