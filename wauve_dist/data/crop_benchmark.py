"""How fast clips come out of 1080p video: one pass into the crop cache against seeking for every clip.

A pass costs the same whatever is taken from it, so how much it gains depends on how many clips that is: here one every
4 frames of one track, or of two. A training draws from all places of a track, epoch after epoch, without another pass.
The others pay for every clip: each turn of theirs is that of an epoch, a few random clips of a video in order of time,
of which they convert no other frames. PyTorchVideo's reader, the field's usual way, has PyAV seek and makes colours of
every clip; the bare seek beside it does the least that seeking can.

Rates are clips per second of processor time, so that neither threads nor other programs change them. Ways take turns,
and every clip of every way is compared with ours.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pytorchvideo.data.encoded_video_pyav import EncodedVideoPyAV
from scipy import ndimage

from wauve_dist.data.array_cache import new_array, open_array
from wauve_dist.data.clip_sampling import windows_of
from wauve_dist.data.crop_cache import crop_recipes
from wauve_dist.data.crops import crop_roi
from wauve_dist.structures.clips import CLIP_LENGTH, Clip

WIDTH, HEIGHT = 1920, 1080
_FRAME_RATE = 30
_PICTURE = np.s_[80:1000, 300:1620]  # the scan on the screen
_CROP_SIZE, _CONTEXT = 224, 1.5
_NUMS_TRACKS = (1, 2)
CLIP_STEP = 4  # frames from clip to clip of a track
_CLIPS_PER_EPOCH = 4  # of a video, as in configs/classification/i3d_r50.yaml
_EPOCHS_PER_ROUND = 3


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


class Spread(NamedTuple):
    """A figure over the rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Summarise one figure a round."""
        return cls(statistics.median(figures), min(figures), max(figures))


class ClipRate(NamedTuple):
    """Speed of one way to get clips out of one video.

    Attributes:
        video: how it is encoded.
        way: how clips are got.
        num_clips: that a round of it gives.
        per_cpu_s: clips per second of processor time.
        our_ratios: our rate in the same round over this one, by the number of tracks; empty for ours.
        difference: largest mean difference of a clip from ours, grey levels.
    """

    video: str
    way: str
    num_clips: int
    per_cpu_s: Spread
    our_ratios: dict[int, Spread]
    difference: float


ClipReader = Callable[[Path, NDArray[np.float64], Sequence[int]], NDArray[np.uint8]]
"""Takes a video, the box of a track in each of its frames, [F, 4], and first frames of clips, ascending."""


def benchmark_crops(num_frames: int, num_rounds: int, seed: int) -> Iterator[ClipRate | str]:
    """Encode a video in each of ``ENCODINGS`` and cut clips out of it in each way.

    Args:
        num_frames: of the videos, 32 or more.
        num_rounds: in which each way has its turn.
        seed: of pictures and of the clips that are sought one by one.

    Yields:
        A rate per video and way, ours first; or, in words, why a way cannot be measured here.

    Raises:
        ValueError: too few frames.
    """
    if num_frames < 32:
        raise ValueError(f"--video-frames {num_frames}: give 32 or more.")
    others: dict[str, ClipReader] = {
        "PyAV, a seek per clip": _seek_per_clip,
        "PyTorchVideo's PyAV reader": _pytorchvideo,
    }
    try:
        import torchcodec  # type: ignore[import-not-found,unused-ignore]
    except (ImportError, RuntimeError, OSError) as error:  # its libraries look for FFmpeg's as they are loaded
        yield (
            f"torchcodec: NOT MEASURED, it cannot be loaded here ({str(error).strip().splitlines()[0]}). "
            "pip install torchcodec, and FFmpeg's shared libraries (apt-get install ffmpeg)."
        )
    else:
        others[f"torchcodec {torchcodec.__version__}, opened once, clips in order"] = _torchcodec
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        for number, (video, encoding) in enumerate(ENCODINGS.items()):
            path = Path(folder) / f"{number}{encoding.suffix}"
            _write_video(path, encoding, num_frames, seed)
            yield from _measure(video, path, others, num_frames, num_rounds, rng)


def _measure(
    video: str,
    path: Path,
    others: dict[str, ClipReader],
    num_frames: int,
    num_rounds: int,
    rng: np.random.Generator,
) -> Iterator[ClipRate]:
    starts = range(0, num_frames - CLIP_LENGTH + 1, CLIP_STEP)
    tracks = {number: _tracks(number, num_frames) for number in _NUMS_TRACKS}
    boxes_xyxy = tracks[1][["x1", "y1", "x2", "y2"]].to_numpy()
    our_rates: dict[int, list[float]] = {number: [] for number in _NUMS_TRACKS}
    rates: dict[str, list[float]] = {way: [] for way in others}
    differences = dict.fromkeys(others, 0.0)
    for _ in range(num_rounds):
        passes = {}
        for number, of_number in our_rates.items():
            clips = [Clip(track, index, start) for track in range(number) for index, start in enumerate(starts)]
            start_s = time.process_time()
            passes[number] = _one_pass(path, tracks[number], clips)
            of_number.append(len(clips) / (time.process_time() - start_s))
        epochs = [np.sort(rng.choice(len(starts), _CLIPS_PER_EPOCH, False)) for _ in range(_EPOCHS_PER_ROUND)]
        for way, read in others.items():
            spent_s = 0.0
            for chosen in epochs:
                start_s = time.process_time()
                found = read(path, boxes_xyxy, [starts[index] for index in chosen])
                spent_s += time.process_time() - start_s
                difference = np.abs(found.astype(np.int16) - passes[1][chosen]).mean(axis=(1, 2, 3)).max()
                differences[way] = max(differences[way], float(difference))
            rates[way].append(_EPOCHS_PER_ROUND * _CLIPS_PER_EPOCH / spent_s)
    for number, of_number in our_rates.items():
        way = f"one pass, {number} track{'s' if number > 1 else ''}"
        yield ClipRate(video, way, number * len(starts), Spread.of(of_number), {}, 0.0)
    for way, of_way in rates.items():
        ratios = {
            number: Spread.of([our / other for our, other in zip(of_number, of_way, strict=True)])
            for number, of_number in our_rates.items()
        }
        num_clips = _EPOCHS_PER_ROUND * _CLIPS_PER_EPOCH
        yield ClipRate(video, way, num_clips, Spread.of(of_way), ratios, differences[way])


def _one_pass(path: Path, tracks: pd.DataFrame, clips: Sequence[Clip]) -> NDArray[np.uint8]:
    recipe = crop_recipes({"video": path}, tracks, _CROP_SIZE, _CONTEXT)["video"]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        target = Path(folder) / "crops.npy"
        recipe.fill(new_array(target, recipe.shape))
        crops = open_array(target)
        windows = windows_of(clips, recipe.track_ids, recipe.frames)
        return np.stack([crops[window.first_row : window.first_row + CLIP_LENGTH] for window in windows])


def _seek_per_clip(path: Path, boxes_xyxy: NDArray[np.float64], starts: Sequence[int]) -> NDArray[np.uint8]:
    found = []
    for start in starts:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate is not None
            assert stream.time_base is not None
            container.seek(int(start / stream.average_rate / stream.time_base), stream=stream)
            frames = []
            for frame in container.decode(stream):
                assert frame.time is not None
                if round(frame.time * stream.average_rate) >= start:
                    frames.append(frame.to_ndarray(format="gray"))
                if len(frames) == CLIP_LENGTH:
                    break
        found.append(_crops(frames, boxes_xyxy[start:]))
    return np.stack(found)


def _pytorchvideo(path: Path, boxes_xyxy: NDArray[np.float64], starts: Sequence[int]) -> NDArray[np.uint8]:
    found = []
    with path.open("rb") as file:
        video = EncodedVideoPyAV(file, decode_audio=False)
        for start in starts:
            frames = video.get_clip(Fraction(start, _FRAME_RATE), Fraction(start + CLIP_LENGTH, _FRAME_RATE))["video"]
            assert frames is not None
            assert frames.shape[1] == CLIP_LENGTH
            found.append(_crops(list(frames[0].byte().numpy()), boxes_xyxy[start:]))
    return np.stack(found)


def _torchcodec(path: Path, boxes_xyxy: NDArray[np.float64], starts: Sequence[int]) -> NDArray[np.uint8]:
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found,unused-ignore]

    decoder, found = VideoDecoder(path), []
    for start in starts:
        frames = decoder.get_frames_in_range(start, start + CLIP_LENGTH).data
        found.append(_crops(list(frames[:, 0].contiguous().numpy()), boxes_xyxy[start:]))
    return np.stack(found)


def _crops(frames: Sequence[NDArray[np.uint8]], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.uint8]:
    pairs = zip(frames, boxes_xyxy, strict=False)
    return np.stack([crop_roi(frame, box_xyxy, _CROP_SIZE, _CONTEXT) for frame, box_xyxy in pairs])


def _tracks(num_tracks: int, num_frames: int) -> pd.DataFrame:
    """Boxes of 300 x 220 pixels that wander through the picture."""
    parts = []
    for track in range(num_tracks):
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
        stream = container.add_stream(encoding.codec, rate=_FRAME_RATE, options=encoding.options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, encoding.pixel_format
        for number in range(num_frames):
            window = slice(rows.start - number % 64, rows.stop - number % 64), columns
            mixed = speckle[0][window] * np.cos(number / 20) + speckle[1][_PICTURE] * np.sin(number / 20)
            pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
            pixels[_PICTURE] = np.clip(90 + mixed, 0, 255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        container.mux(stream.encode())
