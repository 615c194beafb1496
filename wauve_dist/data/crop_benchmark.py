"""How fast clips come out of 1080p video: one pass into the crop cache against seeking for every clip.

Rates are clips per second of processor time, so that neither threads nor other programs change them. Ways take turns,
and every clip of every way is compared with ours.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from wauve_dist.data.array_cache import new_array, open_array
from wauve_dist.data.clip_sampling import windows_of
from wauve_dist.data.crop_cache import crop_recipes
from wauve_dist.data.crops import crop_roi
from wauve_dist.structures.clips import CLIP_LENGTH, Clip

WIDTH, HEIGHT = 1920, 1080
_PICTURE = np.s_[80:1000, 300:1620]  # the scan on the screen
_CROP_SIZE, _CONTEXT = 224, 1.5
_NUM_TRACKS = 2
_CLIP_STEP = 4  # frames from clip to clip of a track
_CLIPS_PER_ROUND = 4  # that are sought one by one


class _Encoding(NamedTuple):
    suffix: str
    codec: str
    pixel_format: str
    options: dict[str, str]


def _h264(key_frame_distance: int) -> _Encoding:
    options = {"g": str(key_frame_distance), "keyint_min": str(key_frame_distance), "sc_threshold": "0"}
    return _Encoding(".mp4", "libx264", "yuv420p", {**options, "preset": "superfast", "crf": "20", "threads": "2"})


ENCODINGS = {
    "H.264, a key frame every 250": _h264(250),
    "H.264, a key frame every 16": _h264(16),
    "MJPEG": _Encoding(".avi", "mjpeg", "yuvj420p", {"qmin": "2", "qmax": "3"}),
}


class ClipRate(NamedTuple):
    """Speed of one way to get clips out of one video.

    Attributes:
        video: how it is encoded.
        way: how clips are got.
        per_cpu_s: clips per second of processor time, median of the rounds.
        slowest: of the rounds.
        fastest: of the rounds.
        our_ratio: our rate over this one, median of the rounds.
        difference: largest mean difference of a clip from ours, grey levels.
    """

    video: str
    way: str
    per_cpu_s: float
    slowest: float
    fastest: float
    our_ratio: float
    difference: float


ClipReader = Callable[[Path, pd.DataFrame, Sequence[Clip]], NDArray[np.uint8]]


def benchmark_crops(num_frames: int, num_rounds: int, seed: int) -> Iterator[ClipRate | str]:
    """Encode a video in each of ``ENCODINGS`` and cut clips out of it in each way.

    Args:
        num_frames: of the videos, 32 or more.
        num_rounds: in which each way has its turn.
        seed: of pictures and of the clips that are sought one by one.

    Yields:
        A rate per video and way; or, in words, why a way cannot be measured here.

    Raises:
        ValueError: too few frames.
    """
    if num_frames < 32:
        raise ValueError(f"--video-frames {num_frames}: give 32 or more.")
    ways: dict[str, ClipReader] = {"one pass into the cache": _one_pass, "PyAV, a seek per clip": _seek_per_clip}
    try:
        import torchcodec  # type: ignore[import-not-found,unused-ignore]
    except (ImportError, RuntimeError, OSError) as error:  # its libraries look for FFmpeg's as they are loaded
        yield (
            f"torchcodec: NOT MEASURED, it cannot be loaded here ({str(error).strip().splitlines()[0]}). "
            "pip install torchcodec, and FFmpeg's shared libraries (apt-get install ffmpeg)."
        )
    else:
        ways[f"torchcodec {torchcodec.__version__}, opened once, clips in order"] = _torchcodec
    rng = np.random.default_rng(seed)
    tracks = _tracks(num_frames)
    starts = range(0, num_frames - CLIP_LENGTH + 1, _CLIP_STEP)
    clips = [Clip(track, index, start) for track in range(_NUM_TRACKS) for index, start in enumerate(starts)]
    with tempfile.TemporaryDirectory() as folder:
        for number, (video, encoding) in enumerate(ENCODINGS.items()):
            path = Path(folder) / f"{number}{encoding.suffix}"
            _write_video(path, encoding, num_frames, seed)
            yield from _measure(video, path, ways, tracks, clips, num_rounds, rng)


def _measure(
    video: str,
    path: Path,
    ways: dict[str, ClipReader],
    tracks: pd.DataFrame,
    clips: list[Clip],
    num_rounds: int,
    rng: np.random.Generator,
) -> Iterator[ClipRate]:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    differences = dict.fromkeys(ways, 0.0)
    for _ in range(num_rounds):
        ours: NDArray[np.uint8] | None = None
        for way, read in ways.items():
            # One pass gives all clips for the price of any; the others pay for each.
            chosen = range(len(clips)) if ours is None else sorted(rng.choice(len(clips), _CLIPS_PER_ROUND, False))
            start_s = time.process_time()
            found = read(path, tracks, [clips[index] for index in chosen])
            rates[way].append(len(chosen) / (time.process_time() - start_s))
            ours = found if ours is None else ours
            difference = np.abs(found.astype(np.int16) - ours[chosen]).mean(axis=(1, 2, 3)).max()
            differences[way] = max(differences[way], float(difference))
    our_rates = next(iter(rates.values()))
    for way, found_rates in rates.items():
        ratio = statistics.median(ours / other for ours, other in zip(our_rates, found_rates, strict=True))
        median = statistics.median(found_rates)
        yield ClipRate(video, way, median, min(found_rates), max(found_rates), ratio, differences[way])


def _one_pass(path: Path, tracks: pd.DataFrame, clips: Sequence[Clip]) -> NDArray[np.uint8]:
    recipe = crop_recipes({"video": path}, tracks, _CROP_SIZE, _CONTEXT)["video"]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        target = Path(folder) / "crops.npy"
        recipe.fill(new_array(target, recipe.shape))
        crops = open_array(target)
        windows = windows_of(clips, recipe.track_ids, recipe.frames)
        return np.stack([crops[window.first_row : window.first_row + CLIP_LENGTH] for window in windows])


def _seek_per_clip(path: Path, tracks: pd.DataFrame, clips: Sequence[Clip]) -> NDArray[np.uint8]:
    found = []
    for clip in clips:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate is not None
            assert stream.time_base is not None
            container.seek(int(clip.start_frame / stream.average_rate / stream.time_base), stream=stream)
            frames = []
            for frame in container.decode(stream):
                assert frame.time is not None
                if round(frame.time * stream.average_rate) >= clip.start_frame:
                    frames.append(frame.to_ndarray(format="gray"))
                if len(frames) == CLIP_LENGTH:
                    break
        found.append(_crops(frames, tracks, clip))
    return np.stack(found)


def _torchcodec(path: Path, tracks: pd.DataFrame, clips: Sequence[Clip]) -> NDArray[np.uint8]:
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found,unused-ignore]

    decoder, found = VideoDecoder(path), {}
    for clip in sorted(clips, key=lambda clip: clip.start_frame):
        frames = decoder.get_frames_in_range(clip.start_frame, clip.start_frame + CLIP_LENGTH).data
        found[clip] = _crops(list(frames[:, 0].contiguous().numpy()), tracks, clip)
    return np.stack([found[clip] for clip in clips])


def _crops(frames: Sequence[NDArray[np.uint8]], tracks: pd.DataFrame, clip: Clip) -> NDArray[np.uint8]:
    boxes = tracks[tracks["track_id"] == clip.track_id].set_index("frame").loc[clip.start_frame :]
    boxes_xyxy = boxes[["x1", "y1", "x2", "y2"]].to_numpy()
    pairs = zip(frames, boxes_xyxy[:CLIP_LENGTH], strict=True)
    return np.stack([crop_roi(frame, box_xyxy, _CROP_SIZE, _CONTEXT) for frame, box_xyxy in pairs])


def _tracks(num_frames: int) -> pd.DataFrame:
    """Boxes of 300 x 220 pixels that wander through the picture."""
    parts = []
    for track in range(_NUM_TRACKS):
        frame = np.arange(num_frames)
        x1, y1 = 450 + 500 * track + 60 * np.sin(frame / 40), 300 + 150 * track + 40 * np.cos(frame / 30)
        box = {"x1": x1, "y1": y1, "x2": x1 + 300, "y2": y1 + 220}
        parts.append(pd.DataFrame({"video_id": "video", "track_id": track, "frame": frame, **box}))
    return pd.concat(parts, ignore_index=True)


def _write_video(path: Path, encoding: _Encoding, num_frames: int, seed: int) -> None:
    """Speckle that moves and changes from frame to frame, on a black screen."""
    rng = np.random.default_rng(seed)
    speckle = []
    for _ in range(2):
        grains = ndimage.gaussian_filter(rng.standard_normal((HEIGHT // 2, WIDTH // 2)).astype(np.float32), 1.5)
        speckle.append(ndimage.zoom(35 * grains / grains.std(), 2, order=1))
    rows, columns = _PICTURE
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoding.codec, rate=30, options=encoding.options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, encoding.pixel_format
        for number in range(num_frames):
            window = slice(rows.start - number % 64, rows.stop - number % 64), columns
            mixed = speckle[0][window] * np.cos(number / 20) + speckle[1][_PICTURE] * np.sin(number / 20)
            pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
            pixels[_PICTURE] = np.clip(90 + mixed, 0, 255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        container.mux(stream.encode())
