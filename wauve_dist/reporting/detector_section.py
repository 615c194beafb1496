"""The lesion detector in a report: its part of metrics.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from wauve_dist.evaluation.detection import ap50_interval, coco_average_precision
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.reporting.request import Boxes

# Each resample passes over every detection of every frame, of which there are far more than videos.
_MAX_RESAMPLES = 999


def detector_document(boxes: Boxes, scored: ScoredVideos, *, seed: int, num_resamples: int) -> dict[str, Any]:
    """The key ``detection`` of ``metrics.json``, over the predicted videos that are annotated.

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
    precision = coco_average_precision(boxes.annotations, boxes.detections, counted)
    limits = ap50_interval(
        boxes.annotations, boxes.detections, counted, seed=seed, num_resamples=min(num_resamples, _MAX_RESAMPLES)
    )
    return {
        **precision,
        "ap50_interval": asdict(limits),
        "num_videos": len(counted),
        "num_videos_without_annotation": len(patients) - len(counted),
    }
