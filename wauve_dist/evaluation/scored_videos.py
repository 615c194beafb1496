"""The videos that an evaluation counts, with the scores of one or several models on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, IntArray, OneClassError, checked_scores
from wauve_dist.structures.tables import PREDICTIONS, read_table

_MAX_LISTED = 8


@dataclass(frozen=True)
class ScoredVideos:
    """Labelled videos in the order of their ids, and what each model says of them.

    Attributes:
        videos: video_id, patient_id, label (int64, 0 or 1) and the subgroup columns of the first file, n rows.
        scores: model to float64 [n], 0..1; 0 where the model found no lesion, which makes it a benign call.
        no_lesion: model to bool [n], True where the model found no lesion.
        num_clips: model to int64 [n]; a model whose file does not tell is absent.
        unlabelled: rows as of ``videos``, left out because their label is not known; what a detector finds in them
            can be judged all the same.
        left_out: model to the videos of its file that another file lacks; empty unless an intersection was asked for.
    """

    videos: pd.DataFrame
    scores: dict[str, FloatArray]
    no_lesion: dict[str, BoolArray]
    num_clips: dict[str, IntArray]
    unlabelled: pd.DataFrame
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def num_unlabelled(self) -> int:
        """Videos left out because their label is not known."""
        return len(self.unlabelled)

    @property
    def positive(self) -> BoolArray:
        """True for malignant, bool [n]."""
        return np.asarray(self.videos["label"] == 1)

    @property
    def patients(self) -> NDArray[np.object_]:
        """The patient of each video, [n]."""
        return np.asarray(self.videos["patient_id"], dtype=object)


def read_scored_videos(paths: Sequence[Path], split: str | None = None, *, intersection: bool = False) -> ScoredVideos:
    """Read one predictions table per model and line their videos up.

    Args:
        paths: ``predictions.csv`` files; a model is named by the column ``model``, else by the file's stem.
        split: count only the videos of this split; None: all.
        intersection: count only the videos that every file has, instead of refusing files that differ.

    Raises:
        TableError: a file breaks the contract of its table.
        EvaluationError: two files of one name, several models in one file, different videos, labels or patients,
            or no video of the split.
        OneClassError: only malignant or only benign videos.
    """
    tables: dict[str, pd.DataFrame] = {}
    sources: dict[str, Path] = {}
    for path in paths:
        table = read_table(path, PREDICTIONS)
        name = _model_name(table, path)
        if name in tables:
            raise EvaluationError(
                f"{sources[name]} and {path} both hold the model {name!r}. Name them apart: rename a file, or fill "
                "its column 'model'."
            )
        tables[name], sources[name] = _of_split(table, path, split), path
    left_out = _intersect(tables) if intersection else {}
    first, *others = tables
    for other in others:
        _require_same_videos(tables[first], sources[first], tables[other], sources[other])
    table = tables[first]
    labelled = table["label"].notna()
    ids = table.index[labelled]
    if ids.empty:
        raise EvaluationError(
            f"{sources[first]}, column 'label': no video has one. Fill in 1 (malignant) or 0 (benign)."
        )
    scores = {name: tables[name]["score"].reindex(ids).to_numpy(np.float64) for name in tables}
    described = table.drop(columns=["score", "num_clips", "model"], errors="ignore")
    videos = described.loc[ids].reset_index().astype({"label": "int64"})
    try:
        checked_scores(videos["label"], np.zeros(len(videos)))
    except OneClassError as error:
        selection = f" (split {split!r})" if split else ""
        raise OneClassError(f"{sources[first]}{selection}: {error}") from error
    return ScoredVideos(
        videos=videos,
        scores={name: np.nan_to_num(values, nan=0.0) for name, values in scores.items()},
        no_lesion={name: np.isnan(values) for name, values in scores.items()},
        num_clips={
            name: tables[name]["num_clips"].reindex(ids).to_numpy() for name in tables if "num_clips" in tables[name]
        },
        unlabelled=described[~labelled].reset_index(),
        left_out=left_out,
    )


def _model_name(table: pd.DataFrame, path: Path) -> str:
    if "model" not in table:
        return path.stem
    names = sorted(table["model"].astype(str).unique())
    if len(names) > 1:
        raise EvaluationError(
            f"{path}, column 'model': holds {len(names)} models ({', '.join(names[:5])}). Write one file per model."
        )
    return names[0] if names else path.stem


def _of_split(table: pd.DataFrame, path: Path, split: str | None) -> pd.DataFrame:
    if split is not None:
        if "split" not in table:
            raise EvaluationError(
                f"--split {split}: {path} has no column 'split'. Leave the flag out or add the column."
            )
        found = sorted(table["split"].dropna().unique())
        table = table[table["split"] == split]
        if table.empty:
            raise EvaluationError(f"--split {split}: {path} has no such video; its splits are {', '.join(found)}.")
    if table.empty:
        raise EvaluationError(f"{path}: holds no video.")
    return table.set_index("video_id").sort_index()


def _intersect(tables: dict[str, pd.DataFrame]) -> dict[str, tuple[str, ...]]:
    """Reduce the tables, in place, to the videos that all of them have; return what each loses."""
    shared = set.intersection(*(set(table.index) for table in tables.values()))
    if not shared:
        raise EvaluationError(f"--intersection: the predictions of {', '.join(tables)} have no video in common.")
    left_out = {}
    for name, table in tables.items():
        stays = table.index.isin(shared)
        if not stays.all():
            left_out[name] = tuple(map(str, table.index[~stays]))
        tables[name] = table[stays]
    return left_out


def _require_same_videos(first: pd.DataFrame, first_path: Path, other: pd.DataFrame, other_path: Path) -> None:
    for table, path, reference, reference_path in (
        (first, first_path, other, other_path),
        (other, other_path, first, first_path),
    ):
        if len(missing := reference.index.difference(table.index)):
            raise EvaluationError(
                f"{path} lacks {len(missing)} videos of {reference_path}: {_listed(missing)}. Models are compared on "
                "the same videos: predict the missing ones, or give --intersection to leave out what a file lacks."
            )
    other = other.reindex(first.index)
    for column, remedy in (("label", "A video has one truth"), ("patient_id", "A video is of one patient")):
        # An empty label equals an empty label.
        differs = first[column].astype("string").fillna("") != other[column].astype("string").fillna("")
        if differs.any():
            raise EvaluationError(
                f"column {column!r} differs between {first_path} and {other_path} for {int(differs.sum())} videos: "
                f"{_listed(first.index[differs])}. {remedy}: correct one of the files."
            )


def _listed(names: pd.Index) -> str:
    return ", ".join(map(str, names[:_MAX_LISTED])) + (", …" if len(names) > _MAX_LISTED else "")
