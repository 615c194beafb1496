"""A video to look at, as in Fig. 6 of Han et al. 2025: the lesion in its box, its map, the score over time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from wauve_dist.data.decoding import GreyFrame, VideoInfo
from wauve_dist.inference.annotator import Annotator
from wauve_dist.inference.drawing import INK, WHITE, fitting, font
from wauve_dist.inference.heat_drawing import colour_bar
from wauve_dist.inference.score_panel import PANEL_HEIGHT, PANEL_WIDTH, ScorePanel

WIDTH, HEIGHT = PANEL_WIDTH, 1080
_MARGIN, _HEADER_HEIGHT, _LETTER_SIZE = 28, 60, 24
_FPS_OF_IMAGES = 30.0  # images have no clock


def write_overlay(
    path: Path, video_id: str, frames: Iterable[GreyFrame], info: VideoInfo, annotator: Annotator
) -> None:
    """Write an MP4 (H.264, 1920x1080) of a video and what the models saw in it; holds one frame at a time.

    To the left the frames with their boxes and the clips' probabilities, to the right the same frames with the maps of
    the clips, below the clips' probabilities over time and the mean over all that have ended, which at the end is the
    video's score. Colours mean the same from the first frame to the last.

    Args:
        path: of the MP4.
        video_id: stands above the frames.
        frames: grey uint8 [H, W], all frames of the video.
        info: of the video.
        annotator: draws the frames.
    """
    fps = info.fps or _FPS_OF_IMAGES
    maps = annotator.maps
    panel = ScorePanel(info.num_frames, fps, annotator.clips, maps.clip_length, annotator.call_threshold)
    room_width, room_height = (WIDTH - 3 * _MARGIN) // 2, HEIGHT - PANEL_HEIGHT - _HEADER_HEIGHT
    factor = min(room_width / info.width, room_height / info.height)
    width, height = max(1, round(info.width * factor)), max(1, round(info.height * factor))
    lefts = [_MARGIN + (room_width - width) // 2, 2 * _MARGIN + room_width + (room_width - width) // 2]
    top = _HEADER_HEIGHT + (room_height - height) // 2

    whole = Image.new("RGB", (WIDTH, HEIGHT), INK)
    title = fitting(video_id, _LETTER_SIZE, room_width)
    ImageDraw.Draw(whole).text((_MARGIN, _HEADER_HEIGHT // 2), title, font=font(_LETTER_SIZE), fill=WHITE, anchor="lm")
    if maps.cells:
        bar = colour_bar(maps, _LETTER_SIZE - 4)
        whole.paste(bar, (WIDTH - _MARGIN - bar.width, (_HEADER_HEIGHT - bar.height) // 2))
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        for number, frame in enumerate(frames):
            whole.paste(annotator.detections(number, frame, width, height), (lefts[0], top))
            whole.paste(annotator.heat(number, frame, width, height), (lefts[1], top))
            whole.paste(panel.at(number), (0, HEIGHT - PANEL_HEIGHT))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(whole), format="rgb24")))
        container.mux(stream.encode())
