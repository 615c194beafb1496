"""Pictures of the worst findings: the frames in question side by side, boxes drawn."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

from wauve_dist.data.decoding import GreyFrame, VideoError, decode_frames
from wauve_dist.data.linting.findings import Finding
from wauve_dist.structures.sectors import Sector

MAX_PICTURES = 24
_MAX_PER_CHECK = 6

_HEIGHT_PX = 180
_BOX_COLOUR = (255, 150, 0)


def choose_offenders(findings: Sequence[Finding]) -> list[Finding]:
    """Pick the findings that have a frame to show, some of each check, in their order."""
    chosen: list[Finding] = []
    per_check: dict[str, int] = defaultdict(int)
    for finding in findings:
        if finding.frame is not None and per_check[finding.check] < _MAX_PER_CHECK and len(chosen) < MAX_PICTURES:
            per_check[finding.check] += 1
            chosen.append(finding)
    return chosen


def draw_findings(
    findings: Sequence[Finding],
    path_of: Mapping[str, Path],
    boxes: pd.DataFrame | None,
    sector_of: Mapping[str, Sector | None],
) -> dict[Finding, str]:
    """Draw the frames of each finding.

    Args:
        findings: each with a frame.
        path_of: video_id to its file.
        boxes: columns video_id, frame, x1, y1, x2, y2, or None.
        sector_of: video_id to its sector, outside of which pictures are black; None shows whole frames.

    Returns:
        Finding to a JPEG as a data URI; without those whose frame cannot be decoded, which are findings of their own.
    """
    wanted: dict[str, set[int]] = defaultdict(set)
    for finding in findings:
        for video_id, frame in _views(finding):
            wanted[video_id].add(frame)
    frames = {
        (video_id, number): frame
        for video_id, numbers in wanted.items()
        if video_id in path_of
        for number, frame in _decode(path_of[video_id], numbers, sector_of[video_id]).items()
    }
    pictures = {}
    for finding in findings:
        views = [_view(frames[view], boxes, *view) for view in _views(finding) if view in frames]
        if views:
            pictures[finding] = _data_uri(views)
    return pictures


def _views(finding: Finding) -> list[tuple[str, int]]:
    views = [] if finding.frame is None else [(finding.video_id, finding.frame)]
    return views + ([] if finding.other_frame is None else [(finding.other_video_id, finding.other_frame)])


def _decode(path: Path, numbers: set[int], sector: Sector | None) -> dict[int, GreyFrame]:
    found = {}
    try:
        for number, frame in enumerate(islice(decode_frames(path, sector=sector), max(numbers) + 1)):
            if number in numbers:
                found[number] = frame
    except VideoError:
        return found  # reported with its reason as "video-unreadable"
    return found


def _view(frame: GreyFrame, boxes: pd.DataFrame | None, video_id: str, number: int) -> Image.Image:
    picture = Image.fromarray(frame).convert("RGB")
    if boxes is not None:
        draw = ImageDraw.Draw(picture)
        here = boxes[(boxes["video_id"] == video_id) & (boxes["frame"] == number)]
        for box in here[["x1", "y1", "x2", "y2"]].to_numpy(float):
            left, right, top, bottom = *sorted(box[[0, 2]]), *sorted(box[[1, 3]])
            draw.rectangle((left, top, right, bottom), outline=_BOX_COLOUR, width=2)
    return picture.resize((max(1, round(picture.width * _HEIGHT_PX / picture.height)), _HEIGHT_PX))


def _data_uri(views: Sequence[Image.Image]) -> str:
    sheet = Image.new("RGB", (sum(view.width for view in views) + 4 * (len(views) - 1), _HEIGHT_PX), "white")
    left = 0
    for view in views:
        sheet.paste(view, (left, 0))
        left += view.width + 4
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
