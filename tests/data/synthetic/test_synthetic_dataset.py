"""The data set on disk."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from wauve_dist.data.synthetic.cohort import draw_case
from wauve_dist.data.synthetic.dataset import SyntheticDataError, generate
from wauve_dist.data.synthetic.rendering import VideoSettings, write_video
from wauve_dist.data.synthetic.video import SyntheticVideo
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.provenance import read_provenance
from wauve_dist.structures.tables import read_manifest

SMALL = VideoSettings(frame_size=96, min_frames=16, max_frames=20)
LAUNCHER = Path(__file__).parents[3] / "launch" / "prepare.py"


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "data"
    generate(out, num_videos=12, seed=4, settings=SMALL, num_workers=2)
    return out


def test_tables_read_back_and_agree_with_each_other_and_the_videos(data_set):
    manifest = read_manifest(data_set / "manifest.csv")
    annotations = read_annotations(data_set / "annotations.json")
    assert len(manifest) == 12
    assert set(manifest["split"]) == {"train", "val", "test"}
    assert list(annotations.frames["video_id"].unique()) == sorted(manifest["video_id"])
    labels = manifest.set_index("video_id")["label"]
    assert (annotations.boxes["category_id"] == 1 + annotations.boxes["video_id"].map(labels)).all()
    for row in manifest.itertuples():
        frames = annotations.frames[annotations.frames["video_id"] == row.video_id]
        with av.open(row.path) as container:
            assert len(frames) == sum(1 for _ in container.decode(video=0))
        shown = annotations.boxes.loc[annotations.boxes["video_id"] == row.video_id, "frame"]
        assert shown.min() > 0
        assert shown.max() < len(frames) - 1


def test_provenance_names_seed_and_settings(data_set):
    record = read_provenance(data_set / "manifest.csv")
    assert record is not None
    assert record["settings"] == {"seed": 4, "num_videos": 12, **vars(SMALL)}


def test_a_video_depends_neither_on_workers_nor_on_the_size_of_the_data_set(data_set, tmp_path):
    generate(tmp_path / "less", num_videos=4, seed=4, settings=SMALL, val_fraction=0, test_fraction=0.5, num_workers=1)
    for name in ("v00000.avi", "v00001.avi"):
        assert (tmp_path / "less" / "videos" / name).read_bytes() == (data_set / "videos" / name).read_bytes()


@pytest.mark.parametrize("codec", ["mjpeg", "h264", "mpeg4"])
def test_every_codec_decodes_to_the_frames_that_went_in(codec, tmp_path):
    settings = VideoSettings(frame_size=96, min_frames=18, max_frames=18, codec=codec)
    case = draw_case(4, 0)
    write_video(case, settings, tmp_path)
    with av.open(str(tmp_path / "v00000.avi")) as container:
        assert container.streams.video[0].codec_context.name == codec
        decoded = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(float)
    rendered = np.stack([frame.pixels for frame in SyntheticVideo(case, 96, 18, 18)]).astype(float)
    assert decoded.shape == rendered.shape
    assert np.abs(decoded - rendered).mean() < 6  # speckle is hard to compress; another frame is 17 and more away
    # Nor is one frame shown in another's place.
    distance = np.abs(decoded[:, None] - rendered[None]).mean(axis=(2, 3))
    np.testing.assert_array_equal(distance.argmin(axis=1), np.arange(18))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_videos": 2}, ["--num-videos 2", "more videos"]),
        ({"settings": VideoSettings(frame_size=97)}, ["--frame-size 97", "even"]),
        ({"settings": VideoSettings(min_frames=40, max_frames=30)}, ["--min-frames 40", "--max-frames 30"]),
        ({"settings": VideoSettings(focality=1.5)}, ["--focality 1.5", "0 to 1"]),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, ["--val-fraction 0.6", "below 1"]),
        ({"seed": -1, "settings": VideoSettings(codec="vp9")}, ["--seed -1", "--codec vp9", "mjpeg"]),
    ],
)
def test_bad_settings_are_refused_with_flag_and_remedy_before_anything_is_written(changes, words, tmp_path):
    out = tmp_path / "data"
    with pytest.raises(SyntheticDataError) as caught:
        generate(**{"out": out, "num_videos": 12, "seed": 1, "settings": SMALL, **changes})
    assert all(word in str(caught.value) for word in words)
    assert not out.exists()


def test_the_launcher_answers_a_bad_setting_in_one_line(tmp_path):
    command = [sys.executable, str(LAUNCHER), "synthetic", "--out", str(tmp_path / "data"), "--num-videos", "0"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr.strip() == "error: --num-videos 0: give 1 or more"


def test_a_used_folder_is_refused(data_set):
    before = json.loads((data_set / "annotations.json").read_text())
    with pytest.raises(FileExistsError, match="already holds another run"):
        generate(data_set, num_videos=12, seed=5, settings=SMALL)
    assert json.loads((data_set / "annotations.json").read_text()) == before
