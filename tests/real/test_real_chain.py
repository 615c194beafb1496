"""The chain on public breast ultrasound: detector trained on BUSI, videos of the Cineclip demo set (see the README)."""

import base64
import json
import re

import pandas as pd
import pytest
from PIL import Image

pytestmark = pytest.mark.real

NUM_IMAGES = 48


@pytest.fixture(scope="module")
def detector(launch, real_data, tmp_path_factory):
    """Train for a few steps: enough for a real checkpoint, not for good boxes."""
    folder = tmp_path_factory.mktemp("detector")
    busi = json.loads((real_data / "busi" / "annotations.json").read_text())
    busi["images"] = busi["images"][:: len(busi["images"]) // NUM_IMAGES]
    kept = {image["id"] for image in busi["images"]}
    busi["annotations"] = [box for box in busi["annotations"] if box["image_id"] in kept]
    (folder / "few.json").write_text(json.dumps(busi))
    done = launch(
        *("prepare.py", "import", "coco", "--annotations", folder / "few.json", "--images", real_data / "busi"),
        *("--out", folder / "data", "--val-fraction", 0.2, "--test-fraction", 0),
    )
    assert done.returncode == 0, done.stderr
    done = launch(
        *("train.py", "--config", "configs/detection/busi_cpu.yaml", "--out", folder / "run"),
        *(f"--data.manifest={folder / 'data' / 'manifest.csv'}", f"--data.cache_dir={folder / 'cache'}"),
        *(f"--data.annotations={folder / 'data' / 'annotations.json'}", "--model.image_size=96"),
        *("--trainer.max_epochs=2", "--data.batch_size=4"),
    )
    assert done.returncode == 0, done.stderr
    return folder / "run" / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def classifier(launch, tiny_study_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    done = launch(
        *("train.py", "--config", "configs/classification/demo.yaml", "--out", folder / "run"),
        *(f"--data.manifest={tiny_study_data / 'manifest.csv'}", f"--data.cache_dir={folder / 'cache'}"),
        *(f"--data.tracks={tiny_study_data / 'tracks' / 'tracks.parquet'}", "--trainer.max_steps=2"),
        "--trainer.check_val_every_n_epoch=1",
    )
    assert done.returncode == 0, done.stderr
    return folder / "run" / "checkpoints" / "best.ckpt"


def test_real_videos_come_out_once_each_with_pictures_of_real_frames(launch, real_data, detector, classifier, tmp_path):
    manifest = pd.read_csv(real_data / "cine" / "manifest.csv", dtype={"video_id": str})
    shortest = manifest.sort_values("num_frames").groupby("label").head(2)
    shortest = shortest.assign(path=[str(real_data / "cine" / path) for path in shortest["path"]])
    shortest.to_csv(tmp_path / "manifest.csv", index=False)

    done = launch(
        *("predict.py", "--videos", tmp_path / "manifest.csv", "--detector", detector, "--classifier", classifier),
        *("--out", tmp_path / "predictions", "--new-score", 0.06),
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    predictions = pd.read_csv(tmp_path / "predictions" / "predictions.csv")
    assert predictions["video_id"].tolist() == shortest["video_id"].tolist()
    assert predictions["codec"].tolist() == ["msmpeg4v2"] * 4  # what the manifest adds is kept
    for video_id in shortest["video_id"]:
        with Image.open(tmp_path / "predictions" / "thumbnails" / f"{video_id}.jpg") as picture:
            assert picture.convert("L").getextrema()[1] > 128  # a frame, not a black card

    done = launch(
        *("evaluate.py", "--predictions", tmp_path / "predictions" / "predictions.csv"),
        *("--threshold", 0.5, "--resamples", 200, "--out", tmp_path / "report"),
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (metrics["n"], metrics["positives"], metrics["patients"]) == (4, 2, shortest["patient_id"].nunique())
    page = (tmp_path / "report" / "report.html").read_text()
    pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    thumbnails = {path.read_bytes() for path in (tmp_path / "predictions" / "thumbnails").iterdir()}
    assert {base64.b64decode(picture) for picture in pictures} == thumbnails
