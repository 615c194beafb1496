"""Crops that DALI cuts are held against those of PyAV's frames, which Pillow cuts."""

import numpy as np
import pandas as pd
import pytest
import torch
from barcodes import barcode, number_of, write_video
from PIL import Image

from wauve_dist.data import dali_crops, track_crops
from wauve_dist.data.array_cache import OnlineArray
from wauve_dist.data.crop_cache import crop_recipes
from wauve_dist.data.decoding import VideoError, dali, decode_frames
from wauve_dist.data.track_crops import cut_frames, cut_video
from wauve_dist.structures.sectors import Sector

pytest.importorskip("nvidia.dali", reason="needs NVIDIA DALI: pip install 'wauve-dist[gpu]'")

HEIGHT, WIDTH, NUM_FRAMES = 120, 200, 40
SIZE, CONTEXT = 48, 1.3

ENCODINGS = {
    "mjpeg.avi": ("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "2"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "16"}),
}
ON_GPU = {
    **ENCODINGS,
    "h264.mp4": ("libx264", "yuv420p", {"bf": "3", "g": "12"}),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=error"}),
}

# Decoders differ by 2 levels, filters by 1.
MAX_DIFFERENCE, MAX_MEAN_DIFFERENCE = 3, 1.0


def speckle():
    random = np.random.default_rng(3)
    shade = np.linspace(20, 200, WIDTH)
    frames = shade + random.normal(0, 25, (NUM_FRAMES, HEIGHT, WIDTH))
    return np.clip(frames, 0, 255).astype(np.uint8)


def tracks_table(rows):
    return pd.DataFrame(rows, columns=["track_id", "frame", "x1", "y1", "x2", "y2"])


def any_tracks():
    """Tracks that begin and end anywhere, of 2 to 900 pixels, some of whose regions leave the frame; rows shuffled."""
    spans = {4: range(0, 40), 1: range(15, 17), 7: range(31, 40), 2: range(0, 1), 9: range(3, 30), 5: range(16, 32)}
    sides = {4: (60, 50), 1: (2.5, 3), 7: (300, 900), 2: (30, 20), 9: (47.3, 40.2), 5: (150, 140)}
    rows = []
    for track_id, span in spans.items():
        width, height = sides[track_id]
        for frame in span:
            x1, y1 = 13.7 * track_id + 1.3 * frame - 20, 90.0 - 2.1 * frame
            rows.append((track_id, frame, x1, y1, x1 + width, y1 + height))
    rows += [(11, 20, -500, -500, -480, -470), (12, 20, WIDTH - 5, HEIGHT - 5, WIDTH + 40, HEIGHT + 30)]
    return tracks_table(rows).sample(frac=1, random_state=0)


def keys(cut):
    return [[(crop.track_id, crop.frame) for crop in frame.crops] for frame in cut]


def crops(cut):
    return np.stack([crop.crop for frame in cut for crop in frame.crops]).astype(int)


def assert_alike(ours, reference):
    assert keys(ours) == keys(reference)
    differences = np.abs(crops(ours) - crops(reference))
    assert differences.max() <= MAX_DIFFERENCE
    assert differences.mean(axis=(1, 2)).max() <= MAX_MEAN_DIFFERENCE
    return differences


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's way is meant, and a GPU is preferred to it")
class TestDaliOnTheCpu:
    @pytest.mark.parametrize("name", ENCODINGS)
    def test_crops_are_pyav_s_to_within_three_grey_levels(self, tmp_path, name):
        path = write_video(tmp_path / name, list(speckle()), *ENCODINGS[name])
        ours = list(cut_video(path, any_tracks(), SIZE, CONTEXT, "dali"))
        differences = assert_alike(ours, list(cut_video(path, any_tracks(), SIZE, CONTEXT)))
        assert [frame.number for frame in ours] == list(range(NUM_FRAMES))
        assert len(differences) == len(any_tracks()) > dali_crops._NUM_AT_ONCE

    @pytest.mark.parametrize("size", [16, 112, 224])
    def test_of_the_same_frames_crops_are_pillow_s_to_within_one_grey_level(self, tmp_path, size):
        path = write_video(tmp_path / "a.avi", list(speckle()))
        ours = list(cut_video(path, any_tracks(), size, CONTEXT, "dali"))
        reference = list(cut_frames(dali.decode_frames(path, None), any_tracks(), size, CONTEXT))
        assert np.abs(crops(ours) - crops(reference)).max() <= 1

    @pytest.mark.parametrize("count", [1, 16, 17, 40])
    @pytest.mark.parametrize("name", ENCODINGS)
    def test_frame_k_is_cut_out_of_frame_k(self, tmp_path, name, count):
        path = write_video(tmp_path / name, [barcode(number) for number in range(count)], *ENCODINGS[name])
        tracks = tracks_table([(0, frame, 0, 0, 128, 64) for frame in range(count)])
        cut = list(cut_video(path, tracks, 128, 1.0, "dali"))
        assert [number_of(np.ascontiguousarray(frame.crops[0].crop[32:96])) for frame in cut] == list(range(count))

    def test_dali_cuts_and_only_frames_that_are_asked_for_leave_it(self, tmp_path, monkeypatch):
        path = write_video(tmp_path / "a.avi", [barcode(number) for number in range(40)])
        monkeypatch.setattr(track_crops, "crop_roi", None)
        monkeypatch.setattr(track_crops, "decode_views", None)
        left = []
        monkeypatch.setattr(dali_crops, "on_host", lambda frame: left.append(frame) or dali.on_host(frame))
        tracks = tracks_table([(0, frame, 0, 0, 128, 64) for frame in range(5, 40)])
        cut = list(cut_video(path, tracks, 32, 1.0, "dali", whole={3, 17, 39}))
        assert len(left) == 3
        kept = {frame.number: number_of(frame.whole) for frame in cut if frame.whole is not None}
        assert kept == {3: 3, 17: 17, 39: 39}
        assert [len(frame.crops) for frame in cut] == [0] * 5 + [1] * 35

    def test_outside_the_sector_crops_and_frames_are_black(self, tmp_path):
        frames = speckle()
        sector = Sector(40, 16, 168, 104)
        text = np.full_like(frames, 255)
        text[:, sector.y1 : sector.y2, sector.x1 : sector.x2] = frames[:, sector.y1 : sector.y2, sector.x1 : sector.x2]
        path = write_video(tmp_path / "a.avi", list(text), *ENCODINGS["mjpeg.avi"])
        ours, reference = (
            list(cut_video(path, any_tracks(), SIZE, CONTEXT, decoder, sector, {0, 25})) for decoder in ("dali", "pyav")
        )
        assert_alike(ours, reference)
        for number in (0, 25):
            whole = ours[number].whole
            np.testing.assert_array_equal(whole, sector.blacken_around(whole))
            assert np.abs(whole.astype(int) - reference[number].whole).max() <= 2
        beyond = tracks_table([(0, 0, 0, 0, sector.x1 - 8, 12), (1, 0, 180, 20, 190, 30)])
        assert not crops(cut_video(path, beyond, SIZE, 1.0, "dali", sector)).any()
        with pytest.raises(VideoError, match=r"a\.avi: sector_x1.*no rectangle within its 200x120 pixels"):
            list(cut_video(path, beyond, SIZE, 1.0, "dali", Sector(0, 0, WIDTH + 1, HEIGHT)))

    def test_a_track_beyond_the_last_frame_and_an_empty_box_are_refused(self, tmp_path):
        path = write_video(tmp_path / "a.avi", [barcode(0)] * 5)
        with pytest.raises(ValueError, match="track 4 has a box in frame 5, but the video has 5 frames"):
            list(cut_video(path, tracks_table([(4, 5, 1, 1, 9, 9), (6, 7, 1, 1, 9, 9)]), 8, 1, "dali"))
        with pytest.raises(ValueError, match="is empty"):
            list(cut_video(path, tracks_table([(4, 3, 9, 1, 9, 9)]), 8, 1, "dali"))

    def test_a_truncated_video_is_refused(self, tmp_path):
        path = write_video(tmp_path / "a.avi", [barcode(number) for number in range(40)])
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(VideoError, match=r"a\.avi"):
            list(cut_video(path, tracks_table([]), SIZE, CONTEXT, "dali"))

    def test_a_cached_array_holds_what_prediction_cuts(self, tmp_path):
        path = write_video(tmp_path / "a.avi", list(speckle()))
        tracks = any_tracks().assign(video_id="a")
        recipe = crop_recipes({"a": path}, tracks, SIZE, CONTEXT, "dali")["a"]
        cut = cut_video(path, tracks, SIZE, CONTEXT, "dali")
        expected = {(crop.track_id, crop.frame): crop.crop for frame in cut for crop in frame.crops}
        array = OnlineArray(recipe).make()
        assert len(array) == len(expected)
        for row, key in enumerate(zip(recipe.track_ids, recipe.frames, strict=True)):
            np.testing.assert_array_equal(array[row], expected[key])


def test_images_are_cut_on_the_cpu_with_either_decoder(tmp_path):
    Image.fromarray(speckle()[0]).save(tmp_path / "a.png")
    tracks = tracks_table([(0, 0, 20, 30, 60, 70)])
    ours, reference = (crops(cut_video(tmp_path / "a.png", tracks, SIZE, CONTEXT, name)) for name in ("dali", "pyav"))
    np.testing.assert_array_equal(ours, reference)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ON_GPU)
def test_crops_of_a_gpu_are_pyav_s_to_within_three_grey_levels(tmp_path, name):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    # As large as NVDEC wants HEVC to be.
    frames = [np.tile(frame, (2, 2))[:, :256] for frame in speckle()]
    path = write_video(tmp_path / name, frames, *ON_GPU[name])
    sector = Sector(16, 8, 240, 200)
    for cut_to in (None, sector):
        ours = list(cut_video(path, any_tracks(), SIZE, CONTEXT, "dali", cut_to, {0, 39}))
        assert_alike(ours, list(cut_video(path, any_tracks(), SIZE, CONTEXT, "pyav", cut_to)))
        for number, frame in enumerate(decode_frames(path, "pyav", cut_to)):
            if number in (0, 39):
                assert np.abs(ours[number].whole.astype(int) - frame).max() <= 2
