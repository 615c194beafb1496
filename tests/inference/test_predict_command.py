"""The command as a person runs it, on real models with random weights."""

import runpy
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from spots import sweep, write_video

from wauve_dist.inference.checkpoints import CheckpointError, load_task, pick_device, run_name
from wauve_dist.models.classifiers.i3d import I3DResNet50
from wauve_dist.models.classifiers.resnet import ResNet50
from wauve_dist.structures.tables import CLIPS, PREDICTIONS, TRACKS, read_table
from wauve_dist.tasks.classification import ClassificationTask
from wauve_dist.tasks.detection import DetectionTask
from wauve_dist.tracking.linker import LinkerSettings

LAUNCHER = Path(__file__).parents[2] / "launch" / "predict.py"
OPTIMISER = {
    "optimizer": "adamw",
    "lr": 1e-3,
    "lr_batch_size": None,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "warmup_fraction": 0.0,
}


def _save(task, path):
    path.parent.mkdir(parents=True)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    detector = DetectionTask(
        image_size=128,
        anchor_sizes=[12, 24, 40, 64, 96],
        anchor_ratios=[1.0],
        num_proposals=5,
        num_sampled_rois=8,
        score_threshold=0.05,
        nms_iou=0.5,
        max_detections=1,
        **OPTIMISER,
    )
    classifier = ClassificationTask(I3DResNet50(dropout=0.0), crop_size=64, roi_context=1.5, **OPTIMISER)
    image_network = ClassificationTask(
        ResNet50(dropout=0.0), crop_size=64, roi_context=1.5, inputs="two_key_frames", **OPTIMISER
    )
    return (
        _save(detector, folder / "detector" / "checkpoints" / "best.ckpt"),
        _save(classifier, folder / "i3d" / "checkpoints" / "best.ckpt"),
        _save(image_network, folder / "resnet" / "checkpoints" / "best.ckpt"),
    )


def _predict(*arguments):
    """Run the launcher in this process, which has paid for importing torch; return its exit status."""
    return runpy.run_path(str(LAUNCHER))["main"]([str(argument) for argument in arguments])


def test_a_folder_of_videos_to_tables_pictures_and_overlays(tmp_path, checkpoints, capsys):
    write_video(tmp_path / "in" / "a.avi", sweep(9, [(0, 9, 20, 30, 24, 200)]))
    write_video(tmp_path / "in" / "deep" / "b.avi", sweep(9, []))
    detector, classifier, _ = checkpoints
    status = _predict(
        *("--videos", tmp_path / "in", "--detector", detector, "--classifier", classifier, "--out", tmp_path / "out"),
        *("--device", "cpu", "--overlay", "--new-score", 0.06),
    )
    assert status == 0
    predictions = read_table(tmp_path / "out" / "predictions.csv", PREDICTIONS)
    assert predictions["video_id"].tolist() == ["a", "deep/b"]
    assert set(predictions["model"]) == {"i3d"}
    assert (tmp_path / "out" / "overlays" / "deep" / "b.mp4").is_file()
    assert (tmp_path / "out" / "contact_sheets" / "deep" / "b.jpg").is_file()
    said = capsys.readouterr().err.split("No lesion found in")[-1]
    for video_id in predictions.loc[predictions["num_clips"] == 0, "video_id"]:
        assert video_id in said

    assert _predict("--videos", tmp_path / "in", "--detector", detector, "--out", tmp_path / "tracks") == 0
    read_table(tmp_path / "tracks" / "tracks.parquet", TRACKS)
    assert not (tmp_path / "tracks" / "predictions.csv").exists()


def test_an_image_network_judges_key_frames_of_tracks_that_were_found_before(tmp_path, checkpoints, capsys):
    video = write_video(tmp_path / "a.avi", sweep(12, [(0, 12, 20, 30, 24, 200)]))
    corners = {"x1": 20.0, "y1": 30.0, "x2": [44.0, 44, 44, 44, 44, 44, 44, 50, 44, 44, 44, 44], "y2": 54.0}
    tracks = pd.DataFrame({"video_id": "a", "track_id": 0, "frame": range(12), **corners, "score": 0.9})
    tracks.assign(interpolated=False).to_parquet(tmp_path / "tracks.parquet")
    options = ("--videos", video, "--tracks", tmp_path / "tracks.parquet", "--device", "cpu")
    chosen = {"one_key_frame": [7], "all": list(range(12))}
    for inputs, frames in chosen.items():
        out = tmp_path / inputs
        assert _predict(*options, "--classifier", checkpoints[2], "--inputs", inputs, "--out", out) == 0
        clips = read_table(out / "clips.parquet", CLIPS)
        assert clips["start_frame"].tolist() == frames
        [score] = read_table(out / "predictions.csv", PREDICTIONS)["score"]
        assert score == pytest.approx(clips["score"].mean(), abs=1e-12)
    as_validated = tmp_path / "as_validated"
    assert _predict(*options, "--classifier", checkpoints[2], "--out", as_validated) == 0
    assert len(read_table(as_validated / "clips.parquet", CLIPS)) == 2

    refused = {
        (checkpoints[1], "one_key_frame"): "the network takes 8 adjacent frames",
        (checkpoints[2], "two_key_frames", "--key-frames", "manifest"): "1 of 1 videos have no key frame",
    }
    for (checkpoint, *inputs), words in refused.items():
        status = _predict(*options, "--classifier", checkpoint, "--out", tmp_path / "no", "--inputs", *inputs)
        assert status == 2
        said = capsys.readouterr().err
        assert words in said
        assert "Traceback" not in said
    with pytest.raises(SystemExit, match="2"):
        _predict(*options, "--detector", checkpoints[0], "--classifier", checkpoints[1], "--out", tmp_path / "no")
    assert "give either --detector or --tracks" in capsys.readouterr().err


def test_bad_input_ends_with_status_2_one_message_and_no_output(tmp_path, checkpoints, capsys):
    text = tmp_path / "in" / "text.avi"
    text.parent.mkdir()
    text.write_text("not a video")
    assert _predict("--videos", text.parent, "--detector", checkpoints[0], "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "error: Video 'text'" in said
    assert str(text) in said
    assert "Traceback" not in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_an_overlay_needs_scores(capsys):
    with pytest.raises(SystemExit, match="2"):
        _predict("--videos", "a.avi", "--detector", "d.ckpt", "--out", "out", "--overlay")
    assert "needs --classifier" in capsys.readouterr().err


def test_help_answers_within_a_second():
    start_s = time.monotonic()
    shown = subprocess.run([sys.executable, LAUNCHER, "--help"], capture_output=True, text=True, check=True)
    assert time.monotonic() - start_s < 1
    assert "--videos" in shown.stdout


def test_help_states_the_linker_s_own_defaults(capsys):
    with pytest.raises(SystemExit, match="0"):
        _predict("--help")
    words = " ".join(capsys.readouterr().out.split())
    for name, value in asdict(LinkerSettings()).items():
        line = words.split(f"--{name.replace('_', '-')} ")[-1]
        assert line[: line.index(")")].endswith(f"(default: {value:g}")


def test_checkpoints_that_cannot_be_used_name_flag_file_and_remedy(tmp_path, checkpoints):
    cpu = torch.device("cpu")
    with pytest.raises(CheckpointError, match=r"--detector .*gone.ckpt: there is no such file"):
        load_task(DetectionTask, tmp_path / "gone.ckpt", "--detector", cpu)
    for content in (b"", b"no checkpoint"):
        (tmp_path / "text.ckpt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"--detector .*text.ckpt: is not a checkpoint of DetectionTask"):
            load_task(DetectionTask, tmp_path / "text.ckpt", "--detector", cpu)
    detector, classifier, _ = checkpoints
    with pytest.raises(CheckpointError, match="is not a checkpoint of DetectionTask"):
        load_task(DetectionTask, classifier, "--detector", cpu)
    with pytest.raises(CheckpointError, match="is not a checkpoint of ClassificationTask"):
        load_task(ClassificationTask, detector, "--classifier", cpu)


def test_a_loaded_model_is_ready_and_the_same(checkpoints):
    task = load_task(ClassificationTask, checkpoints[1], "--classifier", torch.device("cpu"))
    assert not task.training
    assert (task.hparams.crop_size, task.hparams.roi_context) == (64, 1.5)
    weights = torch.load(checkpoints[1], weights_only=True)["state_dict"]
    for name, value in task.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)


def test_a_model_is_called_by_its_run_folder(tmp_path):
    assert run_name(tmp_path / "i3d" / "checkpoints" / "best.ckpt") == "i3d"
    assert run_name(tmp_path / "mine.ckpt") == "mine"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device_is_refused():
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(CheckpointError, match="--device cuda"):
        pick_device("cuda")
