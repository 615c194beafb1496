from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from barcodes import write_video
from PIL import Image, ImageFilter

from wauve_dist.data.linting.benchmark import benchmark_linter
from wauve_dist.data.linting.duplicates import duplicate_findings, shared_frames
from wauve_dist.data.linting.frame_hashes import hash_videos
from wauve_dist.structures.annotations import Annotations


def scan(seed, size=(160, 128)):
    """Smooth noise, as varied as tissue at the scale of the hashes."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32), np.uint8))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(4)))


@pytest.fixture
def archive(tmp_path):
    """Six videos of 8 frames: b repeats 3 frames of a, c shows 5 of a at another quality, e and f start black."""
    black = np.zeros((128, 160), np.uint8)
    videos = {
        "a": [scan(number) for number in range(8)],
        "b": [scan(number) for number in (100, 101, 2, 3, 4, 102, 103, 104)],
        "c": [scan(number) for number in (0, 1, 2, 3, 4, 110, 111, 112)],
        "d": [scan(number) for number in range(200, 208)],
        "e": [black, black, *(scan(number) for number in range(300, 306))],
        "f": [black, black, *(scan(number) for number in range(400, 406))],
    }
    lossless = {name: write_video(tmp_path / f"{name}.avi", frames, "ffv1", "gray") for name, frames in videos.items()}
    write_video(tmp_path / "c.avi", videos["c"], "mjpeg", "yuvj420p")
    return pd.DataFrame(
        {
            "video_id": list(videos),
            "patient_id": ["p1", "p2", "p1", "p3", "p4", "p5"],
            "path": [str(path) for path in lossless.values()],
            "label": pd.array([0, 1, 0, 0, 1, 1], "Int64"),
            "split": ["train", "test", "train", "val", "train", "test"],
        }
    )


@pytest.fixture
def hashes(archive):
    return hash_videos([Path(path) for path in archive["path"]], num_workers=1)


def test_shared_frames_are_counted_per_pair_of_videos(hashes):
    table = shared_frames(hashes).set_index(["first", "second"])
    assert table.index.tolist() == [(0, 1), (0, 2), (1, 2)]
    assert table.loc[(0, 1), ["num_first", "num_second", "num_identical"]].tolist() == [3, 3, 3]
    assert table.loc[(0, 1), ["first_frame", "second_frame"]].tolist() == [2, 2]
    assert table.loc[(0, 2), ["num_first", "num_second", "num_identical"]].tolist() == [5, 5, 0]
    assert table.loc[(1, 2), ["num_first", "num_second"]].tolist() == [3, 3]


def test_blank_frames_are_counted_but_never_compared(hashes):
    assert hashes.num_frames.tolist() == [8] * 6
    assert (hashes.videos == 4).sum() == 6
    assert hashes.sizes.tolist() == [[160, 128]] * 6


def test_duplicates_are_reported_by_what_they_cross(archive, hashes):
    found = {(f.check, f.video_id, f.other_video_id): f for f in duplicate_findings(archive, hashes)}
    assert set(found) == {
        (f"duplicate-across-{what}", *pair) for what in ("splits", "labels") for pair in (("a", "b"), ("b", "c"))
    }
    worst = found["duplicate-across-splits", "a", "b"]
    assert worst.severity == "error"
    assert worst.message == "3 of 8 frames are in 'b' too, 3 of them identical; split train here, test there."


def test_a_video_without_a_lesion_that_shows_what_is_one_elsewhere_is_an_error(archive, hashes):
    def found(*boxes):
        frames = pd.DataFrame([(video, 2) for video in "abcd"], columns=["video_id", "frame"])
        annotations = Annotations(frames, pd.DataFrame(boxes, columns=["video_id", "frame"]))
        return [f for f in duplicate_findings(archive, hashes, annotations) if f.check == "duplicate-across-boxes"]

    [finding] = found(("a", 2), ("a", 3), ("c", 6))
    assert (finding.severity, finding.video_id, finding.other_video_id) == ("error", "a", "b")
    assert finding.message.endswith("frames with a box: 2 here, 0 there.")
    # In the moment that a lesion comes into sight, copies may differ: b has it a frame later.
    assert found(("a", 2), ("b", 3), ("c", 2)) == []
    assert found() == []


def test_patients_are_named_where_nothing_worse_is_wrong(archive, hashes):
    harmless = archive.assign(split="train", label=pd.array([pd.NA] * 6, "Int64"))
    found = list(duplicate_findings(harmless, hashes))
    assert {(f.check, f.video_id, f.other_video_id, f.severity) for f in found} == {
        ("duplicate-across-patients", "a", "b", "warning"),
        ("duplicate-across-patients", "b", "c", "warning"),
    }


def test_one_similar_frame_in_a_long_video_is_a_warning(archive, hashes):
    long = hashes._replace(num_frames=hashes.num_frames * 10)
    severities = {(f.video_id, f.other_video_id): f.severity for f in duplicate_findings(archive, long)}
    assert severities == {("a", "b"): "error", ("b", "c"): "warning"}  # identical frames stay an error


def test_frames_are_compared_as_all_pairs_would(hashes):
    """On random hashes, with as many near pairs as the index can meet."""
    rng = np.random.default_rng(3)
    centres = rng.integers(0, 2**64, (40, 2), np.uint64)
    count = 120
    near = centres[rng.integers(0, 40, count)] ^ (np.uint64(1) << rng.integers(0, 64, (count, 2), np.uint64))
    videos = np.sort(rng.integers(0, 30, count)).astype(np.int32)
    pixels = rng.integers(0, 2**64, count, np.uint64)
    simulated = hashes._replace(
        videos=videos, frames=np.arange(count, dtype=np.int32), pixels=pixels, pictures=near[:, 0], downward=near[:, 1]
    )
    expected = {
        (int(videos[i]), int(videos[j]))
        for i in range(count)
        for j in range(count)
        if videos[i] < videos[j]
        and (int(near[i, 0]) ^ int(near[j, 0])).bit_count() <= 6
        and (int(near[i, 1]) ^ int(near[j, 1])).bit_count() <= 14
    }
    table = shared_frames(simulated)
    assert set(zip(table["first"], table["second"], strict=True)) == expected
    assert 10 < len(expected) < 435


def test_an_unreadable_video_is_kept_with_its_reason(tmp_path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF nonsense")
    hashes = hash_videos([broken, tmp_path / "absent.avi"], num_workers=1)
    assert set(hashes.errors) == {0, 1}
    assert "there is no such video file" in hashes.errors[1]
    assert hashes.num_frames.tolist() == [0, 0]
    assert shared_frames(hashes).empty


def test_the_benchmark_finds_what_it_plants():
    speed = benchmark_linter(num_videos=120, frames_per_video=40, seed=1)
    assert (speed.num_frames, speed.num_planted, speed.num_found) == (4800, 50, 50)
    with pytest.raises(ValueError, match="give 100 or more videos of 8 or more frames"):
        benchmark_linter(num_videos=10, frames_per_video=40, seed=1)
