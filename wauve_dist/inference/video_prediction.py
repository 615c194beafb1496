"""One video to its rows and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import pandas as pd

from wauve_dist.data.crops import CutFrame
from wauve_dist.data.decoding import Decoder, GreyFrame, VideoInfo, decode_frames
from wauve_dist.data.track_crops import cut_video
from wauve_dist.inference.annotator import Annotator
from wauve_dist.inference.contact_sheet import draw_contact_sheet, extreme_clips, frames_of
from wauve_dist.inference.heat_maps import find_maps
from wauve_dist.inference.overlay import write_overlay
from wauve_dist.inference.pipeline import Classifier, Detector, find_lesions, score_tracks
from wauve_dist.inference.thumbnails import draw_thumbnail, most_confident_box
from wauve_dist.structures.sectors import Sector
from wauve_dist.structures.video_scores import video_scores
from wauve_dist.tracking.linker import LinkerSettings

_Passing = TypeVar("_Passing")


class Models(NamedTuple):
    """What predicts.

    Attributes:
        detector: finds boxes; None where the tracks are known.
        classifier: scores clips; None stops after the tracks.
    """

    detector: Detector | None
    classifier: Classifier | None


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict.

    Attributes:
        linker: when boxes belong together.
        batch_size: frames, or clips, in a call of a model; speed and memory depend on it, results do not.
        call_threshold: scores from here on are shown as malignant in pictures, 0..1. No table depends on it: the
            operating point is chosen in the evaluation.
        model: name that predictions.csv gives to its maker.
        overlay: also write overlays/<video_id>.mp4 and contact_sheets/<video_id>.jpg.
        decoder: decodes the videos and cuts the clips (see ``decoding.decode_frames`` and ``track_crops.cut_video``).

    Raises:
        ValueError: a setting outside its range.
    """

    linker: LinkerSettings
    batch_size: int
    call_threshold: float
    model: str
    overlay: bool
    decoder: Decoder = "pyav"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1.")
        if not 0 <= self.call_threshold <= 1:
            raise ValueError(f"call_threshold={self.call_threshold:g} must lie between 0 and 1.")


class Video(NamedTuple):
    """A video to predict.

    Attributes:
        video_id: its name.
        path: its file.
        info: what the file holds.
        key_frames: that the manifest lists.
        tracks: rows of ``tracks.parquet`` found before; None lets the detector find them.
        facts: numbers that the manifest holds of the video by column, NaN where empty.
        sector: of its frames; nothing outside is looked at or shown. None takes them whole.
    """

    video_id: str
    path: Path
    info: VideoInfo
    key_frames: tuple[int, ...] = ()
    tracks: pd.DataFrame | None = None
    facts: Mapping[str, float] | None = None
    sector: Sector | None = None


class VideoRows(NamedTuple):
    """A video's rows of tracks.parquet, with a detector detections.parquet, and with a classifier clips.parquet."""

    detections: pd.DataFrame | None
    tracks: pd.DataFrame
    clips: pd.DataFrame | None


class FrameCounter(Protocol):
    """Counts frames that go by, whole or cut, to show progress."""

    def __call__(self, frames: Iterator[_Passing], /) -> Iterator[_Passing]:
        """Pass frames through."""


def predict_video(
    video: Video, models: Models, settings: PredictionSettings, folder: Path, count: FrameCounter
) -> VideoRows:
    """Run the models on a video; with a classifier, also draw its pictures.

    Args:
        video: can be decoded.
        models: what predicts.
        settings: see there.
        folder: gets thumbnails/<video_id>.jpg and, if asked, overlays/<video_id>.mp4 and
            contact_sheets/<video_id>.jpg.
        count: counts the frames of all passes.
    """
    detections, tracks = None, video.tracks
    if tracks is None:
        assert models.detector is not None, "a video without tracks needs a detector"
        frames = count(decode_frames(video.path, settings.decoder, video.sector))
        found = find_lesions(frames, models.detector, settings.batch_size, settings.linker, video.sector)
        detections, tracks = (rows.assign(video_id=video.video_id) for rows in found)
    if models.classifier is None:
        return VideoRows(detections, tracks, None)
    box = most_confident_box(tracks)
    # Without a lesion the picture shows the middle of the sweep.
    wanted = video.info.num_frames // 2 if box is None else int(box["frame"])
    shown = _Pass(video, settings.decoder, {wanted}, count)
    clips = score_tracks(shown.cut, tracks, models.classifier, settings.batch_size, video.key_frames, video.facts)
    clips = clips.assign(video_id=video.video_id)
    score = None if clips.empty else float(video_scores(clips).iloc[0])
    picture = draw_thumbnail(shown.kept[wanted], box, score, settings.call_threshold)
    picture.save(_new_file(folder / "thumbnails" / f"{video.video_id}.jpg"), quality=90)
    if settings.overlay:
        _draw_maps(video, tracks, clips, models.classifier, settings, folder, count)
    return VideoRows(detections, tracks, clips)


def _draw_maps(
    video: Video,
    tracks: pd.DataFrame,
    clips: pd.DataFrame,
    classifier: Classifier,
    settings: PredictionSettings,
    folder: Path,
    count: FrameCounter,
) -> None:
    """Write a video's overlay and contact sheet, in one pass over its frames for the maps and one to draw them."""
    clip_length = classifier.clip_rule.clip_length
    wanted = set() if clips.empty else frames_of(extreme_clips(clips), clip_length)
    shown = _Pass(video, settings.decoder, wanted, count)
    maps = find_maps(shown.cut, tracks, clips, classifier, settings.batch_size)
    annotator = Annotator(tracks, clips, maps, settings.call_threshold)
    sheet = draw_contact_sheet(video.video_id, shown.kept, tracks, annotator)
    sheet.save(_new_file(folder / "contact_sheets" / f"{video.video_id}.jpg"), quality=92)
    path = _new_file(folder / "overlays" / f"{video.video_id}.mp4")
    frames = count(decode_frames(video.path, settings.decoder, video.sector))
    write_overlay(path, video.video_id, frames, video.info, annotator)


def _new_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class _Pass:
    """A pass over a video that cuts boxes and keeps some frames.

    Args:
        video: that is passed over.
        decoder: of it.
        wanted: numbers of the frames to keep.
        count: counts the frames.

    Attributes:
        kept: number to frame, uint8 [H, W], of those wanted that have gone by.
    """

    def __init__(self, video: Video, decoder: Decoder, wanted: Set[int], count: FrameCounter) -> None:
        self.kept: dict[int, GreyFrame] = {}
        self._video, self._decoder, self._wanted, self._count = video, decoder, wanted, count

    def cut(self, tracks: pd.DataFrame, size: int, context: float) -> Iterator[CutFrame]:
        """See ``track_crops.FrameCutter``."""
        path, sector = self._video.path, self._video.sector
        for frame in self._count(cut_video(path, tracks, size, context, self._decoder, sector, self._wanted)):
            if frame.whole is not None:
                self.kept[frame.number] = frame.whole
            yield frame
