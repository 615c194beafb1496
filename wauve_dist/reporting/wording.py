"""Numbers as a reader wants them, and what was done in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.evaluation.operating_point import PROPORTIONS, Threshold
from wauve_dist.evaluation.scored_videos import ScoredVideos

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


def cautions(scored: ScoredVideos, results: Mapping[str, ModelAccuracy]) -> list[str]:
    """What a reader must know before believing a number."""
    notes = []
    if any(result.operating_point.threshold.same_data for result in results.values()):
        notes.append(
            "The threshold was chosen on the videos that it is judged on. Sensitivity, specificity and all other "
            "figures at the threshold are therefore flattered; fix a threshold on other data (--threshold) for an "
            "unbiased estimate. The AUC is not affected."
        )
    for model, result in results.items():
        if result.num_no_lesion:
            notes.append(
                f"{model} found no lesion in {count(result.num_no_lesion, 'video')}, "
                f"{result.num_malignant_no_lesion} of them malignant. They stay in every count with a score of 0, "
                "a benign call."
            )
        if result.auc.redrawn:
            notes.append(
                f"{result.auc.redrawn} bootstrap resamples for {model} held one class only and were drawn anew: "
                "there are few patients of one class, and the interval is rough."
            )
    if scored.num_unlabelled:
        notes.append(f"{count(scored.num_unlabelled, 'video')} without a known label could not be counted.")
    num_positive, num_negative = int(scored.positive.sum()), int((~scored.positive).sum())
    if min(num_positive, num_negative) < 30:
        notes.append(
            f"With {num_positive} malignant and {num_negative} benign videos the intervals are wide. Read them, "
            "not the estimates."
        )
    if scored.videos["patient_id"].nunique() < len(scored.videos):
        notes.append(
            "Some patients have several videos. Bootstrap intervals and DeLong's variance draw and group by patient; "
            "the binomial intervals of proportions take videos for independent, so limits by patient stand beside."
        )
    return notes


def methods(
    scored: ScoredVideos,
    results: Mapping[str, ModelAccuracy],
    detection: Mapping[str, Any] | None,
    seed: int,
    adjustment: str,
) -> list[str]:
    """The methods paragraphs, from what was computed."""
    result = next(iter(results.values()))
    point = result.operating_point
    num_patients = scored.videos["patient_id"].nunique()
    texts = [
        f"{count(len(scored.videos), 'video')} of {count(num_patients, 'patient')}, {int(scored.positive.sum())} of "
        "them malignant, were scored. A score at or above the threshold was called malignant. All intervals have a "
        "confidence level of 95 %, each for itself; p values are two-sided. "
        + (
            "Neither was corrected for looking at several figures."
            if adjustment == "none"
            else f"“adj.” marks p values corrected by the method {adjustment} for all tests between models, of "
            "readers, or between subgroups; generalised score tests are corrected among themselves."
        ),
        f"The area under the ROC curve is the Mann-Whitney estimate with ties counted one half; its interval: "
        f"{result.auc.method}"
        + (f" ({result.auc.resamples:,} resamples, seed {seed})." if result.auc.resamples else ".")
        + (f" A second interval: {result.auc_delong.method}." if result.auc_delong else ""),
        "The band around the ROC curve is a pointwise bootstrap band at fixed false positive rates, of the same "
        "resamples. Average precision is the step-wise area under the precision-recall curve.",
        f"The threshold of {point.threshold.value:.4f} was {threshold_words(point.threshold)}. Sensitivity, "
        f"specificity and accuracy: {point.sensitivity.method}. PPV: {point.ppv.method}. NPV: {point.npv.method}. "
        f"F1: {point.f1.method}.",
    ]
    if result.calibration is not None:
        texts.append(
            f"Calibration was judged on the {result.calibration.n} videos in which a lesion was found: "
            f"{result.calibration.method}. The Brier score counts every video."
        )
    if len(results) > 1:
        texts.append(
            "Models were compared on the same videos: AUC by the paired DeLong test; sensitivity, specificity and "
            "accuracy by McNemar's exact test; predictive values by the N-1 chi-square test, which ignores that the "
            "videos are the same, and by the generalised score test, which does not and which, where a patient has "
            "several videos, is given for every proportion."
        )
    if detection is not None:
        texts.append(
            f"The detector was judged by the COCO protocol on all {detection['num_frames']:,} annotated frames of "
            f"{count(detection['num_videos'], 'video')} ({detection['num_boxes']:,} lesion boxes), frames without a "
            "lesion included; AP50 asks for an overlap (IoU) of at least 0.50. Interval of AP50: "
            f"{detection['ap50_interval']['method']} ({detection['ap50_interval']['resamples']:,} resamples)."
        )
    return texts


def not_computed(
    results: Mapping[str, ModelAccuracy],
    detection: Mapping[str, Any] | None,
    has_clips: bool,
    has_thumbnails: bool,
    has_readers: bool,
    has_subgroups: bool,
) -> list[str]:
    """What a reader may look for in vain, and why."""
    absent = []
    for model, result in results.items():
        if result.auc_delong is None:
            absent.append(f"DeLong's interval for {model}: one class is of a single patient.")
        if result.calibration is None:
            absent.append(f"Calibration of {model}: the videos with a found lesion are all of one class.")
    if len(results) == 1:
        absent.append("Comparison of models: one predictions file was given.")
    if detection is None:
        absent.append("Average precision of the detector: --detections and --annotations were not given.")
    if not has_clips:
        absent.append("Scores over time: there is no clips.parquet beside the predictions.")
    if not has_thumbnails:
        absent.append("Pictures of the lesions: there is no thumbnails folder beside the predictions.")
    if not has_readers:
        absent.append("Readers: --readers was not given.")
    if not has_subgroups:
        absent.append("Subgroups: --subgroups was not given.")
    return absent
