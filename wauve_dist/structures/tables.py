"""The tables on disk: the contract between the stages, checked whenever one is read or written.

| file             | a row is                |
|------------------|-------------------------|
| manifest.csv     | a video of one lesion   |
| detections.parquet | a box the detector saw |
| tracks.parquet   | a box in a track        |
| clips.parquet    | a clip                  |
| predictions.csv  | a video, exactly once   |
| readers.csv      | one reading             |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from wauve_dist.structures.provenance import atomic_write, write_provenance

BIRADS_CATEGORIES = ("2", "3", "4A", "4B", "4C", "5")
SPLITS = ("train", "val", "test")
SECTOR_COLUMNS = ("sector_x1", "sector_y1", "sector_x2", "sector_y2")  # the scan's place on the screen, pixels

MAX_REPORTED_FAULTS = 20


class TableError(ValueError):
    """A table breaks its contract; the message names file, row, column, value and remedy."""


def _one_of(*values: object) -> pa.Check:
    return pa.Check.isin(values, error=f"must be one of {', '.join(map(str, values))}, or empty")


def _between(low: float, high: float) -> pa.Check:
    return pa.Check.in_range(low, high, error=f"must lie between {low:g} and {high:g}")


def _all_or_none(manifest: pd.DataFrame) -> pd.Series:
    return manifest.reindex(columns=list(SECTOR_COLUMNS)).notna().sum(axis=1).isin([0, len(SECTOR_COLUMNS)])


def _id(**options: Any) -> pa.Column:
    return pa.Column(str, pa.Check.str_length(min_value=1, error="must not be empty"), coerce=True, **options)


_FRAME = pa.Column("int64", pa.Check.ge(0, error="must not be negative"), coerce=True)
_SCORE = pa.Column("float64", _between(0, 1), coerce=True)
_LABEL = pa.Column("Int64", _one_of(0, 1), nullable=True, coerce=True, required=False)
_BOX = {side: pa.Column("float32", coerce=True) for side in ("x1", "y1", "x2", "y2")}
_BOX_ORDER = [
    pa.Check(lambda t: t["x2"] > t["x1"], error="x2 must be greater than x1"),
    pa.Check(lambda t: t["y2"] > t["y1"], error="y2 must be greater than y1"),
]
_SUBGROUPS = {
    "site": pa.Column(str, nullable=True, required=False, coerce=True),
    "vendor": pa.Column(str, nullable=True, required=False, coerce=True),
    "age": pa.Column("float64", _between(0, 130), nullable=True, required=False, coerce=True),
    "lesion_size_mm": pa.Column("float64", _between(0, 300), nullable=True, required=False, coerce=True),
    "birads": pa.Column(str, _one_of(*BIRADS_CATEGORIES), nullable=True, required=False, coerce=True),
    "pathology": pa.Column(str, nullable=True, required=False, coerce=True),
}
_FRAME_NUMBERS = pa.Check.str_matches(r"^\d+( \d+)*$", error="must be frame numbers from 0, such as 12 57")

MANIFEST = pa.DataFrameSchema(
    {
        "video_id": _id(unique=True),
        "patient_id": _id(),
        "path": _id(),
        "label": _LABEL,
        "split": pa.Column(str, _one_of(*SPLITS), nullable=True, required=False, coerce=True),
        "key_frames": pa.Column(str, _FRAME_NUMBERS, nullable=True, required=False, coerce=True),
        **{
            side: pa.Column(
                "float64", pa.Check.ge(0, error="must not be negative"), nullable=True, coerce=True, required=False
            )
            for side in SECTOR_COLUMNS
        },
        **_SUBGROUPS,
    },
    checks=pa.Check(_all_or_none, error=f"must have all of {', '.join(SECTOR_COLUMNS)}, or none of them"),
    name="manifest",
)
DETECTIONS = pa.DataFrameSchema(
    {"video_id": _id(), "frame": _FRAME, **_BOX, "score": _SCORE}, checks=_BOX_ORDER, name="detections"
)
TRACKS = pa.DataFrameSchema(
    {
        "video_id": _id(),
        "track_id": pa.Column("int64", coerce=True),
        "frame": _FRAME,
        **_BOX,
        "score": _SCORE,
        "interpolated": pa.Column(bool, coerce=True),
    },
    checks=_BOX_ORDER,
    unique=["video_id", "track_id", "frame"],
    name="tracks",
)
CLIPS = pa.DataFrameSchema(
    {
        "video_id": _id(),
        "track_id": pa.Column("int64", coerce=True),
        "clip_index": _FRAME,
        "start_frame": _FRAME,
        "score": _SCORE,
        # Of attention pooling: the score is the logit's sigmoid, and a video's weights sum to 1.
        "logit": pa.Column("float64", required=False, coerce=True),
        "weight": pa.Column("float64", _between(0, 1), required=False, coerce=True),
    },
    unique=["video_id", "track_id", "clip_index"],
    name="clips",
)
PREDICTIONS = pa.DataFrameSchema(
    {
        "video_id": _id(unique=True),
        "patient_id": _id(),
        "label": pa.Column("Int64", _one_of(0, 1), nullable=True, coerce=True),
        # Empty where no lesion was found: the video keeps its row, and evaluation decides in the open.
        "score": pa.Column("float64", _between(0, 1), nullable=True, coerce=True),
        "num_clips": pa.Column("int64", pa.Check.ge(0), required=False, coerce=True),
        "split": pa.Column(str, _one_of(*SPLITS), nullable=True, required=False, coerce=True),
        "model": pa.Column(str, required=False, coerce=True),
        **_SUBGROUPS,
    },
    name="predictions",
)
READERS = pa.DataFrameSchema(
    {
        "video_id": _id(),
        "reader": _id(),
        "assisted": pa.Column("int64", pa.Check.isin([0, 1], error="must be 0 or 1"), coerce=True),
        "birads": pa.Column(
            str,
            pa.Check.isin(BIRADS_CATEGORIES, error=f"must be one of {', '.join(BIRADS_CATEGORIES)}"),
            coerce=True,
        ),
        # May be net of the video's own length, and then below 0; a day is no reading.
        "reading_time_s": pa.Column("float64", _between(-3600, 86400), nullable=True, required=False, coerce=True),
    },
    unique=["video_id", "reader", "assisted"],
    name="readers",
)


def read_table(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a CSV or Parquet table and check it against its contract.

    Raises:
        TableError: the file is missing, unreadable, or breaks ``schema``.
    """
    if not path.is_file():
        raise TableError(f"{path}: there is no such file. Expected a {schema.name} table.")
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        try:
            # Everything as text first: "007" stays a name, and a wrong value is reported as it was written.
            table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
        except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise TableError(f"{path}: is not a readable CSV table ({error}). Save it as UTF-8 CSV.") from error
        _refuse_nan_as_text(table, schema, path)
        for name, column in schema.columns.items():
            if name in table and str(column.dtype) == "bool":
                # Left as text, every word but the empty one would count as true.
                words = table[name]
                if not (known := words.isin(["True", "False"])).all():
                    row = int(known.idxmin())
                    raise TableError(f"{path} row {row + 2}, column {name!r}: {words[row]!r} must be True or False")
                table[name] = words == "True"
    return validated(table, schema, path)


def write_table(
    table: pd.DataFrame,
    path: Path,
    schema: pa.DataFrameSchema,
    made_from: Mapping[str, Path],
    **settings: object,
) -> None:
    """Check, write atomically, and record what the table was made from (see ``write_provenance``)."""
    table = validated(table, schema, path)
    with atomic_write(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
    write_provenance(path, made_from, **settings)


def validated(table: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> pd.DataFrame:
    """Return ``table`` with the contract's dtypes, or raise every fault at once.

    Raises:
        TableError: one line per fault, each with file, row, column, value and the constraint.
    """
    try:
        return schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        lines = _fault_lines(errors.failure_cases, schema, path)
        raise TableError(listed(lines)) from None


def listed(faults: Sequence[str]) -> str:
    """Write faults for people, one a line: the first ones, and how many more there are."""
    more = len(faults) - MAX_REPORTED_FAULTS
    return "\n".join([*faults[:MAX_REPORTED_FAULTS], *([f"… and {more} more"] if more > 0 else [])])


def read_manifest(path: Path) -> pd.DataFrame:
    """Read ``manifest.csv``; its ``path`` column comes back absolute.

    Relative paths are relative to the manifest and must stay inside its folder. Absolute paths are allowed.
    Columns beyond the contract are kept as subgroups. That the videos can be decoded is checked where they
    are opened (``wauve_dist.data.decoding``).

    Raises:
        TableError: a broken contract, a patient in two splits, a missing video, a path that leaves the folder.
    """
    manifest = read_table(path, MANIFEST)
    folder = path.resolve().parent
    faults = []
    resolved = []
    for row, (video_id, raw) in enumerate(zip(manifest["video_id"], manifest["path"], strict=True)):
        video = Path(raw) if Path(raw).is_absolute() else folder / raw
        resolved.append(str(video))
        where = f"{path} row {row + 2}, column 'path'"
        if not Path(raw).is_absolute() and not video.resolve().is_relative_to(folder):
            faults.append(
                f"{where}: {raw!r} leaves the manifest's folder {folder}. "
                "Move the video into that folder or give an absolute path."
            )
        elif not video.exists():
            faults.append(
                f"{where}: {raw!r} ({video_id}) does not exist in {folder}. Correct the path or drop the row."
            )
    if "split" in manifest:
        splits = manifest.dropna(subset=["split"]).groupby("patient_id")["split"].unique()
        faults += [
            f"{path}, column 'split': patient {patient!r} is in {' and '.join(sorted(found))}. "
            "All videos of a patient belong in one split."
            for patient, found in splits[splits.map(len) > 1].items()
        ]
    if faults:
        raise TableError(listed(faults))
    return manifest.assign(path=resolved)


def _refuse_nan_as_text(table: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> None:
    """Conversion to a number would turn the word "nan" into an empty cell, which means something else."""
    faults = [
        f"{path} row {row + 2}, column {name!r}: {table[name][row]!r} is not a number. Correct it, or leave the cell "
        "empty if the value is unknown."
        for name, column in schema.columns.items()
        if name in table and str(column.dtype).lower().startswith(("float", "int"))
        for row in table.index[table[name].str.strip().str.lower().isin(["nan", "+nan", "-nan"])]
    ]
    if faults:
        raise TableError(listed(faults))


def _fault_lines(cases: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> list[str]:
    """Turn pandera's failure cases into sentences; one fault per cell, the first that was found."""
    lines: dict[tuple[object, object], str] = {}
    for number, case in enumerate(cases.itertuples()):
        check = str(case.check)
        if check.startswith("dtype(") or str(case.failure_case).startswith("TypeError("):
            continue  # an echo of a value that could not be converted, which has its own line
        if check == "column_in_dataframe":
            required = ", ".join(name for name, column in schema.columns.items() if column.required)
            lines[number, None] = (
                f"{path}: column {case.failure_case!r} is missing. A {schema.name} table needs {required}."
            )
            continue
        constraint = next((words for prefix, words in _CONSTRAINTS.items() if check.startswith(prefix)), check)
        where = str(path)
        if case.index is not None and not pd.isna(case.index):
            # Line 1 of a CSV holds the names, so index 0 stands in line 2; Parquet counts rows from 0.
            where += f" row {int(case.index) + (2 if path.suffix == '.csv' else 0)}"
        if case.schema_context == "Column":
            where += f", column {case.column!r}"
            key: tuple[object, object] = (case.index, case.column)
        else:
            key = (case.index, check)
        found = case.failure_case.item() if isinstance(case.failure_case, np.generic) else case.failure_case
        value = "an empty cell" if pd.isna(found) else repr(found)
        lines.setdefault(key, f"{where}: {value} {constraint}")
    return list(lines.values())


_CONSTRAINTS = {
    "field_uniqueness": "stands there more than once; every row needs its own",
    "multiple_fields_uniqueness": "stands there more than once; every row needs its own",
    "not_nullable": "is not allowed here; fill it in",
    "coerce_dtype('Int64')": "must be 0, 1 or empty",
    "coerce_dtype('int64')": "must be a whole number",
    "coerce_dtype('float": "must be a number",
}


def empty_table(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return a table without rows that satisfies ``schema``, with the columns that it requires."""
    columns = {name: pd.Series(dtype=np.object_) for name, column in schema.columns.items() if column.required}
    return schema.validate(pd.DataFrame(columns))
