"""The tables of a report, one file each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.evaluation.operating_point import PROPORTIONS
from wauve_dist.reporting.cases import Case
from wauve_dist.reporting.detector_page import detector_table
from wauve_dist.reporting.findings import Findings
from wauve_dist.reporting.metrics import rounded
from wauve_dist.reporting.population_section import population_rows
from wauve_dist.reporting.reader_section import reader_tables
from wauve_dist.reporting.subgroup_section import subgroup_table

_ACCURACY_COLUMNS = ("value", "ci_low", "ci_high", "k", "n", "method", "resamples")

_CAPTIONS = {
    "population": "Videos and patients by diagnosis.",
    "accuracy": "Accuracy of the models, with 95 % intervals.",
    "decision_curve": "Net benefit by the probability from which one would biopsy, with pointwise 95 % intervals.",
    "videos": "Every video with its score and call.",
    "comparisons": "Differences between models.",
    "froc": "Share of lesion boxes found by false positives per frame, with 95 % intervals.",
    "froc_per_video": "Share of lesions found by false-positive tracks per video, with 95 % intervals.",
    "detector": "Lesion detector and tracks: all videos, by the size of the lesion, and without one; 95 % intervals.",
    "readers": "Accuracy of the readers, alone and assisted, with 95 % intervals.",
    "reader_tests": "Tests between readers and model, and between readers alone and assisted.",
    "kappa": "Agreement of pairs of readers: Cohen's kappa with 95 % intervals.",
    "adjustments": "BI-RADS categories changed by the readers after seeing the model's score.",
    "reading_times": "Seconds per reading: medians and quartiles alone and assisted, and their ratio (geometric mean).",
    "reading_time_groups": "The average reader by thirds of the videos, by mean unassisted reading time.",
    "checklist_tripod_ai": "TRIPOD+AI (Collins et al., BMJ 2024), as far as the evaluation answers it.",
    "checklist_claim_2024": "CLAIM 2024 (Tejani et al., Radiol. Artif. Intell. 2024), as far as the evaluation "
    "answers it.",
    "checklist_stard_ai": "STARD-AI (Sounderajah et al., Nat. Med. 2025), as far as the evaluation answers it.",
    "subgroups": "Accuracy within groups, with 95 % intervals, and tests between the groups.",
}


def caption_of(name: str) -> str:
    """What a table of ``report_tables`` shows, in a sentence."""
    return _CAPTIONS[name] if name in _CAPTIONS else f"Population by {name.removeprefix('population_by_')}."


def report_tables(findings: Findings, population: pd.DataFrame, cases: Sequence[Case]) -> dict[str, pd.DataFrame]:
    """Name of the file to its rows.

    Args:
        findings: everything that was computed.
        population: see ``population_table``.
        cases: the videos of the first model.
    """
    metrics = findings.metrics
    tables = {
        "population": population,
        "accuracy": _accuracy(metrics["models"]),
        "decision_curve": _decision_curves(findings.results),
        "videos": _videos(cases),
    }
    for name, document in metrics.get("populations", {}).items():
        rows = population_rows(document)
        tables[f"population_by_{_slug(name)}"] = pd.DataFrame([{**row, **row["groups"]} for row in rows]).drop(
            columns="groups"
        )
    if metrics["comparisons"]:
        tables["comparisons"] = pd.DataFrame(metrics["comparisons"])
    if "detection" in metrics:
        tables["detector"] = detector_table(metrics["detection"])
        tables["froc"] = pd.DataFrame(metrics["detection"]["froc"]["points"])
        if "froc_per_video" in metrics["detection"]:
            tables["froc_per_video"] = pd.DataFrame(metrics["detection"]["froc_per_video"]["points"])
    if "readers" in metrics:
        tables |= reader_tables(metrics["readers"])
    if "subgroups" in metrics:
        tables["subgroups"] = subgroup_table(metrics["subgroups"])
    return tables


def _slug(expression: str) -> str:
    """``age>=50`` as a part of a file's name, ``age_ge_50``; different expressions stay different."""
    for sign, word in {"<=": "_le_", ">=": "_ge_", "<": "_lt_", ">": "_gt_", ":": "_", "/": "_"}.items():
        expression = expression.replace(sign, word)
    return re.sub(r"\s+", "", expression)


def _decision_curves(results: Mapping[str, ModelAccuracy]) -> pd.DataFrame:
    names = ("probability", "net_benefit", "ci_low", "ci_high", "biopsy_for_all")
    return pd.concat(
        [
            pd.DataFrame({"model": model} | {name: getattr(result.decision_curve, name) for name in names})
            for model, result in results.items()
        ]
    ).map(rounded)


def _accuracy(models: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": model, "metric": name, **{key: figure.get(key) for key in _ACCURACY_COLUMNS}}
            for model, figures in models.items()
            for name, figure in _estimates(figures).items()
        ]
    )


def _estimates(figures: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The figures of a model that have an interval, by name."""
    named = {name: figures[name] for name in ("auc", "auc_delong", *PROPORTIONS, "f1") if name in figures}
    partial = {f"partial_auc_{part['focus']}_ge_{part['at_least']:g}": part for part in figures["partial_auc"]}
    return named | partial | {"average_precision": figures["average_precision_interval"]}


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
