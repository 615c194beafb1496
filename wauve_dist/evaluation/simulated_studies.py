"""Studies whose truth is known, to see how often an interval covers it.

Scores are binormal: N(0, 1) of benign and N(1.2, 1) of malignant videos, so that the AUC is 0.802.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats
from scipy.special import expit, logit

from wauve_dist.evaluation.agreement import Agreement, KappaWeights, cohens_kappa, fleiss_kappa, intraclass_correlations
from wauve_dist.evaluation.auc import bootstrap_auc
from wauve_dist.evaluation.calibration import calibration
from wauve_dist.evaluation.curves import roc_band
from wauve_dist.evaluation.decision_curve import decision_curve
from wauve_dist.evaluation.delong import delong_auc, delong_paired_test
from wauve_dist.evaluation.inputs import FloatArray, IntArray
from wauve_dist.evaluation.mrmc import obuchowski_rockette
from wauve_dist.evaluation.operating_point import evaluate_operating_point, given_threshold
from wauve_dist.evaluation.partial_auc import partial_auc
from wauve_dist.evaluation.precision_recall import precision_recall_intervals
from wauve_dist.evaluation.proportions import (
    clopper_pearson,
    negative_predictive_value,
    positive_predictive_value,
    wilson,
)

NUM_RESAMPLES = 499

_SHIFT = 1.2
_AUC = float(stats.norm.cdf(_SHIFT / np.sqrt(2)))
_PREVALENCE = 0.4


class Interval(NamedTuple):
    """An interval for a truth."""

    name: str
    truth: float
    low: float
    high: float


Counts = tuple[int, int, int, int]
Study = Callable[[np.random.Generator], Iterator[Interval]]


def auc_study(rng: np.random.Generator) -> Iterator[Interval]:
    """400 videos of 400 patients, 200 of them malignant, scored by two correlated models of equal AUC."""
    labels = np.repeat([0, 1], 200)
    shared = rng.normal(size=400)
    first, second = (_SHIFT * labels + np.sqrt(0.5) * (shared + rng.normal(size=400)) for _ in range(2))
    seed = int(rng.integers(2**32))
    drawn = bootstrap_auc(labels, first, seed=seed, num_resamples=NUM_RESAMPLES)
    yield Interval("AUC, bootstrap percentile", _AUC, drawn.ci_low, drawn.ci_high)
    within = bootstrap_auc(labels, first, seed=seed, num_resamples=NUM_RESAMPLES, stratified=True)
    yield Interval("AUC, bootstrap percentile, stratified", _AUC, within.ci_low, within.ci_high)
    accelerated = bootstrap_auc(labels, first, seed=seed, num_resamples=NUM_RESAMPLES, method="bca")
    yield Interval("AUC, bootstrap BCa", _AUC, accelerated.ci_low, accelerated.ci_high)
    plain = delong_auc(labels, first, transform="none")
    yield Interval("AUC, DeLong", _AUC, plain.ci_low, plain.ci_high)
    transformed = delong_auc(labels, first)
    yield Interval("AUC, DeLong, logit-transformed", _AUC, transformed.ci_low, transformed.ci_high)
    difference = delong_paired_test(labels, first, second)
    yield Interval("difference of two AUCs, DeLong paired", 0.0, difference.ci_low, difference.ci_high)


def clustered_study(rng: np.random.Generator) -> Iterator[Interval]:
    """600 videos of 200 patients, three each, correlated by 0.5 within a patient."""
    labels, patients = np.repeat([0, 1], 300), np.repeat(np.arange(200), 3)
    scores = _SHIFT * labels + np.sqrt(0.5) * (rng.normal(size=200)[patients] + rng.normal(size=600))
    seed = int(rng.integers(2**32))
    drawn = bootstrap_auc(labels, scores, patients, seed=seed, num_resamples=NUM_RESAMPLES)
    yield Interval("AUC by patient, bootstrap percentile", _AUC, drawn.ci_low, drawn.ci_high)
    clustered = delong_auc(labels, scores, patients)
    yield Interval("AUC by patient, DeLong (Obuchowski)", _AUC, clustered.ci_low, clustered.ci_high)
    # Prevalence one half, and the share of malignant videos above the midpoint of the classes.
    point = evaluate_operating_point(
        labels, expit(scores - _SHIFT / 2), given_threshold(0.5), patients, seed=seed, num_resamples=NUM_RESAMPLES
    )
    low, high = point.by_patient["accuracy"]
    yield Interval("accuracy by patient, bootstrap percentile", float(stats.norm.cdf(_SHIFT / 2)), low, high)


def naive_study(rng: np.random.Generator) -> Iterator[Interval]:
    """The clustered study, taking videos of a patient for independent."""
    labels, patients = np.repeat([0, 1], 300), np.repeat(np.arange(200), 3)
    scores = _SHIFT * labels + np.sqrt(0.5) * (rng.normal(size=200)[patients] + rng.normal(size=600))
    naive = delong_auc(labels, scores)
    yield Interval("AUC, DeLong, patients ignored", _AUC, naive.ci_low, naive.ci_high)


def accuracy_study(rng: np.random.Generator) -> Iterator[Interval]:
    """240 malignant and 360 benign videos, judged at one threshold; sensitivity 0.66 to 0.84."""
    sensitivity, false_alarm, counts = _judged(rng, np.repeat([1, 0], [240, 360]))
    for name, interval in (("Clopper-Pearson", clopper_pearson), ("Wilson", wilson)):
        found = interval(counts[0], counts[0] + counts[2])
        yield Interval(f"sensitivity, {name}", sensitivity, found.ci_low, found.ci_high)
    yield from _predictive_values(sensitivity, false_alarm, counts, "at the study's prevalence")


def cohort_study(rng: np.random.Generator) -> Iterator[Interval]:
    """600 consecutive videos of a population with 40 % malignant, whose own share is left to chance."""
    labels = (rng.random(600) < _PREVALENCE).astype(np.intp)
    sensitivity, false_alarm, counts = _judged(rng, labels)
    yield from _predictive_values(sensitivity, false_alarm, counts, "at the population's prevalence")


def curve_study(rng: np.random.Generator) -> Iterator[Interval]:
    """400 videos drawn from a population with 40 % malignant."""
    labels = (rng.random(400) < _PREVALENCE).astype(np.intp)
    scores, seed = rng.normal(_SHIFT * labels, 1), int(rng.integers(2**32))
    precision, _ = precision_recall_intervals(labels, scores, seed=seed, num_resamples=NUM_RESAMPLES)
    yield Interval("average precision, bootstrap percentile", _AVERAGE_PRECISION, precision.ci_low, precision.ci_high)
    partial = partial_auc(labels, scores, focus="specificity", at_least=0.8, seed=seed, num_resamples=NUM_RESAMPLES)
    yield Interval("partial AUC, bootstrap percentile", _PARTIAL_AUC, partial.ci_low, partial.ci_high)
    curve = decision_curve(labels, expit(scores - 1), probability=[0.3], seed=seed, num_resamples=NUM_RESAMPLES)
    cut = 1 + logit(0.3)
    benefit = _PREVALENCE * stats.norm.sf(cut - _SHIFT) - (1 - _PREVALENCE) * stats.norm.sf(cut) * 0.3 / 0.7
    yield Interval("net benefit, bootstrap percentile", float(benefit), float(curve.ci_low[0]), float(curve.ci_high[0]))
    # At the midpoint of the classes sensitivity and specificity are alike.
    point = given_threshold(float(expit(_SHIFT / 2)))
    f1 = evaluate_operating_point(labels, expit(scores), point, seed=seed, num_resamples=NUM_RESAMPLES).f1
    right, wrong = (
        share * stats.norm.cdf(side * _SHIFT / 2) for share, side in ((_PREVALENCE, 1), (1 - _PREVALENCE, -1))
    )
    band = roc_band(labels, scores, seed=seed, num_resamples=NUM_RESAMPLES, num_points=6)
    found = float(stats.norm.cdf(_SHIFT + stats.norm.ppf(0.2)))
    yield Interval("ROC curve at a false positive rate of 0.2, bootstrap percentile", found, band.low[1], band.high[1])
    yield Interval("F1, bootstrap percentile", float(2 * right / (right + wrong + _PREVALENCE)), f1.ci_low, f1.ci_high)


def calibration_study(rng: np.random.Generator) -> Iterator[Interval]:
    """800 videos whose true log-odds are 0.2 + 0.8 times those of the score."""
    logits = rng.normal(-0.3, 1.3, 800)
    labels = (rng.random(800) < expit(0.2 + 0.8 * logits)).astype(np.intp)
    slope = calibration(labels, expit(logits)).slope
    yield Interval("calibration slope, Wald", 0.8, slope.ci_low, slope.ci_high)
    shifted = (rng.random(800) < expit(0.2 + logits)).astype(np.intp)
    intercept = calibration(shifted, expit(logits)).intercept
    yield Interval("calibration intercept, Wald", 0.2, intercept.ci_low, intercept.ci_high)


def agreement_study(rng: np.random.Generator) -> Iterator[Interval]:
    """300 cases read in three categories."""
    kind = rng.choice(3, 300, p=_KIND)
    readings = np.stack([_drawn(rng, _READING[kind]) for _ in range(4)], axis=1)
    for weights, truth in _KAPPAS.items():
        kappa = cohens_kappa(readings[:, 0].tolist(), readings[:, 1].tolist(), (0, 1, 2), weights)
        yield Interval(f"Cohen's kappa, weights: {weights}", truth, kappa.ci_low, kappa.ci_high)
    # Readers that are alike and err independently have Cohen's kappa, taken of all pairs.
    fleiss = fleiss_kappa(readings, (0, 1, 2))
    yield Interval("Fleiss' kappa of four readers", _KAPPAS["none"], fleiss.ci_low, fleiss.ci_high)


def scale_study(rng: np.random.Generator) -> Iterator[Interval]:
    """100 cases rated on a scale by 20 readers, with variances of case, reader and error of 1, 0.2 and 0.5."""
    same, others = _ratings(rng, num_cases=100, num_readers=20)
    for form, truth, found in (
        ("ICC(1,1)", 1 / 1.7, others["ICC(1,1)"]),
        ("ICC(2,1)", 1 / 1.7, same["ICC(2,1)"]),
        ("ICC(3,1)", 1 / 1.5, same["ICC(3,1)"]),
    ):
        yield Interval(f"{form} of 20 readers", truth, found.ci_low, found.ci_high)


def few_raters_study(rng: np.random.Generator) -> Iterator[Interval]:
    """300 cases rated on a scale by 4 readers who stand for all readers."""
    same, _ = _ratings(rng, num_cases=300, num_readers=4)
    yield Interval("ICC(2,1) of 4 readers", 1 / 1.7, same["ICC(2,1)"].ci_low, same["ICC(2,1)"].ci_high)


def reader_study(rng: np.random.Generator) -> Iterator[Interval]:
    """Six random readers of 100 random cases under two conditions alike (Roe & Metz, Acad. Radiol. 1997)."""
    labels = np.repeat([0, 1], 50)
    parts = {"c": 0.3, "tc": 0.3, "rc": 0.2, "trc": 0.2}
    shapes = {"c": (1, 1, 100), "tc": (2, 1, 100), "rc": (1, 6, 100), "trc": (2, 6, 100)}
    ratings = _SHIFT * labels + sum(np.sqrt(parts[part]) * rng.normal(size=shapes[part]) for part in parts)
    # A reader is better or worse by a normal shift of the malignant cases, in both conditions and in each.
    ratings = ratings + labels * (0.1 * rng.normal(size=(1, 6, 1)) + 0.1 * rng.normal(size=(2, 6, 1)))
    gain = obuchowski_rockette(labels, ratings, covariance="delong").differences[0]
    yield Interval("gain of readers, Obuchowski-Rockette", 0.0, gain.ci_low, gain.ci_high)


_KIND = np.array([0.4, 0.35, 0.25])
_READING = np.array([[0.75, 0.2, 0.05], [0.2, 0.6, 0.2], [0.05, 0.25, 0.7]])


def _judged(rng: np.random.Generator, labels: IntArray) -> tuple[float, float, Counts]:
    """Sensitivity, false alarm rate, and tp, fp, fn, tn at a threshold of the study's own.

    At the same threshold in every study the coverage of an exact interval would be that of one point of its saw-tooth.
    """
    cut = rng.uniform(0.2, 0.8)
    called = rng.normal(_SHIFT * labels, 1) >= cut
    tp, fp, fn, tn = (int((called[labels == of] == call).sum()) for call in (True, False) for of in (1, 0))
    sensitivity, false_alarm = (float(stats.norm.sf(cut - shift)) for shift in (_SHIFT, 0.0))
    return sensitivity, false_alarm, (tp, fp, fn, tn)


def _predictive_values(sensitivity: float, false_alarm: float, counts: Counts, where: str) -> Iterator[Interval]:
    right, wrong = _PREVALENCE * sensitivity, (1 - _PREVALENCE) * false_alarm
    missed, cleared = _PREVALENCE - right, 1 - _PREVALENCE - wrong
    ppv, npv = positive_predictive_value(*counts), negative_predictive_value(*counts)
    yield Interval(f"PPV {where}, logit (Mercaldo)", right / (right + wrong), ppv.ci_low, ppv.ci_high)
    yield Interval(f"NPV {where}, logit (Mercaldo)", cleared / (cleared + missed), npv.ci_low, npv.ci_high)


def _ratings(rng: np.random.Generator, num_cases: int, num_readers: int) -> tuple[dict[str, Agreement], ...]:
    """Intraclass correlations when the same readers rate all cases, and when every case has readers of its own."""
    cases, errors = rng.normal(size=(num_cases, 1)), np.sqrt(0.5) * rng.normal(size=(num_cases, num_readers))
    shapes = ((1, num_readers), (num_cases, num_readers))
    return tuple(intraclass_correlations(cases + np.sqrt(0.2) * rng.normal(size=shape) + errors) for shape in shapes)


def _drawn(rng: np.random.Generator, shares: FloatArray) -> IntArray:
    """One category per row of shares [n, 3]."""
    above = rng.random((len(shares), 1)) > np.cumsum(shares, axis=1)[:, :-1]
    return np.asarray(above.sum(axis=1), dtype=np.intp)


def _true_kappa(credit: NDArray[np.float64]) -> float:
    joint = _READING.T @ (_KIND[:, None] * _READING)
    expected = joint.sum(axis=1) @ credit @ joint.sum(axis=0)
    return float((np.sum(joint * credit) - expected) / (1 - expected))


_DISTANCE = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
_KAPPAS: dict[KappaWeights, float] = {
    "none": _true_kappa(np.eye(3)),
    "linear": _true_kappa(1 - _DISTANCE / 2),
    "quadratic": _true_kappa(1 - (_DISTANCE / 2) ** 2),
}


def _precision_at_recall(recall: float) -> float:
    cut = _SHIFT + stats.norm.isf(recall)
    true, false = _PREVALENCE * recall, (1 - _PREVALENCE) * stats.norm.sf(cut)
    return float(true / (true + false))


_AVERAGE_PRECISION = integrate.quad(_precision_at_recall, 1e-12, 1)[0]
_PARTIAL_AREA = integrate.quad(lambda rate: stats.norm.cdf(_SHIFT + stats.norm.ppf(rate)), 0, 0.2)[0]
_PARTIAL_AUC = (1 + (_PARTIAL_AREA - 0.02) / (0.2 - 0.02)) / 2
