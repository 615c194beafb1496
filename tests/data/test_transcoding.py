import math
from fractions import Fraction

import av
import numpy as np
import pytest
from barcodes import barcode, number_of, write_video
from PIL import Image

from wauve_dist.data import transcoding
from wauve_dist.data.decoding import VideoError, decode_frames
from wauve_dist.data.transcoding import TranscodeSettings, transcode_video
from wauve_dist.data.video_health import diagnose, examine_video

SETTINGS = TranscodeSettings("h264", 45.0)


def speckle(count, height=64, width=128):
    """A drifting pattern of grey specks below a smooth shade, with full black and full white in it."""
    random = np.random.default_rng(7)
    field = random.integers(0, 256, (height // 4 + 2, width // 4 + 2 + count)).astype(np.uint8)
    big = np.kron(field, np.ones((4, 4), np.uint8))
    return [big[:height, number : number + width].copy() for number in range(count)]


def psnr_by_hand(one, other):
    return 10 * math.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2))


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.avi", "msmpeg4v2", "yuv420p"),
        ("b.mkv", "ffv1", "gray"),
        ("c.avi", "libx264", "yuv444p"),
        ("d.mkv", "libx264", "yuv420p10le"),
        ("e.avi", "rawvideo", "bgr24"),
    ],
)
def test_whatever_the_gpu_cannot_decode_becomes_what_the_doctor_has_nothing_against(tmp_path, name, codec, pixels):
    source = write_video(tmp_path / name, [barcode(1 + number) for number in range(40)], codec, pixels)
    before = source.read_bytes()
    done = transcode_video(source, tmp_path / "out.mp4", SETTINGS)
    assert [number_of(frame) for frame in decode_frames(tmp_path / "out.mp4")] == list(range(1, 41))
    assert (done.num_frames, done.width, done.height, done.padding, done.fps) == (40, 128, 64, "0x0", 25.0)
    health = examine_video(tmp_path / "out.mp4")
    assert diagnose(health, tmp_path / "manifest.csv") == []
    assert (health.container.codec, health.container.max_key_distance) == ("h264", 16)
    assert source.read_bytes() == before


def test_hevc_is_made_too(tmp_path):
    source = write_video(tmp_path / "in.mkv", speckle(20, 160, 160), "ffv1", "gray")
    done = transcode_video(source, tmp_path / "out.mp4", TranscodeSettings("hevc", 45.0))
    health = examine_video(tmp_path / "out.mp4")
    assert (health.container.codec, health.container.max_key_distance, health.num_decoded) == ("hevc", 16, 20)
    assert diagnose(health, tmp_path / "manifest.csv") == []
    assert done.worst_psnr_db >= 45


def test_hevc_carries_checksums_that_tell_any_wrong_bit_in_a_picture(tmp_path):
    random = np.random.default_rng(2)
    result = tmp_path / "out.mp4"
    source = write_video(tmp_path / "in.mkv", speckle(6, 160, 160), "ffv1", "gray")
    transcode_video(source, result, TranscodeSettings("hevc", 45.0))
    whole = result.read_bytes()
    with av.open(str(result)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for place, size in places:
        content = bytearray(whole)
        content[place + size // 2] ^= 1 << int(random.integers(8))  # in the middle of the picture's data
        result.write_bytes(content)
        with pytest.raises(VideoError, match="damaged"):
            list(decode_frames(result))


def test_no_frame_depends_on_a_later_one(tmp_path):
    transcode_video(write_video(tmp_path / "in.avi", speckle(40)), tmp_path / "out.mp4", SETTINGS)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(25)
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert all(packet.pts == packet.dts for packet in packets)
        assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0, 16, 32]


@pytest.mark.parametrize("min_psnr_db", [35.0, 45.0, 54.0])
def test_the_quantiser_meets_the_threshold_without_wasting_bits_and_psnr_is_what_it_says(tmp_path, min_psnr_db):
    random = np.random.default_rng(3)  # nothing to predict, so that the quantiser alone decides
    frames = list(np.clip(random.normal(100, 25, (24, 64, 128)), 0, 255).astype(np.uint8))
    source = write_video(tmp_path / "in.mkv", frames, "ffv1", "gray")
    done = transcode_video(source, tmp_path / "out.mp4", TranscodeSettings("h264", min_psnr_db))
    by_hand = [psnr_by_hand(*pair) for pair in zip(frames, decode_frames(tmp_path / "out.mp4"), strict=True)]
    assert done.worst_psnr_db == pytest.approx(min(by_hand))
    assert done.psnr_db == pytest.approx(-10 * math.log10(np.mean([10 ** (-value / 10) for value in by_hand])))
    assert min_psnr_db <= done.worst_psnr_db < min_psnr_db + 5


def test_a_variable_frame_rate_is_evened_out_and_every_frame_keeps_its_number(tmp_path):
    times = [0, 1, 2, 5, 6, 9, 10, 11]
    frames = [barcode(1 + number) for number in range(8)]
    source = write_video(tmp_path / "gaps.mkv", frames, "libx264", "yuv420p", {"bf": "0"}, times=times)
    assert not examine_video(source).container.has_constant_rate
    transcode_video(source, tmp_path / "out.mp4", SETTINGS)
    assert [number_of(frame) for frame in decode_frames(tmp_path / "out.mp4")] == list(range(1, 9))
    assert examine_video(tmp_path / "out.mp4").container.has_constant_rate


def test_odd_sizes_grow_at_the_right_and_the_bottom_so_that_boxes_stay(tmp_path):
    frames = [frame[:, :127] for frame in speckle(6, 63, 128)]
    source = write_video(tmp_path / "odd.mkv", frames, "ffv1", "gray")
    done = transcode_video(source, tmp_path / "out.mp4", SETTINGS)
    assert (done.width, done.height, done.padding) == (127, 63, "1x1")
    for original, frame in zip(frames, decode_frames(tmp_path / "out.mp4"), strict=True):
        assert frame.shape == (64, 128)
        assert psnr_by_hand(original, frame[:63, :127]) >= 45


def test_a_folder_of_images_gets_a_clock(tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(5):
        Image.fromarray(barcode(1 + number)).save(tmp_path / "frames" / f"{number:03d}.png")
    assert transcode_video(tmp_path / "frames", tmp_path / "out.mp4", SETTINGS).fps == 30
    assert [number_of(frame) for frame in decode_frames(tmp_path / "out.mp4")] == [1, 2, 3, 4, 5]


def test_frames_too_alike_to_prove_their_order_are_counted(tmp_path):
    frames = speckle(10)
    frames[4:7] = [frames[4]] * 3
    source = write_video(tmp_path / "in.mkv", frames, "ffv1", "gray")
    assert transcode_video(source, tmp_path / "out.mp4", SETTINGS).num_alike_neighbours == 2


def shuffled(frames):
    return [frames[0], frames[2], frames[1], *frames[3:]]


@pytest.mark.parametrize(
    ("sabotage", "message"),
    [
        (shuffled, "frame 1 of its h264 version has|frame 2 of its h264 version has"),
        (lambda frames: frames[:-1], "it has more frames than its result, which has 11"),
        (lambda frames: [*frames, frames[-1]], "its result has more frames than it, which has 12"),
        (lambda frames: [np.clip(frame, 40, None) for frame in frames], "dB PSNR, --min-psnr is 45 dB"),
    ],
)
def test_an_encoder_that_swaps_drops_repeats_or_dulls_frames_is_found_out(tmp_path, monkeypatch, sabotage, message):
    encode = transcoding._encode
    monkeypatch.setattr(transcoding, "_encode", lambda frames, *rest: encode(sabotage(list(frames)), *rest))
    source = write_video(tmp_path / "in.mkv", speckle(12), "ffv1", "gray")
    with pytest.raises(VideoError, match=message):
        transcode_video(source, tmp_path / "out.mp4", SETTINGS)


@pytest.mark.parametrize(
    ("codec", "size", "other"), [("hevc", (140, 160), "h264"), ("h264", (16, 40), "hevc"), ("h264", (64, 4100), "hevc")]
)
def test_sizes_that_nvdec_refuses_are_named(tmp_path, codec, size, other):
    source = write_video(tmp_path / "in.mkv", [np.zeros(size, np.uint8)], "ffv1", "gray")
    with pytest.raises(VideoError, match=f"is {size[1]}x{size[0]} pixels; in {codec}, NVDEC takes .* --codec {other}"):
        transcode_video(source, tmp_path / "out.mp4", TranscodeSettings(codec, 45.0))


@pytest.mark.real
def test_a_real_cine_clip_that_no_gpu_decodes_becomes_one_without_any_finding(real_data, tmp_path):
    source = real_data / "cine" / "videos" / "P01_2.avi"
    (before,) = diagnose(examine_video(source), tmp_path / "manifest.csv")
    assert (before.severity, before.kind) == ("warning", "codec msmpeg4v2")
    done = transcode_video(source, tmp_path / "out.mp4", SETTINGS)
    by_hand = [
        psnr_by_hand(*pair) for pair in zip(decode_frames(source), decode_frames(tmp_path / "out.mp4"), strict=True)
    ]
    assert done.num_frames == len(by_hand) == 133
    assert done.worst_psnr_db == pytest.approx(min(by_hand))
    assert diagnose(examine_video(tmp_path / "out.mp4"), tmp_path / "manifest.csv") == []
