"""The lesion detector and its tracks in a report: their figures and their part of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from wauve_dist.evaluation.detection import (
    AP,
    AP50,
    AP75,
    AveragePrecision,
    AveragePrecisionInterval,
    average_precision_interval,
    coco_average_precision,
)
from wauve_dist.evaluation.froc import Froc, froc, froc_per_video
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.ratios import Ratio, ratio_by_patient
from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.evaluation.track_metrics import TRACK_RATIOS, JudgedTracks, judge_tracks
from wauve_dist.reporting.request import Boxes
from wauve_dist.tracking.linker import LinkerSettings

# Each resample passes over every detection of every frame, of which there are far more than videos.
_MAX_RESAMPLES = 999

SMALL_MM = 10
"""Lesions up to this size are told from larger ones."""
START_SCORE = LinkerSettings().new_score
"""On videos without a lesion, boxes from this score on are counted: each could start a track."""

_FALSE_TRACKS = ("false_positive_tracks_per_video", "false_positive_tracks_per_minute")


class _Sampling(TypedDict):
    seed: int
    num_resamples: int


@dataclass(frozen=True)
class GroupAccuracy:
    """The detector on some of the videos.

    Attributes:
        num_videos: of the group.
        ap50: None without a lesion, and for a single patient, who gives no interval.
        ratios: name to figure; of videos without a lesion only what can be wrong there.
    """

    num_videos: int
    ap50: AveragePrecisionInterval | None
    ratios: dict[str, Ratio]


@dataclass(frozen=True)
class TrackAccuracy:
    """The tracks of all counted videos: name to figure, and FROC per video."""

    ratios: dict[str, Ratio]
    froc: Froc


@dataclass(frozen=True)
class DetectorAccuracy:
    """How well the detector finds lesions in the predicted videos that are annotated.

    Attributes:
        precision: COCO's figures.
        intervals: ap, ap50 and ap75 with their intervals.
        froc: sensitivity by false positives per frame.
        tracks: None if none were given.
        groups: by the size of the lesion, and the videos without one; only groups that have a video.
        num_videos: annotated videos, which count, whether their diagnosis is known or not.
        num_videos_without_annotation: the others.
    """

    precision: AveragePrecision
    intervals: dict[str, AveragePrecisionInterval]
    froc: Froc
    tracks: TrackAccuracy | None
    groups: dict[str, GroupAccuracy]
    num_videos: int
    num_videos_without_annotation: int


def evaluate_detector(
    boxes: Boxes, scored: ScoredVideos, *, seed: int, num_resamples: int, fps: float | None = None
) -> DetectorAccuracy:
    """Judge the detector, and its tracks where there are any, on the predicted videos that are annotated.

    Args:
        boxes: true and found.
        scored: the videos, which tell the patients; their columns ``lesion_size_mm`` and ``fps`` are used if there.
        seed: of the resamples.
        num_resamples: at most ``_MAX_RESAMPLES`` are drawn.
        fps: frames per second of videos without a number in their column ``fps``; None: unknown.

    Raises:
        EvaluationError: no predicted video is annotated, none of them shows a lesion, or a frame rate is not one.
    """
    videos = pd.concat([scored.videos, scored.unlabelled]).set_index("video_id")
    counted = videos[videos.index.isin(boxes.annotations.frames["video_id"])]
    if counted.empty:
        raise EvaluationError(
            f"--annotations: none of the {len(videos)} predicted videos is annotated. Give the annotations of these "
            "videos."
        )
    patients = dict(zip(counted.index, counted["patient_id"], strict=True))
    found = boxes.annotations, boxes.detections
    sampling = _Sampling(seed=seed, num_resamples=min(num_resamples, _MAX_RESAMPLES))
    judged = None if boxes.tracks is None else judge_tracks(boxes.annotations, boxes.tracks, patients)
    rates = _frame_rates(counted, fps)
    return DetectorAccuracy(
        precision=coco_average_precision(*found, patients),
        intervals={
            name: average_precision_interval(*found, patients, thresholds, **sampling)
            for name, thresholds in (("ap", AP), ("ap50", AP50), ("ap75", AP75))
        },
        froc=froc(*found, patients, **sampling),
        tracks=None
        if judged is None
        else TrackAccuracy(
            _track_ratios(judged.counts, patients, rates, sampling), froc_per_video(judged, patients, **sampling)
        ),
        groups=_groups(boxes, counted, judged, rates, sampling),
        num_videos=len(counted),
        num_videos_without_annotation=len(videos) - len(counted),
    )


def _frame_rates(videos: pd.DataFrame, fps: float | None) -> pd.Series:
    """Frames per second by video; NaN where nobody tells."""
    if fps is not None and not 0 < fps < np.inf:
        raise EvaluationError(f"--fps {fps:g} must be greater than 0: the frames per second of the videos.")
    given = videos["fps"] if "fps" in videos else pd.Series(np.nan, videos.index)
    rates = pd.to_numeric(given, errors="coerce").astype("float64")
    wrong = given[given.notna() & ~(rates > 0)]
    if len(wrong):
        raise EvaluationError(
            f"column 'fps' of the predictions, video {wrong.index[0]!r}: {wrong.iloc[0]!r} is no number of frames per "
            "second. Correct it in the manifest, or leave the cell empty and give --fps."
        )
    return rates if fps is None else rates.fillna(fps)


def _groups(
    boxes: Boxes, videos: pd.DataFrame, judged: JudgedTracks | None, rates: pd.Series, sampling: _Sampling
) -> dict[str, GroupAccuracy]:
    has_lesion = videos.index.isin(boxes.annotations.boxes["video_id"])
    chosen = {}
    if "lesion_size_mm" in videos:
        small = videos["lesion_size_mm"] <= SMALL_MM
        chosen[f"lesion_size_mm<={SMALL_MM}"] = videos[has_lesion & small]
        chosen[f"lesion_size_mm>{SMALL_MM}"] = videos[has_lesion & ~small & videos["lesion_size_mm"].notna()]
    chosen["without_lesion"] = videos[~has_lesion]
    groups = {}
    for name, group in chosen.items():
        if group.empty:
            continue
        patients = dict(zip(group.index, group["patient_id"], strict=True))
        ratios, ap50 = {}, None
        if judged is not None:
            ratios = _track_ratios(judged.counts.loc[list(patients)], patients, rates, sampling)
        if name == "without_lesion":
            ratios = {key: ratio for key, ratio in ratios.items() if key in _FALSE_TRACKS}
            ratios["false_positive_boxes_per_frame"] = _false_boxes(boxes, patients, sampling)
        elif len(set(patients.values())) > 1:
            ap50 = average_precision_interval(boxes.annotations, boxes.detections, patients, AP50, **sampling)
        groups[name] = GroupAccuracy(len(group), ap50, ratios)
    return groups


def _track_ratios(
    counts: pd.DataFrame, patients: Mapping[str, str], rates: pd.Series, sampling: _Sampling
) -> dict[str, Ratio]:
    ratios = {
        name: ratio_by_patient(counts[over], counts[under], patients, **sampling)
        for name, (over, under) in TRACK_RATIOS.items()
    }
    minutes = counts["frames"] / rates.reindex(counts.index) / 60
    if minutes.notna().all():
        ratios["false_positive_tracks_per_minute"] = ratio_by_patient(
            counts["false_tracks"], minutes, patients, **sampling
        )
    return ratios


def _false_boxes(boxes: Boxes, patients: Mapping[str, str], sampling: _Sampling) -> Ratio:
    """Boxes per annotated frame of videos that show no lesion, so that every box is wrong."""
    frames = boxes.annotations.frames[["video_id", "frame"]]
    sure = boxes.detections[boxes.detections["score"] >= START_SCORE].merge(frames, on=["video_id", "frame"])
    wrong, looked_at = (
        table.groupby("video_id").size().reindex(list(patients), fill_value=0) for table in (sure, frames)
    )
    return ratio_by_patient(wrong, looked_at, patients, **sampling)


def detector_document(accuracy: DetectorAccuracy) -> dict[str, Any]:
    """The key ``detection`` of ``metrics.json``."""
    document: dict[str, Any] = {
        **accuracy.precision,
        **{f"{name}_interval": asdict(interval) for name, interval in accuracy.intervals.items()},
        "froc": _froc_document(accuracy.froc, "frame", "boxes"),
    }
    if accuracy.tracks is not None:
        document["tracks"] = _ratios_document(accuracy.tracks.ratios)
        document["froc_per_video"] = _froc_document(accuracy.tracks.froc, "video", "tracks")
    document["groups"] = {
        name: {
            "num_videos": group.num_videos,
            "ap50_interval": asdict(group.ap50) if group.ap50 else None,
            **_ratios_document(group.ratios),
        }
        for name, group in accuracy.groups.items()
    }
    return document | {
        "num_videos": accuracy.num_videos,
        "num_videos_without_annotation": accuracy.num_videos_without_annotation,
    }


def _ratios_document(ratios: Mapping[str, Ratio]) -> dict[str, Any]:
    return {name: asdict(ratio) for name, ratio in ratios.items()}


def _froc_document(curve: Froc, view: str, marks: str) -> dict[str, Any]:
    points = [asdict(point) for point in curve.points]
    return {
        "points": [{f"false_positives_per_{view}": point.pop("false_positives"), **point} for point in points],
        f"false_positives_per_{view}_of_all_{marks}": float(curve.false_positives[-1]),
        "method": curve.method,
        "resamples": curve.resamples,
        "redrawn": curve.redrawn,
    }
