"""What the linker keeps when time runs backwards, when a video is handed over in pieces, and how long it takes."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wauve_dist.structures.boxes import Detections
from wauve_dist.tracking.benchmark import benchmark_linker
from wauve_dist.tracking.linker import Linker, link
from wauve_dist.tracking.tracks import track_rows

BOX = ["x1", "y1", "x2", "y2"]


@st.composite
def quiet_videos(draw):
    """Lesions far apart that drift slowly and are missed for up to ten frames, but neither at first nor at last."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_lesions, num_frames = draw(st.integers(1, 4)), draw(st.integers(20, 60))
    start = np.stack([300.0 * np.arange(1, num_lesions + 1), np.full(num_lesions, 200.0)], axis=1)
    speed, sides = rng.uniform(-0.7, 0.7, (num_lesions, 2)), rng.uniform(50, 90, (num_lesions, 2))
    seen = np.ones((num_frames, num_lesions), dtype=bool)
    for lesion in range(num_lesions):
        first = int(rng.integers(5, num_frames - 5))
        seen[first : min(first + int(rng.integers(0, 11)), num_frames - 5), lesion] = False
    frames = []
    for number in range(num_frames):
        middle = start + number * speed
        boxes = np.concatenate([middle - sides / 2, middle + sides / 2], axis=1)[seen[number]].astype(np.float32)
        frames.append(Detections(boxes, rng.uniform(0.3, 1, len(boxes)).astype(np.float32)))
    return frames


def by_place(rows):
    """The tracks as they lie in space and time, without their numbers."""
    tracks = [track.drop(columns="track_id").sort_values("frame") for _, track in rows.groupby("track_id")]
    return sorted((track.reset_index(drop=True) for track in tracks), key=lambda track: track["x1"].mean())


@given(quiet_videos())
@settings(max_examples=20, deadline=None)
def test_a_video_backwards_gives_the_same_tracks_backwards(frames):
    forwards, backwards = link(frames), link(frames[::-1])
    backwards["frame"] = len(frames) - 1 - backwards["frame"]
    assert forwards["track_id"].nunique() == max(len(found.scores) for found in frames)
    for one, other in zip(by_place(forwards), by_place(backwards), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=False, atol=1e-3, rtol=0)


@given(quiet_videos(), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=20, deadline=None)
def test_frames_without_boxes_before_and_after_only_shift_the_tracks(frames, before, after):
    nothing = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32))
    padded = link([nothing] * before + frames + [nothing] * after)
    expected = link(frames)
    expected["frame"] += before
    pd.testing.assert_frame_equal(padded, expected)


def test_two_videos_do_not_know_of_each_other():
    """A linker per video, fed in turns, gives what each gives alone."""
    videos = [
        [Detections(np.float32([[x + t, 10, x + t + 40, 60]]), np.float32([0.9])) for t in range(12)] for x in (0, 5)
    ]
    linkers = [Linker(), Linker()]
    for number in range(12):
        for linker, video in zip(linkers, videos, strict=True):
            assert linker.update(number, video[number]) == []
    for linker, video in zip(linkers, videos, strict=True):
        pd.testing.assert_frame_equal(track_rows(linker.finish()), link(video))


def test_the_benchmark_links_what_it_made_up_and_says_how_fast(capsys):
    speed = benchmark_linker(num_frames=80, num_boxes=20, rounds=1, seed=0)
    assert speed.num_tracks >= 18  # objects that are always there; boxes thrown anywhere may make a few more
    assert 80 / speed.frames_per_s == pytest.approx(speed.cpu_s)
    # Twenty times slower than on an idle core would be a fault whatever else runs.
    assert speed.frames_per_s > 100
    command = runpy.run_path(str(Path(__file__).parents[2] / "launch" / "benchmark.py"))["main"]
    assert command(["tracking", "--frames", "30", "--rounds", "1"]) == 0
    assert "30 frames of 20 boxes linked into" in capsys.readouterr().out
    assert command(["tracking", "--frames", "0"]) == 2
    assert "--frames 0: must be at least 1" in capsys.readouterr().err
