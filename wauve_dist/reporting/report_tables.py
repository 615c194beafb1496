"""The tables of a report, one file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from wauve_dist.evaluation.operating_point import PROPORTIONS
from wauve_dist.reporting.cases import Case
from wauve_dist.reporting.population_section import population_rows
from wauve_dist.reporting.reader_section import reader_tables
from wauve_dist.reporting.subgroup_section import subgroup_table

_ACCURACY_COLUMNS = ("value", "ci_low", "ci_high", "k", "n", "method", "resamples")


def report_tables(
    population: pd.DataFrame, metrics: Mapping[str, Any], cases: Sequence[Case]
) -> dict[str, pd.DataFrame]:
    """Name of the file to its rows.

    Args:
        population: see ``population_table``.
        metrics: the content of ``metrics.json``.
        cases: the videos of the first model.
    """
    tables = {"population": population, "accuracy": _accuracy(metrics["models"]), "videos": _videos(cases)}
    if metrics["comparisons"]:
        tables["comparisons"] = pd.DataFrame(metrics["comparisons"])
    if "readers" in metrics:
        tables |= reader_tables(metrics["readers"])
    if "subgroups" in metrics:
        tables["subgroups"] = subgroup_table(metrics["subgroups"])
        for number, (_, document) in enumerate(metrics["populations"].items(), start=1):
            rows = population_rows(document)
            tables[f"population_by_group_{number}"] = pd.DataFrame([{**row, **row.pop("groups")} for row in rows])
    return tables


def _accuracy(models: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "metric": name, **{key: figures[name].get(key) for key in _ACCURACY_COLUMNS}}
            for model, figures in models.items()
            for name in ("auc", "auc_delong", *PROPORTIONS, "f1")
            if name in figures
        ]
    )


def _videos(cases: Sequence[Case]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "video_id": case.video_id,
                "patient_id": case.patient_id,
                "label": int(case.malignant),
                "score": case.score,
                "call": int(case.called),
                "outcome": case.outcome,
                "no_lesion_found": int(case.no_lesion),
                "num_clips": case.num_clips,
            }
            for case in cases
        ]
    ).sort_values("video_id")
