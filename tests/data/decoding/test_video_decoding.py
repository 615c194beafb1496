import os

import av
import numpy as np
import pytest
from barcodes import HEIGHT, WIDTH, barcode, number_of, write_video

from wauve_dist.data.decoding import VideoError, check_video, decode_frames

NUM_FRAMES = 40
B_FRAMES = {"bf": "3", "g": "12", "x264-params": "scenecut=0"}
OPEN_GROUPS = {"x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:scenecut=0"}
ENCODINGS = {
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "h264.avi": ("libx264", "yuv420p", B_FRAMES),
    "h264.mp4": ("libx264", "yuv420p", B_FRAMES),
    "open_groups.mkv": ("libx264", "yuv420p", OPEN_GROUPS),
    "open_groups.avi": ("libx264", "yuv420p", OPEN_GROUPS),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2", "g": "12"}),
    "msmpeg4.avi": ("msmpeg4v2", "yuv420p", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=error"}),
    "upside_down_rgb.avi": ("rawvideo", "bgr24", {}),
    "ffv1.mkv": ("ffv1", "gray", {}),
}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoded")

    def path_of(name):
        path = folder / name
        if not path.exists():
            codec, pixels, options = ENCODINGS[name]
            write_video(path, [barcode(number) for number in range(NUM_FRAMES)], codec, pixels, options)
        return path

    return path_of


def fault(check, path):
    with pytest.raises(VideoError) as caught:
        check(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def decode(path):
    return list(decode_frames(path))


@pytest.mark.parametrize("name", ENCODINGS)
def test_frame_k_comes_out_as_frame_k(encoded, name):
    assert [number_of(frame) for frame in decode_frames(encoded(name))] == list(range(NUM_FRAMES))


@pytest.mark.parametrize("name", ENCODINGS)
def test_checking_tells_what_decoding_will_yield(encoded, name):
    info = check_video(encoded(name))
    assert (info.num_frames, info.width, info.height, info.fps) == (NUM_FRAMES, WIDTH, HEIGHT, 25.0)


@pytest.mark.parametrize("name", ["mjpeg.avi", "h264.avi", "ffv1.mkv", "upside_down_rgb.avi"])
def test_grey_levels_span_the_full_range_whatever_the_codec_stores(tmp_path, name):
    codec, pixels, _ = ENCODINGS[name]
    levels = [np.full((HEIGHT, WIDTH), level, np.uint8) for level in (0, 64, 128, 255)]
    path = write_video(tmp_path / name, levels, codec, pixels)
    assert [frame.mean() for frame in decode_frames(path)] == pytest.approx([0, 64, 128, 255], abs=2)


def test_the_top_row_stays_on_top(tmp_path):
    frame = np.zeros((HEIGHT, WIDTH), np.uint8)
    frame[:8] = 255
    (decoded,) = decode_frames(write_video(tmp_path / "up.avi", [frame], "rawvideo", "bgr24"))
    np.testing.assert_array_equal(decoded, frame)


@pytest.mark.parametrize("check", [check_video, decode])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(
    "name", ["mjpeg.avi", "h264.avi", "mpeg4.avi", "upside_down_rgb.avi", "vp9.webm", "ffv1.mkv", "h264.mp4"]
)
def test_a_truncated_video_is_refused_wherever_it_was_cut(encoded, tmp_path, check, name, share):
    whole = encoded(name).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(whole[: int(share * len(whole))])
    fault(check, cut)


@pytest.mark.parametrize("check", [check_video, decode])
def test_an_mp4_with_its_index_in_front_is_refused_when_its_frames_are_cut_off(tmp_path, check):
    noise = np.random.default_rng(0).integers(0, 256, (20, HEIGHT, WIDTH), np.uint8)
    path = tmp_path / "index_first.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for pixel_values in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixel_values, format="gray")))
        container.mux(stream.encode())
    assert len(decode(path)) == 20
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fault(check, path)


@pytest.mark.parametrize("check", [check_video, decode])
def test_an_avi_whose_recorder_dropped_frames_is_refused_because_frame_numbers_are_ambiguous(tmp_path, check):
    frames = [barcode(number) for number in range(6)]
    path = write_video(tmp_path / "gap.avi", frames, "mpeg4", "yuv420p", times=[0, 1, 2, 5, 6, 7])
    assert "declares 8 frames but holds 6" in fault(check, path)


def test_damage_inside_passes_the_quick_check_but_never_decoding(encoded, tmp_path):
    whole = encoded("mjpeg.avi")
    with av.open(str(whole)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][NUM_FRAMES // 2]
        start = packet.pos + 8 + packet.size * 4 // 5  # an AVI chunk's header has 8 bytes; JPEG begins with tables
    content = bytearray(whole.read_bytes())
    content[start : start + 16] = bytes(16)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(content)
    with av.open(str(damaged)) as container:
        assert len(list(container.decode(video=0))) == NUM_FRAMES  # left to itself, FFmpeg makes pixels up
    assert check_video(damaged).num_frames == NUM_FRAMES
    assert "is damaged" in fault(decode, damaged)


@pytest.mark.parametrize("check", [check_video, decode])
@pytest.mark.parametrize("name", ["ffv1.mkv", "open_groups.mkv"])
def test_any_wrong_byte_among_the_frames_of_a_matroska_file_is_found_by_its_checksums(encoded, tmp_path, check, name):
    whole = encoded(name).read_bytes()
    damaged = tmp_path / name
    for share in (0.3, 0.5, 0.7, 0.9):
        content = bytearray(whole)
        content[int(share * len(whole))] ^= 1
        damaged.write_bytes(content)
        assert "its own checksum does not match" in fault(check, damaged)


def test_a_video_cut_between_key_frames_is_refused(encoded, tmp_path):
    cut = tmp_path / "cut.mkv"
    with av.open(str(encoded("h264.mp4"))) as source, av.open(str(cut), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in [packet for packet in source.demux(stream) if packet.size][5:]:
            packet.stream = copy
            target.mux(packet)
    assert "was cut between key frames" in fault(check_video, cut)
    # Decoding starts at the next key frame, frame 12.
    assert "only 28 of its 35 frames can be decoded" in fault(decode, cut)


@pytest.mark.parametrize("check", [check_video, decode])
def test_what_is_no_video_is_refused(tmp_path, check):
    (tmp_path / "text.avi").write_text("These are notes, not frames.\n" * 50)
    (tmp_path / "empty.avi").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("FFmpeg would draw this text as a video.\n" * 50)
    os.mkfifo(tmp_path / "pipe.avi")
    assert "is not a video file" in fault(check, tmp_path / "text.avi")
    assert "is empty" in fault(check, tmp_path / "empty.avi")
    assert "is not a video file" in fault(check, tmp_path / "notes.txt")
    assert "no such video" in fault(check, tmp_path / "absent.avi")
    assert "no such video" in fault(check, tmp_path / "pipe.avi")


@pytest.mark.parametrize("check", [check_video, decode])
@pytest.mark.parametrize(("name", "message"), [("zero.avi", "zero frames"), ("zero.mkv", "End of file")])
def test_a_video_without_frames_is_refused(tmp_path, check, name, message):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.start_encoding()
    assert message in fault(check, path)


@pytest.mark.parametrize("check", [check_video, decode])
def test_sound_without_pictures_is_refused(tmp_path, check):
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "no video stream" in fault(check, path)


def test_a_play_list_cannot_make_us_open_other_files(tmp_path):
    write_video(tmp_path / "part.ts", [barcode(number) for number in range(20)], "libx264", "yuv420p")
    play_list = tmp_path / "list.m3u8"
    play_list.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.8,\npart.ts\n#EXT-X-ENDLIST\n")
    with av.open(str(play_list)) as container:
        assert next(container.decode(video=0)).width == WIDTH  # what FFmpeg does if allowed to
    fault(decode, play_list)


def test_a_file_name_with_a_colon_and_a_percent_sign_is_just_a_name(tmp_path):
    path = write_video(tmp_path / "case 7: 50%02d.avi", [barcode(3)])
    assert [number_of(frame) for frame in decode_frames(path)] == [3]
