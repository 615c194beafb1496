"""Still images without patient ids: each is a video of one frame, and images of one picture stand for one patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from wauve_dist.data.importers.dataset import LABELS
from wauve_dist.data.near_duplicates import near_duplicate_groups
from wauve_dist.data.splits import draw_splits


def picture_manifest(
    video_ids: Sequence[str],
    files: Sequence[Path],
    labels: Sequence[str],
    hashes: Sequence[np.uint64],
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> tuple[pd.DataFrame, list[str]]:
    """Make a manifest of images, and say which of them show the same picture.

    Args:
        video_ids: of each image.
        files: likewise.
        labels: likewise, a key of ``LABELS``.
        hashes: likewise, see ``picture_hash``.
        val_fraction: share of the images, 0..1.
        test_fraction: share of the images, 0..1.
        seed: of the split.

    Returns:
        Rows of ``manifest.csv``, and notes on the duplicates.
    """
    groups = pd.Series(near_duplicate_groups(np.array(hashes, np.uint64)), name="group")
    manifest = pd.DataFrame(
        {
            "video_id": video_ids,
            "patient_id": pd.Series(video_ids).groupby(groups).transform("first"),
            "path": [str(file.resolve()) for file in files],
            "label": pd.array([LABELS[label] for label in labels], "Int64"),
        }
    )
    manifest["split"] = draw_splits(manifest, val_fraction, test_fraction, seed)
    named = manifest.assign(name=labels)
    doubled = [rows for _, rows in named.groupby("patient_id", sort=False) if len(rows) > 1]
    notes = [
        f"Near duplicates: {sum(map(len, doubled))} images show {len(doubled)} pictures; each picture is one patient."
    ]
    notes += [
        f"Labelled differently though alike: {', '.join(rows['video_id'])}."
        for rows in doubled
        if len(set(rows["name"])) > 1
    ]
    return manifest, notes
