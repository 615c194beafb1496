import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from barcodes import barcode, number_of, write_video

from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.transcode_manifest import transcode_manifest
from wauve_dist.data.transcoding import TranscodeSettings
from wauve_dist.data.video_health import examine_video
from wauve_dist.structures.annotations import Annotations, read_annotations, write_annotations
from wauve_dist.structures.tables import read_manifest

SETTINGS = TranscodeSettings("h264", 45.0)
LAUNCH = Path(__file__).parents[2] / "launch" / "prepare.py"


def write_dataset(folder, num_videos=3, num_frames=20):
    """Videos whose ids are no file names, in a codec that no GPU decodes; frame k of video n shows n + k."""
    rows = []
    for number in range(num_videos):
        frames = [barcode(1 + number + index) for index in range(num_frames)]
        write_video(folder / f"{number}.avi", frames, "msmpeg4v2", "yuv420p")
        rows.append((f"site/P{number}: left", f"P{number}", f"{number}.avi", number % 2, f"note {number}"))
    table = pd.DataFrame(rows, columns=["video_id", "patient_id", "path", "label", "comment"])
    table.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


@pytest.fixture
def manifest(tmp_path):
    return write_dataset(tmp_path)


def made(out):
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in (out / "videos").glob("*.mp4")}


def test_the_command_keeps_rows_ids_and_frames_and_reports_what_it_measured(launch, manifest, tmp_path):
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    out = tmp_path / "out"
    done = launch("prepare.py", "transcode", "--manifest", manifest, "--out", out, "--num-workers", 2)
    assert done.returncode == 0, done.stderr
    assert "3 videos, 60 frames" in done.stdout
    assert {file: file.read_bytes() for file in before} == before
    original, table = read_manifest(manifest), read_manifest(out / "manifest.csv")
    pd.testing.assert_frame_equal(table.drop(columns="path"), original.drop(columns="path"))
    for number, path in enumerate(table["path"]):
        assert [number_of(frame) for frame in decode_frames(Path(path))] == list(range(1 + number, 21 + number))
    report = pd.read_csv(out / "transcoding.csv").set_index("video_id")
    assert report.index.tolist() == table["video_id"].tolist()
    assert set(report["source_codec"]) == {"msmpeg4v2"}
    assert (report["worst_psnr_db"] >= 45).all()
    assert report["num_bytes"].tolist() == [Path(path).stat().st_size for path in table["path"]]
    assert not [file for file in (out / "videos").iterdir() if file.name.startswith(".")]


def test_what_is_done_is_not_done_again_unless_original_or_result_changed(manifest, tmp_path):
    out = tmp_path / "out"
    transcode_manifest(manifest, None, out, SETTINGS, 0)
    first, report = made(out), (out / "transcoding.csv").read_bytes()
    transcode_manifest(manifest, None, out, SETTINGS, 0)
    assert made(out) == first
    assert (out / "transcoding.csv").read_bytes() == report
    results = sorted((out / "videos").glob("*.mp4"))
    results[0].write_bytes(results[0].read_bytes()[:-100])
    write_video(tmp_path / "2.avi", [barcode(9)] * 4, "msmpeg4v2", "yuv420p")
    transcode_manifest(manifest, None, out, SETTINGS, 0)
    again = made(out)
    assert [name for name in first if first[name] == again[name]] == [results[1].name]
    assert len(list(decode_frames(results[0]))) == 20
    assert [number_of(frame) for frame in decode_frames(results[2])] == [9] * 4


@pytest.mark.slow
def test_a_run_killed_at_any_moment_leaves_whole_videos_only_and_goes_on(tmp_path):
    manifest, out = write_dataset(tmp_path, num_videos=6, num_frames=60), tmp_path / "out"
    argv = [sys.executable, str(LAUNCH), "transcode", "--manifest", str(manifest), "--out", str(out)]
    argv += ["--num-workers", "2"]
    for num_wanted in (1, 3):
        run = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 120
        while len(list(out.glob("videos/*.mp4.provenance.json"))) < num_wanted and run.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        assert not (out / "manifest.csv").exists()
        for result in (out / "videos").glob("[!.]*.mp4"):
            assert len(list(decode_frames(result))) == 60
    kept = {result.name.removesuffix(".provenance.json") for result in out.glob("videos/*.provenance.json")}
    before = made(out)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(kept) >= 3
    assert {name: made(out)[name] for name in kept} == {name: before[name] for name in kept}
    assert len(read_manifest(out / "manifest.csv")) == 6
    assert len(list((out / "videos").iterdir())) == 2 * 6


def test_the_doctor_finds_a_changed_byte_that_no_decoder_sees(manifest, tmp_path):
    out = tmp_path / "out"
    transcode_manifest(manifest, None, out, SETTINGS, 0)
    result = sorted((out / "videos").glob("*.mp4"))[0]
    assert examine_video(result).error is None
    content = bytearray(result.read_bytes())
    content[content.index(b"x264") + 5] ^= 1  # in the encoder's note of itself
    result.write_bytes(content)
    assert len(list(decode_frames(result))) == 20
    assert "was changed after it was written" in examine_video(result).error


def test_all_faulty_videos_are_named_and_nothing_of_them_is_kept(manifest, tmp_path):
    whole = (tmp_path / "1.avi").read_bytes()
    (tmp_path / "1.avi").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.avi").write_text("no video")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="2 of 3 videos could not be transcoded") as caught:
        transcode_manifest(manifest, None, out, SETTINGS, 0)
    assert "1.avi: is truncated" in str(caught.value)
    assert "2.avi: is not a video file" in str(caught.value)
    assert sorted(file.name for file in (out / "videos").iterdir()) == [
        "site%2FP0%3A left.mp4",
        "site%2FP0%3A left.mp4.provenance.json",
    ]
    assert not (out / "manifest.csv").exists()
    (tmp_path / "1.avi").write_bytes(whole)
    table = pd.read_csv(manifest).drop(index=2)
    table.to_csv(manifest, index=False)
    before = made(out)
    transcode_manifest(manifest, None, out, SETTINGS, 0)
    assert before.items() <= made(out).items()
    assert len(read_manifest(out / "manifest.csv")) == 2


def test_other_settings_or_a_folder_in_use_are_refused(manifest, tmp_path):
    out = tmp_path / "out"
    transcode_manifest(manifest, None, out, SETTINGS, 0)
    with pytest.raises(ValueError, match=r"begun with .*h264.*same --codec and --min-psnr"):
        transcode_manifest(manifest, None, out, TranscodeSettings("hevc", 45.0), 0)
    before = json.dumps(sorted(str(file) for file in tmp_path.rglob("*")))
    with pytest.raises(FileExistsError, match="already holds"):
        transcode_manifest(manifest, None, tmp_path, SETTINGS, 0)
    for min_psnr in (20.0, 60.0, float("nan")):
        with pytest.raises(ValueError, match=r"--min-psnr .* must lie between 30 and 55 dB"):
            transcode_manifest(manifest, None, tmp_path / "other", TranscodeSettings("h264", min_psnr), 0)
    assert json.dumps(sorted(str(file) for file in tmp_path.rglob("*"))) == before


def test_what_a_killed_run_left_is_cleared_away_and_a_running_one_is_left_alone(tmp_path):
    write_video(tmp_path / "a.avi", [barcode(1)] * 3)
    table = pd.DataFrame({"video_id": [".hidden"], "patient_id": ["P"], "path": ["a.avi"]})
    table.to_csv(tmp_path / "manifest.csv", index=False)
    out = tmp_path / "out"
    transcode_manifest(tmp_path / "manifest.csv", None, out, SETTINGS, 0)
    (out / "videos" / ".half.k3j2.mp4").write_bytes(b"half a video")
    with (out / "settings.json").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is at work there"):
            transcode_manifest(tmp_path / "manifest.csv", None, out, SETTINGS, 0)
    assert (out / "videos" / ".half.k3j2.mp4").exists()
    transcode_manifest(tmp_path / "manifest.csv", None, out, SETTINGS, 0)
    assert sorted(made(out)) == ["%2Ehidden.mp4"]


def test_annotations_follow_with_the_size_of_padded_frames(tmp_path):
    frames = [np.tile(np.arange(127, dtype=np.uint8), (63, 1)) + number for number in range(3)]
    write_video(tmp_path / "odd.mkv", frames, "ffv1", "gray")
    table = pd.DataFrame({"video_id": ["odd"], "patient_id": ["P"], "path": ["odd.mkv"]})
    table.to_csv(tmp_path / "manifest.csv", index=False)
    box = {"video_id": ["odd"], "frame": [1], "instance_id": [1], "category_id": [2]}
    box |= {"x1": [100.0], "y1": [10.0], "x2": [127.0], "y2": [63.0]}
    listed = {"video_id": ["odd", "odd"], "frame": [0, 1], "width": [127, 127], "height": [63, 63]}
    boxes = Annotations(pd.DataFrame(listed), pd.DataFrame(box))
    write_annotations(boxes, tmp_path / "annotations.json", {})
    summary = transcode_manifest(
        tmp_path / "manifest.csv", tmp_path / "annotations.json", tmp_path / "out", SETTINGS, 1
    )
    assert "1 videos of odd size" in summary
    copied = read_annotations(tmp_path / "out" / "annotations.json")
    assert copied.frames[["width", "height"]].to_numpy().tolist() == [[128, 64], [128, 64]]
    pd.testing.assert_frame_equal(copied.boxes, read_annotations(tmp_path / "annotations.json").boxes)
