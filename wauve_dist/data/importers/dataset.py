"""What every importer hands over, and how it is written: manifest.csv and annotations.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from wauve_dist.structures.annotations import Annotations, write_annotations
from wauve_dist.structures.tables import MANIFEST, SPLITS, listed, validated, write_table

BOX_COLUMNS = ["video_id", "frame", "instance_id", "category_id", "x1", "y1", "x2", "y2"]
CATEGORY_IDS = {"benign": 1, "malignant": 2}

# A normal breast has no lesion to call benign.
LABELS = {"benign": 0, "malignant": 1, "normal": pd.NA}


class SourceDataError(ValueError):
    """The data cannot be imported as they are; the message names file, row or box, and remedy."""


class ImportedDataset(NamedTuple):
    """A data set in our words, not yet on disk.

    Attributes:
        manifest: rows of ``manifest.csv`` with absolute paths.
        annotations: lesion boxes, or None where the source has none.
        notes: what was found, changed or left out, a sentence each with its count.
        made_from: role to the file that was read.
    """

    manifest: pd.DataFrame
    annotations: Annotations | None
    notes: list[str]
    made_from: Mapping[str, Path]


def write_dataset(dataset: ImportedDataset, out: Path, **settings: object) -> str:
    """Write the tables; the manifest comes last, so that where it is, the data set is whole.

    Args:
        dataset: what an importer made.
        out: folder to write into.
        settings: what else decides the content, for the record beside the tables.

    Returns:
        A summary for the console.

    Raises:
        TableError: the data set breaks a contract; nothing is written.
    """
    manifest = validated(dataset.manifest, MANIFEST, out / "manifest.csv")
    if dataset.annotations is not None:
        write_annotations(dataset.annotations, out / "annotations.json", dataset.made_from)
    write_table(manifest, out / "manifest.csv", MANIFEST, dataset.made_from, **settings)
    return "\n".join([*dataset.notes, *_counts(manifest, dataset.annotations), str(out / "manifest.csv")])


def refuse(faults: Sequence[str]) -> None:
    """Raise the first faults in one error, if there are any.

    Raises:
        SourceDataError: there are.
    """
    if faults:
        raise SourceDataError(listed(faults))


def _counts(manifest: pd.DataFrame, annotations: Annotations | None) -> list[str]:
    boxes = "no boxes" if annotations is None else f"{len(annotations.boxes)} boxes in {len(annotations.frames)} frames"
    lines = [f"{len(manifest)} videos of {manifest['patient_id'].nunique()} patients, {boxes}."]
    names = manifest.get("label", pd.Series(pd.NA, index=manifest.index)).map({0: "benign", 1: "malignant"})
    names = names.astype(object).where(names.notna(), "unlabelled")
    if "split" in manifest:
        for split in SPLITS:
            counts = names[manifest["split"] == split].value_counts().sort_index()
            mix = ", ".join(f"{number} {name}" for name, number in counts.items())
            lines.append(f"{split}: {counts.sum()} videos" + (f" ({mix})." if mix else "."))
    return lines
