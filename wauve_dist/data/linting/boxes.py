"""Boxes that cannot be, that jump, or that contradict the manifest and the videos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from wauve_dist.data.linting.findings import Finding, Severity
from wauve_dist.data.linting.frame_hashes import FrameHashes
from wauve_dist.structures.annotations import CATEGORIES, Annotations

# A freehand sweep moves a lesion by a fraction of its size from frame to frame.
_MAX_JUMP_GAP = 3  # frames
_MAX_AREA_RATIO = 4.0

_ROUNDING_PX = 0.25  # boxes are written with two decimals

_LABEL_OF_CATEGORY = {1: 0, 2: 1}
assert [category["id"] for category in CATEGORIES] == list(_LABEL_OF_CATEGORY)


def box_findings(manifest: pd.DataFrame, annotations: Annotations, hashes: FrameHashes) -> Iterator[Finding]:
    """Check boxes by themselves, against each other, and against manifest and videos.

    Args:
        manifest: rows of ``manifest.csv``.
        annotations: unchecked boxes (``parse_annotations``).
        hashes: of the manifest's videos, in its order.
    """
    listed_twice = annotations.frames.duplicated(["video_id", "frame"])
    for row in annotations.frames[listed_twice].itertuples():
        text = "The frame is listed twice in images."
        yield Finding("error", "frame-twice", text, "Keep one entry with all boxes.", row.video_id, int(row.frame))
    boxes = annotations.boxes.merge(annotations.frames[~listed_twice], on=["video_id", "frame"], how="left")
    yield from _impossible(boxes)
    yield from _jumps(boxes)
    yield from _against_manifest(manifest, annotations)
    yield from _against_videos(manifest, annotations.frames, hashes)


def _impossible(boxes: pd.DataFrame) -> Iterator[Finding]:
    width, height = boxes["x2"] - boxes["x1"], boxes["y2"] - boxes["y1"]
    outside_px = pd.concat(
        [-boxes["x1"], -boxes["y1"], boxes["x2"] - boxes["width"], boxes["y2"] - boxes["height"]], axis=1
    ).max(axis=1)
    negative = (width < 0) | (height < 0)
    empty = ~negative & ((width == 0) | (height == 0))
    outside = ~negative & (outside_px > _ROUNDING_PX)
    double = boxes.duplicated(["video_id", "instance_id", "frame"], keep=False)
    kinds: tuple[tuple[str, pd.Series, pd.Series, str], ...] = (
        ("box-negative", negative, -np.minimum(width, height), "Swap its corners, or remove it."),
        ("box-empty", empty, width * 0, "Draw it anew, or remove it."),
        ("box-outside", outside, outside_px, "Clip it to the frame, or check that the video is the annotated one."),
        ("box-double", double, width * 0, "Give each lesion of a video an instance_id of its own."),
    )
    for check, wrong, weight, remedy in kinds:
        for row in boxes[wrong].assign(weight=weight[wrong]).itertuples():
            sides = f"x1 {row.x1:g}, y1 {row.y1:g}, x2 {row.x2:g}, y2 {row.y2:g}"
            message = f"Instance {row.instance_id}: box {sides} in a frame of {row.width:g}x{row.height:g} pixels."
            yield Finding("error", check, message, remedy, row.video_id, int(row.frame), weight=float(row.weight))


def _jumps(boxes: pd.DataFrame) -> Iterator[Finding]:
    boxes = boxes[(boxes["x2"] > boxes["x1"]) & (boxes["y2"] > boxes["y1"])]
    boxes = boxes.sort_values(["video_id", "instance_id", "frame"]).reset_index(drop=True)
    before = boxes.shift()
    follows = (before["video_id"] == boxes["video_id"]) & (before["instance_id"] == boxes["instance_id"])
    follows &= (boxes["frame"] - before["frame"]).between(1, _MAX_JUMP_GAP)
    overlap_x = np.minimum(boxes["x2"], before["x2"]) - np.maximum(boxes["x1"], before["x1"])
    overlap_y = np.minimum(boxes["y2"], before["y2"]) - np.maximum(boxes["y1"], before["y1"])
    apart = (overlap_x <= 0) | (overlap_y <= 0)
    area, area_before = ((t["x2"] - t["x1"]) * (t["y2"] - t["y1"]) for t in (boxes, before))
    ratio = np.maximum(area, area_before) / np.minimum(area, area_before)
    jumps = follows & (apart | (ratio > _MAX_AREA_RATIO))
    for row in boxes.assign(ratio=ratio, apart=apart, since=before["frame"])[jumps].itertuples():
        how = "does not touch" if row.apart else f"has {row.ratio:.1f} times the area of, or is as much smaller than,"
        yield Finding(
            "warning",
            "box-jumps",
            f"Instance {row.instance_id}: the box {how} the one of frame {int(row.since)}.",
            "Correct the box, or give a second lesion its own instance_id.",
            row.video_id,
            int(row.frame),
            row.video_id,
            int(row.since),
            float(row.ratio + 10 * row.apart),
        )


def _against_manifest(manifest: pd.DataFrame, annotations: Annotations) -> Iterator[Finding]:
    labels = manifest.set_index("video_id").get("label", pd.Series(pd.NA, index=manifest["video_id"]))
    annotated, boxed = set(annotations.frames["video_id"]), set(annotations.boxes["video_id"])
    for video_id, label in labels.items():
        if pd.notna(label) and video_id not in boxed:
            known = "its annotated frames show none" if video_id in annotated else "no frame of it is annotated"
            yield Finding(
                "warning",
                "lesion-without-box",
                f"The video is labelled {label}, so it holds a lesion, but {known}.",
                "Annotate it, or leave the label empty if there is no lesion.",
                str(video_id),
            )
        if pd.isna(label) and video_id in boxed:
            yield Finding(
                "warning",
                "box-without-lesion",
                "The video has boxes but no label.",
                "Fill in the label, or remove boxes that mark no lesion.",
                str(video_id),
            )
    for video_id in sorted(boxed - set(labels.index)):
        yield Finding(
            "warning",
            "box-without-video",
            "The video has boxes but is not in the manifest, so they are not used.",
            "Add the video to the manifest, or correct its name in the annotations.",
            str(video_id),
        )
    implied = annotations.boxes["category_id"].map(_LABEL_OF_CATEGORY)
    stated = annotations.boxes["video_id"].map(labels)
    wrong = annotations.boxes[(implied != stated).fillna(False) & stated.notna()]
    for video_id, rows in wrong.groupby("video_id"):
        yield Finding(
            "error",
            "box-against-label",
            f"The video is labelled {labels[video_id]}, but the category of {len(rows)} of its boxes says otherwise.",
            "Correct the label or the category.",
            str(video_id),
            int(rows["frame"].iloc[0]),
            weight=float(len(rows)),
        )


def _against_videos(manifest: pd.DataFrame, frames: pd.DataFrame, hashes: FrameHashes) -> Iterator[Finding]:
    place_of = {video_id: place for place, video_id in enumerate(manifest["video_id"])}
    for video_id, rows in frames[frames["video_id"].isin(list(place_of))].groupby("video_id"):
        place = place_of[video_id]
        width, height = hashes.sizes[place]
        num_frames, last = int(hashes.num_frames[place]), int(rows["frame"].max())
        found: list[tuple[Severity, str, str, str, int | None]] = []
        if last >= num_frames and place not in hashes.errors:
            text = f"Frame {last} is annotated, but the video has {num_frames} (frames count from 0)."
            found.append(("error", "frame-beyond-end", text, "Give the annotated video, or correct frame_id.", None))
        other = rows[(rows["width"] != width) | (rows["height"] != height)]
        if width and len(other):
            text = f"Annotated on {other['width'].iloc[0]}x{other['height'].iloc[0]} pixels, decoded {width}x{height}."
            found.append(("error", "frame-size", text, "Give the annotated video, or scale its boxes.", 0))
        for severity, check, message, remedy, frame in found:
            yield Finding(severity, check, message, remedy, str(video_id), frame)
