"""Lesion boxes on disk: COCO-VID ``annotations.json``, the schema of BUV / CVA-Net (MICCAI 2022).

``videos[].name`` is the manifest's ``video_id``; ``images[]`` lists every annotated frame by ``video_id`` and
``frame_id`` (from 0, the n-th decoded frame), also those without a lesion; ``annotations[]`` holds the boxes as
``[x, y, width, height]`` with ``instance_id`` naming the lesion.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from wauve_dist.structures.provenance import atomic_write, write_provenance
from wauve_dist.structures.tables import TableError, listed

CATEGORIES = [{"id": 1, "name": "benign"}, {"id": 2, "name": "malignant"}]

_FRAME_COLUMNS = ["video_id", "frame", "width", "height"]
_BOX_COLUMNS = ["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]


class Annotations(NamedTuple):
    """Lesion boxes of a data set.

    Attributes:
        frames: a row per annotated frame: video_id (str), frame (int, from 0), width, height (pixels).
        boxes: a row per box: video_id, frame, instance_id (int), category_id (1 benign, 2 malignant),
            x1, y1, x2, y2 (absolute pixels).
    """

    frames: pd.DataFrame
    boxes: pd.DataFrame


def read_annotations(path: Path) -> Annotations:
    """Read COCO-VID boxes.

    Raises:
        TableError: not COCO-VID, a frame listed twice, a box that is empty or leaves its frame.
    """
    frames, boxes = _parse(path)
    _check(frames, boxes, path)
    return _sorted(frames, boxes)


def parse_annotations(path: Path) -> Annotations:
    """Read COCO-VID boxes as they stand, faults included, to look for them.

    Raises:
        TableError: not COCO-VID, or a box without a frame.
    """
    frames, boxes = _parse(path)
    if (lost := boxes[boxes["video_id"].isna()]).size:
        raise TableError(
            f"{path}: annotation {lost['id'].iloc[0]} names an image that is not listed in images ({len(lost)} such)."
        )
    return _sorted(frames, boxes.astype({"frame": "int64"}))


def write_annotations(annotations: Annotations, path: Path, made_from: Mapping[str, Path]) -> None:
    """Write COCO-VID boxes atomically, with provenance.

    Raises:
        TableError: a frame listed twice, a box that is empty or leaves its frame.
    """
    frames = annotations.frames.assign(image_id=range(1, len(annotations.frames) + 1))
    boxes = annotations.boxes.merge(frames, on=["video_id", "frame"], how="left", validate="many_to_one")
    boxes = boxes.assign(id=range(1, len(boxes) + 1), w=boxes["x2"] - boxes["x1"], h=boxes["y2"] - boxes["y1"])
    _check(frames, boxes, path)
    video_ids = {name: number for number, name in enumerate(frames["video_id"].unique(), start=1)}
    content = {
        "categories": CATEGORIES,
        "videos": [{"id": number, "name": name} for name, number in video_ids.items()],
        "images": [
            {
                "id": int(row.image_id),
                "video_id": video_ids[row.video_id],
                "frame_id": int(row.frame),
                "file_name": f"{row.video_id}/{row.frame:06d}.png",
                "width": int(row.width),
                "height": int(row.height),
            }
            for row in frames.itertuples()
        ],
        "annotations": [
            {
                "id": int(row.id),
                "image_id": int(row.image_id),
                "video_id": video_ids[row.video_id],
                "instance_id": int(row.instance_id),
                "category_id": int(row.category_id),
                "bbox": [round(float(value), 2) for value in (row.x1, row.y1, row.w, row.h)],
                "area": round(float(row.w * row.h), 2),
                "iscrowd": 0,
            }
            for row in boxes.itertuples()
        ],
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":")))
    write_provenance(path, made_from)


def _parse(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    if not path.is_file():
        raise TableError(f"{path}: there is no such file. Expected COCO-VID annotations.")
    try:
        content = json.loads(path.read_text())
        names = {video["id"]: str(video["name"]) for video in content["videos"]}
        frames = pd.DataFrame(
            [
                (image["id"], names[image["video_id"]], image["frame_id"], image["width"], image["height"])
                for image in content["images"]
            ],
            columns=["image_id", *_FRAME_COLUMNS],
        )
        boxes = pd.DataFrame(
            [
                (box["id"], box["image_id"], box.get("instance_id", 0), box["category_id"], *box["bbox"])
                for box in content["annotations"]
            ],
            columns=["id", "image_id", "instance_id", "category_id", "x1", "y1", "w", "h"],
        )
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: is not JSON ({error}).") from error
    except (KeyError, TypeError) as error:
        raise TableError(
            f"{path}: is not COCO-VID (missing or unknown {error}). It needs videos[id, name], "
            "images[id, video_id, frame_id, width, height] and annotations[id, image_id, category_id, bbox]. "
            "Plain COCO images come in through `launch/prepare.py import coco`."
        ) from error
    boxes = boxes.merge(frames, on="image_id", how="left", validate="many_to_one")
    boxes["x2"], boxes["y2"] = boxes["x1"] + boxes["w"], boxes["y1"] + boxes["h"]
    return frames, boxes


def _sorted(frames: pd.DataFrame, boxes: pd.DataFrame) -> Annotations:
    return Annotations(
        frames[_FRAME_COLUMNS].sort_values(["video_id", "frame"], ignore_index=True),
        boxes[_BOX_COLUMNS].sort_values(["video_id", "frame", "instance_id"], ignore_index=True),
    )


def _check(frames: pd.DataFrame, boxes: pd.DataFrame, path: Path) -> None:
    faults = [
        f"{path}: frame {row.frame} of video {row.video_id!r} is listed twice in images. Keep one of them."
        for row in frames[frames.duplicated(["video_id", "frame"])].itertuples()
    ]
    # A quarter of a pixel: boxes are written with two decimals.
    inside = boxes[["x1", "y1"]].ge(-0.25).all(axis=1) & (
        (boxes["x2"] <= boxes["width"] + 0.25) & (boxes["y2"] <= boxes["height"] + 0.25)
    )
    proper = (boxes["w"] > 0) & (boxes["h"] > 0)
    for row in boxes[~(inside & proper)].itertuples():
        box = f"[{row.x1:g}, {row.y1:g}, {row.w:g}, {row.h:g}]"
        if pd.isna(row.width):
            faults.append(f"{path}: annotation {row.id} names an image that is not listed in images.")
        elif row.w <= 0 or row.h <= 0:
            faults.append(
                f"{path}: annotation {row.id} (video {row.video_id!r}, frame {row.frame}): box {box} (x, y, width, "
                "height) is empty or negative. Correct or remove it."
            )
        else:
            faults.append(
                f"{path}: annotation {row.id} (video {row.video_id!r}, frame {row.frame}): box {box} (x, y, width, "
                f"height) leaves its frame of {row.width:g}x{row.height:g} pixels. Clip or remove it."
            )
    if faults:
        raise TableError(listed(faults))
