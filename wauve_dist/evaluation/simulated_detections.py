"""A detector whose true sensitivity and average precision are known, to see how often their intervals cover them.

Of the lesion boxes FOUND are found, by a box whose score is N(SHIFT + u, 1), where u, N(0, PATIENT ** 2), is the
patient's; on each frame there are Poisson(RATE) false boxes with scores N(v, 1), v likewise the patient's. All scores
pass through the logistic function, which keeps their order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from wauve_dist.evaluation.detection import AP50, average_precision_interval
from wauve_dist.evaluation.froc import FROC_RATES, froc
from wauve_dist.evaluation.inputs import FloatArray
from wauve_dist.evaluation.simulated_studies import NUM_RESAMPLES, Interval
from wauve_dist.structures.annotations import Annotations

_FRAMES_EACH = 2
_FOUND, _SHIFT, _PATIENT, _RATE = 0.905, 1.5, 0.5, 1.5
_SPREAD = float(np.hypot(1, _PATIENT))
_LESION, _ELSEWHERE = (10.0, 10.0, 60.0, 50.0), (100.0, 100.0, 140.0, 130.0)
_SIDES = ("x1", "y1", "x2", "y2")


def detection_study(rng: np.random.Generator) -> Iterator[Interval]:
    """160 frames of 80 patients with a lesion each, nine in ten found, scores correlated within a patient."""
    yield from _sensitivities(rng, num_patients=80)


def average_precision_study(rng: np.random.Generator) -> Iterator[Interval]:
    """160 frames of 80 patients as above, judged by average precision, which is too high in small samples."""
    yield from _average_precision(rng, num_patients=80)


def few_patients_study(rng: np.random.Generator) -> Iterator[Interval]:
    """16 frames of 8 patients with the same detector."""
    yield from _sensitivities(rng, num_patients=8)
    yield from _average_precision(rng, num_patients=8)


def _sensitivities(rng: np.random.Generator, num_patients: int) -> Iterator[Interval]:
    annotations, detections, patients = _detected(rng, num_patients)
    curve = froc(annotations, detections, patients, seed=int(rng.integers(2**32)), num_resamples=NUM_RESAMPLES)
    for point in curve.points:
        if point.false_positives < _RATE:
            name = f"lesions found at {point.false_positives:g} false boxes a frame, bootstrap by patient"
            yield Interval(name, _TRUE_SENSITIVITIES[point.false_positives], point.ci_low, point.ci_high)


def _average_precision(rng: np.random.Generator, num_patients: int) -> Iterator[Interval]:
    annotations, detections, patients = _detected(rng, num_patients)
    sampling = {"seed": int(rng.integers(2**32)), "num_resamples": NUM_RESAMPLES}
    ap50 = average_precision_interval(annotations, detections, patients, AP50, **sampling)
    yield Interval("AP50, bootstrap by patient", _TRUE_AP50, ap50.ci_low, ap50.ci_high)


def _detected(rng: np.random.Generator, num_patients: int) -> tuple[Annotations, pd.DataFrame, dict[str, str]]:
    patient_of_frame = np.repeat(np.arange(num_patients), _FRAMES_EACH)
    num_frames = len(patient_of_frame)
    names = np.array([f"p{number:03d}" for number in range(num_patients)])
    where = {"video_id": names[patient_of_frame], "frame": np.tile(np.arange(_FRAMES_EACH), num_patients)}
    frames = pd.DataFrame(where | {"width": 200, "height": 200})
    lesions = pd.DataFrame(where | {"instance_id": 0, "category_id": 1} | dict(zip(_SIDES, _LESION, strict=True)))
    effects = rng.normal(0, _PATIENT, (2, num_patients))
    found = np.flatnonzero(rng.random(num_frames) < _FOUND)
    false = np.repeat(np.arange(num_frames), rng.poisson(_RATE, num_frames))
    detections = pd.concat(
        [
            frames.iloc[rows][["video_id", "frame"]]
            .assign(**dict(zip(_SIDES, box, strict=True)))
            .assign(score=expit(rng.normal(shift + effect[patient_of_frame[rows]], 1)))
            for rows, box, shift, effect in (
                (found, _LESION, _SHIFT, effects[0]),
                (false, _ELSEWHERE, 0.0, effects[1]),
            )
        ]
    )
    return Annotations(frames, lesions), detections, {name: name for name in names.tolist()}


def _sensitivity(cut: FloatArray) -> FloatArray:
    return np.asarray(_FOUND * stats.norm.sf(cut, _SHIFT, _SPREAD))


def _false_rate(cut: FloatArray) -> FloatArray:
    return np.asarray(_RATE * stats.norm.sf(cut, 0, _SPREAD))


def _ap50() -> float:
    """COCO's mean over 101 recalls of the precision there, which falls with the cut, 0 beyond the lesions found."""
    recall = np.linspace(0, 1, 101)[1:]
    reached = recall[recall < _FOUND]
    cut = stats.norm.isf(reached / _FOUND, _SHIFT, _SPREAD)
    return float((1 + np.sum(reached / (reached + _false_rate(cut)))) / 101)


_TRUE_AP50 = _ap50()
_TRUE_SENSITIVITIES = {
    rate: float(_sensitivity(stats.norm.isf(rate / _RATE, 0, _SPREAD))) for rate in FROC_RATES if rate < _RATE
}
