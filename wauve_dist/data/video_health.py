"""One video under examination: what its container says, what decoding it yields, and what follows from that."""

from __future__ import annotations

import os
import shlex
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from av.video.stream import VideoStream

from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.decoding.images import is_images
from wauve_dist.structures.clips import CLIP_LENGTH
from wauve_dist.structures.provenance import read_provenance
from wauve_dist.structures.sectors import Sector

# Decoded by NVDEC through DALI, in 8 bits and with chroma subsampled; the rest needs the CPU.
_GPU_CODECS = ("h264", "hevc", "mpeg4", "av1", "vp8", "vp9", "mjpeg")
_GPU_PIXELS = ("yuv420p", "yuvj420p", "gray", "nv12")

_MAX_KEY_DISTANCE = 64  # frames: beyond, a clip at a random place costs more frames to reach than to read
_BLACK = 32  # grey level that nothing in a black frame exceeds


class Container(NamedTuple):
    """What a video file says of itself, packet by packet, nothing decoded.

    Attributes:
        container: FFmpeg's name of the format.
        codec: likewise.
        pixel_format: likewise.
        fps: average frames per second; None if it declares none.
        has_constant_rate: all frames are equally long, to a millisecond or a tick of the clock.
        num_declared: frames according to the header; 0 where it does not say.
        num_packets: frames that are stored.
        max_key_distance: most frames from a key frame to the next or to the end.
    """

    container: str
    codec: str
    pixel_format: str
    fps: float | None
    has_constant_rate: bool
    num_declared: int
    num_packets: int
    max_key_distance: int


class VideoHealth(NamedTuple):
    """What examining a video brought up.

    Attributes:
        container: None for images, and for a file that cannot be opened.
        num_decoded: frames until the end or the first fault.
        width: pixels, 0 if no frame could be decoded.
        height: likewise.
        num_black: frames without anything but black.
        longest_freeze: most frames in a row that are the same.
        error: why decoding stopped, or None.
    """

    container: Container | None
    num_decoded: int
    width: int
    height: int
    num_black: int
    longest_freeze: int
    error: str | None


class Problem(NamedTuple):
    """A fault keeps training from starting; a warning makes it worse or slower.

    Attributes:
        severity: of the two.
        kind: short, the same for all videos that have it.
        consequence: what comes of it.
        remedy: the command or step that puts it right.
    """

    severity: Literal["fault", "warning"]
    kind: str
    consequence: str
    remedy: str


def examine_video(path: Path) -> VideoHealth:
    """Read every packet, then decode every frame the way training does.

    A video with a record beside it (``transcode`` writes one) is held against its hash, which finds damage that
    decoders do not: most codecs have no checksum.
    """
    num_decoded = num_black = freeze = longest_freeze = 0
    width = height = 0
    before = error = None
    try:
        for frame in decode_frames(path):
            num_decoded += 1
            height, width = frame.shape
            num_black += int(frame[::4, ::4].max()) < _BLACK
            freeze = freeze + 1 if before is not None and np.array_equal(frame, before) else 1
            longest_freeze = max(longest_freeze, freeze)
            before = frame
        read_provenance(path)
    except ValueError as fault:
        error = str(fault)
    # A pipe is no file: opening it would wait for its writer.
    container = _read_container(path) if path.is_file() and not is_images(path) else None
    return VideoHealth(container, num_decoded, width, height, num_black, longest_freeze, error)


def diagnose(health: VideoHealth, manifest: Path) -> list[Problem]:
    """Say what is wrong with a video of ``manifest``, what that means, and what to do."""
    problems = []
    if health.error is not None:
        lost = "no frame of it can be used"
        if health.num_decoded:
            rest = f" of {health.container.num_packets}" if health.container else ""
            lost = f"its first {health.num_decoded}{rest} frames can be decoded, the tail cannot"
        problems.append(Problem("fault", "unreadable", f"Training stops at this video: {lost}.", health.error))
    elif health.num_black == health.num_decoded:
        text = "There is nothing to learn from or to judge."
        problems.append(Problem("fault", "black from start to end", text, "Export it again, or drop its row."))
    elif health.num_black:
        text = f"{health.num_black} of {health.num_decoded} frames hold nothing."
        remedy = "Export the part that shows something, or accept it."
        problems.append(Problem("warning", "black frames", text, remedy))
    if health.longest_freeze >= CLIP_LENGTH:
        text = f"{health.longest_freeze} frames in a row are the same, so whole clips hold no motion."
        problems.append(Problem("warning", "frozen frames", text, "Export the part before the freeze, or accept it."))
    if (container := health.container) is not None:
        problems += _container_problems(container, _transcode(manifest))
    return problems


def diagnose_sector(sector: Sector | None, others_have: bool, health: VideoHealth, manifest: Path) -> list[Problem]:
    """Say whether training will take what a ``manifest`` gives as a video's sector, or that it gives none."""
    command = f"launch/prepare.py sectors --manifest {shlex.quote(str(manifest))} --out DIR"
    if sector is None:
        text = "Other videos have one; a detector would see scans at two scales, so training refuses the manifest."
        return [Problem("fault", "no sector", text, command)] if others_have else []
    if health.width and not sector.lies_within(health.width, health.height):
        text = f"{tuple(sector)} is no rectangle within its {health.width}x{health.height} pixels; training refuses it."
        remedy = f"Correct it in the manifest, or empty its cells and have it found: {command}"
        return [Problem("fault", "sector outside the frame", text, remedy)]
    return []


def _container_problems(container: Container, transcode: str) -> list[Problem]:
    found = []
    if container.codec not in _GPU_CODECS:
        text = "The CPU decodes it (PyAV); NVDEC and DALI cannot."
        found.append(("codec " + container.codec, text))
    elif container.pixel_format not in _GPU_PIXELS:
        text = "The CPU decodes it (PyAV); NVDEC wants 8 bits and subsampled chroma (4:2:0)."
        found.append(("pixel format " + container.pixel_format, text))
    if not container.has_constant_rate:
        text = "Frames are counted, so boxes stay right, but a clip's duration varies, and DALI's readers may miscount."
        found.append(("variable frame rate", text))
    if container.max_key_distance > _MAX_KEY_DISTANCE:
        text = f"Up to {container.max_key_distance} frames from key frame to key frame: a clip read at random is slow."
        found.append(("key frames far apart", text))
    return [Problem("warning", kind, text, transcode) for kind, text in found]


def _transcode(manifest: Path) -> str:
    """A command that keeps every frame and its number, whatever the time stamps say."""
    # Archives are often read-only: then here rather than beside them.
    folder = manifest.parent if os.access(manifest.parent, os.W_OK) else Path()
    source, target = shlex.quote(str(manifest)), shlex.quote(str(folder / "transcoded"))
    return f"launch/prepare.py transcode --manifest {source} --out {target}, and use the manifest.csv that it writes"


def _read_container(path: Path) -> Container | None:
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.codec_context is None:
                return None  # decoding has already said why
            times, key_frames, num_packets = [], [], 0
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.is_keyframe:
                    key_frames.append(num_packets)
                num_packets += 1
                if packet.pts is not None:
                    times.append(packet.pts)
            distances = np.diff([*key_frames, num_packets])
            return Container(
                container.format.name,
                stream.codec_context.name,
                str(stream.codec_context.pix_fmt),
                float(stream.average_rate) if stream.average_rate else None,
                _is_constant(times, stream.time_base or Fraction(1, 1000)),
                stream.frames,
                num_packets,
                int(distances.max()) if len(distances) else 0,
            )
    except (av.FFmpegError, OSError):
        return None  # decoding has already said why


def _is_constant(times: list[int], time_base: Fraction) -> bool:
    durations = np.diff(np.sort(np.array(times, np.int64)))
    if len(durations) == 0:
        return True
    # Matroska rounds to milliseconds, so 30 frames/s alternate between 33 and 34 of them.
    tolerance = max(1, int(Fraction(1, 1000) / time_base))
    return bool(np.abs(durations - np.median(durations)).max() <= tolerance)
