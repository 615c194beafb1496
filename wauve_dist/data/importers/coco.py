"""Plain COCO images with lesion boxes, such as BUSI (Al-Dhabyani et al. 2020, doi 10.1016/j.dib.2019.104863).

An image becomes a video of one frame. Without patient ids, images that show the same picture stand for one patient.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.near_duplicates import difference_hash, near_duplicate_groups
from wauve_dist.data.splits import split_groups
from wauve_dist.structures.annotations import CATEGORIES, Annotations, write_annotations
from wauve_dist.structures.provenance import claim_folder
from wauve_dist.structures.tables import MANIFEST, SPLITS, write_table

_LABELS = {"benign": 0, "malignant": 1, "normal": pd.NA}
_OUR_CATEGORIES = {str(category["name"]): int(str(category["id"])) for category in CATEGORIES}
_MAX_REPORTED_FAULTS = 20


class CocoError(ValueError):
    """The COCO file or its images cannot be imported; the message names file, image or annotation, and remedy."""


class ImportSummary(NamedTuple):
    """What an import found.

    Attributes:
        num_images: of which one video each was made.
        num_boxes: lesions.
        duplicates: groups of at least two video_ids that show the same picture.
        conflicts: those of ``duplicates`` whose images are labelled differently.
        num_per_split: images of train, val and test, by label.
    """

    num_images: int
    num_boxes: int
    duplicates: list[list[str]]
    conflicts: list[list[str]]
    num_per_split: dict[str, dict[str, int]]

    def __str__(self) -> str:
        """Sum up in lines for the console."""
        num_doubled = sum(map(len, self.duplicates))
        lines = [
            f"{self.num_images} images, {self.num_boxes} lesion boxes.",
            f"Near duplicates: {num_doubled} images show {len(self.duplicates)} pictures; each group is one patient.",
        ]
        lines += [f"Labelled differently though alike: {', '.join(group)}." for group in self.conflicts]
        lines += [
            f"{split}: {sum(counts.values())} images"
            + (f" ({', '.join(f'{number} {label}' for label, number in sorted(counts.items()))})." if counts else ".")
            for split, counts in self.num_per_split.items()
        ]
        return "\n".join(lines)


def import_coco(
    annotations: Path, images: Path, out: Path, val_fraction: float, test_fraction: float, seed: int
) -> ImportSummary:
    """Write manifest.csv and annotations.json for COCO images, which stay where they are.

    An image's label is its field ``label``, or else the category of its boxes: benign, malignant or normal (unknown
    to a classifier of lesions). Images without boxes become frames without lesion.

    Args:
        annotations: COCO's JSON; its categories are called benign and malignant.
        images: folder that ``file_name`` is relative to.
        out: folder to create; must be new or empty.
        val_fraction: share of the images, 0..1.
        test_fraction: share of the images, 0..1.
        seed: of the split.

    Raises:
        CocoError: not COCO, a box outside its image, an unknown label, a missing image or one of another size.
        VideoError: an image cannot be decoded.
        FileExistsError: ``out`` holds something.
    """
    content = _read(annotations)
    records = content["images"]
    files = [_file_of(record["file_name"], images, annotations) for record in records]
    video_ids = _video_ids([str(record["file_name"]) for record in records])
    boxes = _boxes(content, dict(zip((record["id"] for record in records), video_ids, strict=True)), annotations)
    labels = _labels(records, video_ids, boxes, annotations)
    groups = near_duplicate_groups(
        np.stack([_hash(file, record, annotations) for file, record in zip(files, records, strict=True)])
    )
    first_of_group = {int(group): video_id for group, video_id in reversed(list(zip(groups, video_ids, strict=True)))}
    manifest = pd.DataFrame(
        {
            "video_id": video_ids,
            "patient_id": [first_of_group[int(group)] for group in groups],
            "path": [str(file.resolve()) for file in files],
            "label": pd.array([_LABELS[label] for label in labels], "Int64"),
            "split": split_groups(groups.tolist(), labels, val_fraction, test_fraction, seed),
        }
    )
    frames = pd.DataFrame(
        {
            "video_id": video_ids,
            "frame": 0,
            "width": [record["width"] for record in records],
            "height": [record["height"] for record in records],
        }
    )
    claim_folder(out)
    write_table(
        manifest,
        out / "manifest.csv",
        MANIFEST,
        {"annotations": annotations},
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )
    write_annotations(Annotations(frames, boxes), out / "annotations.json", {"annotations": annotations})
    return _summary(manifest, labels, len(boxes))


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CocoError(f"{path}: there is no such file. Correct --annotations.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CocoError(f"{path}: is not JSON ({error}).") from error
    needed = {
        "images": ("id", "file_name", "width", "height"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    for part, keys in needed.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= set(keys) for row in rows):
            raise CocoError(f"{path}: is not COCO: {part!r} must be a list of objects with {', '.join(keys)}.")
    if not content["images"]:
        raise CocoError(f"{path}: lists no images. Export it again.")
    return content


def _file_of(file_name: str, images: Path, source: Path) -> Path:
    file = images / file_name
    if not file.resolve().is_relative_to(images.resolve()):
        raise CocoError(f"{source}: file_name {file_name!r} leaves the folder {images}. Correct it.")
    if not file.is_file():
        raise CocoError(f"{source}: image {file_name!r} is not in {images}. Correct --images or the file_name.")
    return file


def _video_ids(file_names: list[str]) -> list[str]:
    """Short names where they are unique, else whole paths in a form that can itself be a file name."""
    stems = [Path(name).stem for name in file_names]
    video_ids = stems if len(set(stems)) == len(stems) else [name.replace("/", "_") for name in file_names]
    if doubled := [name for name, number in Counter(video_ids).items() if number > 1]:
        raise CocoError(f"image {doubled[0]!r} is listed more than once. Keep one entry per image.")
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
        elif category not in _OUR_CATEGORIES:
            faults.append(f"{where} has category {category!r}; only {' and '.join(_OUR_CATEGORIES)} are known.")
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
                (video_id_of[image], 0, num_in_image[image], _OUR_CATEGORIES[category], x, y, x + width, y + height)
            )
            num_in_image[image] += 1
    if faults:
        more = len(faults) - _MAX_REPORTED_FAULTS
        raise CocoError("\n".join(faults[:_MAX_REPORTED_FAULTS]) + (f"\n… and {more} more" if more > 0 else ""))
    return pd.DataFrame(rows, columns=["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"])


def _labels(records: list[dict[str, Any]], video_ids: list[str], boxes: pd.DataFrame, source: Path) -> list[str]:
    name_of = {number: name for name, number in _OUR_CATEGORIES.items()}
    categories = {video_id: {name_of[c] for c in rows} for video_id, rows in boxes.groupby("video_id")["category_id"]}
    labels = []
    for record, video_id in zip(records, video_ids, strict=True):
        found = {record["label"]} if "label" in record else categories.get(video_id, {"normal"})
        if len(found) > 1:
            raise CocoError(
                f"{source}: image {video_id!r} has boxes of {' and '.join(sorted(found))}. Give it a field 'label'."
            )
        (label,) = found
        if label not in _LABELS:
            raise CocoError(f"{source}: image {video_id!r} has label {label!r}. Use one of {', '.join(_LABELS)}.")
        labels.append(str(label))
    return labels


def _hash(file: Path, record: dict[str, Any], source: Path) -> Any:
    (frame,) = decode_frames(file)
    if frame.shape != (record["height"], record["width"]):
        raise CocoError(
            f"{file}: is {frame.shape[1]}x{frame.shape[0]} pixels, but {source} says "
            f"{record['width']}x{record['height']}. Its boxes would be misplaced; give the images that were annotated."
        )
    return difference_hash(frame)


def _summary(manifest: pd.DataFrame, labels: list[str], num_boxes: int) -> ImportSummary:
    named = manifest.assign(name=labels)
    groups = [rows for _, rows in named.groupby("patient_id") if len(rows) > 1]
    per_split = {split: dict(Counter(named.loc[named["split"] == split, "name"])) for split in SPLITS}
    return ImportSummary(
        len(manifest),
        num_boxes,
        [rows["video_id"].tolist() for rows in groups],
        [rows["video_id"].tolist() for rows in groups if len(set(rows["name"])) > 1],
        per_split,
    )
