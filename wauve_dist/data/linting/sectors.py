"""Sectors that are missing, that leave their videos' frames, or that cut lesions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from wauve_dist.data.linting.findings import Finding
from wauve_dist.data.linting.frame_hashes import FrameHashes
from wauve_dist.structures.sectors import clip_to_sectors, listed_sectors

_MAX_OVERHANG_PX = 1.0  # a hand-drawn box is no more exact


def sector_findings(manifest: pd.DataFrame, boxes: pd.DataFrame | None, hashes: FrameHashes) -> Iterator[Finding]:
    """Check sectors against each other, the videos and the boxes.

    Args:
        manifest: rows of ``manifest.csv``; without sectors there is nothing to find.
        boxes: unchecked, columns video_id, frame, x1, y1, x2, y2; or None.
        hashes: of the manifest's videos, in its order.
    """
    sectors = listed_sectors(manifest)
    known = {
        video_id: sector for video_id, sector in zip(manifest["video_id"], sectors, strict=True) if sector is not None
    }
    if not known:
        return
    for video_id, sector, (width, height) in zip(manifest["video_id"], sectors, hashes.sizes.tolist(), strict=True):
        if sector is None:
            text = f"The video has no sector, {len(known)} of {len(sectors)} have one: the manifest cannot be used."
            yield Finding("error", "sector-missing", text, "Have it found: launch/prepare.py sectors.", video_id)
        elif width and not sector.lies_within(width, height):
            text = f"The sector {tuple(sector)} is no rectangle within the frames of {width}x{height} pixels."
            yield Finding(
                "error", "sector-outside", text, "Correct it, or check that the video is the right one.", video_id
            )
    if boxes is not None:
        drawn = boxes[(boxes["x1"] < boxes["x2"]) & (boxes["y1"] < boxes["y2"]) & boxes["video_id"].isin(list(known))]
        clipped = clip_to_sectors(drawn, known)
        overhang_px = np.abs(clipped - drawn[["x1", "y1", "x2", "y2"]].to_numpy(np.float32)).max(axis=1)
        outside = (clipped[:, :2] >= clipped[:, 2:]).any(axis=1)
        cut = drawn.assign(overhang_px=overhang_px, outside=outside)[overhang_px > _MAX_OVERHANG_PX]
        for video_id, rows in cut.groupby("video_id"):
            worst = rows.loc[rows["overhang_px"].idxmax()]
            yield Finding(
                "error" if rows["outside"].any() else "warning",
                "box-out-of-sector",
                f"{len(rows)} boxes reach out of the sector, by up to {worst['overhang_px']:.0f} pixels; "
                f"{rows['outside'].sum()} lie outside.",
                "Correct the sector in the manifest, or the boxes: what is outside is not seen.",
                str(video_id),
                int(worst["frame"]),
                weight=float(worst["overhang_px"]),
            )
