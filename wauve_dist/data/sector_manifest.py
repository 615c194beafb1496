"""What launch/prepare.py sectors does: a manifest in, the same manifest with the sector of every video out."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wauve_dist.data.decoding import check_video, decode_views
from wauve_dist.data.scan_sector import find_scan_sector
from wauve_dist.data.video_jobs import run_jobs
from wauve_dist.structures.provenance import claim_folder
from wauve_dist.structures.sectors import Sector, listed_sectors
from wauve_dist.structures.tables import (
    MANIFEST,
    MAX_REPORTED_FAULTS,
    SECTOR_COLUMNS,
    listed,
    read_manifest,
    write_table,
)

_MAX_DECODED = 1000  # frames from the start; half a minute of sweeping shows where the scan is
_MAX_EXAMINED = 128  # of these, evenly spread


def add_sectors(manifest: Path, out: Path, num_workers: int) -> str:
    """Write ``out/manifest.csv`` with the sector of every video that lacks one.

    It is the bounding rectangle of what ``find_scan_sector`` finds in up to 128 frames, evenly spread over the first
    1,000. Where too little moves in them, as in a still image, it is the whole frame.

    Args:
        manifest: the videos; sectors that it gives stay.
        out: folder to create; must be new or empty.
        num_workers: processes that decode; 0 works in this one. The result does not depend on it.

    Returns:
        A summary for the console, with the videos of which the whole frame is kept.

    Raises:
        ValueError: a broken manifest, or all videos that cannot be decoded, one per line.
        FileExistsError: ``out`` holds something.
    """
    if num_workers < 0:
        raise ValueError(f"--num-workers {num_workers} must not be negative.")
    rows = read_manifest(manifest)
    sectors = listed_sectors(rows)
    lacking = [row for row, sector in enumerate(sectors) if sector is None]
    claim_folder(out)
    futures = run_jobs(_find, [Path(rows["path"].iloc[row]) for row in lacking], num_workers, "finding sectors")
    faults = [str(error) for future in futures if (error := future.exception()) is not None]
    if faults:
        raise ValueError(listed(faults))
    found: list[_Found] = [future.result() for future in futures]
    for row, (sector, _, _) in zip(lacking, found, strict=True):
        sectors[row] = sector
    columns = dict(zip(SECTOR_COLUMNS, np.array(sectors, np.float64).reshape(-1, 4).T, strict=True))
    write_table(rows.assign(**columns), out / "manifest.csv", MANIFEST, {"manifest": manifest})
    still = [rows["video_id"].iloc[row] for row, video in zip(lacking, found, strict=True) if not video.moves]
    shares = [video.share for video in found if video.moves]
    lines = [f"{len(rows)} videos: {len(rows) - len(lacking)} sectors were given, {len(shares)} found."]
    if shares:
        lines.append(f"Those found hold {100 * min(shares):.0f} to {100 * max(shares):.0f} % of the frame.")
    if still:
        named = ", ".join(still[:MAX_REPORTED_FAULTS]) + (", …" if len(still) > MAX_REPORTED_FAULTS else "")
        lines.append(
            f"WARNING: in {len(still)} videos too little moves to tell the scan from what is written around it, so "
            f"their sector is the whole frame. Look at them and correct {', '.join(SECTOR_COLUMNS)}: {named}."
        )
    return "\n".join([*lines, str(out / "manifest.csv")])


class _Found(NamedTuple):
    """The sector of a video.

    Attributes:
        sector: the whole frame where too little moves.
        share: of the frame, 0..1.
        moves: enough to find it.
    """

    sector: Sector
    share: float
    moves: bool


def _find(video: Path) -> _Found:
    info = check_video(video)
    num_decoded = min(info.num_frames, _MAX_DECODED)
    step = math.ceil(num_decoded / _MAX_EXAMINED)
    examined = islice(decode_views(video), 0, num_decoded, step)
    mask = find_scan_sector(view[:, :] for view in examined)
    if mask is None:
        return _Found(Sector(0, 0, info.width, info.height), 1, moves=False)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    x1, y1, x2, y2 = (int(edge) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return _Found(Sector(x1, y1, x2, y2), (x2 - x1) * (y2 - y1) / mask.size, moves=True)
