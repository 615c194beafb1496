"""Whether groups of patients and videos are alike in age, lesion size, category and so on (the paper's Table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from wauve_dist.evaluation.comparisons import pearson_chi_square
from wauve_dist.evaluation.inputs import BoolArray, FloatArray
from wauve_dist.structures.tables import BIRADS_CATEGORIES

MAX_CATEGORIES = 12
_NOT_CHARACTERISTICS = ("video_id", "patient_id", "split")


@dataclass(frozen=True)
class NumberSummary:
    """A number within a group; all NaN where none is known."""

    n: int
    mean: float
    sd: float
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Characteristic:
    """One characteristic in several groups.

    Attributes:
        name: the column.
        numbers: group to summary; empty for categories.
        counts: category to group to videos; empty for numbers.
        num_unknown: group to videos (patients, for age) whose cell is empty.
        p: two-sided; NaN where undefined.
        method: the test, in words.
    """

    name: str
    numbers: dict[str, NumberSummary]
    counts: dict[str, dict[str, int]]
    num_unknown: dict[str, int]
    p: float
    method: str


def compare_populations(videos: pd.DataFrame, groups: Mapping[str, BoolArray]) -> list[Characteristic]:
    """Compare every column that describes a video or patient between disjoint groups.

    As in the paper: age, counted once per patient, by the t-test (more than two groups: analysis of variance); other
    numbers, which are skewed, by the rank-sum test (Kruskal-Wallis); categories by Pearson's chi-square test.

    Args:
        videos: the predictions' columns, n rows; ``label`` (0 or 1) counts as a category.
        groups: at least two groups, name to bool [n].

    Returns:
        One per column, in the table's order. Columns of text with more than ``MAX_CATEGORIES`` values, such as names,
        are left out.
    """
    found = []
    for column in videos.columns:
        if column in _NOT_CHARACTERISTICS or videos[column].isna().all():
            continue
        if column != "label" and pd.api.types.is_numeric_dtype(videos[column]):
            found.append(_compare_numbers(videos, column, groups))
        elif videos[column].nunique() <= MAX_CATEGORIES:
            found.append(_compare_categories(videos[column], groups))
    return found


def _compare_numbers(videos: pd.DataFrame, column: str, groups: Mapping[str, BoolArray]) -> Characteristic:
    parts = {}
    for name, chosen in groups.items():
        part = videos[chosen]
        parts[name] = part.drop_duplicates("patient_id")[column] if column == "age" else part[column]
    known = {name: part.dropna().to_numpy(np.float64) for name, part in parts.items()}
    if column == "age":
        test, method = (stats.ttest_ind, "t-test") if len(groups) == 2 else (stats.f_oneway, "analysis of variance")
    elif len(groups) == 2:
        test, method = stats.mannwhitneyu, "Wilcoxon rank-sum"
    else:
        test, method = stats.kruskal, "Kruskal-Wallis"
    samples = list(known.values())
    # Ranks need different numbers, means need a spread within the groups.
    varies = any(np.ptp(sample) > 0 for sample in samples if len(sample))
    differs = varies or (column != "age" and np.ptp(np.concatenate(samples)) > 0)
    is_defined = differs and all(len(sample) > 1 for sample in samples)
    return Characteristic(
        column,
        {name: _summary(sample) for name, sample in known.items()},
        {},
        {name: int(part.isna().sum()) for name, part in parts.items()},
        float(test(*samples).pvalue) if is_defined else np.nan,
        method,
    )


def _compare_categories(values: pd.Series, groups: Mapping[str, BoolArray]) -> Characteristic:
    present = values.dropna().unique().tolist()
    ordered = [c for c in BIRADS_CATEGORIES if c in present] if values.name == "birads" else sorted(present)
    counts = {
        str(category): {name: int((values[chosen] == category).sum()) for name, chosen in groups.items()}
        for category in ordered
    }
    p = pearson_chi_square([list(by_group.values()) for by_group in counts.values()])
    unknown = {name: int(values[chosen].isna().sum()) for name, chosen in groups.items()}
    return Characteristic(str(values.name), {}, counts, unknown, p, "Pearson chi-square")


def _summary(sample: FloatArray) -> NumberSummary:
    if not len(sample):
        return NumberSummary(0, np.nan, np.nan, np.nan, np.nan, np.nan)
    sd = float(sample.std(ddof=1)) if len(sample) > 1 else np.nan
    return NumberSummary(
        len(sample), float(sample.mean()), sd, float(np.median(sample)), float(sample.min()), float(sample.max())
    )
