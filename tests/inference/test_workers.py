"""Predictions of several processes are those of one."""

import multiprocessing
import os
import signal
from dataclasses import replace

import pandas as pd
import pytest
from spots import AttendingClassifier, BrightnessClassifier, SpotDetector, manifest_of, sweep, write_video
from test_prediction import SETTINGS, TABLES

from wauve_dist.inference.prediction import predict
from wauve_dist.inference.video_prediction import Models


def load_spot_models(_):
    return Models(SpotDetector(), BrightnessClassifier())


class DyingDetector(SpotDetector):
    def detect(self, frames):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(frames)


def load_dying_models(_):
    return Models(DyingDetector(), BrightnessClassifier())


@pytest.fixture
def manifest(tmp_path):
    lengths = [9, 60, 12, 31, 8]
    videos = [
        write_video(tmp_path / f"{name}.avi", sweep(length, [(0, length, 20 + 5 * length % 50, 30, 24, 150 + length)]))
        for name, length in zip("abcde", lengths, strict=True)
    ]
    manifest_of(videos).to_csv(tmp_path / "manifest.csv", index=False)
    return manifest_of(videos)


def test_the_tables_of_one_two_and_three_processes_are_the_same_bytes(manifest, tmp_path):
    made_from = {"videos": tmp_path / "manifest.csv"}
    written = []
    for num_processes in (1, 2, 3):
        out = tmp_path / f"out{num_processes}"
        predict(manifest, load_spot_models, num_processes, out, replace(SETTINGS, overlay=True), made_from)
        files = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != ".mp4")
        written.append({str(path.relative_to(out)): path.read_bytes() for path in files})
        assert len(list((out / "overlays").iterdir())) == 5
    assert written[0].keys() >= {*TABLES, "thumbnails/a.jpg"}
    assert written[0] == written[1] == written[2]
    assert pd.read_csv(tmp_path / "out3" / "predictions.csv")["video_id"].tolist() == list("abcde")


def load_attending_models(_):
    return Models(SpotDetector(), AttendingClassifier())


def test_weights_of_clips_do_not_depend_on_the_processes(manifest, tmp_path):
    made_from = {"videos": tmp_path / "manifest.csv"}
    for num_processes in (1, 2):
        predict(manifest, load_attending_models, num_processes, tmp_path / f"out{num_processes}", SETTINGS, made_from)
    for name in ("clips.parquet", "predictions.csv"):
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out2" / name).read_bytes()


def test_a_killed_process_ends_the_prediction_with_a_remedy_and_leaves_nothing(manifest, tmp_path):
    with pytest.raises(ChildProcessError, match="Use fewer --processes or a smaller --batch-size"):
        predict(manifest, load_dying_models, 2, tmp_path / "out", SETTINGS, {"videos": tmp_path / "manifest.csv"})
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
