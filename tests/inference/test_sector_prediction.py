"""Bright text stands around the scan: nothing of it may be found, judged, drawn or kept."""

import runpy
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
from PIL import Image
from spots import SpotDetector, manifest_of, sweep, write_video

from wauve_dist.data.datamodules import FrameDataModule
from wauve_dist.data.decoding import VideoError
from wauve_dist.inference.prediction import predict
from wauve_dist.inference.video_prediction import Models, PredictionSettings
from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.structures.sectors import Sector
from wauve_dist.structures.tables import SECTOR_COLUMNS, TRACKS, TableError, read_table
from wauve_dist.tasks.detection import DetectionTask
from wauve_dist.tracking.linker import LinkerSettings

SECTOR = Sector(18, 14, 110, 86)
SETTINGS = PredictionSettings(LinkerSettings(), batch_size=8, call_threshold=0.5, model="spots", overlay=False)


class WatchedDetector(SpotDetector):
    """Remembers the frames that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def detect(self, frames):
        self.seen.append(frames)
        return super().detect(frames)


def screens(num_frames=10):
    """A lesion near the corner of the sector, so that pictures and crops reach out of it, and text around."""
    frames = sweep(num_frames, [(0, num_frames, 20, 16, 24, 180)])
    text = np.zeros(frames.shape[1:], bool)
    text[2:12, 10:100] = text[30:60, 2:16] = text[89:94, 40:120] = True
    frames[:, text] = 255
    return frames


def masked(frames):
    return np.stack([SECTOR.blacken_around(frame) for frame in frames])


def run(folder, frames, detector, classifier, sector=None, overlay=False):
    manifest = manifest_of([write_video(folder / "a.avi", frames)])
    if sector:
        manifest[list(SECTOR_COLUMNS)] = [sector]
    predict(manifest, lambda _: Models(detector, classifier), 1, folder / "out", replace(SETTINGS, overlay=overlay), {})
    return folder / "out"


def test_all_comes_out_as_from_a_video_that_is_black_around_the_sector(tmp_path, classifier):
    classifier.hparams = type(classifier.hparams)(crop_size=32, roi_context=1.5)
    detector = WatchedDetector()
    found = run(tmp_path / "found", screens(), detector, classifier, SECTOR, overlay=True)
    expected = run(tmp_path / "expected", masked(screens()), SpotDetector(), classifier, overlay=True)
    assert {tuple(batch.shape[1:]) for batch in detector.seen} == {(72, 92)}
    assert max(int(batch.max()) for batch in detector.seen) == 180
    tracks = read_table(found / "tracks.parquet", TRACKS)
    assert tracks[["x1", "y1", "x2", "y2"]].drop_duplicates().to_numpy().tolist() == [[20, 16, 44, 40]]
    for table in ("detections", "tracks", "clips"):
        pd.testing.assert_frame_equal(*(pd.read_parquet(out / f"{table}.parquet") for out in (found, expected)))
    for picture in ("thumbnails/a.jpg", "contact_sheets/a.jpg"):
        assert (found / picture).read_bytes() == (expected / picture).read_bytes()
    with av.open(found / "overlays" / "a.mp4") as ours, av.open(expected / "overlays" / "a.mp4") as theirs:
        for frame, wanted in zip(ours.decode(video=0), theirs.decode(video=0), strict=True):
            np.testing.assert_array_equal(frame.to_ndarray(), wanted.to_ndarray())


def test_the_text_would_be_found_and_shown_without_a_sector(tmp_path, classifier):
    out = run(tmp_path, screens(), SpotDetector(), classifier)
    assert len(read_table(out / "tracks.parquet", TRACKS)["track_id"].unique()) == 4
    assert (np.asarray(Image.open(out / "thumbnails" / "a.jpg").convert("L"))[8:28, 60:240] > 200).mean() > 0.9


def test_sectors_that_do_not_fit_are_refused_before_anything_is_computed(tmp_path):
    paths = [write_video(tmp_path / f"{name}.avi", sweep(3, [])) for name in "abc"]
    manifest = manifest_of(paths)
    manifest[list(SECTOR_COLUMNS)] = [(0, 0, 129, 96), SECTOR, (20, 0, 10, 96)]
    with pytest.raises(VideoError, match=r"(?s)'a': .* = 0, 0, 129, 96 is no rectangle within its 128x96.*'c': .* 20"):
        predict(manifest, pytest.fail, 1, tmp_path / "out", SETTINGS, {})
    manifest.loc[0, list(SECTOR_COLUMNS)] = np.nan
    with pytest.raises(TableError, match="for 2 of 3 videos; the first without is 'a'"):
        predict(manifest, pytest.fail, 1, tmp_path / "out", SETTINGS, {})


def trained(folder, manifest):
    """A real detector, trained for one step."""
    listed = [(video, frame, 128, 96) for video in ("a", "b") for frame in range(2)]
    boxes = [(video, frame, 0, 1, 20, 16, 44, 40) for video, frame, _, _ in listed]
    columns = ["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]
    annotations = Annotations(
        pd.DataFrame(listed, columns=["video_id", "frame", "width", "height"]), pd.DataFrame(boxes, columns=columns)
    )
    write_annotations(annotations, folder / "annotations.json", {})
    anchors = {"anchor_sizes": [12, 24, 40, 64, 96], "anchor_ratios": [1.0], "num_proposals": 5, "num_sampled_rois": 8}
    judging = {"score_threshold": 0.05, "nms_iou": 0.5, "max_detections": 1}
    steps = {"optimizer": "adamw", "lr": 1e-3, "lr_batch_size": None, "weight_decay": 0.0}
    task = DetectionTask(64, **anchors, **judging, **steps, schedule="cosine", warmup_fraction=0.0)
    data = FrameDataModule(str(manifest), str(folder / "annotations.json"), 2, 2, 0, seed=1, cache_dir=None)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        limit_val_batches=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **quiet,
    )
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(path := folder / f"{manifest.stem}.ckpt")
    return path


def test_a_detector_predicts_on_what_it_was_trained_on_or_not_at_all(tmp_path, capsys):
    for name in "ab":
        write_video(tmp_path / f"{name}.avi", screens(2))
    whole = pd.DataFrame({"video_id": ["a", "b"], "patient_id": ["a", "b"], "path": ["a.avi", "b.avi"]})
    whole["split"] = ["train", "val"]
    whole.to_csv(tmp_path / "whole.csv", index=False)
    whole.assign(**dict(zip(SECTOR_COLUMNS, SECTOR, strict=True))).to_csv(tmp_path / "cut.csv", index=False)
    launch = runpy.run_path(str(Path(__file__).parents[2] / "launch" / "predict.py"))["main"]
    checkpoints = {name: trained(tmp_path, tmp_path / f"{name}.csv") for name in ("whole", "cut")}
    said = {}
    for name, checkpoint in checkpoints.items():
        for videos in ("whole", "cut"):
            out = tmp_path / f"{name}_{videos}"
            arguments = [
                "--videos",
                tmp_path / f"{videos}.csv",
                "--detector",
                checkpoint,
                "--out",
                out,
                "--device",
                "cpu",
            ]
            assert launch([str(argument) for argument in arguments]) == (0 if videos == name else 2)
            assert out.exists() == (videos == name)
            said[name, videos] = capsys.readouterr().err
    assert "cut.ckpt: was trained on frames cut to their sectors, and --videos gives none" in said["cut", "whole"]
    assert "whole.ckpt: was trained on whole frames" in said["whole", "cut"]
