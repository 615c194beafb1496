"""The subgroups in a report: their part of metrics.json and their table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.operating_point import PROPORTIONS
from wauve_dist.evaluation.subgroups import LevelFigures, Subgroup
from wauve_dist.reporting.metrics import operating_point_document

TESTS = "p"
_OTHER_KEYS = (TESTS, "not_in_a_group", "patients_in_several_groups")


def subgroup_document(subgroups: Sequence[Subgroup]) -> dict[str, Any]:
    """The key ``subgroups`` of ``metrics.json``.

    Raises:
        EvaluationError: a group has the name of another entry.
    """
    document: dict[str, Any] = {}
    for subgroup in subgroups:
        name = subgroup.grouping.name
        if taken := sorted(set(subgroup.levels) & set(_OTHER_KEYS)):
            raise EvaluationError(f"--subgroups {name}: a group is called {taken[0]!r}, which names another entry.")
        document[name] = {
            **{level: _level(figures) for level, figures in subgroup.levels.items()},
            TESTS: {metric: asdict(test) for metric, test in subgroup.tests.items()},
            "not_in_a_group": subgroup.grouping.num_outside,
            "patients_in_several_groups": subgroup.num_shared_patients,
        }
    return document


def subgroup_table(document: Mapping[str, Any]) -> pd.DataFrame:
    """The paper's Table 3, one row per figure, for CSV.

    Args:
        document: see ``subgroup_document``.
    """
    return pd.DataFrame(
        [
            {"subgroup": name, "group": level, "metric": metric, **levels[level][metric], **_test(levels, metric)}
            for name, levels in document.items()
            for level in group_names(levels)
            for metric in ("auc", *PROPORTIONS, "f1")
        ]
    )


def group_names(groups: Mapping[str, Any]) -> list[str]:
    """The groups of an expression's entry, without the other entries."""
    return [name for name in groups if name not in _OTHER_KEYS]


def typeset(expression: str) -> str:
    """``age>=50`` as a reader wants it, age ≥ 50."""
    spaced = re.sub(r"\s*(<=|>=|<|>)\s*", r" \1 ", expression).strip()
    return spaced.replace("<=", "≤").replace(">=", "≥").replace(":", ": ").replace("_", " ")


def _test(levels: dict[str, Any], metric: str) -> dict[str, Any]:
    test = levels[TESTS].get(metric, {})
    return {"test" if key == "method" else key: value for key, value in test.items()}


def _level(figures: LevelFigures) -> dict[str, Any]:
    return {
        "n": figures.n,
        "positives": figures.positives,
        "auc": asdict(figures.auc),
        **operating_point_document(figures.operating_point),
        "power": figures.power,
        "underpowered": figures.is_underpowered,
    }
