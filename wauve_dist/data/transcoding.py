"""One video into a form that NVDEC decodes well, and the proof that frame k of it is frame k of the original.

H.264 or HEVC in MP4, 8-bit 4:2:0 of full range, constant frame rate, a closed group of 16 frames, no B-frames. The
frames are the grey ones that ``decode_frames`` yields, for nothing here looks at colour; chroma is neutral. Numbers
count, not time stamps: a video of variable frame rate keeps its frames and gets even times.

The quantiser follows from the threshold. A uniform quantiser of step s makes a mean squared error of s^2 / 12, and the
step of H.264 and HEVC is 2^((QP - 4) / 6) (ITU-T H.264, 8.5.9; Sullivan et al., "Overview of the HEVC Standard", 2012).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from numpy.typing import NDArray

from wauve_dist.data.decoding import GreyFrame, VideoError, VideoInfo, check_sector, check_video, decode_frames
from wauve_dist.data.scan_sector import find_scan_sector
from wauve_dist.structures.sectors import Sector

Codec = Literal["h264", "hevc"]

_GROUP = 16  # frames from key frame to key frame: a clip at a random place costs at most 23 decoded frames
_MARGIN_DB = 3.0  # above the threshold, for the worst frame is judged and the quantiser's error is an average
_FPS_OF_IMAGES = Fraction(30)  # images have no clock
_FPS_RANGE = (1, 1000)  # beyond, a header's frame rate is a wrong header

# HEVC's own checksum of every picture (hash=1) lets decoding find a single wrong bit; H.264 has none.
_ENCODERS: dict[Codec, str] = {"h264": "libx264", "hevc": "libx265"}
_OPTIONS: dict[Codec, str] = {
    "h264": "qp={qp}:keyint={group}:min-keyint={group}:scenecut=0:bframes=0:psy=0:threads=1",
    "hevc": "qp={qp}:keyint={group}:min-keyint={group}:scenecut=0:bframes=0:open-gop=0:psy-rd=0:psy-rdoq=0"
    ":hash=1:pools=none:frame-threads=1:log-level=error",
}

# Frame sizes in pixels (width, height) that NVDEC takes from Turing on: Video Codec SDK, decoder support matrix.
_SMALLEST: dict[Codec, tuple[int, int]] = {"h264": (48, 16), "hevc": (144, 144)}
_LARGEST: dict[Codec, tuple[int, int]] = {"h264": (4096, 4096), "hevc": (8192, 8192)}


class TranscodeSettings(NamedTuple):
    """What decides a transcoded video beside its original.

    Attributes:
        codec: "h264" or "hevc".
        min_psnr_db: of the worst frame against the original, grey levels 0..255; 30 to 55 dB.
        mask_screen: blacken everything but the scan first, the text in it included (see ``scan_sector``); the masked
            frames are then the original that the result is compared with.
    """

    codec: Codec
    min_psnr_db: float
    mask_screen: bool = False


class Transcoded(NamedTuple):
    """What was measured by decoding a transcoded video beside its original.

    Attributes:
        num_frames: of either.
        width: of the original, pixels.
        height: likewise.
        padding: pixels that 4:2:0 took to make width and height even, "0x0" to "1x1"; at the right and the bottom, so
            that no box moves.
        fps: frames per second, the original's average.
        worst_psnr_db: of the frame that differs most; infinite where all are equal.
        psnr_db: of the mean squared error over all frames.
        num_alike_neighbours: pairs of adjacent original frames so alike that pixels cannot tell their order: they
            differ by no more than twice the coding error. Any other two adjacent frames are proved to be in order.
        source_codec: FFmpeg's name, or the image format.
        source_bytes: size of the original.
        num_bytes: size of the result.
        scan_share: share of the frame that was not blackened, 0..1; 1 without ``mask_screen``.
    """

    num_frames: int
    width: int
    height: int
    padding: str
    fps: float
    worst_psnr_db: float
    psnr_db: float
    num_alike_neighbours: int
    source_codec: str
    source_bytes: int
    num_bytes: int
    scan_share: float


def transcode_video(
    source: Path, target: Path, settings: TranscodeSettings, sector: Sector | None = None
) -> Transcoded:
    """Write ``target`` (.mp4), decode it again, and compare every frame with the original.

    Args:
        source: the original.
        target: is written.
        settings: see there.
        sector: the scan's place on the screen, for ``mask_screen``; None finds it.

    Raises:
        VideoError: the original cannot be decoded to its end, NVDEC takes no such frame size, the scan is not found,
            or a frame of the result differs from the original by more than the settings allow; ``target`` is to be
            thrown away.
    """
    info = check_video(source)
    fps = _frame_rate(source, info.fps)
    _check_size(source, info.width, info.height, settings.codec)
    mask = _scan_mask(source, info, sector) if settings.mask_screen else None
    _encode(_frames(source, mask), target, fps, settings)
    errors, distances = _compare(source, _frames(source, mask), target)
    worst_psnr_db = psnr_db(max(errors))
    if worst_psnr_db < settings.min_psnr_db:
        raise VideoError(
            f"{source}: frame {int(np.argmax(errors))} of its {settings.codec} version has {worst_psnr_db:.1f} dB "
            f"PSNR, --min-psnr is {settings.min_psnr_db:g} dB. Lower --min-psnr, or keep the original for the CPU."
        )
    reach = 2 * np.sqrt(np.maximum(errors[:-1], errors[1:]))
    return Transcoded(
        num_frames=len(errors),
        width=info.width,
        height=info.height,
        padding=f"{info.width % 2}x{info.height % 2}",
        fps=float(fps),
        worst_psnr_db=worst_psnr_db,
        psnr_db=psnr_db(float(np.mean(errors))),
        num_alike_neighbours=int(np.sum(np.sqrt(distances) <= reach)),
        source_codec=info.codec,
        source_bytes=_num_bytes(source),
        num_bytes=target.stat().st_size,
        scan_share=1.0 if mask is None else float(mask.mean()),
    )


def psnr_db(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio of 8-bit grey levels; infinite for equal pictures."""
    return math.inf if mean_squared_error == 0 else 10 * math.log10(255**2 / mean_squared_error)


def _scan_mask(source: Path, info: VideoInfo, sector: Sector | None) -> NDArray[np.bool_]:
    if sector is not None:
        check_sector(source, sector, info.width, info.height)
        return sector.blacken_around(np.ones((info.height, info.width), np.bool_))
    mask = find_scan_sector(decode_frames(source))
    if mask is None:
        raise VideoError(
            f"{source}: too little moves in it to tell the scan from the screen around it. Fill in sector_x1, "
            "sector_y1, sector_x2 and sector_y2 of its row in the manifest (pixels)."
        )
    return mask


def _frames(source: Path, mask: NDArray[np.bool_] | None) -> Iterator[GreyFrame]:
    for frame in decode_frames(source):
        yield frame if mask is None else np.where(mask, frame, np.uint8(0))


def _frame_rate(source: Path, fps: float | None) -> Fraction:
    if fps is None:
        return _FPS_OF_IMAGES
    if not _FPS_RANGE[0] <= fps <= _FPS_RANGE[1]:
        raise VideoError(
            f"{source}: declares {fps:g} frames per second; {_FPS_RANGE[0]} to {_FPS_RANGE[1]} can be. Its header is "
            "wrong: export it again."
        )
    return Fraction(fps).limit_denominator(1001)  # 29.97 is 30000/1001


def _check_size(source: Path, width: int, height: int, codec: Codec) -> None:
    smallest, largest = _SMALLEST[codec], _LARGEST[codec]
    if not (smallest[0] <= width <= largest[0] and smallest[1] <= height <= largest[1]):
        other = "hevc" if codec == "h264" else "h264"
        raise VideoError(
            f"{source}: is {width}x{height} pixels; in {codec}, NVDEC takes {smallest[0]}x{smallest[1]} to "
            f"{largest[0]}x{largest[1]}. Try --codec {other}, or keep the original for the CPU."
        )


def _quantiser(min_psnr_db: float) -> int:
    mean_squared_error = 255**2 / 10 ** ((min_psnr_db + _MARGIN_DB) / 10)
    return max(1, math.floor(4 + 6 * math.log2(math.sqrt(12 * mean_squared_error))))


def _encode(frames: Iterable[GreyFrame], target: Path, fps: Fraction, settings: TranscodeSettings) -> None:
    parameters = _OPTIONS[settings.codec].format(qp=_quantiser(settings.min_psnr_db), group=_GROUP)
    name = _ENCODERS[settings.codec]
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        stream: VideoStream = container.add_stream(name, rate=fps)
        stream.options = {"preset": "fast", f"{name.removeprefix('lib')}-params": parameters}
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range = ColorRange.JPEG
        for number, planes in enumerate(_yuv420p(frames)):
            if number == 0:
                stream.height, stream.width = planes.shape[0] * 2 // 3, planes.shape[1]
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.color_range = ColorRange.JPEG
            picture.pts, picture.time_base = number, 1 / fps
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _yuv420p(frames: Iterable[GreyFrame]) -> Iterator[GreyFrame]:
    """Yield luma of even size above neutral chroma, [H * 3 / 2, W]."""
    for frame in frames:
        height, width = frame.shape
        luma = np.pad(frame, ((0, height % 2), (0, width % 2)), "edge")
        yield np.concatenate([luma, np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)])


def _compare(source: Path, originals: Iterable[GreyFrame], result: Path) -> tuple[list[float], list[float]]:
    """Mean squared errors of the frames, and mean squared differences of adjacent original frames.

    By the triangle inequality, result k is nearer to original k than to original j wherever the root of the distance
    between the two originals exceeds twice the root of the error of result k.
    """
    errors: list[float] = []
    distances: list[float] = []
    before: GreyFrame | None = None
    for number, (original, frame) in enumerate(zip_longest(originals, decode_frames(result))):
        if original is None or frame is None:
            more, fewer = ("its result", "it") if original is None else ("it", "its result")
            raise VideoError(f"{source}: {more} has more frames than {fewer}, which has {number}. It was not kept.")
        errors.append(_mean_squared_difference(original, frame[: original.shape[0], : original.shape[1]]))
        if before is not None:
            distances.append(_mean_squared_difference(before, original))
        before = original
    return errors, distances


def _mean_squared_difference(one: GreyFrame, other: GreyFrame) -> float:
    difference = np.subtract(one, other, dtype=np.int32)
    return float(np.mean(np.square(difference, out=difference)))


def _num_bytes(source: Path) -> int:
    files = source.iterdir() if source.is_dir() else [source]
    return sum(file.stat().st_size for file in files if file.is_file())
