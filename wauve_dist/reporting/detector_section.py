"""The lesion detector in a report: its figures and their part of metrics.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from wauve_dist.evaluation.detection import (
    AveragePrecision,
    AveragePrecisionInterval,
    ap50_interval,
    coco_average_precision,
)
from wauve_dist.evaluation.froc import Froc, froc
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.reporting.request import Boxes

# Each resample passes over every detection of every frame, of which there are far more than videos.
_MAX_RESAMPLES = 999


@dataclass(frozen=True)
class DetectorAccuracy:
    """How well the detector finds lesions in the predicted videos that are annotated.

    Attributes:
        precision: COCO's figures.
        ap50: AP at IoU 0.50 with its interval.
        froc: sensitivity by false positives per frame.
        num_videos: annotated videos, which count.
        num_videos_without_annotation: the others.
    """

    precision: AveragePrecision
    ap50: AveragePrecisionInterval
    froc: Froc
    num_videos: int
    num_videos_without_annotation: int


def evaluate_detector(boxes: Boxes, scored: ScoredVideos, *, seed: int, num_resamples: int) -> DetectorAccuracy:
    """Judge the detector on the predicted videos that are annotated.

    Args:
        boxes: true and found.
        scored: the videos, which tell the patients.
        seed: of the resamples.
        num_resamples: at most ``_MAX_RESAMPLES`` are drawn.

    Raises:
        EvaluationError: no predicted video is annotated, or none of them shows a lesion.
    """
    patients = dict(zip(scored.videos["video_id"], scored.videos["patient_id"], strict=True))
    annotated = set(boxes.annotations.frames["video_id"])
    counted = {video_id: patient for video_id, patient in patients.items() if video_id in annotated}
    if not counted:
        raise EvaluationError(
            f"--annotations: none of the {len(patients)} predicted videos is annotated. Give the annotations of these "
            "videos."
        )
    sampling = {"seed": seed, "num_resamples": min(num_resamples, _MAX_RESAMPLES)}
    return DetectorAccuracy(
        precision=coco_average_precision(boxes.annotations, boxes.detections, counted),
        ap50=ap50_interval(boxes.annotations, boxes.detections, counted, **sampling),
        froc=froc(boxes.annotations, boxes.detections, counted, **sampling),
        num_videos=len(counted),
        num_videos_without_annotation=len(patients) - len(counted),
    )


def detector_document(accuracy: DetectorAccuracy) -> dict[str, Any]:
    """The key ``detection`` of ``metrics.json``."""
    curve = accuracy.froc
    return {
        **accuracy.precision,
        "ap50_interval": asdict(accuracy.ap50),
        "froc": {
            "points": [asdict(point) for point in curve.points],
            "false_positives_per_frame_of_all_boxes": float(curve.false_positives_per_frame[-1]),
            "method": curve.method,
            "resamples": curve.resamples,
            "redrawn": curve.redrawn,
        },
        "num_videos": accuracy.num_videos,
        "num_videos_without_annotation": accuracy.num_videos_without_annotation,
    }
