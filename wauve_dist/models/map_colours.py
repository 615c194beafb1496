"""A map as colours over a grey picture.

Contributions are red and blue, which every kind of colour blindness tells apart; attention is amber. Zero is
transparent and opacity grows evenly with the value, so the tissue stays visible where nothing speaks either way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wauve_dist.models.classifiers.clip_classifier import MapKind

_RED, _BLUE, _AMBER = (228, 42, 36), (28, 104, 236), (255, 170, 0)
_STRONGEST = 0.68  # opacity at the end of the scale: speckle stays visible


def coloured(picture: Image.Image, values_HW: NDArray[np.float32], kind: MapKind, limit: float) -> Image.Image:
    """Colour a grey picture by a map.

    Args:
        picture: RGB, H and W pixels.
        values_HW: of the map.
        kind: what they are.
        limit: value of the strongest colour; what is beyond looks alike.
    """
    positive = _RED if kind == "contribution" else _AMBER
    colours = np.where((values_HW > 0)[:, :, None], positive, _BLUE).astype(np.uint8)
    opacity = np.rint(np.clip(np.abs(values_HW) / limit, 0, 1) * (255 * _STRONGEST)).astype(np.uint8)
    return Image.composite(Image.fromarray(colours), picture, Image.fromarray(opacity))
