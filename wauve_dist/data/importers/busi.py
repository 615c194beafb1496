"""Images with lesion masks in the layout of BUSI (Al-Dhabyani et al. 2020, doi 10.1016/j.dib.2019.104863).

``benign/``, ``malignant/`` and ``normal/`` hold ``NAME.png`` and its masks ``NAME_mask.png``, ``NAME_mask_1.png``, …
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from wauve_dist.data.decoding import decode_frames
from wauve_dist.data.decoding.images import IMAGE_SUFFIXES
from wauve_dist.data.importers.dataset import BOX_COLUMNS, CATEGORY_IDS, LABELS, ImportedDataset, SourceDataError
from wauve_dist.data.importers.pictures import picture_manifest
from wauve_dist.data.near_duplicates import difference_hash
from wauve_dist.structures.annotations import Annotations

# Traces of the pen beside a mask: the smallest of BUSI's boxes covers 252 pixels.
MIN_LESION_PX = 25

_MASK_NAME = re.compile(r"(.+)_mask(_\d+)?")


def import_busi(folder: Path, val_fraction: float, test_fraction: float, seed: int) -> ImportedDataset:
    """Read images and make a box of each connected part of each mask.

    Args:
        folder: holds the class folders.
        val_fraction: share of the images, 0..1.
        test_fraction: share of the images, 0..1.
        seed: of the split.

    Raises:
        SourceDataError: no class folder or image, a mask without its image or of another size, a normal lesion.
        VideoError: an image cannot be decoded.
    """
    images = [(label, *pair) for label in LABELS for pair in _images_with_masks(folder / label)]
    if not images:
        raise SourceDataError(
            f"{folder}: holds no images in {', '.join(f'{label}/' for label in LABELS)}. Correct the folder."
        )
    video_ids, hashes, frames, boxes = [], [], [], []
    num_specks = 0
    for label, image, masks in images:
        (pixels,) = decode_frames(image)
        height, width = pixels.shape
        video_id = re.sub(r"\W+", "_", image.stem).strip("_")
        video_id = video_id if video_id.startswith(label) else f"{label}_{video_id}"
        corners = []
        for mask in masks:
            found, specks = _boxes_of(mask, (height, width), image)
            corners += found
            num_specks += specks
        if corners and label not in CATEGORY_IDS:
            raise SourceDataError(f"{image}: is in {label}/, but its mask marks a lesion. Move it to its class.")
        video_ids.append(video_id)
        hashes.append(difference_hash(pixels))
        frames.append((video_id, 0, width, height))
        boxes += [(video_id, 0, number, CATEGORY_IDS[label], *corner) for number, corner in enumerate(corners)]
    files, labels = [image for _, image, _ in images], [label for label, _, _ in images]
    manifest, notes = picture_manifest(video_ids, files, labels, hashes, val_fraction, test_fraction, seed)
    without = sum(label in CATEGORY_IDS for label in labels) - len({box[0] for box in boxes})
    notes.append(f"{without} images of a lesion have no mask of it.")
    notes.append(f"{num_specks} specks below {MIN_LESION_PX} pixels in masks: left out.")
    annotations = Annotations(
        pd.DataFrame(frames, columns=["video_id", "frame", "width", "height"]), pd.DataFrame(boxes, columns=BOX_COLUMNS)
    )
    return ImportedDataset(manifest, annotations, notes, {})


def _images_with_masks(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    if not folder.is_dir():
        return
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    masks: dict[str, list[Path]] = {}
    for file in files:
        if match := _MASK_NAME.fullmatch(file.stem):
            masks.setdefault(match[1], []).append(file)
    images = {file.stem: file for file in files if not _MASK_NAME.fullmatch(file.stem)}
    if orphans := sorted(set(masks) - set(images)):
        raise SourceDataError(
            f"{masks[orphans[0]][0]}: is a mask without its image {orphans[0]!r}. Add it, or remove the mask."
        )
    yield from ((image, masks.get(stem, [])) for stem, image in images.items())


def _boxes_of(mask: Path, shape: tuple[int, int], image: Path) -> tuple[list[tuple[int, int, int, int]], int]:
    """Boxes of the connected parts (8 neighbours), and the number of specks."""
    (pixels,) = decode_frames(mask)
    if pixels.shape != shape:
        raise SourceDataError(
            f"{mask}: is {pixels.shape[1]}x{pixels.shape[0]} pixels, {image.name!r} is {shape[1]}x{shape[0]}. Give the "
            "mask that was drawn on it."
        )
    parts, _ = ndimage.label(pixels > 127, structure=np.ones((3, 3)))
    areas = np.bincount(parts.ravel())[1:]
    slices = ndimage.find_objects(parts)
    boxes = [
        (columns.start, rows.start, columns.stop, rows.stop)
        for (rows, columns), area in zip(slices, areas, strict=True)
        if area >= MIN_LESION_PX
    ]
    return boxes, int((areas < MIN_LESION_PX).sum())
