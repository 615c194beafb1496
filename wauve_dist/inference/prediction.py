"""All videos of a manifest to tables and thumbnails: everything or nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from pandera.pandas import DataFrameSchema

from wauve_dist.data.decoding import GreyFrame, VideoError, VideoInfo, check_video, decode_frames
from wauve_dist.inference.overlay import write_overlay
from wauve_dist.inference.pipeline import Classifier, Detector, find_lesions, score_tracks
from wauve_dist.inference.progress import FrameProgress
from wauve_dist.inference.thumbnails import draw_thumbnail, most_confident_box
from wauve_dist.structures.provenance import claim_folder
from wauve_dist.structures.tables import (
    CLIPS,
    DETECTIONS,
    MAX_REPORTED_FAULTS,
    PREDICTIONS,
    TRACKS,
    TableError,
    empty_table,
    write_table,
)
from wauve_dist.tracking.linker import LinkerSettings

_OWN_COLUMNS = ("score", "num_clips", "model")


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict.

    Attributes:
        linker: when boxes belong together.
        batch_size: frames, or clips, in a call of a model; speed and memory depend on it, results do not.
        call_threshold: scores from here on are shown as malignant in pictures, 0..1. No table depends on it: the
            operating point is chosen in the evaluation.
        model: name that predictions.csv gives to its maker.
        overlay: also write overlays/<video_id>.mp4.

    Raises:
        ValueError: a setting outside its range.
    """

    linker: LinkerSettings
    batch_size: int
    call_threshold: float
    model: str
    overlay: bool

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1.")
        if not 0 <= self.call_threshold <= 1:
            raise ValueError(f"call_threshold={self.call_threshold:g} must lie between 0 and 1.")


def predict(
    videos: pd.DataFrame,
    detector: Detector,
    classifier: Classifier | None,
    out: Path,
    settings: PredictionSettings,
    made_from: Mapping[str, Path],
) -> pd.DataFrame | None:
    """Run the models on every video and write what they find.

    ``out`` gets detections.parquet and tracks.parquet and, with a classifier, clips.parquet, predictions.csv with each
    video exactly once, and thumbnails/<video_id>.jpg. It appears in one step when all is done; after an error or an
    interruption there is nothing.

    A video's score is the mean over all its clips (Han et al. 2025: the average of the results of all video clips). A
    video that gives no clip, such as a single image, keeps its row, with an empty score and no clips.

    Args:
        videos: rows of ``manifest.csv`` with absolute paths.
        detector: finds boxes.
        classifier: scores clips; None stops after the tracks.
        out: new or empty folder.
        settings: see there.
        made_from: role to file, for the provenance of the tables.

    Returns:
        Rows of ``predictions.csv``; None without a classifier.

    Raises:
        FileExistsError: ``out`` holds something.
        TableError: the manifest has columns of predictions.csv's own, or an id that cannot name a file.
        VideoError: some videos cannot be decoded; all of them are named, before anything is computed.
    """
    with _new_folder(out) as folder:
        _check_manifest(videos)
        infos = check_videos(videos)
        num_passes = 1 if classifier is None else 2 + settings.overlay
        detections, tracks, clips = [], [], []
        with FrameProgress(num_passes * sum(info.num_frames for info in infos)) as progress:
            for video_id, path, info in zip(videos["video_id"], videos["path"].map(Path), infos, strict=True):
                progress.start_video(video_id, num_passes * info.num_frames)
                found = find_lesions(
                    progress.count(decode_frames(path)), detector, settings.batch_size, settings.linker
                )
                detections.append(found.detections.assign(video_id=video_id))
                tracks.append(found.tracks.assign(video_id=video_id))
                if classifier is None:
                    continue
                box = most_confident_box(found.tracks)
                # Without a lesion the picture shows the middle of the sweep.
                frames = _Kept(
                    progress.count(decode_frames(path)), info.num_frames // 2 if box is None else int(box["frame"])
                )
                scored = score_tracks(frames, found.tracks, classifier, settings.batch_size)
                clips.append(scored.assign(video_id=video_id))
                score = None if scored.empty else float(scored["score"].mean())
                picture = draw_thumbnail(frames.kept, box, score, settings.call_threshold)
                picture.save(_new_file(folder / "thumbnails" / f"{video_id}.jpg"), quality=90)
                if settings.overlay:
                    write_overlay(
                        _new_file(folder / "overlays" / f"{video_id}.mp4"),
                        progress.count(decode_frames(path)),
                        info,
                        found.tracks,
                        scored,
                        settings.call_threshold,
                    )
        record = {"linker": asdict(settings.linker)}
        write_table(_united(detections, DETECTIONS), folder / "detections.parquet", DETECTIONS, made_from, **record)
        write_table(_united(tracks, TRACKS), folder / "tracks.parquet", TRACKS, made_from, **record)
        if classifier is None:
            return None
        all_clips = _united(clips, CLIPS)
        predictions = video_scores(videos, all_clips, settings.model)
        write_table(all_clips, folder / "clips.parquet", CLIPS, made_from, **record)
        write_table(predictions, folder / "predictions.csv", PREDICTIONS, made_from, **record)
        return predictions


def video_scores(videos: pd.DataFrame, clips: pd.DataFrame, model: str) -> pd.DataFrame:
    """Average each video's clips.

    Args:
        videos: rows of ``manifest.csv``.
        clips: rows of ``clips.parquet``.
        model: name of what scored them.

    Returns:
        Rows of ``predictions.csv``, one a video in the manifest's order, with the manifest's other columns behind; the
        score is empty where a video has no clip.
    """
    by_video = clips.groupby("video_id")["score"]
    predictions = pd.DataFrame(
        {
            "video_id": videos["video_id"],
            "patient_id": videos["patient_id"],
            "label": videos["label"] if "label" in videos else pd.array([pd.NA] * len(videos), dtype="Int64"),
            "score": videos["video_id"].map(by_video.mean()),
            "num_clips": videos["video_id"].map(by_video.size()).fillna(0).astype("int64"),
            "model": model,
        }
    )
    own = {*predictions.columns, "path"}
    return predictions.join(videos[[column for column in videos if column not in own]])


def check_videos(videos: pd.DataFrame) -> list[VideoInfo]:
    """Check that every video can be decoded.

    Returns:
        What each holds, in their order.

    Raises:
        VideoError: one line for each video that cannot.
    """
    infos, faults = [], []
    for video_id, path in zip(videos["video_id"], videos["path"], strict=True):
        try:
            infos.append(check_video(Path(path)))
        except VideoError as error:
            faults.append(f"Video {video_id!r}: {error}")
    if faults:
        more = len(faults) - MAX_REPORTED_FAULTS
        raise VideoError("\n".join(faults[:MAX_REPORTED_FAULTS]) + (f"\n… and {more} more" if more > 0 else ""))
    return infos


def _check_manifest(videos: pd.DataFrame) -> None:
    if clash := [column for column in _OWN_COLUMNS if column in videos]:
        raise TableError(
            f"The manifest has a column {clash[0]!r}, which predictions.csv needs for itself. "
            "Rename it in the manifest."
        )
    for video_id in videos["video_id"]:
        if {"", ".", ".."} & set(video_id.split("/")):
            raise TableError(
                f"Video id {video_id!r} cannot name a file in the output folder. Rename it in the manifest; a '/' may "
                "stand between names, '.' and '..' may not be among them."
            )


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``out`` that becomes ``out`` when the block ends without an error."""
    existed = out.exists()
    claim_folder(out)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            folder = Path(temporary) / out.name
            folder.mkdir()
            yield folder
            folder.replace(out)
    except BaseException:
        if not existed:
            out.rmdir()
        raise


def _new_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _united(tables: Sequence[pd.DataFrame], schema: DataFrameSchema) -> pd.DataFrame:
    filled = [table for table in tables if not table.empty]
    rows = pd.concat(filled, ignore_index=True) if filled else empty_table(schema)
    return rows[list(schema.columns)]


class _Kept(Iterator[GreyFrame]):
    """Frames that pass by, the ``index``-th of which is kept."""

    def __init__(self, frames: Iterator[GreyFrame], index: int) -> None:
        self._frames = frames
        self._index = index
        self._num_passed = 0
        self._kept: GreyFrame | None = None

    def __next__(self) -> GreyFrame:
        frame = next(self._frames)
        if self._num_passed == self._index:
            self._kept = frame
        self._num_passed += 1
        return frame

    @property
    def kept(self) -> GreyFrame:
        """The frame asked for, once it has passed."""
        assert self._kept is not None, f"only {self._num_passed} frames have passed, not frame {self._index}"
        return self._kept
