import multiprocessing

import numpy as np
import pandas as pd
import pytest
from barcodes import barcode, write_video

from wauve_dist.data import track_crops
from wauve_dist.data.array_cache import OnlineArray, cached_arrays, open_array
from wauve_dist.data.crop_cache import crop_recipes
from wauve_dist.data.crops import crop_roi
from wauve_dist.data.decoding import decode_frames, decode_views
from wauve_dist.data.frame_store import frame_recipes

SIZE, CONTEXT = 24, 1.5


@pytest.fixture
def videos(tmp_path):
    """Two videos of 12 frames."""
    return {
        name: write_video(tmp_path / f"{name}.mkv", [barcode(start + k) for k in range(12)], "ffv1", "gray")
        for name, start in (("a", 0), ("b", 100))
    }


@pytest.fixture
def tracks():
    """Rows out of order; video a has two tracks, c is not asked for."""
    rows = [("b", 0, frame, 10 + frame, 5, 60 + frame, 40) for frame in range(3, 12)]
    rows += [("a", 5, frame, 20, 10, 50, 30) for frame in (2, 1, 0)]
    rows += [("a", 1, frame, 80, 10, 120, 60) for frame in (1, 2)]
    rows += [("c", 0, 0, 1, 1, 5, 5)]
    return pd.DataFrame(rows, columns=["video_id", "track_id", "frame", "x1", "y1", "x2", "y2"])


def crop_paths(videos, tracks, cache_dir, num_workers=0, size=SIZE):
    recipes = crop_recipes(videos, tracks, size, CONTEXT)
    return dict(zip(recipes, cached_arrays(list(recipes.values()), cache_dir, num_workers, "Crops"), strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_row_is_the_crop_of_its_box_ordered_by_track_then_frame(videos, tracks, tmp_path, num_workers):
    paths = crop_paths(videos, tracks, tmp_path / "cache", num_workers)
    assert set(paths) == {"a", "b"}
    frames = list(decode_frames(videos["a"]))
    expected = [crop_roi(frames[frame], np.array([80, 10, 120, 60]), SIZE, CONTEXT) for frame in (1, 2)]
    expected += [crop_roi(frames[frame], np.array([20, 10, 50, 30]), SIZE, CONTEXT) for frame in (0, 1, 2)]
    np.testing.assert_array_equal(open_array(paths["a"]), expected)
    assert open_array(paths["b"]).shape == (9, SIZE, SIZE)


def test_a_video_is_decoded_once_until_it_or_its_boxes_change(videos, tracks, tmp_path, monkeypatch):
    decoded = []

    def counting(path, *rest):
        decoded.append(path.stem)
        return decode_views(path, *rest)

    monkeypatch.setattr(track_crops, "decode_views", counting)
    cache = tmp_path / "cache"

    first = crop_paths(videos, tracks, cache)
    assert sorted(decoded) == ["a", "b"]
    assert crop_paths(videos, tracks.sample(frac=1, random_state=0), cache) == first
    assert len(decoded) == 2

    moved = tracks.assign(x1=tracks["x1"] + (tracks["video_id"] == "b"))
    assert crop_paths(videos, moved, cache)["a"] == first["a"]
    assert decoded[2:] == ["b"]

    crop_paths(videos, tracks, cache, size=SIZE + 1)
    assert sorted(decoded[3:]) == ["a", "b"]

    write_video(videos["a"], [barcode(9)] * 12, "ffv1", "gray")
    assert crop_paths(videos, tracks, cache)["b"] == first["b"]
    assert decoded[5:] == ["a"]


def test_what_may_not_be_kept_is_made_in_memory_bit_for_bit_as_in_the_cache(videos, tracks, tmp_path, monkeypatch):
    recipes = crop_recipes(videos, tracks, SIZE, CONTEXT)
    recipes["frames"] = frame_recipes(videos, frames_table([1, 5, 9]), 8)["a"]
    paths = cached_arrays(list(recipes.values()), tmp_path / "cache", 0, "Arrays")
    before = set(tmp_path.rglob("*"))
    for recipe, path in zip(recipes.values(), paths, strict=True):
        online = open_array(OnlineArray(recipe))
        np.testing.assert_array_equal(online, open_array(path))
        assert not online.flags.writeable
    assert set(tmp_path.rglob("*")) == before

    decoded = []
    monkeypatch.setattr(
        track_crops, "decode_views", lambda path, *rest: decoded.append(path.stem) or decode_views(path, *rest)
    )
    a, b = OnlineArray(recipes["a"]), OnlineArray(recipes["b"])
    for source in (a, a, b, a):
        open_array(source)
    assert decoded == ["a", "b"]


def test_a_renamed_video_is_the_same_video(videos, tracks, tmp_path):
    first = crop_paths(videos, tracks, tmp_path / "cache")
    elsewhere = videos["a"].rename(tmp_path / "elsewhere.mkv")
    assert crop_paths({**videos, "a": elsewhere}, tracks, tmp_path / "cache") == first


def test_two_processes_may_build_one_cache_at_once(videos, tracks, tmp_path):
    context = multiprocessing.get_context("spawn")
    builders = [context.Process(target=crop_paths, args=(videos, tracks, tmp_path / "cache")) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(120)
    assert [builder.exitcode for builder in builders] == [0, 0]
    alone = crop_paths(videos, tracks, tmp_path / "alone")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted(path.name for path in alone.values())
    for path in alone.values():
        assert (tmp_path / "cache" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_all_bad_videos_are_named_at_once_and_the_good_ones_kept(videos, tracks, tmp_path, num_workers):
    write_video(tmp_path / "short.mkv", [barcode(0)] * 2, "ffv1", "gray")
    (tmp_path / "text.avi").write_text("no video")
    bad = {"a": tmp_path / "short.mkv", "b": videos["b"], "c": tmp_path / "text.avi"}
    with pytest.raises(ValueError, match="is not a video file") as caught:
        crop_paths(bad, tracks, tmp_path / "cache", num_workers)
    assert f"{tmp_path / 'short.mkv'}: track 1 has a box in frame 2, but the video has 2 frames" in str(caught.value)
    (kept,) = (tmp_path / "cache").iterdir()
    assert open_array(kept).shape == (9, SIZE, SIZE)


def frames_table(numbers, width=128, height=64):
    return pd.DataFrame({"video_id": "a", "frame": numbers, "width": width, "height": height})


@pytest.mark.parametrize(
    ("annotated", "kept"),
    [(range(12), [0, 4, 7, 11]), ([5, 3, 9], [3, 5, 9]), ([0, 1, 2, 3, 11], [0, 1, 3, 11])],
)
def test_a_video_keeps_a_few_of_its_annotated_frames_from_the_first_to_the_last(videos, tmp_path, annotated, kept):
    recipes = frame_recipes(videos, frames_table(list(annotated)), frames_per_video=4)
    (path,) = cached_arrays(list(recipes.values()), tmp_path / "cache", 0, "Frames")
    assert recipes["a"].frames == kept
    np.testing.assert_array_equal(open_array(path), [barcode(number) for number in kept])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (frames_table([3, 12]), r"a\.mkv: frame 12 is annotated, but the video has 12 frames"),
        (frames_table([3], width=256), r"a\.mkv: its frames are 128x64 pixels, its annotations were drawn on 256x64"),
    ],
)
def test_annotations_of_another_video_are_refused(videos, tmp_path, frames, message):
    with pytest.raises(ValueError, match=message):
        cached_arrays(list(frame_recipes(videos, frames, 8).values()), tmp_path / "cache", 0, "Frames")
    assert not list((tmp_path / "cache").iterdir())


def test_annotations_that_contradict_each_other_about_the_size_are_refused(videos):
    frames = pd.concat([frames_table([0]), frames_table([1], width=64)])
    with pytest.raises(ValueError, match=r"\(128, 64\) and of \(64, 64\)"):
        frame_recipes(videos, frames, 8)
