"""A video to look at: the frames with their boxes and clip scores, above the score over time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd
from PIL import Image

from wauve_dist.data.decoding import GreyFrame, VideoInfo
from wauve_dist.inference.drawing import GREEN, INK, draw_box, draw_label, scaled, score_colour
from wauve_dist.inference.score_panel import PANEL_HEIGHT, ScorePanel
from wauve_dist.structures.clips import CLIP_LENGTH

_MIN_WIDTH = 640
_FPS_OF_IMAGES = 30.0  # images have no clock


def write_overlay(
    path: Path,
    frames: Iterable[GreyFrame],
    info: VideoInfo,
    tracks: pd.DataFrame,
    clips: pd.DataFrame,
    call_threshold: float,
) -> None:
    """Write an MP4 (H.264) of a video and what the models saw in it.

    Every box is green; while a clip lasts, its number and probability stand at its box, red for a malignant and blue
    for a benign call. Clips are numbered from 1 in the order in which they start. The panel below shows the clips'
    probabilities and the mean over all that have ended, which at the end is the video's score.

    Args:
        path: of the MP4.
        frames: grey uint8 [H, W], all frames of the video.
        info: of the video.
        tracks: rows of ``tracks.parquet`` of this video.
        clips: rows of ``clips.parquet`` of this video.
        call_threshold: scores from here on are called malignant, 0..1.
    """
    enlargement = max(1.0, _MIN_WIDTH / info.width)
    width, height = _even(info.width * enlargement), _even(info.height * enlargement)
    numbered = clips.sort_values(["start_frame", "track_id"], ignore_index=True)
    fps = info.fps or _FPS_OF_IMAGES
    panel = ScorePanel(width, info.num_frames, fps, numbered, call_threshold)
    labels = {
        (clip.track_id, frame): (f"Clip {clip.Index + 1}: prob = {clip.score:.2f}", clip.score)
        for clip in numbered.itertuples()
        for frame in range(clip.start_frame, clip.start_frame + CLIP_LENGTH)
    }
    boxes = dict(list(tracks.groupby("frame")))
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height + PANEL_HEIGHT, "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        for number, frame in enumerate(frames):
            picture = scaled(frame, width, height)
            across, down = width / frame.shape[1], height / frame.shape[0]
            for row in boxes[number].itertuples() if number in boxes else ():
                box_xyxy = (row.x1 * across, row.y1 * down, row.x2 * across, row.y2 * down)
                draw_box(picture, box_xyxy, GREEN, width=2)
                if (row.track_id, number) in labels:
                    text, score = labels[row.track_id, number]
                    draw_label(picture, box_xyxy, text, score_colour(score, call_threshold))
            whole = Image.new("RGB", (width, height + PANEL_HEIGHT), INK)
            whole.paste(picture)
            whole.paste(panel.at(number), (0, height))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(whole), format="rgb24")))
        container.mux(stream.encode())


def _even(length: float) -> int:
    """Round to what 4:2:0 colour needs."""
    return 2 * round(length / 2)
