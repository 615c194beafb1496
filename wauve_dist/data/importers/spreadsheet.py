"""A hospital's own CSV or XLSX table, its columns and labels renamed to ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from wauve_dist.data.importers.dataset import ImportedDataset, SourceDataError, refuse
from wauve_dist.data.splits import draw_splits
from wauve_dist.structures.tables import MANIFEST, validated

_DELIMITERS = (",", ";", "\t")


def import_spreadsheet(
    table: Path,
    columns: Mapping[str, str],
    labels: Mapping[str, str],
    videos: Path | None,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> ImportedDataset:
    """Read a table with a row per video.

    Columns that have our names already need no mapping. Columns that are neither ours nor mapped are left out, because
    such tables hold names and dates of birth; they are named in the notes.

    Args:
        table: CSV (UTF-8; comma, semicolon or tab) or XLSX (its first sheet), names in the first row.
        columns: our column to the table's; names that are not of the contract are kept as subgroups.
        labels: the table's word for a label to 0 or 1, or to the empty text for unknown.
        videos: folder that paths are relative to; None: the table's folder.
        val_fraction: share of the videos without split, 0..1.
        test_fraction: share of the videos without split, 0..1.
        seed: of the split.

    Raises:
        SourceDataError: unreadable, a mapped column that is not there, a label without meaning, a missing video.
        TableError: what is left breaks the manifest's contract.
    """
    rows = _read(table)
    if absent := [f"{ours}={theirs}" for ours, theirs in columns.items() if theirs not in rows]:
        raise SourceDataError(
            f"{table}: --columns {absent[0]}: there is no such column. It has {', '.join(rows.columns)}."
        )
    ours = {name: name for name in MANIFEST.columns if name in rows} | dict(columns)
    if missing := [name for name, column in MANIFEST.columns.items() if column.required and name not in ours]:
        raise SourceDataError(
            f"{table}: has no column {missing[0]!r}. Say which one it is: --columns {missing[0]}=NAME, where NAME is "
            f"one of {', '.join(rows.columns)}."
        )
    manifest = pd.DataFrame({name: rows[theirs].str.strip() for name, theirs in ours.items()})
    faults = _translate(manifest, labels, table)
    folder = table.parent if videos is None else videos
    for row, path in manifest["path"].dropna().items():
        if not (folder / path).exists():
            faults.append(
                f"{table} row {int(str(row)) + 2}: video {path!r} is not in {folder}. Correct --videos or the path."
            )
    refuse(faults)
    manifest["path"] = [path if pd.isna(path) else str((folder / path).resolve()) for path in manifest["path"]]
    manifest = validated(manifest, MANIFEST, table)
    manifest["split"] = draw_splits(manifest, val_fraction, test_fraction, seed)
    unused = [name for name in rows if name not in ours.values()]
    notes = [f"{len(unused)} columns left out" + (f": {', '.join(unused)}." if unused else ".")]
    return ImportedDataset(manifest, None, notes, {"table": table})


def _read(table: Path) -> pd.DataFrame:
    if not table.is_file():
        raise SourceDataError(f"{table}: there is no such file. Correct --table.")
    if table.suffix.lower() == ".xlsx":
        return pd.read_excel(table, dtype=str, engine="openpyxl")
    try:
        header = table.read_text("utf-8-sig").partition("\n")[0]
    except UnicodeDecodeError as error:
        raise SourceDataError(f"{table}: is not UTF-8 ({error}). Save it as XLSX or as CSV UTF-8.") from error
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        return pd.read_csv(table, sep=delimiter, dtype=str, encoding="utf-8-sig", keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SourceDataError(f"{table}: is not a readable CSV table ({error}). Save it anew.") from error


def _translate(manifest: pd.DataFrame, labels: Mapping[str, str], table: Path) -> list[str]:
    """Put our labels in the place of the table's; return what has no meaning."""
    if "label" not in manifest:
        return (
            [f"--labels was given, but {table} has no label column. Map one: --columns label=NAME."] if labels else []
        )
    words = manifest["label"]
    meanings = dict(labels) or {"0": "0", "1": "1"}
    faults = [
        f"{table} row {int(str(row)) + 2}: label {word!r} has no meaning. Say which it is: --labels {word}=0 (benign), "
        f"{word}=1 (malignant) or {word}= (unknown)."
        for row, word in words.dropna().items()
        if word not in meanings
    ]
    translated = words.map(meanings)
    manifest["label"] = translated.mask(translated == "")
    return faults
