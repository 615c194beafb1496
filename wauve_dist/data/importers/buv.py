"""BUV, the breast ultrasound videos of CVA-Net, as published and as UltraDet relabelled them.

Sources: Lin et al., "A New Dataset and a Baseline Model for Breast Lesion Detection in Ultrasound Videos", MICCAI 2022
(two classes, 149 training and 37 validation videos); Yu et al., "Mining Negative Temporal Contexts for False Positive
Suppression in Real-Time Ultrasound Lesion Detection" (UltraDet), MICCAI 2023 (one class, ``trainval.json`` and
``test.json``). Both name a video after its folder, ``benign/<id>`` or ``malignant/<id>``, below ``rawframes``.

The published held-out part becomes our test split, so that nothing is chosen on it; validation videos are drawn from
the training part.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wauve_dist.data.importers.box_repair import repair_boxes
from wauve_dist.data.importers.coco_vid import read_coco_vid, video_manifest
from wauve_dist.data.importers.dataset import (
    BOX_COLUMNS,
    CATEGORY_IDS,
    LABELS,
    ImportedDataset,
    SourceDataError,
)
from wauve_dist.data.splits import draw_splits
from wauve_dist.structures.annotations import Annotations


class Layout(NamedTuple):
    """Where a release of BUV keeps its parts.

    Attributes:
        training: file of the part to train and validate on.
        held_out: file of the part that published figures refer to.
        frames: folder of the videos.
    """

    training: str
    held_out: str
    frames: str


BUV = Layout("imagenet_vid_train_15frames.json", "imagenet_vid_val.json", "rawframes")
ULTRADET = Layout("trainval.json", "test.json", "rawframes")

# Errata of the published data, by the name of the video.
LEFT_OUT = ("benign/x66ef02e7f1b9a0ef",)
MALIGNANT_NOT_BENIGN = ("benign/x63c9ba1377f35bf6", "benign/x5a1c46ec6377e946")
ONE_PATIENT = (*MALIGNANT_NOT_BENIGN, "malignant/2390fbea047347b", "malignant/7a39ab5d4970bf89")
SAME_VIDEO = ("benign/x1282311c38f808f", "malignant/x9c1c965d274c457")  # 106 of 110 frames are the same


def import_buv(folder: Path, layout: Layout, keep_errata: bool, val_fraction: float, seed: int) -> ImportedDataset:
    """Read BUV and put its known faults right.

    Videos that share a byte-identical frame are of one patient; if they lie in both classes their label is unknown. A
    patient of both parts leaves the training part. Boxes are repaired in any case, because no table holds others.

    Args:
        folder: holds both JSON files and the folder of frames.
        layout: ``BUV`` or ``ULTRADET``.
        keep_errata: leave labels, patients and the choice of videos as published.
        val_fraction: share of the training part that is for validation, 0..1.
        seed: of the draw of validation videos.

    Raises:
        SourceDataError: a file or frame is missing, or a name has no class.
        VideoError: a video cannot be opened.
    """
    parts = {"train": folder / layout.training, "test": folder / layout.held_out}
    read = {split: read_coco_vid(file, folder / layout.frames) for split, file in parts.items()}
    if both := sorted(set(read["train"].paths) & set(read["test"].paths)):
        raise SourceDataError(
            f"{folder}: {both[0]!r} is listed in {layout.training} and {layout.held_out}. Correct them."
        )
    manifest = pd.concat([video_manifest(part.paths).assign(split=split) for split, part in read.items()])
    names = {video_id: f"{p.parent.name}/{p.name}" for part in read.values() for video_id, p in part.paths.items()}
    manifest = manifest.assign(name=manifest["video_id"].map(names)).reset_index(drop=True)
    manifest["class"] = [_class_of(name, folder) for name in manifest["name"]]
    notes = ["Errata of the published data are kept: --keep-errata."]
    if not keep_errata:
        manifest, notes = _corrected(manifest)
    manifest["label"] = pd.array([LABELS.get(name, pd.NA) for name in manifest["class"]], "Int64")
    is_training = manifest["split"] == "train"
    manifest.loc[is_training, "split"] = draw_splits(
        manifest[is_training].drop(columns="split"), val_fraction, 0.0, seed
    )
    frames = pd.concat([part.frames for part in read.values()])
    boxes, repairs = repair_boxes(pd.concat([part.boxes for part in read.values()]))
    frames, boxes = (rows[rows["video_id"].isin(manifest["video_id"])] for rows in (frames, boxes))
    # UltraDet has one class, so the folder tells the category, corrected; a box needs one also where the label is open.
    class_of = manifest.set_index("video_id")["class"]
    published = boxes["name"].map(lambda name: name.split("/")[0])
    category = boxes["video_id"].map(class_of).where(lambda names: names.isin(CATEGORY_IDS), published)
    boxes = boxes.assign(category_id=category.map(CATEGORY_IDS))
    empty = len(frames) - len(boxes[["video_id", "frame"]].drop_duplicates())
    return ImportedDataset(
        manifest.drop(columns=["name", "class"]),
        Annotations(frames[["video_id", "frame", "width", "height"]], boxes[BOX_COLUMNS]),
        [*notes, *repairs, f"{empty} annotated frames show no lesion: kept."],
        {f"{role}_annotations": file for role, file in parts.items()},
    )


def _class_of(name: str, folder: Path) -> str:
    class_name = name.split("/")[0]
    if class_name not in CATEGORY_IDS:
        raise SourceDataError(f"{folder}: video {name!r} lies in neither benign/ nor malignant/. Correct its name.")
    return class_name


def _corrected(manifest: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    left_out = manifest["name"].isin(LEFT_OUT)
    relabelled = manifest["name"].isin(MALIGNANT_NOT_BENIGN) & (manifest["class"] == "benign")
    manifest = manifest.assign(**{"class": manifest["class"].mask(relabelled, "malignant")})[~left_out]
    manifest = manifest.reset_index(drop=True)

    shared = [*_frame_sharers(manifest), _rows_of(manifest, SAME_VIDEO)]
    contradictory = manifest.groupby(_linked(len(manifest), shared))["class"].transform("nunique") > 1
    patients = _linked(len(manifest), [*shared, _rows_of(manifest, ONE_PATIENT)])
    manifest["class"] = manifest["class"].mask(contradictory, "unknown")
    manifest["patient_id"] = manifest.groupby(patients)["patient_id"].transform("first")
    merged = manifest["patient_id"].duplicated(keep=False)
    in_test = set(manifest.loc[manifest["split"] == "test", "patient_id"])
    leaking = (manifest["split"] == "train") & manifest["patient_id"].isin(in_test)
    notes = [
        f"{int(left_out.sum())} videos left out as faulty.",
        f"{int(relabelled.sum())} videos relabelled from benign to malignant.",
        f"{len({row for rows in shared if len(rows) > 1 for row in rows})} videos share frames with another one; "
        f"{int(contradictory.sum())} of them lie in both classes: label unknown.",
        f"{int(merged.sum())} videos are of {manifest.loc[merged, 'patient_id'].nunique()} patients with several.",
        f"{int(leaking.sum())} training videos left out because their patient is in the test part"
        + (f": {', '.join(manifest.loc[leaking, 'name'])}." if leaking.any() else "."),
    ]
    return manifest[~leaking].reset_index(drop=True), notes


def _rows_of(manifest: pd.DataFrame, names: Sequence[str]) -> list[int]:
    return [row for row, name in enumerate(manifest["name"]) if name in names]


def _frame_sharers(manifest: pd.DataFrame) -> list[list[int]]:
    """Rows of the videos that hold the same file, for each set of videos that share one."""
    holders: dict[bytes, set[int]] = defaultdict(set)
    for row, folder in enumerate(manifest["path"]):
        for file in Path(folder).iterdir():
            holders[hashlib.blake2b(file.read_bytes(), digest_size=16).digest()].add(row)
    return [list(rows) for rows in sorted({tuple(sorted(rows)) for rows in holders.values() if len(rows) > 1})]


def _linked(num_rows: int, groups: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Number the sets of rows that groups connect."""
    links = np.array([(group[0], row) for group in groups for row in group[1:]], np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(num_rows, num_rows))
    numbers: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return numbers
