"""Average precision of the lesion detector, by the COCO protocol (Lin et al., ECCV 2014) through pycocotools.

One class, "lesion". All annotated frames of the chosen videos count, those without a lesion too: a box there is a
false positive.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.structures.annotations import Annotations


class AveragePrecision(TypedDict):
    """COCO's figures, 0..1, and what they were counted on."""

    ap: float
    ap50: float
    ap75: float
    num_frames: int
    num_boxes: int


def coco_average_precision(
    annotations: Annotations, detections: pd.DataFrame, video_ids: Collection[str]
) -> AveragePrecision:
    """AP over IoU 0.50:0.95, at 0.50 and at 0.75, at most 100 boxes per frame.

    Args:
        annotations: the true boxes and the list of annotated frames.
        detections: a DETECTIONS table; boxes on frames that are not annotated are left aside, since nobody knows
            what is there.
        video_ids: the videos to count.

    Raises:
        EvaluationError: a video without annotated frames, or no box in any of them.
    """
    frames = annotations.frames[annotations.frames["video_id"].isin(video_ids)]
    if missing := sorted(set(video_ids) - set(frames["video_id"])):
        raise EvaluationError(
            f"{len(missing)} of {len(set(video_ids))} videos have no annotated frame ({', '.join(missing[:5])}"
            f"{', …' if len(missing) > 5 else ''}). Leave them out or add them to the annotations."
        )
    frames = frames.assign(image_id=np.arange(1, len(frames) + 1))[["video_id", "frame", "image_id"]]
    true_boxes = annotations.boxes.merge(frames, on=["video_id", "frame"])
    if true_boxes.empty:
        raise EvaluationError(
            f"no lesion is annotated in the {len(frames)} frames of these {len(set(video_ids))} videos: average "
            "precision is undefined without one."
        )
    found = detections.merge(frames, on=["video_id", "frame"])
    ap, ap50, ap75 = _coco_summary(frames["image_id"].tolist(), _boxes(true_boxes), _boxes(found, found["score"]))
    return AveragePrecision(ap=ap, ap50=ap50, ap75=ap75, num_frames=len(frames), num_boxes=len(true_boxes))


def _boxes(table: pd.DataFrame, scores: pd.Series | None = None) -> list[dict[str, Any]]:
    """COCO records (x, y, width, height) of boxes_xyxy."""
    corners = table[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    records: list[dict[str, Any]] = [
        {
            "id": number,
            "image_id": int(image_id),
            "category_id": 1,
            "bbox": [*corner.tolist(), *side.tolist()],
            "area": float(side.prod()),
            "iscrowd": 0,
        }
        for number, (image_id, corner, side) in enumerate(
            zip(table["image_id"], corners[:, :2], sides, strict=True), start=1
        )
    ]
    if scores is not None:
        for record, score in zip(records, scores, strict=True):
            record["score"] = float(score)
    return records


def _coco_summary(
    image_ids: list[int], true_boxes: list[dict[str, Any]], found_boxes: list[dict[str, Any]]
) -> tuple[float, float, float]:
    if not found_boxes:  # pycocotools cannot index an empty result
        return 0.0, 0.0, 0.0
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it prints a progress line per step
        truth, found = COCO(), COCO()
        for index, records in ((truth, true_boxes), (found, found_boxes)):
            index.dataset = {
                "images": [{"id": image_id} for image_id in image_ids],
                "categories": [{"id": 1, "name": "lesion"}],
                "annotations": records,
            }
            index.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ap75 = (float(value) for value in evaluation.stats[:3])
    return ap, ap50, ap75
