"""What the manifest's optional columns say of videos, their patients and lesions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def covariate_values(videos: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float32]:
    """Read columns of the manifest as numbers.

    Args:
        videos: rows of ``manifest.csv``, V.
        names: its columns, F; one that it lacks counts as empty.

    Returns:
        float32 [V, F], NaN where a cell is empty.

    Raises:
        ValueError: a cell holds something else than a number.
    """
    values = np.full((len(videos), len(names)), np.nan, np.float32)
    for number, name in enumerate(names):
        if name not in videos:
            continue
        column = pd.to_numeric(videos[name], errors="coerce")
        if (wrong := column.isna() & videos[name].notna()).any():
            row = wrong.idxmax()
            raise ValueError(
                f"covariate {name!r} of video {videos.loc[row, 'video_id']!r} is {videos.loc[row, name]!r}, no number. "
                "Correct the manifest's cell, or empty it if the value is unknown."
            )
        values[:, number] = column
    return values


def require_columns(manifest: Path, videos: pd.DataFrame, names: Sequence[str], flag: str) -> None:
    """Refuse a manifest that lacks a column which an option names.

    Raises:
        ValueError: names the file, the column and the flag.
    """
    for name in names:
        if name not in videos:
            raise ValueError(f"{manifest}: has no column {name!r}, which {flag} names. Add it, or leave {flag} out.")


def group_of_each(manifest: Path, videos: pd.DataFrame, column: str, flag: str) -> dict[str, str]:
    """Return video_id to the value of a column that must be filled in.

    Raises:
        ValueError: names the file, the first video without a value, and the flag.
    """
    require_columns(manifest, videos, [column], flag)
    if (empty := videos[videos[column].isna()]).size:
        raise ValueError(
            f"{manifest}: {len(empty)} training videos have no {column!r}, which {flag} names; the first is "
            f"{empty['video_id'].iloc[0]!r}. Fill in the column, or leave {flag} out."
        )
    return dict(zip(videos["video_id"], videos[column].astype(str), strict=True))


def missing_counts(videos: pd.DataFrame, names: Sequence[str]) -> str:
    """Say how often each covariate is missing, such as ``age of 3 of 40 videos``; empty where none ever is."""
    counts = np.isnan(covariate_values(videos, names)).sum(axis=0).tolist()
    return ", ".join(
        f"{name} of {count} of {len(videos)} videos" for name, count in zip(names, counts, strict=True) if count
    )
