"""One video through the models, streaming: frames to boxes to tracks, then tracks to clips to clip scores.

Shapes: N batch, H and W a frame's height and width, S side of a crop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from wauve_dist.data.decoding import GreyFrame
from wauve_dist.data.track_crops import FrameCutter
from wauve_dist.models.classifiers.clip_classifier import ClipClassifier, ClipScores
from wauve_dist.structures.boxes import Detections
from wauve_dist.structures.clips import Clip, ClipRule
from wauve_dist.structures.sectors import Sector
from wauve_dist.tracking.linker import Linker, LinkerSettings
from wauve_dist.tracking.tracks import Track, track_rows

T = TypeVar("T")


class Detector(Protocol):
    """Finds lesions in single frames (``tasks.detection.DetectionTask``)."""

    @property
    def device(self) -> torch.device:
        """Where it wants its frames."""

    def detect(self, frames: Tensor, /) -> list[Detections]:
        """Take grey frames, uint8 [N, H, W]; return boxes in their pixels, at most one a lesion, of any score."""


class Classifier(Protocol):
    """Scores clips (``tasks.classification.ClassificationTask``)."""

    @property
    def device(self) -> torch.device:
        """Where it wants its clips."""

    @property
    def hparams(self) -> Any:
        """``crop_size``, pixels, and ``roi_context``, side of the crop over the box's longer side."""

    @property
    def classifier(self) -> ClipClassifier:
        """The network itself, for its maps."""

    @property
    def clip_rule(self) -> ClipRule:
        """What it judges of a video."""

    def score_clips(self, clips: Tensor, facts: Mapping[str, float] | None, /) -> ClipScores:
        """Score clips of a video.

        Args:
            clips: uint8 [N, T, S, S], T as ``clip_rule`` says.
            facts: numbers that the manifest holds of the video by column, NaN where empty.
        """


class FoundLesions(NamedTuple):
    """What the first pass over a video finds.

    Attributes:
        detections: rows of ``detections.parquet`` without their video_id: every box of the detector.
        tracks: rows of ``tracks.parquet`` without their video_id.
    """

    detections: pd.DataFrame
    tracks: pd.DataFrame


def find_lesions(
    frames: Iterable[GreyFrame],
    detector: Detector,
    batch_size: int,
    linker_settings: LinkerSettings,
    sector: Sector | None = None,
) -> FoundLesions:
    """Detect frame by frame and link the boxes to tracks; holds one batch of frames at a time.

    Args:
        frames: grey uint8 [H, W], all frames of one video in order.
        detector: finds the boxes.
        batch_size: frames a call of the detector.
        linker_settings: when boxes belong together.
        sector: all that the detector sees of the frames; None shows them whole. Boxes are in the frames' pixels.
    """
    linker = Linker(linker_settings)
    tracks: list[Track] = []
    boxes_xyxy: list[NDArray[np.float32]] = [np.empty((0, 4), np.float32)]
    scores: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
    counts: list[int] = []
    shown = frames if sector is None else map(sector.cut, frames)
    for batch in batches(shown, batch_size):
        for found in detector.detect(torch.from_numpy(np.stack(batch)).to(detector.device)):
            if sector is not None:
                found = found._replace(boxes_xyxy=found.boxes_xyxy + sector.shift_xyxy)
            tracks += linker.update(len(counts), found)
            boxes_xyxy.append(found.boxes_xyxy)
            scores.append(found.scores)
            counts.append(len(found.scores))
    detections = pd.DataFrame(
        {
            "frame": np.repeat(np.arange(len(counts)), counts),
            **dict(zip(("x1", "y1", "x2", "y2"), np.concatenate(boxes_xyxy).T, strict=True)),
            "score": np.concatenate(scores),
        }
    )
    return FoundLesions(detections, track_rows(tracks + linker.finish()))


def score_tracks(
    cut: FrameCutter,
    tracks: pd.DataFrame,
    classifier: Classifier,
    batch_size: int,
    key_frames: Sequence[int] = (),
    facts: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Cut the clips that the classifier judges and score each; holds the clips of one batch at a time.

    Args:
        cut: cuts boxes out of one video.
        tracks: of that video, as ``find_lesions`` gives them.
        classifier: scores the clips.
        batch_size: clips a call of the classifier.
        key_frames: that the manifest lists for the video; used by a classifier that wants those.
        facts: numbers that the manifest holds of the video; used by a classifier with late fusion.

    Returns:
        Rows of ``clips.parquet`` without their video_id, ordered by track and clip; with logits and weights where the
        classifier weighs clips, all of the video against each other.
    """
    rows: list[Clip] = []
    clips = classifier.clip_rule.clips(tracks, key_frames)
    found: list[ClipScores] = []
    for batch in batches(cut_clips(cut, tracks, clips, classifier), batch_size):
        crops = torch.from_numpy(np.stack([crops for _, crops in batch])).to(classifier.device)
        found.append(classifier.score_clips(crops, facts))
        rows += [clip for clip, _ in batch]
    table = pd.DataFrame(np.array(rows, np.int64).reshape(-1, 3), columns=list(Clip._fields))
    table["score"] = _united(part.scores for part in found)
    if energies := [part.energies for part in found if part.energies is not None]:
        table["logit"] = _united(part.logits for part in found)
        table["weight"] = softmax(_united(energies))
    return table.sort_values(["track_id", "clip_index"], ignore_index=True)


def _united(parts: Iterable[Tensor]) -> NDArray[np.float64]:
    arrays = [part.float().cpu().numpy().astype(np.float64) for part in parts]
    return np.concatenate([np.empty(0), *arrays])


def cut_clips(
    cut: FrameCutter, tracks: pd.DataFrame, clips: Sequence[Clip], classifier: Classifier
) -> Iterator[tuple[Clip, NDArray[np.uint8]]]:
    """Cut clips out of the frames that go by.

    Args:
        cut: cuts boxes out of one video.
        tracks: of that video.
        clips: of these tracks.
        classifier: says how long a clip is and how its crops are cut.

    Yields:
        Each clip with its crops, uint8 [T, S, S], when its last frame has gone by.
    """
    length = classifier.clip_rule.clip_length
    clip_of = {(clip.track_id, clip.start_frame + offset): clip for clip in clips for offset in range(length)}
    boxes = zip(tracks["track_id"], tracks["frame"], strict=True)
    judged = np.fromiter((box in clip_of for box in boxes), np.bool_, len(tracks))
    size, context = classifier.hparams.crop_size, classifier.hparams.roi_context
    gathered: dict[Clip, list[NDArray[np.uint8]]] = defaultdict(list)
    for cut_frame in cut(tracks[judged], size, context):
        for track_id, frame, crop in cut_frame.crops:
            clip = clip_of[track_id, frame]
            gathered[clip].append(crop)
            if len(gathered[clip]) == length:
                yield clip, np.stack(gathered.pop(clip))


def batches(items: Iterable[T], batch_size: int) -> Iterator[list[T]]:
    """Yield ``batch_size`` items at a time; the last batch may be smaller."""
    iterator = iter(items)
    while batch := list(islice(iterator, batch_size)):
        yield batch
