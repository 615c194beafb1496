"""What is asked of an evaluation, and the tables that it is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from wauve_dist.evaluation.groupings import Grouping, parse_groupings
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray
from wauve_dist.evaluation.operating_point import Threshold, choose_threshold, given_threshold
from wauve_dist.evaluation.reader_study import MATCH_READERS, match_readers
from wauve_dist.evaluation.readings import Readings, cross_readings
from wauve_dist.evaluation.scored_videos import ScoredVideos, read_scored_videos
from wauve_dist.reporting.cases import read_clips
from wauve_dist.structures.annotations import Annotations, read_annotations
from wauve_dist.structures.tables import DETECTIONS, READERS, TRACKS, read_table


@dataclass(frozen=True)
class EvaluationRequest:
    """The arguments of an evaluation.

    Attributes:
        predictions: a predictions table per model; the report's pages on single videos are about the first.
        num_resamples: of each bootstrap; the detector's takes at most 999.
        seed: of all resamples.
        threshold: fixed beforehand; None: ``threshold_rule`` chooses.
        threshold_rule: see ``choose_threshold``, or ``match-readers``; chosen per model, on the same data, and flagged
            as such.
        split: count only this split; None: all videos.
        intersection: count only the videos that every predictions file has, instead of refusing files that differ.
        detections: DETECTIONS table of the first model's detector; needs ``annotations``.
        annotations: COCO-VID file with the true boxes.
        tracks: TRACKS table of the first model's detector; needs ``detections``.
        fps: frames per second of videos whose row of the first predictions has none; needs ``tracks``.
        readers: READERS table of the same videos, compared with the first model.
        subgroups: comma-separated expressions (see ``evaluation.groupings``), for the first model.
        adjustment: for looking at many p-values: ``holm``, ``benjamini-hochberg``, ``bonferroni`` or ``none``.

    Raises:
        EvaluationError: arguments that exclude or need each other.
    """

    predictions: Sequence[Path]
    num_resamples: int
    seed: int
    threshold: float | None = None
    threshold_rule: str | None = None
    split: str | None = None
    intersection: bool = False
    detections: Path | None = None
    annotations: Path | None = None
    tracks: Path | None = None
    fps: float | None = None
    readers: Path | None = None
    subgroups: str | None = None
    adjustment: str = "none"

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.threshold_rule is None):
            raise EvaluationError("give either --threshold or --threshold-rule, not both.")
        if (self.detections is None) != (self.annotations is None):
            raise EvaluationError("--detections and --annotations go together: found boxes are judged by true ones.")
        if self.tracks is not None and self.annotations is None:
            raise EvaluationError("--tracks needs --detections and --annotations: tracks are judged by true boxes.")
        if self.fps is not None and self.tracks is None:
            raise EvaluationError("--fps needs --tracks: it turns false-positive tracks into a number per minute.")
        if self.threshold_rule == MATCH_READERS and self.readers is None:
            raise EvaluationError(f"--threshold-rule {MATCH_READERS}: give the readings to match with --readers.")

    @property
    def thumbnails(self) -> Path:
        """Folder with ``<video_id>.jpg``; may be absent."""
        return self.predictions[0].parent / "thumbnails"

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the numbers beside the files."""
        names = (
            "threshold",
            "threshold_rule",
            "split",
            "intersection",
            "subgroups",
            "adjustment",
            "num_resamples",
            "seed",
            "fps",
        )
        return {name: getattr(self, name) for name in names}

    def made_from(self, models: Sequence[str]) -> dict[str, Path]:
        """Role of every input file to its path."""
        roles = {f"predictions {model}": path for model, path in zip(models, self.predictions, strict=True)}
        names = ("detections", "tracks", "annotations", "readers")
        others = {name: getattr(self, name) for name in names}
        return roles | {role: path for role, path in others.items() if path is not None}


class Boxes(NamedTuple):
    """What the detector should have found, what it found (DETECTIONS) and how that was linked (TRACKS, or None)."""

    annotations: Annotations
    detections: pd.DataFrame
    tracks: pd.DataFrame | None


@dataclass(frozen=True)
class EvaluationInputs:
    """The tables of a request, checked by themselves and against each other.

    Attributes:
        scored: the videos and the models' scores.
        clips: CLIPS table beside the first predictions, or None.
        readings: or None.
        groupings: of the subgroups.
        boxes: or None.
    """

    scored: ScoredVideos
    clips: pd.DataFrame | None
    readings: Readings | None
    groupings: list[Grouping]
    boxes: Boxes | None


def read_inputs(request: EvaluationRequest) -> EvaluationInputs:
    """Read every file of a request.

    Raises:
        TableError: an input breaks the contract of its table.
        EvaluationError: inputs that contradict each other.
    """
    scored = read_scored_videos(request.predictions, request.split, intersection=request.intersection)
    readings = boxes = None
    if request.readers is not None:
        readings = cross_readings(read_table(request.readers, READERS), scored.videos["video_id"], request.readers)
    if request.detections is not None and request.annotations is not None:
        boxes = Boxes(
            read_annotations(request.annotations),
            read_table(request.detections, DETECTIONS),
            None if request.tracks is None else read_table(request.tracks, TRACKS),
        )
    return EvaluationInputs(
        scored=scored,
        clips=read_clips(request.predictions[0]),
        readings=readings,
        groupings=parse_groupings(request.subgroups, scored.videos) if request.subgroups else [],
        boxes=boxes,
    )


def threshold_of(
    request: EvaluationRequest, readings: Readings | None, positive: BoolArray, scores: FloatArray
) -> Threshold:
    """The threshold that a request means for a model.

    Raises:
        EvaluationError: a threshold out of range, an unknown rule, or one that no threshold satisfies.
    """
    if request.threshold is not None:
        return given_threshold(request.threshold)
    assert request.threshold_rule is not None
    if request.threshold_rule == MATCH_READERS:
        assert readings is not None
        return match_readers(positive, scores, readings)
    return choose_threshold(positive, scores, request.threshold_rule)
