"""What launch/prepare.py split does: a manifest in, the same manifest with splits or folds out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wauve_dist.data.splits import BIRADS_GROUPS, draw_folds, draw_splits, known_parts
from wauve_dist.structures.provenance import claim_folder
from wauve_dist.structures.tables import MANIFEST, SPLITS, TableError, read_manifest, read_table, write_table


def split_manifest(
    manifest: Path,
    out: Path,
    val_fraction: float,
    test_fraction: float,
    num_folds: int | None,
    previous: Path | None,
    redraw: bool,
    seed: int,
) -> str:
    """Write ``out/manifest.csv`` with a split for every video, or ``out/fold_K/manifest.csv`` for each fold.

    In fold K, fold K is for testing, the next one for validation, the others for training; every manifest also holds
    the column ``fold``, so that any of them can be the ``previous`` one.

    Args:
        manifest: the videos; what its column ``split`` (or ``fold``) holds stays unless ``redraw``.
        out: folder to create; must be new or empty.
        val_fraction: share of the videos, 0..1.
        test_fraction: share of the videos, 0..1.
        num_folds: number of folds, or None for train, val and test.
        previous: an earlier manifest whose patients keep their part, or None.
        redraw: forget the manifest's own parts.
        seed: of the draw.

    Returns:
        A table for the console: videos per part and level of each factor.

    Raises:
        TableError: a broken contract.
        ValueError: fractions or folds that cannot be, a patient in two parts.
        FileExistsError: ``out`` holds something.
    """
    column = "split" if num_folds is None else "fold"
    rows = read_manifest(manifest)
    if redraw:
        rows = rows.drop(columns=column, errors="ignore")
    if previous is not None:
        rows = _with_previous(rows, read_table(previous, MANIFEST), column, previous)
    num_known = rows.loc[rows["patient_id"].isin(known_parts(rows, column)), "patient_id"].nunique()
    made_from = {"manifest": manifest} | ({} if previous is None else {"previous": previous})
    settings: dict[str, object] = {"seed": seed, "redraw": redraw}
    if num_folds is None:
        rows["split"] = draw_splits(rows, val_fraction, test_fraction, seed)
        claim_folder(out)
        settings |= {"val_fraction": val_fraction, "test_fraction": test_fraction}
        write_table(rows, out / "manifest.csv", MANIFEST, made_from, **settings)
        written = [out / "manifest.csv"]
    else:
        rows["fold"] = draw_folds(rows, num_folds, seed)
        claim_folder(out)
        written = []
        for fold in range(num_folds):
            splits = {fold: "test", (fold + 1) % num_folds: "val"}
            path = out / f"fold_{fold}" / "manifest.csv"
            in_fold = rows.assign(split=[splits.get(int(number), "train") for number in rows["fold"]])
            write_table(in_fold, path, MANIFEST, made_from, **settings, folds=num_folds)
            written.append(path)
    kept = f"{num_known} of {rows['patient_id'].nunique()} patients kept their {column}."
    return "\n".join([balance_table(rows, column).to_string(), kept, *map(str, written)])


def balance_table(manifest: pd.DataFrame, column: str) -> pd.DataFrame:
    """Count videos by part (columns) and level of each factor (rows)."""
    birads = manifest["birads"].map(BIRADS_GROUPS) if "birads" in manifest else None
    names = {"label": {0: "benign", 1: "malignant"}}
    factors = {"all": pd.Series("videos", index=manifest.index)}
    factors |= {name: manifest[name].map(names[name]) for name in ("label",) if name in manifest}
    factors |= {} if birads is None else {"birads": birads}
    factors |= {name: manifest[name] for name in ("site", "vendor") if name in manifest}
    parts = manifest[column]
    blocks = {
        name: pd.crosstab(levels.astype(object).where(levels.notna(), "unknown"), parts)
        for name, levels in factors.items()
    }
    table = pd.concat(blocks, names=["factor", "level"])
    ordered = [split for split in SPLITS if split in table] if column == "split" else sorted(table)
    return table[ordered].fillna(0).astype(int)


def _with_previous(rows: pd.DataFrame, earlier: pd.DataFrame, column: str, source: Path) -> pd.DataFrame:
    if column not in earlier:
        raise TableError(f"--previous {source}: has no column {column!r}, so it says nothing about parts.")
    before, now = known_parts(earlier, column), known_parts(rows, column)
    if torn := sorted(patient for patient in set(before) & set(now) if before[patient] != now[patient]):
        raise TableError(
            f"--previous {source}: patient {torn[0]!r} was in {before[torn[0]]}, but the manifest says {now[torn[0]]} "
            f"({len(torn)} such patients). Draw without the manifest's own parts: --redraw."
        )
    return rows.assign(**{column: rows["patient_id"].map(before | now)})
