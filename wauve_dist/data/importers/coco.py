"""Plain COCO images with lesion boxes, such as BUSI (Al-Dhabyani et al. 2020, doi 10.1016/j.dib.2019.104863).

Masks come in through ``busi``; this reads boxes that were made of them.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.importers.dataset import (
    BOX_COLUMNS,
    CATEGORY_IDS,
    LABELS,
    ImportedDataset,
    SourceDataError,
    refuse,
)
from wauve_dist.data.importers.pictures import picture_manifest
from wauve_dist.data.near_duplicates import difference_hash
from wauve_dist.structures.annotations import Annotations


def import_coco(
    annotations: Path, images: Path, val_fraction: float, test_fraction: float, seed: int
) -> ImportedDataset:
    """Read COCO images, which stay where they are.

    An image's label is its field ``label``, or else the category of its boxes: benign, malignant or normal (unknown
    to a classifier of lesions). Images without boxes become frames without lesion.

    Args:
        annotations: COCO's JSON; its categories are called benign and malignant.
        images: folder that ``file_name`` is relative to.
        val_fraction: share of the images, 0..1.
        test_fraction: share of the images, 0..1.
        seed: of the split.

    Raises:
        SourceDataError: not COCO, a box outside its image, an unknown label, a missing image or one of another size.
        VideoError: an image cannot be decoded.
    """
    content = _read(annotations)
    records = content["images"]
    files = [_file_of(record["file_name"], images, annotations) for record in records]
    video_ids = _video_ids([str(record["file_name"]) for record in records])
    boxes = _boxes(content, dict(zip((record["id"] for record in records), video_ids, strict=True)), annotations)
    labels = _labels(records, video_ids, boxes, annotations)
    hashes = [_hash(file, record, annotations) for file, record in zip(files, records, strict=True)]
    manifest, notes = picture_manifest(video_ids, files, labels, hashes, val_fraction, test_fraction, seed)
    frames = pd.DataFrame(
        {
            "video_id": video_ids,
            "frame": 0,
            "width": [record["width"] for record in records],
            "height": [record["height"] for record in records],
        }
    )
    return ImportedDataset(manifest, Annotations(frames, boxes), notes, {"annotations": annotations})


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise SourceDataError(f"{path}: there is no such file. Correct --annotations.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceDataError(f"{path}: is not JSON ({error}).") from error
    needed = {
        "images": ("id", "file_name", "width", "height"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    for part, keys in needed.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= set(keys) for row in rows):
            raise SourceDataError(f"{path}: is not COCO: {part!r} must be a list of objects with {', '.join(keys)}.")
    if not content["images"]:
        raise SourceDataError(f"{path}: lists no images. Export it again.")
    return content


def _file_of(file_name: str, images: Path, source: Path) -> Path:
    file = images / file_name
    if not file.resolve().is_relative_to(images.resolve()):
        raise SourceDataError(f"{source}: file_name {file_name!r} leaves the folder {images}. Correct it.")
    if not file.is_file():
        raise SourceDataError(f"{source}: image {file_name!r} is not in {images}. Correct --images or the file_name.")
    return file


def _video_ids(file_names: list[str]) -> list[str]:
    """Short names where they are unique, else whole paths in a form that can itself be a file name."""
    stems = [Path(name).stem for name in file_names]
    video_ids = stems if len(set(stems)) == len(stems) else [name.replace("/", "_") for name in file_names]
    if doubled := [name for name, number in Counter(video_ids).items() if number > 1]:
        raise SourceDataError(f"image {doubled[0]!r} is listed more than once. Keep one entry per image.")
    return video_ids


def _boxes(content: dict[str, Any], video_id_of: dict[Any, str], source: Path) -> pd.DataFrame:
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    rows, faults, num_in_image = [], [], Counter[Any]()
    for box in content["annotations"]:
        image, category = box["image_id"], names.get(box["category_id"])
        where = f"{source}: annotation {box['id']}"
        if image not in sizes:
            faults.append(f"{where} belongs to image {image}, which is not listed. Add the image or drop the box.")
        elif category not in CATEGORY_IDS:
            faults.append(f"{where} has category {category!r}; only {' and '.join(CATEGORY_IDS)} are known.")
        else:
            x, y, width, height = box["bbox"]
            right, bottom = sizes[image]
            # A quarter of a pixel: exporters round.
            inside = min(x, y) >= -0.25 and x + width <= right + 0.25 and y + height <= bottom + 0.25
            if not (inside and width > 0 and height > 0):
                faults.append(
                    f"{where} ({video_id_of[image]}): box {box['bbox']} (x, y, width, height) is empty or leaves its "
                    f"image of {right}x{bottom} pixels. Correct or remove it."
                )
            rows.append(
                (video_id_of[image], 0, num_in_image[image], CATEGORY_IDS[category], x, y, x + width, y + height)
            )
            num_in_image[image] += 1
    refuse(faults)
    return pd.DataFrame(rows, columns=BOX_COLUMNS)


def _labels(records: list[dict[str, Any]], video_ids: list[str], boxes: pd.DataFrame, source: Path) -> list[str]:
    name_of = {number: name for name, number in CATEGORY_IDS.items()}
    categories = {video_id: {name_of[c] for c in rows} for video_id, rows in boxes.groupby("video_id")["category_id"]}
    labels = []
    for record, video_id in zip(records, video_ids, strict=True):
        found = {record["label"]} if "label" in record else categories.get(video_id, {"normal"})
        if len(found) > 1:
            raise SourceDataError(
                f"{source}: image {video_id!r} has boxes of {' and '.join(sorted(found))}. Give it a field 'label'."
            )
        (label,) = found
        if label not in LABELS:
            raise SourceDataError(f"{source}: image {video_id!r} has label {label!r}. Use one of {', '.join(LABELS)}.")
        labels.append(str(label))
    return labels


def _hash(file: Path, record: dict[str, Any], source: Path) -> np.uint64:
    (frame,) = decode_frames(file)
    if frame.shape != (record["height"], record["width"]):
        raise SourceDataError(
            f"{file}: is {frame.shape[1]}x{frame.shape[0]} pixels, but {source} says "
            f"{record['width']}x{record['height']}. Its boxes would be misplaced; give the images that were annotated."
        )
    return difference_hash(frame)
