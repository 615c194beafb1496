"""Average precision of the lesion detector, by the COCO protocol (Lin et al., ECCV 2014) through pycocotools.

One class, "lesion". All annotated frames of the chosen videos count, those without a lesion too: a box there is a
false positive.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from wauve_dist.evaluation.bootstrap import Multiplicities, bootstrap, percentile_interval
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, IntArray
from wauve_dist.structures.annotations import Annotations

AP50, AP75 = (0.5,), (0.75,)
AP = tuple(np.linspace(0.5, 0.95, 10).tolist())

_RECALL_LEVELS = np.linspace(0, 1, 101)


class AveragePrecision(TypedDict):
    """COCO's figures, 0..1, and what they were counted on."""

    ap: float
    ap50: float
    ap75: float
    num_frames: int
    num_boxes: int


@dataclass(frozen=True)
class AveragePrecisionInterval:
    """An AP between its bootstrap limits, 0..1."""

    value: float
    ci_low: float
    ci_high: float
    method: str
    resamples: int
    redrawn: int


class JudgedBoxes(NamedTuple):
    """True and found boxes, each with the ``image_id`` 1..F of its frame; frames: video_id, frame, image_id."""

    frames: pd.DataFrame
    true: pd.DataFrame
    found: pd.DataFrame


class Matches(NamedTuple):
    """The found boxes, best score first.

    Attributes:
        is_true: the box matches a lesion, bool [T, D], a row per threshold of IoU.
        image_id: of its frame, intp [D].
        score: 0..1, falling, float64 [D].
    """

    is_true: BoolArray
    image_id: IntArray
    score: FloatArray


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
    boxes = select_boxes(annotations, detections, video_ids)
    ap = ap50 = ap75 = 0.0
    if len(boxes.found):  # pycocotools cannot index an empty result
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a line per step
            evaluation = _coco_evaluation(boxes)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        ap, ap50, ap75 = (float(value) for value in evaluation.stats[:3])
    return AveragePrecision(ap=ap, ap50=ap50, ap75=ap75, num_frames=len(boxes.frames), num_boxes=len(boxes.true))


def average_precision_interval(
    annotations: Annotations,
    detections: pd.DataFrame,
    patients: Mapping[str, str],
    iou_thresholds: Sequence[float],
    *,
    seed: int,
    num_resamples: int = 999,
    confidence: float = 0.95,
) -> AveragePrecisionInterval:
    """AP, the mean over thresholds of IoU, with a bootstrap interval; patients are drawn, with all of their frames.

    Boxes are matched once, since a match depends on its own frame only. A resample weighs each box by how often its
    patient was drawn.

    Args:
        annotations: the true boxes and the list of annotated frames.
        detections: a DETECTIONS table.
        patients: the patient of every video to count.
        iou_thresholds: ``AP50``, ``AP75`` or ``AP`` (the ten from 0.50 to 0.95).
        seed: of the resamples.
        num_resamples: each passes over every detection; 999 settle the second digit of the limits.
        confidence: of the interval.

    Raises:
        EvaluationError: as ``coco_average_precision``, or a single patient.
    """
    boxes = select_boxes(annotations, detections, patients.keys())
    _, unit_of_frame = np.unique(boxes.frames["video_id"].map(patients).to_numpy(str), return_inverse=True)
    is_true, image_id, _ = match_boxes(boxes, iou_thresholds)
    unit = unit_of_frame[image_id - 1]
    num_true = np.bincount(unit_of_frame[boxes.true["image_id"] - 1], minlength=int(unit_of_frame.max()) + 1)

    def statistic(multiplicities: Multiplicities) -> FloatArray:
        return np.array([_weighted_ap(is_true, weight[unit], int(weight @ num_true)) for weight in multiplicities])

    value = _weighted_ap(is_true, np.ones(len(unit), dtype=np.int32), len(boxes.true))
    distribution = bootstrap(statistic, np.arange(len(num_true)), num_resamples, seed)
    low, high = (float(limit) for limit in percentile_interval(distribution.values, confidence))
    words = "bootstrap of patients, percentile"
    return AveragePrecisionInterval(value, low, high, words, num_resamples, distribution.num_redrawn)


def select_boxes(annotations: Annotations, detections: pd.DataFrame, video_ids: Collection[str]) -> JudgedBoxes:
    """Choose the annotated frames of some videos with their true and found boxes.

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
    true = annotations.boxes.merge(frames, on=["video_id", "frame"])
    if true.empty:
        raise EvaluationError(
            f"no lesion is annotated in the {len(frames)} frames of these {len(set(video_ids))} videos: average "
            "precision is undefined without one."
        )
    return JudgedBoxes(frames, true, detections.merge(frames, on=["video_id", "frame"]))


def _coco_evaluation(boxes: JudgedBoxes) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    indices = []
    for table in (boxes.true, boxes.found):
        index = COCO()
        index.dataset = {
            "images": [{"id": int(image_id)} for image_id in boxes.frames["image_id"]],
            "categories": [{"id": 1, "name": "lesion"}],
            "annotations": _coco_records(table),
        }
        index.createIndex()
        indices.append(index)
    return COCOeval(*indices, "bbox")


def _coco_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """COCO's ``x, y, width, height`` of boxes_xyxy."""
    corners = table[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    scores = table["score"] if "score" in table else np.ones(len(table))
    return [
        {
            "id": number,
            "image_id": int(image_id),
            "category_id": 1,
            "bbox": [*corner.tolist(), *side.tolist()],
            "area": float(side.prod()),
            "iscrowd": 0,
            "score": float(score),
        }
        for number, (image_id, corner, side, score) in enumerate(
            zip(table["image_id"], corners[:, :2], sides, scores, strict=True), start=1
        )
    ]


def match_boxes(boxes: JudgedBoxes, iou_thresholds: Sequence[float]) -> Matches:
    """Match found boxes to lesions at each threshold, the better score first; a lesion is matched once."""
    if boxes.found.empty:
        return Matches(np.empty((len(iou_thresholds), 0), dtype=bool), np.empty(0, dtype=np.intp), np.empty(0))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _coco_evaluation(boxes)
        evaluation.params.iouThrs = np.asarray(iou_thresholds)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    images = [image for image in evaluation.evalImgs if image is not None]
    scores = np.concatenate([image["dtScores"] for image in images])
    is_true = np.concatenate([image["dtMatches"] > 0 for image in images], axis=1)
    image_id = np.repeat([image["image_id"] for image in images], [len(image["dtScores"]) for image in images])
    order = np.argsort(-scores, kind="stable")
    return Matches(is_true[:, order], image_id[order].astype(np.intp), scores[order].astype(np.float64))


def _weighted_ap(is_true: BoolArray, weight: Multiplicities, num_true: int) -> float:
    """COCO's AP, the mean over thresholds and 101 recalls of the best precision from there on, of weighted boxes."""
    if num_true == 0:
        return float("nan")
    found = np.cumsum(weight)
    values = []
    for matched in is_true:
        true = np.cumsum(weight * matched)
        precision = np.divide(true, found, out=np.zeros(len(true)), where=found > 0)
        best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
        first = np.searchsorted(true / num_true, _RECALL_LEVELS, side="left")
        values.append(np.append(best_from_here, 0.0)[first].mean())
    return float(np.mean(values))
