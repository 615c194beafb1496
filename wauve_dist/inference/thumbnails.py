"""One small picture a video: where the lesion was, and what the models say."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wauve_dist.inference.drawing import GREEN, GREY, INK, WHITE, draw_box, font, scaled, score_colour

THUMBNAIL_WIDTH = 320
_STRIP_HEIGHT = 22


def most_confident_box(tracks: pd.DataFrame) -> pd.Series | None:
    """Return the row of the tracked box with the best score, the first of equals; None without a track."""
    return None if tracks.empty else tracks.loc[tracks["score"].idxmax()]


def draw_thumbnail(
    frame: NDArray[np.uint8], box: pd.Series | None, score: float | None, call_threshold: float
) -> Image.Image:
    """Draw a frame with its box above a strip of text.

    Args:
        frame: grey uint8 [H, W].
        box: row of ``tracks.parquet`` with that frame; None where no lesion was found.
        score: of the video, 0..1; None where it has no clip.
        call_threshold: scores from here on are called malignant, 0..1.

    Returns:
        RGB, ``THUMBNAIL_WIDTH`` pixels wide.
    """
    height, width = frame.shape
    factor = THUMBNAIL_WIDTH / width
    picture = scaled(frame, THUMBNAIL_WIDTH, max(1, round(height * factor)))
    if box is not None:
        draw_box(picture, tuple(float(box[side]) * factor for side in ("x1", "y1", "x2", "y2")), GREEN, width=2)
    whole = Image.new("RGB", (THUMBNAIL_WIDTH, picture.height + _STRIP_HEIGHT), INK)
    whole.paste(picture)
    draw = ImageDraw.Draw(whole)
    middle = picture.height + _STRIP_HEIGHT // 2
    if score is None:
        call, colour = "no lesion found", GREY
    else:
        call = f"{'malignant' if score >= call_threshold else 'benign'}  {score:.2f}"
        colour = score_colour(score, call_threshold)
    draw.rectangle((0, picture.height, 4, whole.height), fill=colour)
    draw.text((12, middle), call, font=font(14), fill=colour, anchor="lm")
    if box is not None:
        where = f"frame {int(box['frame'])} · box {float(box['score']):.2f}"
        draw.text((THUMBNAIL_WIDTH - 8, middle), where, font=font(12), fill=WHITE, anchor="rm")
    return whole
