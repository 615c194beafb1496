import os

import numpy as np
import pytest
from barcodes import barcode, write_video
from PIL import Image

from wauve_dist.data.video_health import diagnose, examine_video

BLACK = np.zeros((64, 128), np.uint8)


def sweep(count):
    return [barcode(1 + number) for number in range(count)]  # number 0 has no bars, so it is black


def examined(path):
    health = examine_video(path)
    return health, {
        (problem.severity, problem.kind): problem for problem in diagnose(health, path.parent / "manifest.csv")
    }


def test_a_video_that_any_decoder_reads_has_no_problem(tmp_path):
    path = write_video(tmp_path / "good.avi", sweep(20), "libx264", "yuv420p", {"g": "8", "bf": "0"})
    health, problems = examined(path)
    assert problems == {}
    assert health.num_decoded == health.container.num_packets == 20
    assert (health.width, health.height, health.num_black, health.longest_freeze) == (128, 64, 0, 1)
    assert (health.container.container, health.container.codec, health.container.pixel_format) == (
        "avi",
        "h264",
        "yuv420p",
    )
    assert (health.container.fps, health.container.has_constant_rate) == (25.0, True)
    assert health.container.max_key_distance == 8


@pytest.mark.parametrize(
    ("codec", "pixels", "kind"),
    [
        ("msmpeg4v2", "yuv420p", "codec msmpeg4v2"),
        ("ffv1", "gray", "codec ffv1"),
        ("libx264", "yuv444p", "pixel format yuv444p"),
        ("libx264", "yuv420p10le", "pixel format yuv420p10le"),
    ],
)
def test_what_the_gpu_cannot_decode_is_a_warning_with_a_command(tmp_path, codec, pixels, kind):
    options = {"bf": "0"} if codec == "libx264" else {}
    path = write_video(tmp_path / "video.avi", sweep(6), codec, pixels, options)
    problem = examined(path)[1]["warning", kind]
    assert "NVDEC" in problem.consequence
    assert problem.remedy.startswith(f"launch/prepare.py transcode --manifest {tmp_path}/manifest.csv --out ")


def test_the_command_for_a_read_only_archive_writes_elsewhere(tmp_path, monkeypatch):
    path = write_video(tmp_path / "video.avi", sweep(6), "ffv1", "gray")
    monkeypatch.setattr(os, "access", lambda folder, mode: (folder, mode) != (tmp_path, os.W_OK))
    assert " --out transcoded, and use" in examined(path)[1]["warning", "codec ffv1"].remedy


def test_a_variable_frame_rate_is_seen_and_rounding_to_milliseconds_is_not_one(tmp_path):
    times = [0, 1, 2, 5, 6, 9, 10, 11]
    path = write_video(tmp_path / "gaps.mkv", sweep(8), "libx264", "yuv420p", {"bf": "0"}, times=times)
    assert ("warning", "variable frame rate") in examined(path)[1]
    even = write_video(tmp_path / "even.mkv", sweep(8), "libx264", "yuv420p", {"bf": "2"}, times=list(range(8)))
    assert ("warning", "variable frame rate") not in examined(even)[1]


def test_key_frames_far_apart_are_measured(tmp_path):
    path = write_video(tmp_path / "long.mp4", sweep(80), "libx264", "yuv420p", {"g": "250", "sc_threshold": "0"})
    health, problems = examined(path)
    assert health.container.max_key_distance == 80
    assert "Up to 80 frames" in problems["warning", "key frames far apart"].consequence


def test_an_unreadable_tail_is_a_fault_that_says_how_much_is_left(tmp_path):
    path = write_video(tmp_path / "cut.mkv", sweep(60))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    problem = examined(path)[1]["fault", "unreadable"]
    assert "truncated" in problem.remedy
    assert "Training stops at this video" in problem.consequence


def test_damage_in_the_middle_tells_how_far_decoding_came(tmp_path):
    path = write_video(tmp_path / "holed.avi", sweep(40))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    health, problems = examined(path)
    assert 0 < health.num_decoded < 40
    assert f"its first {health.num_decoded} of " in problems["fault", "unreadable"].consequence


def test_missing_and_empty_files_are_faults(tmp_path):
    (tmp_path / "empty.avi").touch()
    for name in ("empty.avi", "absent.avi"):
        health, problems = examined(tmp_path / name)
        assert list(problems) == [("fault", "unreadable")]
        assert health.container is None


def test_black_and_frozen_frames_are_counted(tmp_path):
    path = write_video(tmp_path / "some.avi", [BLACK, BLACK, *sweep(4), *[barcode(9)] * 9], "ffv1", "gray")
    health, problems = examined(path)
    assert (health.num_black, health.longest_freeze) == (2, 9)
    assert problems["warning", "black frames"].consequence == "2 of 15 frames hold nothing."
    assert "9 frames in a row" in problems["warning", "frozen frames"].consequence
    path = write_video(tmp_path / "night.avi", [BLACK] * 4, "ffv1", "gray")
    assert ("fault", "black from start to end") in examined(path)[1]


def test_images_have_no_container_and_no_clock(tmp_path):
    Image.fromarray(barcode(3)).save(tmp_path / "one.png")
    health, problems = examined(tmp_path / "one.png")
    assert (health.container, health.num_decoded, problems) == (None, 1, {})
