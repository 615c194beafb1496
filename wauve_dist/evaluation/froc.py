"""Free-response ROC: how many lesions the detector finds when it may be wrong so many times per frame.

Bunch et al., J. Appl. Photogr. Eng. 1978; the customary rates of 1/8 to 8 false positives: Setio et al., Med. Image
Anal. 2017. A box is right if it overlaps a lesion that no better box has taken by IoU 0.50, as in AP50.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.curves import level_ends
from wauve_dist.evaluation.detection import matches_at_50, select_boxes
from wauve_dist.evaluation.inputs import FloatArray
from wauve_dist.structures.annotations import Annotations

FALSE_POSITIVES_PER_FRAME = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class FrocPoint:
    """The share of lesion boxes found, 0..1, at no more false positives per frame than stated."""

    false_positives_per_frame: float
    value: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Froc:
    """A FROC curve.

    Attributes:
        points: at the customary rates.
        false_positives_per_frame: of the curve, one per distinct score, rising, float64 [L].
        sensitivity: share of lesion boxes found there, rising, float64 [L].
        method: how the limits were made, in words.
        resamples: of the bootstrap.
        redrawn: resamples without any lesion that were drawn anew.
    """

    points: tuple[FrocPoint, ...]
    false_positives_per_frame: FloatArray
    sensitivity: FloatArray
    method: str
    resamples: int
    redrawn: int


def froc_curve(
    annotations: Annotations, detections: pd.DataFrame, video_ids: Collection[str]
) -> tuple[FloatArray, FloatArray]:
    """Rates of false positives per frame and shares of lesion boxes found, rising from 0, float64 [L + 1] each.

    Raises:
        EvaluationError: as ``coco_average_precision``.
    """
    boxes = select_boxes(annotations, detections, video_ids)
    matches = matches_at_50(boxes)
    ends = level_ends(matches.score)
    rate = np.cumsum(~matches.is_true)[ends] / len(boxes.frames)
    sensitivity = np.cumsum(matches.is_true)[ends] / len(boxes.true)
    return np.append(0.0, rate), np.append(0.0, sensitivity)


def froc(
    annotations: Annotations,
    detections: pd.DataFrame,
    patients: Mapping[str, str],
    *,
    seed: int,
    num_resamples: int = 999,
    confidence: float = 0.95,
) -> Froc:
    """FROC curve with bootstrap intervals; patients are drawn, with all frames of all their videos.

    At each rate the score may be cut as low as the rate allows. Beyond the rate that all boxes together reach, the
    sensitivity is that of all boxes.

    Args:
        annotations: the true boxes and the list of annotated frames.
        detections: a DETECTIONS table.
        patients: the patient of every video to count.
        seed: of the resamples.
        num_resamples: each passes over every detection.
        confidence: of each interval by itself.

    Raises:
        EvaluationError: as ``coco_average_precision``, or a single patient.
    """
    boxes = select_boxes(annotations, detections, patients.keys())
    _, unit_of_frame = np.unique(boxes.frames["video_id"].map(patients).to_numpy(str), return_inverse=True)
    matches = matches_at_50(boxes)
    unit = unit_of_frame[matches.image_id - 1]
    num_units = int(unit_of_frame.max()) + 1
    num_frames = np.bincount(unit_of_frame, minlength=num_units)
    num_lesions = np.bincount(unit_of_frame[boxes.true["image_id"] - 1], minlength=num_units)
    ends = level_ends(matches.score)

    def curve(weight: Multiplicities) -> tuple[FloatArray, FloatArray]:
        """Rates by falling score, from none called on; ``weight`` int32 [G]."""
        drawn = weight[unit]
        true = np.cumsum(drawn * matches.is_true)[ends]
        false = np.cumsum(drawn * ~matches.is_true)[ends]
        return np.append(0.0, false / (weight @ num_frames)), np.append(0.0, true / (weight @ num_lesions))

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        found = np.full((len(multiplicities), len(FALSE_POSITIVES_PER_FRAME)), np.nan)
        for row, weight in enumerate(multiplicities):
            if weight @ num_lesions:
                rate, sensitivity = curve(weight)
                found[row] = sensitivity[np.searchsorted(rate, FALSE_POSITIVES_PER_FRAME, side="right") - 1]
        return found

    everyone = np.ones((1, num_units), dtype=np.int32)
    distribution = bootstrap(statistic, np.arange(num_units), num_resamples, seed)
    low, high = percentile_interval(distribution.values, confidence)
    rate, sensitivity = froc_curve(annotations, detections, patients.keys())
    return Froc(
        points=tuple(
            FrocPoint(*(float(number) for number in point))
            for point in zip(FALSE_POSITIVES_PER_FRAME, statistic(everyone)[0], low, high, strict=True)
        ),
        false_positives_per_frame=rate,
        sensitivity=sensitivity,
        method="bootstrap of patients, percentile, pointwise",
        resamples=num_resamples,
        redrawn=distribution.num_redrawn,
    )
