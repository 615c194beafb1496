"""Maps as colours over a grey picture, and the bar that says what the colours mean."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from wauve_dist.inference.drawing import GREY, INK, WHITE, font
from wauve_dist.inference.heat_maps import HeatMaps, PlacedMap
from wauve_dist.models.classifiers.clip_classifier import MapKind
from wauve_dist.models.map_colours import coloured

_UNITS = {"contribution": "contribution to the logit", "attention": "attention (1: average)"}
_BAR_SIZE = (200, 26)
_BAR_TISSUE = 90  # grey under the bar's colours
_GAP = 10


def tinted(picture: Image.Image, maps: Iterable[PlacedMap], kind: MapKind, limit: float) -> Image.Image:
    """Colour a grey picture by maps.

    Args:
        picture: RGB.
        maps: in its pixels; where they overlap the strongest value counts.
        kind: what their values are.
        limit: value of the strongest colour; what is beyond looks alike.
    """
    values = np.zeros((picture.height, picture.width), np.float32)
    for rows, columns, added in maps:
        present = values[rows, columns]
        values[rows, columns] = np.where(np.abs(added) > np.abs(present), added, present)
    return coloured(picture, values, kind, limit)


def colour_bar(maps: HeatMaps, size: int) -> Image.Image:
    """Draw the scale in one line: unit, lower end, colours, upper end.

    Args:
        maps: of a video.
        size: of the letters, pixels.
    """
    kind, limit = maps.kind, maps.limit
    is_signed = kind == "contribution"
    rows, columns = maps.grid
    low, high = (f"benign -{limit:.2g}", f"+{limit:.2g} malignant") if is_signed else ("0", f"{limit:.2g}")
    width, height = _BAR_SIZE
    values = np.tile(np.linspace(-limit if is_signed else 0, limit, width, dtype=np.float32), (height, 1))
    parts: list[tuple[int, tuple[str, tuple[int, int, int]] | Image.Image]] = []
    for text, colour in ((f"{_UNITS[kind]}, {rows} x {columns} cells", GREY), (low, WHITE), (high, WHITE)):
        parts.append((round(font(size).getlength(text)), (text, colour)))
    parts.insert(2, (width, coloured(Image.new("RGB", _BAR_SIZE, (_BAR_TISSUE,) * 3), values, kind, limit)))
    line_height = max(height, round(1.4 * size))
    bar = Image.new("RGB", (sum(width for width, _ in parts) + _GAP * (len(parts) + 1), line_height), INK)
    draw, x = ImageDraw.Draw(bar), 0
    for width, part in parts:
        if isinstance(part, Image.Image):
            bar.paste(part, (x, (line_height - height) // 2))
        else:
            draw.text((x, line_height // 2), part[0], font=font(size), fill=part[1], anchor="lm")
        x += width + _GAP
    return bar.crop((0, 0, x - _GAP, line_height))
