"""``metrics.json``: every number of a report with its interval, its method and its n. Fractions, never per cent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from wauve_dist.evaluation.auc import AUCEstimate
from wauve_dist.evaluation.decision_curve import BIRADS_BOUNDARIES, DecisionCurve
from wauve_dist.evaluation.model_accuracy import ModelAccuracy, ModelComparison
from wauve_dist.evaluation.operating_point import PROPORTIONS, OperatingPoint
from wauve_dist.evaluation.scored_videos import ScoredVideos


def metrics_document(
    scored: ScoredVideos,
    results: Mapping[str, ModelAccuracy],
    comparisons: Sequence[ModelComparison],
    detection: Mapping[str, Any] | None,
    readers: Mapping[str, Any] | None,
    subgroups: Mapping[str, Any] | None,
    populations: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Assemble ``metrics.json``: only what was computed, undefined numbers as null, the same for the same input."""
    document: dict[str, Any] = {
        "n": len(scored.videos),
        "positives": int(scored.positive.sum()),
        "patients": int(scored.videos["patient_id"].nunique()),
        "unlabelled": scored.num_unlabelled,
        "left_out": {model: len(videos) for model, videos in scored.left_out.items()},
        "models": {model: _model(result) for model, result in results.items()},
        "comparisons": [_comparison(row) for row in comparisons],
    }
    parts = {"detection": detection, "readers": readers, "subgroups": subgroups, "populations": populations}
    document |= {name: dict(part) for name, part in parts.items() if part is not None}
    finished: dict[str, Any] = rounded(document)
    return finished


def operating_point_document(point: OperatingPoint) -> dict[str, Any]:
    """The figures at a threshold: of a model, of a reader, in a subgroup."""
    figures: dict[str, Any] = {"threshold": asdict(point.threshold), "confusion": asdict(point.confusion)}
    for name in PROPORTIONS:
        figures[name] = asdict(getattr(point, name))
        if name in point.by_patient:
            figures[name]["ci_by_patient"] = list(point.by_patient[name])
    figures["f1"] = asdict(point.f1)
    return figures


def delong_document(estimate: AUCEstimate) -> dict[str, Any]:
    """An AUC with an analytic interval, which has no resamples."""
    return {name: getattr(estimate, name) for name in ("value", "ci_low", "ci_high", "method")}


def _model(result: ModelAccuracy) -> dict[str, Any]:
    figures: dict[str, Any] = {"auc": asdict(result.auc)}
    if result.auc_delong is not None:
        figures["auc_delong"] = delong_document(result.auc_delong)
    figures |= operating_point_document(result.operating_point)
    figures["partial_auc"] = [asdict(partial) for partial in result.partial_aucs]
    figures["average_precision"] = result.average_precision.value
    figures["average_precision_interval"] = asdict(result.average_precision)
    figures["brier"] = result.brier
    if result.calibration is not None:
        figures["calibration"] = asdict(result.calibration)
    figures["decision_curve"] = _decision_curve(result.decision_curve)
    figures["no_lesion_found"] = {"videos": result.num_no_lesion, "malignant": result.num_malignant_no_lesion}
    return figures


def _decision_curve(curve: DecisionCurve) -> dict[str, Any]:
    """Net benefit at the boundaries of BI-RADS categories; the whole curve is a table of its own."""
    rows = []
    for boundary in BIRADS_BOUNDARIES:
        (at,) = np.flatnonzero(np.isclose(curve.probability, boundary))
        names = ("probability", "net_benefit", "ci_low", "ci_high", "biopsy_for_all")
        rows.append({name: float(getattr(curve, name)[at]) for name in names})
    return {"at_birads_boundaries": rows, "method": curve.method, "resamples": curve.resamples}


def _comparison(row: ModelComparison) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if value is not None}


def rounded(value: Any) -> Any:
    """Ten significant digits: beyond them, machines differ. NaN, which JSON lacks, becomes null."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    return value
