"""Damaged videos, made from small whole ones by a seeded generator.

Every file comes with the frames that it must yield in their places, or else an error.
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from barcodes import barcode, write_video

from wauve_dist.data.decoding import decode_frames

NUM_FRAMES = 10
SOURCES = {
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "h264.avi": ("libx264", "yuv420p", {"bf": "0", "g": "5"}),
    "msmpeg4.avi": ("msmpeg4v2", "yuv420p", {"g": "5"}),
    "raw.avi": ("rawvideo", "bgr24", {}),
    "h264.mp4": ("libx264", "yuv420p", {"bf": "2", "g": "5"}),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=error:keyint=5"}),
    "mpeg4.mov": ("mpeg4", "yuv420p", {"g": "5"}),
    "ffv1.mkv": ("ffv1", "gray", {"level": "3", "slicecrc": "1"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime"}),
}
_MP4_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


class DamagedVideo(NamedTuple):
    """A file, what was done to it, and the frames (.npy, [N, H, W]) that it must yield; None if it must yield none."""

    kind: str
    path: Path
    reference: Path | None


def damaged_videos(folder, seed, num_flips):
    """Make all of them below ``folder``; ``num_flips`` files per source get their bits flipped."""
    made = []
    for index, (name, (codec, pixels, options)) in enumerate(SOURCES.items()):
        source = write_video(folder / name, numbered_frames(), codec, pixels, options)
        reference = keep_frames(source)
        for kind, content in _damages(source, np.random.default_rng([seed, index]), num_flips):
            path = folder / f"{len(made):03d}_{kind.replace(' ', '_')}_{name}"
            path.write_bytes(content)
            made.append(DamagedVideo(kind, path, reference))
    return [*made, *_never_videos(folder), *_unusual_but_whole(folder)]


def numbered_frames():
    """A number in bars above speckle, so that lost, swapped and altered frames all show."""
    random = np.random.default_rng(11)
    frames = [barcode(1 + number) for number in range(NUM_FRAMES)]
    for frame in frames:
        frame[40:] = random.normal(100, 20, (24, 128)).clip(0, 255)
    return frames


def keep_frames(source):
    path = source.with_name(source.name + ".npy")
    np.save(path, np.stack(list(decode_frames(source))))
    return path


def _damages(source, random, num_flips):
    whole = source.read_bytes()
    yield "none", whole
    for _ in range(num_flips):
        content = bytearray(whole)
        for bit in random.integers(0, 8 * len(whole), random.integers(1, 9)):
            content[bit // 8] ^= 1 << (bit % 8)
        yield "bits flipped", bytes(content)
    for _ in range(2):
        content, start = bytearray(whole), random.integers(len(whole) // 4, len(whole) * 3 // 4)
        content[start : start + 300] = bytes(len(content[start : start + 300]))
        yield "hole of zeros", bytes(content)
    for end in sorted({end for end in _boundaries(source) if 0 < end < len(whole)}):
        yield "cut at a boundary", whole[:end]
    for share in (0.1, 0.5, 0.99):
        yield "cut anywhere", whole[: int(share * len(whole))]
    yield "wrong header", bytes(32) + whole[32:]
    yield "wrong header", (b"RIFF" if whole[:4] != b"RIFF" else b"\x1a\x45\xdf\xa3") + whole[4:]
    if source.suffix == ".avi":
        yield "missing index", _without_avi_index(whole)
        yield "frame missing", _without_avi_frame(whole)
        yield "endless by its header", _with_avi_lengths(whole, 2**31 - 1)
    if source.suffix in (".mp4", ".mov"):
        yield "missing index", whole.replace(b"moov", b"lost", 1)
        start = whole.index(b"mvhd") + 20
        yield "endless by its header", whole[:start] + b"\x7f\xff\xff\xff" + whole[start + 4 :]


def _boundaries(source):
    whole = source.read_bytes()
    if source.suffix == ".avi":
        return _riff_boundaries(whole, 12, len(whole))
    if source.suffix in (".mp4", ".mov"):
        return _mp4_boundaries(whole, 0, len(whole))
    with av.open(str(source)) as container:
        return [packet.pos for packet in container.demux(video=0) if packet.size and packet.pos]


def _riff_boundaries(whole, position, end):
    while position + 8 <= end:
        name, size = struct.unpack("<4sI", whole[position : position + 8])
        if name == b"LIST":
            yield position + 12
            yield from _riff_boundaries(whole, position + 12, position + 8 + size)
        position += 8 + size + size % 2
        yield position


def _mp4_boundaries(whole, position, end):
    while position + 8 <= end:
        size = int.from_bytes(whole[position : position + 4], "big")
        if whole[position + 4 : position + 8] in _MP4_PARENTS:
            yield position + 8
            yield from _mp4_boundaries(whole, position + 8, position + size)
        position += size
        yield position


def _without_avi_index(whole):
    return _with_riff_size(whole[: whole.rindex(b"idx1")])


def _without_avi_frame(whole):
    """Leave a frame out and make the lengths of its list fit; the header still counts it, the index is dropped."""
    whole = whole[: whole.rindex(b"idx1")]
    movi = whole.index(b"movi")
    position = movi + 4
    for _ in range(NUM_FRAMES // 2):
        size = struct.unpack("<I", whole[position + 4 : position + 8])[0]
        position += 8 + size + size % 2
    size = struct.unpack("<I", whole[position + 4 : position + 8])[0]
    whole = whole[:position] + whole[position + 8 + size + size % 2 :]
    return _with_riff_size(whole[: movi - 4] + struct.pack("<I", len(whole) - movi) + whole[movi:])


def _with_riff_size(whole):
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def _with_avi_lengths(whole, num_frames):
    for name, offset in ((b"avih", 24), (b"strh", 40)):
        start = whole.index(name) + offset
        whole = whole[:start] + struct.pack("<I", num_frames) + whole[start + 4 :]
    return whole


def _never_videos(folder):
    (folder / "zero.avi").touch()
    (folder / "text.mp4").write_text("These are notes, not frames.\n" * 100)
    os.mkfifo(folder / "pipe.avi")
    (folder / "endless_device.avi").symlink_to("/dev/zero")
    with (folder / "sparse.mkv").open("wb") as stream:
        stream.truncate(1 << 40)
    kinds = {
        "zero.avi": "zero length",
        "text.mp4": "text",
        "pipe.avi": "endless pipe",
        "endless_device.avi": "endless pipe",
        "sparse.mkv": "a terabyte of nothing",
    }
    return [DamagedVideo(kind, folder / name, None) for name, kind in kinds.items()]


def _unusual_but_whole(folder):
    frames = numbered_frames()
    large = [np.kron(frame, np.ones((68, 60), np.uint8))[:4320] for frame in frames[:1]]
    times = [0, 1, 2, 5, 6, 9, 10, 11, 15, 16]
    videos = {
        "8k frames": write_video(folder / "8k.avi", large),
        "odd size": write_video(folder / "odd.mkv", [frame[:63, :127] for frame in frames], "ffv1", "gray"),
        "4:4:4": write_video(folder / "444.mp4", frames, "libx264", "yuv444p"),
        "10 bit": write_video(folder / "10bit.mkv", frames, "libx264", "yuv420p10le"),
        "variable frame rate": write_video(folder / "vfr.mkv", frames, "libx264", "yuv420p", {"bf": "0"}, times),
    }
    return [DamagedVideo(kind, path, keep_frames(path)) for kind, path in videos.items()]
