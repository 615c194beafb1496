"""Free-response ROC: how many lesions are found when one may be wrong so many times per frame, or per video.

Bunch et al., J. Appl. Photogr. Eng. 1978; the customary rates of 1/8 to 8 false positives: Setio et al., Med. Image
Anal. 2017. Per frame, boxes are judged: one is right if it overlaps a lesion that no better box has taken by IoU
0.50, as in AP50. Per video, tracks are: a lesion is found by the best true-positive track on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.curves import level_ends
from wauve_dist.evaluation.detection import AP50, match_boxes, select_boxes
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, IntArray, group_codes
from wauve_dist.evaluation.track_metrics import JudgedTracks
from wauve_dist.structures.annotations import Annotations

FROC_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per frame, or per video, at which sensitivities are stated."""


@dataclass(frozen=True)
class FrocPoint:
    """The share of lesions found, 0..1, at no more false positives per frame or video than stated."""

    false_positives: float
    value: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Froc:
    """A FROC curve.

    Attributes:
        points: at the customary rates.
        false_positives: per frame or video, of the curve, one per distinct score, rising from 0, float64 [L + 1].
        sensitivity: share of lesions (per frame: lesion boxes) found there, rising from 0, float64 [L + 1].
        method: how the limits were made, in words.
        resamples: of the bootstrap.
        redrawn: resamples without any lesion that were drawn anew.
    """

    points: tuple[FrocPoint, ...]
    false_positives: FloatArray
    sensitivity: FloatArray
    method: str
    resamples: int
    redrawn: int


@dataclass(frozen=True)
class _Marks:
    """What was marked as a lesion, and what could be, of G patients.

    Attributes:
        is_true: the mark finds a lesion that no better one has found, bool [D].
        score: of each mark, falling, float64 [D].
        unit: its patient, intp [D].
        num_lesions: of each patient, [G].
        num_views: frames or videos of each patient, [G].
    """

    is_true: BoolArray
    score: FloatArray
    unit: IntArray
    num_lesions: IntArray
    num_views: IntArray

    @cached_property
    def ends(self) -> IntArray:
        """The last mark of each score, intp [L]."""
        return level_ends(self.score)

    def curve(self, weight: Multiplicities) -> tuple[FloatArray, FloatArray]:
        """False positives per view and shares found, from none on, if patients count so often, int32 [G]."""
        drawn = weight[self.unit]
        false = np.cumsum(drawn * ~self.is_true)[self.ends] / (weight @ self.num_views)
        true = np.cumsum(drawn * self.is_true)[self.ends] / (weight @ self.num_lesions)
        return np.append(0.0, false), np.append(0.0, true)


def froc_curve(
    annotations: Annotations, detections: pd.DataFrame, video_ids: Collection[str]
) -> tuple[FloatArray, FloatArray]:
    """Rates of false positives per frame and shares of lesion boxes found, rising from 0, float64 [L + 1] each.

    Raises:
        EvaluationError: as ``coco_average_precision``.
    """
    marks = _marked_boxes(annotations, detections, dict.fromkeys(video_ids, ""))
    return marks.curve(np.ones(1, dtype=np.int32))


def froc(
    annotations: Annotations,
    detections: pd.DataFrame,
    patients: Mapping[str, str],
    *,
    seed: int,
    num_resamples: int = 999,
    confidence: float = 0.95,
) -> Froc:
    """FROC curve per frame with bootstrap intervals; patients are drawn, with all frames of all their videos.

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
    return _froc(_marked_boxes(annotations, detections, patients), seed, num_resamples, confidence)


def froc_per_video(
    judged: JudgedTracks,
    patients: Mapping[str, str],
    *,
    seed: int,
    num_resamples: int = 999,
    confidence: float = 0.95,
) -> Froc:
    """FROC curve of tracks: lesions found against false-positive tracks per video, otherwise as ``froc``.

    Raises:
        EvaluationError: no lesion, or a single patient.
    """
    if judged.lesions.empty:
        raise EvaluationError(
            f"no lesion is annotated in these {len(judged.counts)} videos: sensitivity is undefined without one."
        )
    unit_of_video = pd.Series(group_codes(judged.counts.index.map(patients), len(judged.counts)), judged.counts.index)
    found, false = judged.lesions.dropna(subset=["score"]), judged.tracks[~judged.tracks["is_true"]]
    marks = pd.concat([table[["video_id", "score"]].assign(is_true=true) for table, true in ((found, 1), (false, 0))])
    marks = marks.sort_values("score", ascending=False, kind="stable")
    num_units = int(unit_of_video.max()) + 1

    def per_unit(video_ids: pd.Series | pd.Index) -> IntArray:
        return np.bincount(unit_of_video[video_ids], minlength=num_units)

    return _froc(
        _Marks(
            is_true=marks["is_true"].to_numpy(bool),
            score=marks["score"].to_numpy(np.float64),
            unit=unit_of_video[marks["video_id"]].to_numpy(np.intp),
            num_lesions=per_unit(judged.lesions["video_id"]),
            num_views=per_unit(judged.counts.index),
        ),
        seed,
        num_resamples,
        confidence,
    )


def _marked_boxes(annotations: Annotations, detections: pd.DataFrame, patients: Mapping[str, str]) -> _Marks:
    boxes = select_boxes(annotations, detections, patients.keys())
    _, unit_of_frame = np.unique(boxes.frames["video_id"].map(patients).to_numpy(str), return_inverse=True)
    (is_true,), image_id, score = match_boxes(boxes, AP50)
    num_units = int(unit_of_frame.max()) + 1
    return _Marks(
        is_true=is_true,
        score=score,
        unit=unit_of_frame[image_id - 1],
        num_lesions=np.bincount(unit_of_frame[boxes.true["image_id"] - 1], minlength=num_units),
        num_views=np.bincount(unit_of_frame, minlength=num_units),
    )


def _froc(marks: _Marks, seed: int, num_resamples: int, confidence: float) -> Froc:
    num_units = len(marks.num_views)

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        found = np.full((len(multiplicities), len(FROC_RATES)), np.nan)
        for row, weight in enumerate(multiplicities):
            if weight @ marks.num_lesions:
                rate, sensitivity = marks.curve(weight)
                found[row] = sensitivity[np.searchsorted(rate, FROC_RATES, side="right") - 1]
        return found

    everyone = np.ones((1, num_units), dtype=np.int32)
    distribution = bootstrap(statistic, np.arange(num_units), num_resamples, seed)
    low, high = percentile_interval(distribution.values, confidence)
    rate, sensitivity = marks.curve(everyone[0])
    return Froc(
        points=tuple(
            FrocPoint(*(float(number) for number in point))
            for point in zip(FROC_RATES, statistic(everyone)[0], low, high, strict=True)
        ),
        false_positives=rate,
        sensitivity=sensitivity,
        method="bootstrap of patients, percentile, pointwise",
        resamples=num_resamples,
        redrawn=distribution.num_redrawn,
    )
