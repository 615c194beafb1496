"""Numbers as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.evaluation.operating_point import PROPORTIONS, Threshold

ABSENT = "n/a"


class Estimate(Protocol):
    """A value between limits."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def ci_low(self) -> float: ...  # noqa: D102
    @property
    def ci_high(self) -> float: ...  # noqa: D102


def decimal(value: float | None, digits: int = 3) -> str:
    """0.9212 as ``0.921``; ``n/a`` for NaN, and for None, which stands for it in JSON."""
    return ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """0.8616 as ``86.2 %``; ``n/a`` for NaN and None."""
    return ABSENT if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def interval(low: float | None, high: float | None, as_percent: bool) -> str:
    """Limits joined by ``to``, which unlike a dash cannot be read as a minus."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "undefined"
    return f"{100 * low:.1f} to {100 * high:.1f} %" if as_percent else f"{low:.3f} to {high:.3f}"


def p_value(p: float | None) -> str:
    """0.0312 as ``0.031``; below 0.001 only that."""
    if p is None or math.isnan(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def pairs_of_hundred(auc: float) -> str:
    """0.92 as ``92``, without rounding an imperfect model to 100 or a useful one to 0."""
    if 0.995 <= auc < 1:
        return "more than 99"
    return "fewer than 1" if 0 < auc < 0.005 else f"{100 * auc:.0f}"


def count(number: int, singular: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def threshold_words(threshold: Threshold) -> str:
    """Where a threshold comes from."""
    if not threshold.same_data:
        return "given beforehand"
    if threshold.rule == "youden":
        return "chosen on these very videos as the one with the largest Youden index"
    if threshold.rule == "match-readers":
        return "chosen on these very videos to come nearest to the average sensitivity of the unassisted readers"
    metric, target = threshold.rule.split("=")
    return f"chosen on these very videos to reach a {metric} of {float(target):.0%}"


def headline(result: ModelAccuracy) -> list[dict[str, Any]]:
    """The figures a reader looks for first, each with a sentence that says what it means."""
    point = result.operating_point
    rows: list[tuple[str, Estimate, str]] = [
        (
            "Sensitivity",
            point.sensitivity,
            f"{point.sensitivity.k} of {point.sensitivity.n} malignant lesions are called malignant",
        ),
        (
            "Specificity",
            point.specificity,
            f"{point.specificity.k} of {point.specificity.n} benign lesions are called benign",
        ),
        ("PPV", point.ppv, f"{point.ppv.k} of {point.ppv.n} calls “malignant” are right"),
        ("NPV", point.npv, f"{point.npv.k} of {point.npv.n} calls “benign” are right"),
        ("Accuracy", point.accuracy, f"{point.accuracy.k} of {point.accuracy.n} calls are right"),
        ("F1", point.f1, "balance of sensitivity and PPV"),
    ]
    by_patient = {name.upper(): limits for name, limits in point.by_patient.items()}
    return [
        {
            "name": name,
            "estimate": estimate,
            "meaning": meaning,
            "value": percent(estimate.value) if name != "F1" else decimal(estimate.value),
            "interval": interval(estimate.ci_low, estimate.ci_high, name != "F1"),
            "by_patient": interval(*by_patient[name.upper()], True) if name.upper() in by_patient else "",
        }
        for name, estimate, meaning in rows
    ]


def summary(metrics: Mapping[str, Any]) -> str:
    """The content of ``metrics.json`` in a few lines for the console."""
    lines = [f"{metrics['n']} videos of {metrics['patients']} patients, {metrics['positives']} malignant"]
    if metrics["unlabelled"]:
        lines.append(f"WARNING: {count(metrics['unlabelled'], 'video')} without a label not counted")
    for model, number in metrics["left_out"].items():
        lines.append(f"WARNING: {count(number, 'video')} of {model} that another model lacks not counted")
    for model, figures in metrics["models"].items():
        threshold = figures["threshold"]
        flag = ", chosen on these very videos" if threshold["same_data"] else ""
        lines.append(f"{model} at threshold {threshold['value']:.4g} ({threshold['rule']}{flag})")
        for name in ("auc", *PROPORTIONS, "f1"):
            value, low, high = (figures[name][key] for key in ("value", "ci_low", "ci_high"))
            limits = "undefined" if low is None else f"{low:.3f} to {high:.3f}"
            lines.append(f"  {name:<12} {ABSENT if value is None else format(value, '.3f')} ({limits})")
        if figures["no_lesion_found"]["videos"]:
            found = figures["no_lesion_found"]
            lines.append(
                f"  WARNING: no lesion found in {count(found['videos'], 'video')} ({found['malignant']} malignant), "
                "counted as benign calls"
            )
    if "detection" in metrics:
        ap50 = metrics["detection"]["ap50_interval"]
        lines.append(f"detector AP50 {ap50['value']:.3f} ({ap50['ci_low']:.3f} to {ap50['ci_high']:.3f})")
    return "\n".join(lines)
