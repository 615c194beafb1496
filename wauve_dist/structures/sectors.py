"""Sectors: where the scan is on a screen. What a scanner writes around it may name a patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wauve_dist.structures.tables import SECTOR_COLUMNS, TableError

_Pixel = TypeVar("_Pixel", bound=np.generic)


class Sector(NamedTuple):
    """A rectangle of a video's frames.

    Attributes:
        x1: first column, pixels.
        y1: first row.
        x2: column behind the last.
        y2: row behind the last.
    """

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def shift_xyxy(self) -> NDArray[np.float32]:
        """What brings boxes in the pixels of the cut-out into those of the frame when added: float32 [4]."""
        return np.array([self.x1, self.y1, self.x1, self.y1], np.float32)

    def lies_within(self, width: int, height: int) -> bool:
        """Tell whether it is a rectangle within frames of that size, pixels."""
        return 0 <= self.x1 < self.x2 <= width and 0 <= self.y1 < self.y2 <= height

    def cut(self, frame: NDArray[_Pixel]) -> NDArray[_Pixel]:
        """Return the rectangle alone, as a view: [H, W] to [y2 - y1, x2 - x1]."""
        return frame[self.y1 : self.y2, self.x1 : self.x2]

    def blacken_around(self, frame: NDArray[_Pixel]) -> NDArray[_Pixel]:
        """Return a copy, [H, W], that is 0 outside the rectangle."""
        masked = np.zeros_like(frame)
        self.cut(masked)[:] = self.cut(frame)
        return masked


def listed_sectors(videos: pd.DataFrame) -> list[Sector | None]:
    """Return what rows of ``manifest.csv`` say, None where they say nothing; fractions of a pixel are rounded."""
    if not set(SECTOR_COLUMNS) <= set(videos):
        return [None] * len(videos)
    return [
        None if np.isnan(row[0]) else Sector(*map(round, row))
        for row in videos[list(SECTOR_COLUMNS)].to_numpy(np.float64).tolist()
    ]


def sectors_of(videos: pd.DataFrame) -> dict[str, Sector]:
    """Return the sector of every video.

    Args:
        videos: rows of ``manifest.csv``.

    Returns:
        video_id to its sector; empty where no video has one, which means that whole frames are used.

    Raises:
        TableError: only some have one, so that a detector would see scans at two scales, and text of the others.
    """
    sectors = dict(zip(videos["video_id"], listed_sectors(videos), strict=True))
    known = {video_id: sector for video_id, sector in sectors.items() if sector is not None}
    if known and len(known) < len(sectors):
        lacking = next(video_id for video_id, sector in sectors.items() if sector is None)
        raise TableError(
            f"The manifest gives {', '.join(SECTOR_COLUMNS)} for {len(known)} of {len(sectors)} videos; the first "
            f"without is {lacking!r}. Have the others found: launch/prepare.py sectors --manifest MANIFEST --out DIR."
        )
    return known


def clip_to_sectors(boxes: pd.DataFrame, sectors: Mapping[str, Sector]) -> NDArray[np.float32]:
    """Cut boxes at the edges of their videos' sectors.

    Args:
        boxes: columns video_id, x1, y1, x2, y2; N rows.
        sectors: video_id to its sector, of all these videos.

    Returns:
        float32 [N, 4], pixels of the frames; a box that lies outside comes out without width or height.
    """
    edges = np.array([sectors[video_id] for video_id in boxes["video_id"]], np.float32).reshape(-1, 4)
    corners = boxes[["x1", "y1", "x2", "y2"]].to_numpy(np.float32)
    clipped: NDArray[np.float32] = np.clip(corners, edges[:, [0, 1, 0, 1]], edges[:, [2, 3, 2, 3]])
    return clipped
