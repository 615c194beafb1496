"""Groups of cases, named by an expression on a column of the predictions.

| expression                 | groups                                                         |
|----------------------------|----------------------------------------------------------------|
| ``site``                   | one for each value of the column                               |
| ``age>=50``                | two: ``<50`` and ``>=50``; likewise with ``<=``, ``<``, ``>``   |
| ``birads:2-3/4-5``         | ranges, both ends included; 4 stands for 4A, 4B and 4C         |
| ``age:18-39/40-64/65-120`` | the same with numbers                                          |
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray
from wauve_dist.structures.tables import BIRADS_CATEGORIES

MAX_LEVELS = 20

_NUMBER = r"-?\d+(?:\.\d+)?"
_COMPARE: dict[str, tuple[str, Callable[[FloatArray, float], BoolArray]]] = {
    "<=": (">", np.less_equal),
    "<": (">=", np.less),
    ">=": ("<", np.greater_equal),
    ">": ("<=", np.greater),
}


@dataclass(frozen=True)
class Grouping:
    """Disjoint groups of cases.

    Attributes:
        name: the expression.
        column: the column that it groups by.
        levels: name of the group to its cases, bool [n], in their natural order.
        num_outside: cases in no group, because the cell is empty or no range holds it.
    """

    name: str
    column: str
    levels: dict[str, BoolArray]
    num_outside: int


def parse_groupings(expressions: str, videos: pd.DataFrame) -> list[Grouping]:
    """Parse a comma-separated list of expressions.

    Raises:
        EvaluationError: an expression that does not parse, occurs twice or does not fit its column.
    """
    names = [name.strip() for name in expressions.split(",")]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EvaluationError(f"--subgroups {', '.join(twice)}: stands there more than once.")
    return [parse_grouping(name, videos) for name in names]


def parse_grouping(expression: str, videos: pd.DataFrame) -> Grouping:
    """Parse one expression against the columns of ``videos``.

    Raises:
        EvaluationError: it does not parse, names no column, does not fit the column's type, or leaves fewer than two
            groups with a case.
    """
    match = re.fullmatch(
        r"(?P<column>\w[\w .-]*?)\s*(?:(?P<operator><=|>=|<|>)(?P<cut>.*)|:(?P<ranges>.*))?", expression
    )
    if match is None:
        raise EvaluationError(
            f"--subgroups {expression!r}: cannot be read. Write a column (site), a cut (age>=50) or ranges "
            "(birads:2-3/4-5), separated by commas."
        )
    column = match["column"]
    if column not in videos:
        offered = [name for name in videos if name not in ("video_id", "patient_id", "label", "split")]
        raise EvaluationError(
            f"--subgroups {expression}: the predictions have no column {column!r}. They have: "
            f"{', '.join(offered) or 'no subgroup column'}."
        )
    values = videos[column]
    if match["operator"]:
        levels = _cut(expression, values, match["operator"], match["cut"].strip())
    elif match["ranges"] is not None:
        levels = _ranges(expression, values, match["ranges"])
    else:
        levels = _each_value(expression, values)
    levels = {name: chosen for name, chosen in levels.items() if chosen.any()}
    if len(levels) < 2:
        found = f"only {next(iter(levels))!r}" if levels else "none"
        raise EvaluationError(f"--subgroups {expression}: of its groups {found} has a case; two are needed to compare.")
    return Grouping(expression, column, levels, int((~np.logical_or.reduce(list(levels.values()))).sum()))


def _each_value(expression: str, values: pd.Series) -> dict[str, BoolArray]:
    found = values.dropna().unique().tolist()
    if len(found) > MAX_LEVELS:
        raise EvaluationError(
            f"--subgroups {expression}: the column has {len(found)} different values, more than {MAX_LEVELS}. "
            f"Cut it ({expression}>=…) or give ranges ({expression}:…/…)."
        )
    ordered = (
        [category for category in BIRADS_CATEGORIES if category in found] if values.name == "birads" else sorted(found)
    )
    return {str(value): (values == value).fillna(False).to_numpy(bool) for value in ordered}


def _cut(expression: str, values: pd.Series, sign: str, cut: str) -> dict[str, BoolArray]:
    if not re.fullmatch(_NUMBER, cut):
        raise EvaluationError(f"--subgroups {expression}: {cut!r} is not a number to cut at.")
    opposite, compare = _COMPARE[sign]
    numbers = _numbers(expression, values)
    known = ~np.isnan(numbers)
    chosen = compare(numbers, float(cut)) & known
    low_first = {f"{sign}{cut}": chosen, f"{opposite}{cut}": ~chosen & known}
    return low_first if sign.startswith("<") else dict(reversed(low_first.items()))


def _ranges(expression: str, values: pd.Series, ranges: str) -> dict[str, BoolArray]:
    if values.name == "birads":
        rank = {category: float(position) for position, category in enumerate(BIRADS_CATEGORIES)}
        numbers = values.map(rank).to_numpy(np.float64, na_value=np.nan)
        end, kind = r"[2345][ABC]?", "BI-RADS categories"
    else:
        numbers = _numbers(expression, values)
        end, kind = _NUMBER, "numbers"
    levels: dict[str, BoolArray] = {}
    taken = np.zeros(len(values), dtype=bool)
    for level in (part.strip() for part in ranges.split("/")):
        match = re.fullmatch(f"({end})(?:-({end}))?", level)
        if match is None:
            raise EvaluationError(
                f"--subgroups {expression}: {level!r} is not a range of {kind}. Write low-high, and / between ranges."
            )
        low, high = _ends(values.name == "birads", match[1], match[2] or match[1])
        if not low <= high:
            raise EvaluationError(f"--subgroups {expression}: the range {level!r} is empty. Write the lower end first.")
        chosen = (numbers >= low) & (numbers <= high)
        if (chosen & taken).any() or level in levels:
            raise EvaluationError(
                f"--subgroups {expression}: the range {level!r} overlaps another. Make them disjoint."
            )
        levels[level] = chosen
        taken |= chosen
    return levels


def _ends(is_birads: bool, low: str, high: str) -> tuple[float, float]:
    """Ends of a range as numbers; a BI-RADS category without a letter stands for all of its letters."""
    if not is_birads:
        return float(low), float(high)
    of_low = [rank for rank, category in enumerate(BIRADS_CATEGORIES) if category.startswith(low)]
    of_high = [rank for rank, category in enumerate(BIRADS_CATEGORIES) if category.startswith(high)]
    return min(of_low, default=math.inf), max(of_high, default=-math.inf)


def _numbers(expression: str, values: pd.Series) -> FloatArray:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[values.notna() & numbers.isna()]
    if len(wrong):
        raise EvaluationError(
            f"--subgroups {expression}: column {values.name!r} holds {wrong.iloc[0]!r}, which is not a number. "
            "Use the bare column for one group per value."
        )
    return np.asarray(numbers.to_numpy(np.float64, na_value=np.nan))
