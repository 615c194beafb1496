"""How well models tell malignant from benign videos, and whether one does so better than another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from wauve_dist.evaluation.auc import AUCEstimate, bootstrap_auc
from wauve_dist.evaluation.calibration import Calibration, brier_score, calibration
from wauve_dist.evaluation.calls import compare_calls
from wauve_dist.evaluation.curves import RocBand, RocCurve, roc_band, roc_curve
from wauve_dist.evaluation.decision_curve import DecisionCurve, decision_curve
from wauve_dist.evaluation.delong import delong_auc, delong_paired_test
from wauve_dist.evaluation.inputs import BoolArray, FloatArray
from wauve_dist.evaluation.operating_point import OperatingPoint, Threshold, evaluate_operating_point
from wauve_dist.evaluation.partial_auc import PartialAUC, partial_auc
from wauve_dist.evaluation.precision_recall import (
    AveragePrecisionEstimate,
    PrecisionRecallBand,
    PrecisionRecallCurve,
    precision_recall_curve,
    precision_recall_intervals,
)
from wauve_dist.evaluation.scored_videos import ScoredVideos

# Rates that a second reader of breast ultrasound would be held to.
_PARTIAL_AUCS: tuple[tuple[Literal["specificity", "sensitivity"], float], ...] = (
    ("specificity", 0.8),
    ("sensitivity", 0.9),
)
_PERCENTS = np.arange(1, 100) / 100


@dataclass(frozen=True)
class ModelAccuracy:
    """Every figure of one model.

    Attributes:
        auc: with its bootstrap interval by patient.
        auc_delong: the same AUC with DeLong's interval; None where a class has a single patient.
        operating_point: the figures at the threshold.
        partial_aucs: where specificity, and where sensitivity, is high.
        average_precision: area under the precision-recall curve.
        brier: mean squared distance of score and label.
        calibration: over the videos in which a lesion was found; None where these are of one class.
        decision_curve: net benefit of acting on the score, at whole per cents.
        roc: the empirical curve.
        band: its pointwise bootstrap band.
        precision_recall: the empirical curve.
        precision_recall_band: its pointwise bootstrap band.
        num_no_lesion: videos in which no lesion was found, scored 0.
        num_malignant_no_lesion: how many of them are malignant.
    """

    auc: AUCEstimate
    auc_delong: AUCEstimate | None
    operating_point: OperatingPoint
    partial_aucs: tuple[PartialAUC, ...]
    average_precision: AveragePrecisionEstimate
    brier: float
    calibration: Calibration | None
    decision_curve: DecisionCurve
    roc: RocCurve
    band: RocBand
    precision_recall: PrecisionRecallCurve
    precision_recall_band: PrecisionRecallBand
    num_no_lesion: int
    num_malignant_no_lesion: int


@dataclass(frozen=True)
class ModelComparison:
    """One figure of two models on the same videos.

    Attributes:
        a: the first model.
        b: the second model.
        metric: what is compared.
        difference: of ``a`` minus that of ``b``; NaN where one is undefined.
        p: two-sided; NaN where the test is undefined.
        method: the test, in words.
        discordant: for McNemar, videos that only ``a`` and that only ``b`` calls rightly.
        ci_low: limits of the difference of AUCs, by DeLong's variance; None for other figures.
        ci_high: the same.
    """

    a: str
    b: str
    metric: str
    difference: float
    p: float
    method: str
    discordant: tuple[int, int] | None = None
    ci_low: float | None = None
    ci_high: float | None = None


def evaluate_model(
    scored: ScoredVideos,
    model: str,
    threshold_of: Callable[[BoolArray, FloatArray], Threshold],
    *,
    seed: int,
    num_resamples: int,
) -> ModelAccuracy:
    """Compute every figure of one model.

    Args:
        scored: the videos.
        model: one of ``scored.scores``.
        threshold_of: labels and scores to the threshold.
        seed: of all resamples.
        num_resamples: of each bootstrap.
    """
    positive, scores, patients = scored.positive, scored.scores[model], scored.patients
    found = ~scored.no_lesion[model]
    precision, precision_band = precision_recall_intervals(
        positive, scores, patients, seed=seed, num_resamples=num_resamples
    )
    return ModelAccuracy(
        auc=bootstrap_auc(positive, scores, patients, seed=seed, num_resamples=num_resamples),
        auc_delong=delong_auc(positive, scores, patients) if _has_two_patients_per_class(scored) else None,
        operating_point=evaluate_operating_point(
            positive, scores, threshold_of(positive, scores), patients, seed=seed, num_resamples=num_resamples
        ),
        partial_aucs=tuple(
            partial_auc(
                positive, scores, patients, focus=focus, at_least=at_least, seed=seed, num_resamples=num_resamples
            )
            for focus, at_least in _PARTIAL_AUCS
        ),
        average_precision=precision,
        brier=brier_score(positive, scores),
        calibration=calibration(positive[found], scores[found]) if 0 < positive[found].sum() < found.sum() else None,
        decision_curve=decision_curve(
            positive, scores, patients, probability=_PERCENTS, seed=seed, num_resamples=num_resamples
        ),
        roc=roc_curve(positive, scores),
        band=roc_band(positive, scores, patients, seed=seed, num_resamples=num_resamples),
        precision_recall=precision_recall_curve(positive, scores),
        precision_recall_band=precision_band,
        num_no_lesion=int((~found).sum()),
        num_malignant_no_lesion=int((positive & ~found).sum()),
    )


def compare_models(scored: ScoredVideos, results: dict[str, ModelAccuracy]) -> list[ModelComparison]:
    """Compare every pair of models: paired DeLong, exact McNemar, N-1 chi-square and generalised score.

    The N-1 chi-square test of predictive values is the paper's; it takes the calls of two models on the same videos
    for independent. The generalised score test does not.
    """
    return [row for a, b in combinations(results, 2) for row in _compare(scored, a, b, results)]


def _compare(scored: ScoredVideos, a: str, b: str, results: dict[str, ModelAccuracy]) -> list[ModelComparison]:
    first, second = results[a].operating_point, results[b].operating_point
    rows = []
    if _has_two_patients_per_class(scored):
        test = delong_paired_test(scored.positive, scored.scores[a], scored.scores[b], scored.patients)
        rows.append(
            ModelComparison(a, b, "auc", test.difference, test.p, test.method, ci_low=test.ci_low, ci_high=test.ci_high)
        )
    called_first, called_second = (
        scored.scores[name] >= point.threshold.value for name, point in ((a, first), (b, second))
    )
    rows += [
        ModelComparison(a, b, row.metric, row.difference, row.p, row.method, row.discordant)
        for row in compare_calls(scored.positive, called_first, called_second, scored.patients)
    ]
    return rows


def _has_two_patients_per_class(scored: ScoredVideos) -> bool:
    return all(len(np.unique(scored.patients[of])) > 1 for of in (scored.positive, ~scored.positive))
