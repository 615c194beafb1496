import numpy as np
import pandas as pd
import pytest
import torch
from barcodes import barcode, number_of, write_video
from PIL import Image

from wauve_dist.data.array_cache import OnlineArray, cached_arrays
from wauve_dist.data.crop_cache import crop_recipes
from wauve_dist.data.decoding import VideoError, dali
from wauve_dist.data.decoding import decode_frames as decode_by
from wauve_dist.data.frame_store import frame_recipes
from wauve_dist.data.transcoding import TranscodeSettings, transcode_video

pytest.importorskip("nvidia.dali", reason="needs NVIDIA DALI: pip install 'wauve-dist[gpu]'")

LAGGING = {"deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "16"}
ENCODINGS = {
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "mjpeg.mp4": ("mjpeg", "yuvj420p", {}),
    "vp8.webm": ("libvpx", "yuv420p", {"deadline": "realtime"}),
    "hidden_frames.webm": ("libvpx-vp9", "yuv420p", LAGGING),
}

ON_GPU = {
    "b_frames.mp4": ("libx264", "yuv420p", {"bf": "3", "g": "12"}),
    "h264.avi": ("libx264", "yuv420p", {"bf": "0", "g": "12"}),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=error"}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {"bf": "2", "g": "12"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", LAGGING),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
}


def decode(path):
    return list(dali.decode_frames(path, gpu=None))


def noise(count, height=66, width=130):
    """Shades and speckle over the full range."""
    random = np.random.default_rng(5)
    shade = np.linspace(0, 255, width)
    return [np.clip(shade + random.normal(0, 20, (height, width)), 0, 255).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 16, 40])
@pytest.mark.parametrize("name", ENCODINGS)
def test_frame_k_comes_out_as_frame_k_also_at_the_edges_of_the_buffer(tmp_path, name, count):
    path = write_video(tmp_path / name, [barcode(number) for number in range(count)], *ENCODINGS[name])
    assert [number_of(frame) for frame in decode(path)] == list(range(count))


@pytest.mark.parametrize("name", ENCODINGS)
def test_pixels_are_within_two_grey_levels_of_pyav(tmp_path, name):
    path = write_video(tmp_path / name, noise(20), *ENCODINGS[name])
    for ours, reference in zip(decode(path), decode_by(path), strict=True):
        assert (ours.dtype, ours.shape, ours.flags.c_contiguous) == (np.uint8, (66, 130), True)
        assert np.abs(ours.astype(int) - reference).max() <= 2


def test_a_variable_frame_rate_and_odd_sizes_change_nothing(tmp_path):
    times = [0, 1, 2, 5, 6, 9, 10, 11]
    numbers = [barcode(number) for number in range(8)]
    path = write_video(tmp_path / "gaps.webm", numbers, "libvpx-vp9", "yuv420p", LAGGING, times=times)
    assert [number_of(frame) for frame in decode(path)] == list(range(8))
    path = write_video(tmp_path / "odd.avi", noise(3, 63, 127))
    assert [frame.shape for frame in decode(path)] == [(63, 127)] * 3


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "msmpeg4v2"])
def test_a_codec_that_dali_cannot_decode_here_is_named_with_both_ways_out(tmp_path, codec):
    path = write_video(tmp_path / "in.avi", [barcode(1)] * 3, codec, "yuv420p")
    with pytest.raises(VideoError, match=r"in\.avi: DALI cannot decode .* on the CPU .*--decoder pyav.*transcode"):
        decode(path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_truncated_video_is_refused(tmp_path, name, share):
    path = write_video(tmp_path / name, [barcode(number) for number in range(40)], *ENCODINGS[name])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(VideoError, match=name):
        decode(path)


def test_damage_inside_is_an_error_that_says_how_far_it_came(tmp_path):
    path = write_video(tmp_path / "in.avi", [barcode(number) for number in range(40)])
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xda", len(content) // 2) - 200  # inside the tables in front of a JPEG's scan
    content[start : start + 150] = bytes(150)
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"DALI stopped after \d+ of 40 frames.*doctor\.py"):
        decode(path)


def test_images_are_read_as_ever(tmp_path):
    Image.fromarray(barcode(9)).save(tmp_path / "one.png")
    assert [number_of(frame) for frame in decode_by(tmp_path / "one.png", "dali")] == [9]


@pytest.mark.skipif(torch.cuda.is_available(), reason="compares with the CPU, which takes MJPEG and not H.264")
def test_the_crop_cache_and_the_frame_store_decode_with_the_one_that_is_asked_for(tmp_path):
    video = write_video(tmp_path / "a.avi", noise(12))
    tracks = pd.DataFrame({"video_id": "a", "track_id": 0, "frame": range(12), "x1": 10, "y1": 5, "x2": 60, "y2": 50})
    listed = pd.DataFrame({"video_id": "a", "frame": range(12), "width": 130, "height": 66})
    for recipes in (
        [crop_recipes({"a": video}, tracks, 32, 1.5, decoder)["a"] for decoder in ("pyav", "dali")],
        [frame_recipes({"a": video}, listed, 5, decoder)["a"] for decoder in ("pyav", "dali")],
    ):
        paths = cached_arrays(recipes, tmp_path / "cache", 0, "both")
        assert paths[0] != paths[1]
        ours, reference = (np.load(path).astype(int) for path in reversed(paths))
        assert ours.std() > 10
        assert np.abs(ours - reference).max() <= 2
    (tmp_path / "a.avi").unlink()
    write_video(video, noise(12), "libx264", "yuv420p")
    with pytest.raises(VideoError, match="DALI cannot decode h264 on the CPU"):
        OnlineArray(crop_recipes({"a": video}, tracks, 32, 1.5, "dali")["a"]).make()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ON_GPU)
def test_nvdec_yields_the_frames_of_pyav(tmp_path, name):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    # As large as NVDEC wants HEVC to be, with a number that survives where the noise is.
    frames = [np.pad(frame, ((0, 64), (0, 0)), "reflect").repeat(2, axis=1) for frame in map(barcode, range(1, 41))]
    frames = [np.vstack([frame, patch]) for frame, patch in zip(frames, noise(40, 64, 256), strict=True)]
    path = write_video(tmp_path / name, frames, *ON_GPU[name])
    decoded = list(dali.decode_frames(path, gpu=0))
    assert [number_of(np.ascontiguousarray(frame[:64, ::2])) for frame in decoded] == list(range(1, 41))
    for ours, reference in zip(decoded, decode_by(path), strict=True):
        assert np.abs(ours.astype(int) - reference).max() <= 2


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_nvdec_decodes_what_transcode_wrote(tmp_path, codec):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    source = write_video(tmp_path / "in.mkv", noise(40, 160, 256), "ffv1", "gray")
    transcode_video(source, tmp_path / "out.mp4", TranscodeSettings(codec, 45.0))
    decoded = list(dali.decode_frames(tmp_path / "out.mp4", gpu=0))
    for ours, reference in zip(decoded, decode_by(tmp_path / "out.mp4"), strict=True):
        assert np.abs(ours.astype(int) - reference).max() <= 2
