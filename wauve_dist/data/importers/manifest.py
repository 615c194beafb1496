"""Our own tables from elsewhere: checked, and written anew with absolute paths."""

from __future__ import annotations

from pathlib import Path

from wauve_dist.data.importers.dataset import ImportedDataset, refuse
from wauve_dist.data.splits import draw_splits
from wauve_dist.structures.annotations import read_annotations
from wauve_dist.structures.tables import read_manifest


def import_manifest(
    manifest: Path, annotations: Path | None, val_fraction: float, test_fraction: float, seed: int
) -> ImportedDataset:
    """Read a manifest, and annotations beside it.

    Args:
        manifest: a ``manifest.csv``.
        annotations: an ``annotations.json`` of its videos, or None.
        val_fraction: share of the videos without split, 0..1.
        test_fraction: share of the videos without split, 0..1.
        seed: of the split.

    Raises:
        TableError: a broken contract.
        SourceDataError: annotations of a video that the manifest does not list.
    """
    rows = read_manifest(manifest)
    boxes = None if annotations is None else read_annotations(annotations)
    if boxes is not None:
        strange = sorted(set(boxes.frames["video_id"]) - set(rows["video_id"]))
        refuse(
            [f"{annotations}: video {name!r} is not in {manifest}. Add it there, or drop it here." for name in strange]
        )
    rows["split"] = draw_splits(rows, val_fraction, test_fraction, seed)
    made_from = {"manifest": manifest} | ({} if annotations is None else {"annotations": annotations})
    return ImportedDataset(rows, boxes, [], made_from)
