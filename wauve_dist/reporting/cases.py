"""The videos one by one: a picture, the score over time, the call, and whether it was right."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.structures.tables import CLIPS, read_table

MAX_THUMBNAILS = 200
OUTCOMES = ("missed", "false alarm", "right")

_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_MARGIN = 168, 40, 4


@dataclass(frozen=True)
class Case:
    """A video in the table of cases.

    Attributes:
        video_id: the video.
        patient_id: its patient.
        malignant: the truth.
        score: of the model, 0..1; 0 where no lesion was found.
        called: malignant.
        outcome: one of ``OUTCOMES``.
        no_lesion: the model found no lesion.
        num_clips: clips behind the score; None where the table does not tell.
        clip_path: SVG path data of the clip scores over time, one stroke per track; empty without clips.
        threshold_y: height of the threshold in the coordinates of ``clip_path``.
        thumbnail: data URI of a frame with its box, empty where there is none.
    """

    video_id: str
    patient_id: str
    malignant: bool
    score: float
    called: bool
    outcome: str
    no_lesion: bool
    num_clips: int | None
    clip_path: str
    threshold_y: float
    thumbnail: str


def read_clips(predictions: Path) -> pd.DataFrame | None:
    """Return the clips beside a predictions file, or None where there are none.

    Raises:
        TableError: they break their contract.
    """
    path = predictions.parent / "clips.parquet"
    return read_table(path, CLIPS) if path.exists() else None


def cases_of(
    scored: ScoredVideos, model: str, threshold: float, clips: pd.DataFrame | None, thumbnails: Path
) -> list[Case]:
    """List every video, the most wrong first, then the least certain.

    The first ``MAX_THUMBNAILS`` carry their picture, so that a report of thousands stays readable.

    Args:
        scored: the videos.
        model: whose scores.
        threshold: scores from here on are called malignant.
        clips: CLIPS table of this model, or None.
        thumbnails: folder with ``<video_id>.jpg``; may be absent.
    """
    scores, positive = scored.scores[model], scored.positive
    called = scores >= threshold
    wrong = called != positive
    distance = np.abs(scores - threshold)
    order = np.lexsort((scored.videos["video_id"], np.where(wrong, -distance, distance), ~wrong))
    clips_of = dict(list(clips.groupby("video_id"))) if clips is not None else {}
    cases = []
    for rank, index in enumerate(order):
        video_id = str(scored.videos["video_id"].iloc[index])
        picture = thumbnails / f"{video_id}.jpg"
        own_clips = clips_of.get(video_id)
        num_clips = scored.num_clips.get(model)
        cases.append(
            Case(
                video_id=video_id,
                patient_id=str(scored.videos["patient_id"].iloc[index]),
                malignant=bool(positive[index]),
                score=float(scores[index]),
                called=bool(called[index]),
                outcome=_outcome(bool(positive[index]), bool(called[index])),
                no_lesion=bool(scored.no_lesion[model][index]),
                num_clips=None if num_clips is None else int(num_clips[index]),
                clip_path="" if own_clips is None else _clip_path(own_clips),
                threshold_y=_height(threshold),
                thumbnail=_data_uri(picture) if rank < MAX_THUMBNAILS and picture.is_file() else "",
            )
        )
    return cases


def _outcome(malignant: bool, called: bool) -> str:
    if malignant == called:
        return "right"
    return "missed" if malignant else "false alarm"


def _clip_path(clips: pd.DataFrame) -> str:
    """Stroke per track; x is the clip's place between the video's first and last clip, y its score upwards."""
    first, last = clips["start_frame"].min(), clips["start_frame"].max()
    scale = (_SPARK_WIDTH - 2 * _SPARK_MARGIN) / max(1, last - first)
    strokes = []
    for _, track in clips.sort_values("start_frame").groupby("track_id"):
        points = [
            f"{_SPARK_MARGIN + scale * (start - first):.1f} {_height(score):.1f}"
            for start, score in zip(track["start_frame"], track["score"], strict=True)
        ]
        # A track of one clip is a stroke without length, which a round cap draws as a dot.
        strokes.append("M" + "L".join(points if len(points) > 1 else points * 2))
    return "".join(strokes)


def _height(score: float) -> float:
    return _SPARK_MARGIN + (1 - score) * (_SPARK_HEIGHT - 2 * _SPARK_MARGIN)


def _data_uri(picture: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()
