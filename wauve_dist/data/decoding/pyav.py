"""Video decoding on the CPU with PyAV, whose wheel brings FFmpeg: every codec, nothing to install beside it.

Frames are read in one sequential pass and counted, never sought by time: the time stamps of H.264 in AVI cannot be
trusted. FFmpeg conceals damage by default (it repeats or guesses the pixels); here damage is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from wauve_dist.data.decoding.containers import damaged_element, num_missing_bytes
from wauve_dist.data.decoding.grey_view import GreyView, grey_view
from wauve_dist.data.decoding.images import check_images, decode_images, is_images
from wauve_dist.data.decoding.video import VideoError, VideoInfo

# Containers of one file. FFmpeg would also take play lists, which open other files and network addresses, and draw
# plain text as a video.
_OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "avi,mov,matroska,mpeg,mpegts,asf,flv,ogg,gif,ivf,nut,dv",
}
_REENCODE = (
    "Copy or export it again, or re-encode what is left: ffmpeg -i IN -fps_mode passthrough -c:v mjpeg -q:v 2 OUT.avi"
)

_REFUSE_DAMAGE = {"err_detect": "crccheck+bitstream+buffer+explode"}

# Frame threads keep as many frames in memory; beyond four the gain is small, and videos run in parallel anyway.
_NUM_THREADS = 4


def decode_views(path: Path) -> Iterator[GreyView]:
    """Yield every frame of a video, in constant memory.

    Args:
        path: a video file, an image (a video of one frame) or a folder of images (sorted by name).

    Yields:
        Full-range luma; B-mode carries no colour. Frame k is the k-th decoded frame.

    Raises:
        VideoError: the video cannot be opened, is damaged, changes its size, or yields fewer frames than it holds.
            Frames before the damage have been yielded by then.
    """
    if is_images(path):
        yield from map(GreyView, decode_images(path))
        return
    with _opened(path, _REFUSE_DAMAGE) as (container, stream):
        num_declared, num_packets, num_shown, num_frames = stream.frames, 0, 0, 0
        size = None
        for packet in container.demux(stream):
            num_packets += packet.size > 0
            num_shown += packet.size > 0 and not packet.is_discard
            for frame in packet.decode():
                size = size or (frame.width, frame.height)
                _check_frame(path, frame, num_frames, size)
                num_frames += 1
                yield grey_view(frame)
        _check_packets(path, num_declared, num_packets)
        if num_frames < num_shown:
            raise VideoError(
                f"{path}: only {num_frames} of its {num_shown} frames can be decoded; it is damaged or was cut "
                f"between key frames. {_REENCODE}"
            )


def check_video(path: Path) -> VideoInfo:
    """Check a video without decoding all of it: every packet is read, the first and the last frame are decoded.

    Args:
        path: as for ``decode_views``.

    Raises:
        VideoError: missing, empty, not a video, truncated, or undecodable at its first or last frame.
    """
    if is_images(path):
        return check_images(path)
    # Where groups are open, the frames in front of the last key frame miss their references: no damage.
    with _opened(path, {}) as (container, stream):
        num_declared, num_packets, num_shown = stream.frames, 0, 0
        first: VideoFrame | None = None
        last_group: list[av.Packet[VideoStream]] = []  # from the last key frame on: what decoding the last frame needs
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.is_corrupt:
                raise VideoError(f"{path}: packet {num_packets} is incomplete; the file is truncated. {_REENCODE}")
            if num_packets == 0 and not packet.is_keyframe:
                raise VideoError(f"{path}: was cut between key frames; its first frames are lost. {_REENCODE}")
            num_packets += 1
            num_shown += not packet.is_discard
            if first is None:
                first = next(iter(packet.decode()), None)
            if packet.is_keyframe:
                last_group.clear()
            last_group.append(packet)
        _check_packets(path, num_declared, num_packets)
        decoder = stream.codec_context
        if first is None:
            first = next(iter(decoder.decode(None)), None)
        decoder.flush_buffers()
        last = None
        for frame in (frame for packet in [*last_group, None] for frame in decoder.decode(packet)):
            last = frame
        if first is None or last is None:
            raise VideoError(f"{path}: its {'first' if first is None else 'last'} frame cannot be decoded. {_REENCODE}")
        size = (first.width, first.height)
        _check_frame(path, first, 0, size)
        _check_frame(path, last, num_shown - 1, size)
        fps = float(stream.average_rate) if stream.average_rate else None
        return VideoInfo(num_shown, *size, fps, decoder.name)


@contextmanager
def _opened(path: Path, decoder_options: dict[str, str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the file's best video stream; FFmpeg's errors inside the block become ``VideoError``."""
    if not path.is_file():
        raise VideoError(f"{path}: there is no such video file. Correct the path.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: is empty (0 bytes). Copy or export it again.")
    if missing := num_missing_bytes(path):
        raise VideoError(f"{path}: is truncated: {missing} bytes are missing at its end. {_REENCODE}")
    if (position := damaged_element(path)) is not None:
        raise VideoError(f"{path}: is damaged behind byte {position}: its own checksum does not match. {_REENCODE}")
    try:
        # The prefix keeps FFmpeg from reading a protocol into a name with a colon.
        container = av.open(f"file:{path}", options=_OPEN_OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        raise VideoError(
            f"{path}: is not a video file that FFmpeg can open ({error.strerror}). Correct the path, or export the "
            "video again as AVI, MP4, MOV, MKV, WebM or WMV."
        ) from error
    try:
        with container:
            stream = container.streams.best("video")
            if stream is None:
                raise VideoError(f"{path}: has no video stream. Give a video file.")
            assert isinstance(stream, VideoStream)
            # What the types do not say: there is none where the container lost the codec's name.
            if stream.codec_context is None:
                raise VideoError(f"{path}: does not say how its video is coded; its header is damaged. {_REENCODE}")
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = _NUM_THREADS
            stream.codec_context.options = decoder_options
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(f"{path}: is damaged and cannot be decoded ({error.strerror}). {_REENCODE}") from error


def _check_packets(path: Path, num_declared: int, num_packets: int) -> None:
    if num_packets == 0:
        raise VideoError(f"{path}: has zero frames. Export it again or drop it.")
    if num_packets < num_declared:
        raise VideoError(
            f"{path}: declares {num_declared} frames but holds {num_packets}; it is truncated or its recorder "
            f"dropped frames, so that frame numbers are ambiguous. {_REENCODE}"
        )


def _check_frame(path: Path, frame: VideoFrame, number: int, size: tuple[int, int]) -> None:
    if frame.is_corrupt:
        raise VideoError(f"{path}: frame {number} is damaged. {_REENCODE}")
    if (frame.width, frame.height) != size:
        raise VideoError(
            f"{path}: frame {number} is {frame.width}x{frame.height} pixels, the first is {size[0]}x{size[1]}. "
            "Split the video where its size changes."
        )
