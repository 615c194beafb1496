import av
import numpy as np
import pytest
from barcodes import write_video

from wauve_dist.data.decoding import decode_frames, decode_views
from wauve_dist.data.decoding.grey_view import _LUMA_FIRST, grey_view

# Formats that recorders and FFmpeg use, in what stores them: planes of luma, of two ranges, and what has none.
ENCODINGS = {
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "mjpeg_422.avi": ("mjpeg", "yuvj422p"),
    "h264.mp4": ("libx264", "yuv420p"),
    "h264_444.mp4": ("libx264", "yuv444p"),
    "h264_full_range.mp4": ("libx264", "yuvj420p"),
    "msmpeg4.avi": ("msmpeg4v2", "yuv420p"),
    "huffyuv.avi": ("huffyuv", "yuv422p"),
    "vp9.webm": ("libvpx-vp9", "yuv420p"),
    "grey.mkv": ("ffv1", "gray"),
    "ten_bits.mkv": ("ffv1", "gray10le"),
    "colour.mkv": ("ffv1", "bgr0"),
    "raw.avi": ("rawvideo", "yuv420p"),
    "raw_colour.avi": ("rawvideo", "bgr24"),  # from the bottom up
}


def noise(count, height, width):
    return list(np.random.default_rng(1).integers(0, 256, (count, height, width), np.uint8))


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_view_and_any_part_of_it_are_what_ffmpeg_makes_of_the_whole(tmp_path, name):
    path = write_video(tmp_path / name, noise(3, 62, 126), *ENCODINGS[name])
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            expected = frame.to_ndarray(format="gray")
            view = grey_view(frame)
            assert view.shape == (62, 126)
            np.testing.assert_array_equal(view[:, :], expected)
            np.testing.assert_array_equal(view[5:40, 7:90], expected[5:40, 7:90])
            assert view[9:9, 3:20].shape == (0, 17)


@pytest.mark.parametrize("pixel_format", sorted(_LUMA_FIRST))
@pytest.mark.parametrize("color_range", [0, 1, 2])
def test_the_table_is_ffmpeg_s_for_every_luma_and_range(pixel_format, color_range):
    frame = av.VideoFrame(258, 34, pixel_format)
    frame.color_range = color_range
    for plane in frame.planes:
        plane.update(np.random.default_rng(2).integers(0, 256, plane.buffer_size, np.uint8).tobytes())
    np.testing.assert_array_equal(grey_view(frame)[:, :], frame.to_ndarray(format="gray"))


def test_views_may_be_kept_and_what_they_give_may_be_written_to(tmp_path):
    path = write_video(tmp_path / "a.mp4", noise(30, 64, 64), "libx264", "yuv420p")
    views, frames = list(decode_views(path)), list(decode_frames(path))
    for view, frame in zip(views, frames, strict=True):
        view[:, :].fill(0)
        np.testing.assert_array_equal(view[:, :], frame)
