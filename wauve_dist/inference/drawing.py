"""The colours, letters and boxes that all pictures of a video share."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
BoxXyxy = tuple[float, float, float, float]

GREEN = (64, 224, 112)
RED = (255, 107, 94)
BLUE = (102, 170, 255)
WHITE = (240, 242, 245)
GREY = (150, 157, 168)
LINE = (52, 56, 64)
INK = (18, 20, 24)


def scaled(frame: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    """Turn a grey frame, uint8 [H, W], into a colour picture of that size."""
    return Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS).convert("RGB")


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that Pillow brings along, the same on every machine; it knows basic Latin only."""
    loaded = ImageFont.load_default(size=size)
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded


def score_colour(score: float, call_threshold: float) -> Colour:
    """Red for a malignant call, blue for a benign one."""
    return RED if score >= call_threshold else BLUE


def draw_box(picture: Image.Image, box_xyxy: BoxXyxy, colour: Colour, width: int) -> None:
    """Draw a box, pixels of the picture, with a dark rim that keeps it visible on bright tissue."""
    draw = ImageDraw.Draw(picture)
    x1, y1, x2, y2 = (round(side) for side in box_xyxy)
    draw.rectangle((x1 - 1, y1 - 1, x2, y2), outline=INK, width=width + 2)
    draw.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour, width=width)


def draw_label(
    picture: Image.Image, box_xyxy: BoxXyxy, text: str, colour: Colour, size: int, taken: list[BoxXyxy]
) -> None:
    """Write on a dark plate at the box, always inside the picture.

    Args:
        picture: to write on.
        box_xyxy: pixels of the picture; the plate stands above it, or below, or where else in that column is room.
        text: cut in its middle where the picture is too narrow.
        colour: of the letters.
        size: of the letters, pixels.
        taken: plates that must not be covered; gets the new one.
    """
    draw = ImageDraw.Draw(picture)
    text = fitting(text, size, picture.width - 12)
    _, _, text_width, text_height = draw.textbbox((0, 0), text, font=font(size), anchor="lt")
    width, height = round(text_width) + 12, round(text_height) + 10
    x1, y1, _, y2 = (round(side) for side in box_xyxy)
    left = max(0, min(x1 - 1, picture.width - width))
    lowest = max(0, picture.height - height)
    above, below = y1 - height - 3, min(y2 + 3, lowest)
    tops = [above, *range(above, -1, -height), below, *range(0, lowest + 1, height)]
    free = [
        top
        for top in tops
        if top >= 0
        and not any(
            left < right and x < left + width and top < bottom and y < top + height for x, y, right, bottom in taken
        )
    ]
    top = free[0] if free else max(0, below)
    taken.append((left, top, left + width, top + height))
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=INK)
    draw.text((left + 6, top + height // 2), text, font=font(size), fill=colour, anchor="lm")


def fitting(text: str, size: int, width: int) -> str:
    """Leave out the middle of a text that is wider than ``width`` pixels."""
    kept = len(text)
    shown = text
    while font(size).getlength(shown) > width and kept > 2:
        kept -= 1
        shown = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
    return shown
