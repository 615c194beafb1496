"""Who was examined: the table that opens a report."""

from __future__ import annotations

import pandas as pd

from wauve_dist.reporting.wording import ABSENT
from wauve_dist.structures.tables import BIRADS_CATEGORIES

_NUMBERS = {"age": "Age, years", "lesion_size_mm": "Lesion size, mm"}
_CATEGORIES = {"birads": "BI-RADS", "site": "Site", "vendor": "Vendor", "pathology": "Pathology"}
_MAX_LEVELS = 12


def population_table(videos: pd.DataFrame) -> pd.DataFrame:
    """Describe the videos by class.

    Args:
        videos: video_id, patient_id, label (0 or 1) and any of the manifest's subgroup columns.

    Returns:
        Columns characteristic, level, all, malignant, benign; text. Numbers as median (first to third quartile),
        categories as count (share of the known); unknown values have their own row.
    """
    columns = {"all": videos, "malignant": videos[videos["label"] == 1], "benign": videos[videos["label"] == 0]}
    rows = [
        {"characteristic": "Videos", "level": "", **{name: str(len(part)) for name, part in columns.items()}},
        {
            "characteristic": "Patients",
            "level": "",
            **{name: str(part["patient_id"].nunique()) for name, part in columns.items()},
        },
    ]
    for column, words in _NUMBERS.items():
        if column in videos and videos[column].notna().any():
            level = "median (quartiles)"
            rows.append(
                {
                    "characteristic": words,
                    "level": level,
                    **{name: _quartiles(part[column]) for name, part in columns.items()},
                }
            )
            rows += _unknown(column, columns)
    for column, words in _CATEGORIES.items():
        if column not in videos or videos[column].isna().all():
            continue
        levels = _levels(videos[column])
        for number, level in enumerate(levels):
            rows.append(
                {
                    "characteristic": words if number == 0 else "",
                    "level": level,
                    **{name: _share(part[column], level) for name, part in columns.items()},
                }
            )
        if (num_rare := videos[column].nunique() - len(levels)) > 0:
            rows.append(
                {
                    "characteristic": "",
                    "level": f"{num_rare} rarer",
                    **{
                        name: str(int((part[column].notna() & ~part[column].isin(levels)).sum()))
                        for name, part in columns.items()
                    },
                }
            )
        rows += _unknown(column, columns)
    return pd.DataFrame(rows)


def _levels(values: pd.Series) -> list[str]:
    if values.name == "birads":
        return [level for level in BIRADS_CATEGORIES if (values == level).any()]
    counts = values.value_counts()
    return sorted(sorted(counts.index, key=lambda level: (-counts[level], level))[:_MAX_LEVELS])


def _quartiles(values: pd.Series) -> str:
    known = values.dropna()
    if known.empty:
        return ABSENT
    low, middle, high = known.quantile([0.25, 0.5, 0.75])
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _share(values: pd.Series, level: str) -> str:
    number, known = int((values == level).sum()), int(values.notna().sum())
    return f"{number} ({number / known:.0%})" if known else ABSENT


def _unknown(column: str, columns: dict[str, pd.DataFrame]) -> list[dict[str, str]]:
    if columns["all"][column].notna().all():
        return []
    return [
        {
            "characteristic": "",
            "level": "unknown",
            **{name: str(int(part[column].isna().sum())) for name, part in columns.items()},
        }
    ]
