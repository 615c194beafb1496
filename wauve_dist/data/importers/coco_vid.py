"""COCO-VID: boxes in videos, which are folders of frames or video files (the schema of ImageNet VID in MMTracking)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from wauve_dist.data.decoding import check_video
from wauve_dist.data.importers.dataset import (
    BOX_COLUMNS,
    CATEGORY_IDS,
    LABELS,
    ImportedDataset,
    SourceDataError,
    refuse,
)
from wauve_dist.data.splits import draw_splits
from wauve_dist.structures.annotations import Annotations

_NEEDED = {
    "videos": ("id", "name"),
    "images": ("id", "file_name", "video_id", "frame_id", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


class CocoVid(NamedTuple):
    """One COCO-VID file, boxes unchecked.

    Attributes:
        frames: a row per annotated frame: name (of the video), video_id (ours), frame (its number among the decoded
            frames, from 0), width, height (pixels).
        boxes: a row per box: name, video_id, frame, width, height, instance_id, category (its name),
            x1, y1, x2, y2 (pixels; as in the file, so perhaps negative, empty or outside).
        paths: video_id to its folder or file.
    """

    frames: pd.DataFrame
    boxes: pd.DataFrame
    paths: dict[str, Path]


def import_coco_vid(
    annotations: Path, videos: Path, val_fraction: float, test_fraction: float, seed: int
) -> ImportedDataset:
    """Read COCO-VID; a video's label is the category of its boxes, and every video is a patient of its own.

    Args:
        annotations: the JSON; its categories are called benign and malignant.
        videos: folder that the names of the videos are relative to.
        val_fraction: share of the videos, 0..1.
        test_fraction: share of the videos, 0..1.
        seed: of the split.

    Raises:
        SourceDataError: not COCO-VID, a missing video or frame, a category that is neither.
        TableError: when it is written, for a box that is empty or leaves its frame.
    """
    found = read_coco_vid(annotations, videos)
    strange = sorted(set(found.boxes["category"]) - set(CATEGORY_IDS))
    if strange:
        raise SourceDataError(
            f"{annotations}: has boxes of category {', '.join(map(repr, strange))}; only {' and '.join(CATEGORY_IDS)} "
            "are known. Rename the categories in it."
        )
    categories = found.boxes.groupby("video_id")["category"].unique()
    label_of = {video_id: LABELS[names[0]] for video_id, names in categories.items() if len(names) == 1}
    manifest = video_manifest(found.paths)
    manifest["label"] = pd.array([label_of.get(video_id, pd.NA) for video_id in manifest["video_id"]], "Int64")
    manifest["split"] = draw_splits(manifest, val_fraction, test_fraction, seed)
    mixed = sorted(str(video_id) for video_id, names in categories.items() if len(names) > 1)
    notes = [f"{len(manifest) - len(categories)} videos have no box and so no label."]
    if mixed:
        notes.append(f"{len(mixed)} videos have boxes of both categories and so no label: {', '.join(mixed)}.")
    boxes = found.boxes.assign(category_id=found.boxes["category"].map(CATEGORY_IDS))
    frames = found.frames[["video_id", "frame", "width", "height"]]
    return ImportedDataset(manifest, Annotations(frames, boxes[BOX_COLUMNS]), notes, {"annotations": annotations})


def read_coco_vid(annotations: Path, videos: Path) -> CocoVid:
    """Read one file and find its videos and frames on disk.

    In a folder of frames, a frame's number is the place of its file among the sorted ones, which is how the folder is
    decoded; ``frame_id`` may count otherwise. In a video file it is ``frame_id``.

    Args:
        annotations: the JSON.
        videos: folder that the names of the videos are relative to.

    Raises:
        SourceDataError: not COCO-VID; a video or frame that is not there.
    """
    content = _read(annotations)
    names = {video["id"]: str(video["name"]) for video in content["videos"]}
    categories = {category["id"]: str(category["name"]) for category in content["categories"]}
    folders = {name: _video_of(name, videos, annotations) for name in names.values()}
    ids = {name: name.replace("/", "_") for name in folders}
    places = {
        name: {file: place for place, file in enumerate(sorted(entry.name for entry in folder.iterdir()))}
        for name, folder in folders.items()
        if folder.is_dir()
    }
    rows, faults = [], []
    for image in content["images"]:
        name = names.get(image["video_id"])
        if name is None:
            faults.append(
                f"{annotations}: image {image['id']} belongs to video {image['video_id']}, which is not listed."
            )
            continue
        frame = places[name].get(Path(image["file_name"]).name) if name in places else image["frame_id"]
        if frame is None:
            faults.append(f"{annotations}: {image['file_name']!r} is not in {folders[name]}. Complete the folder.")
        rows.append((image["id"], name, ids[name], frame, image["width"], image["height"]))
    refuse(faults)
    frames = pd.DataFrame(rows, columns=["image_id", "name", "video_id", "frame", "width", "height"])
    boxes = pd.DataFrame(
        [
            (box["id"], box["image_id"], box.get("instance_id", 0), categories.get(box["category_id"]), *box["bbox"])
            for box in content["annotations"]
        ],
        columns=["box_id", "image_id", "instance_id", "category", "x1", "y1", "w", "h"],
    ).merge(frames, on="image_id", how="left")
    refuse(
        [
            f"{annotations}: annotation {row.box_id} names image {row.image_id}, which is not listed."
            for row in boxes[boxes["video_id"].isna()].itertuples()
        ]
    )
    boxes = boxes.assign(frame=boxes["frame"].astype("int64"), x2=boxes["x1"] + boxes["w"], y2=boxes["y1"] + boxes["h"])
    return CocoVid(
        frames.drop(columns="image_id"),
        boxes.drop(columns=["image_id", "box_id", "w", "h"]),
        {ids[name]: folder for name, folder in folders.items()},
    )


def video_manifest(paths: dict[str, Path]) -> pd.DataFrame:
    """List videos as patients of their own, after checking that each can be opened.

    Raises:
        VideoError: one cannot.
    """
    for path in paths.values():
        check_video(path)
    video_ids = list(paths)
    return pd.DataFrame(
        {"video_id": video_ids, "patient_id": video_ids, "path": [str(path.resolve()) for path in paths.values()]}
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise SourceDataError(f"{path}: there is no such file. Correct --annotations.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceDataError(f"{path}: is not JSON ({error}).") from error
    for part, keys in _NEEDED.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= set(keys) for row in rows):
            raise SourceDataError(
                f"{path}: is not COCO-VID: {part!r} must be a list of objects with {', '.join(keys)}. Plain COCO "
                "images come in through `launch/prepare.py import coco`."
            )
    if not content["videos"]:
        raise SourceDataError(f"{path}: lists no videos. Export it again.")
    return dict(content)


def _video_of(name: str, videos: Path, source: Path) -> Path:
    """A folder or file of that name, or the only file that has it without its suffix."""
    path = videos / name
    if not path.resolve().is_relative_to(videos.resolve()):
        raise SourceDataError(f"{source}: video {name!r} leaves the folder {videos}. Correct its name.")
    if path.exists():
        return path
    found = sorted(path.parent.glob(f"{path.name}.*")) if path.parent.is_dir() else []
    if len(found) != 1:
        several = f"there are {len(found)} files of that name" if found else "there is neither a folder nor a file"
        raise SourceDataError(f"{source}: video {name!r}: {several} in {videos}. Correct --videos or the name.")
    return found[0]
