"""All videos of a manifest to tables and thumbnails: everything or nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from pandera.pandas import DataFrameSchema

from wauve_dist.data.decoding import VideoError, VideoInfo, check_sector, check_video
from wauve_dist.inference.video_prediction import PredictionSettings, Video
from wauve_dist.inference.workers import LoadModels, predict_videos
from wauve_dist.structures.clips import listed_key_frames
from wauve_dist.structures.provenance import claim_folder
from wauve_dist.structures.sectors import Sector, sectors_of
from wauve_dist.structures.tables import (
    CLIPS,
    DETECTIONS,
    PREDICTIONS,
    TRACKS,
    TableError,
    empty_table,
    listed,
    write_table,
)
from wauve_dist.structures.video_scores import video_scores

_OWN_COLUMNS = ("score", "num_clips", "model")


def predict(
    videos: pd.DataFrame,
    load_models: LoadModels,
    num_processes: int,
    out: Path,
    settings: PredictionSettings,
    made_from: Mapping[str, Path],
    known_tracks: pd.DataFrame | None = None,
) -> pd.DataFrame | None:
    """Run the models on every video and write what they find.

    ``out`` gets tracks.parquet, with a detector detections.parquet and, with a classifier, clips.parquet,
    predictions.csv with each video exactly once, and thumbnails/<video_id>.jpg. It appears in one step when all is
    done; after an error or an interruption there is nothing.

    A video's score is the mean over all its clips (Han et al. 2025: the average of the results of all video clips),
    unless the classifier weighs them. A video that gives no clip, such as a single image, keeps its row, with an empty
    score and no clips.

    Args:
        videos: rows of ``manifest.csv`` with absolute paths.
        load_models: makes the models of a process; without a classifier they stop after the tracks.
        num_processes: that share the videos; no row depends on it.
        out: new or empty folder.
        settings: see there.
        made_from: role to file, for the provenance of the tables.
        known_tracks: TRACKS table of these, and perhaps other, videos, in place of a detector; a video that it lacks
            has no lesion.

    Returns:
        Rows of ``predictions.csv``; None without a classifier.

    Raises:
        FileExistsError: ``out`` holds something.
        TableError: the manifest has columns of predictions.csv's own, an id that cannot name a file, or sectors for
            only some of its videos.
        VideoError: some videos cannot be decoded; all of them are named, before anything is computed.
    """
    with _new_folder(out) as folder:
        _check_manifest(videos)
        listed = listed_key_frames(videos)
        sectors = sectors_of(videos)
        facts = videos.apply(pd.to_numeric, errors="coerce").astype("float64").to_dict("records")
        tracks_of = None if known_tracks is None else dict(list(known_tracks.groupby("video_id")))
        todo = [
            Video(
                video_id,
                Path(path),
                info,
                listed[video_id],
                None if tracks_of is None else tracks_of.get(video_id, empty_table(TRACKS)),
                known,
                sectors.get(video_id),
            )
            for video_id, path, info, known in zip(
                videos["video_id"], videos["path"], check_videos(videos, sectors), facts, strict=True
            )
        ]
        results = predict_videos(todo, load_models, num_processes, settings, folder)
        tracks = [rows.tracks for rows in results]
        detections = [rows.detections for rows in results if rows.detections is not None]
        clips = [rows.clips for rows in results if rows.clips is not None]
        record = {"linker": asdict(settings.linker)} if detections else {}
        if detections:
            write_table(_united(detections, DETECTIONS), folder / "detections.parquet", DETECTIONS, made_from, **record)
        write_table(_united(tracks, TRACKS), folder / "tracks.parquet", TRACKS, made_from, **record)
        if not clips:  # for want of a classifier
            return None
        all_clips = _united(clips, CLIPS)
        predictions = prediction_rows(videos, all_clips, settings.model)
        write_table(all_clips, folder / "clips.parquet", CLIPS, made_from, **record)
        write_table(predictions, folder / "predictions.csv", PREDICTIONS, made_from, **record)
        return predictions


def prediction_rows(videos: pd.DataFrame, clips: pd.DataFrame, model: str) -> pd.DataFrame:
    """Give each video the score that its clips make.

    Args:
        videos: rows of ``manifest.csv``.
        clips: rows of ``clips.parquet``.
        model: name of what scored them.

    Returns:
        Rows of ``predictions.csv``, one a video in the manifest's order, with the manifest's other columns behind; the
        score is empty where a video has no clip.
    """
    predictions = pd.DataFrame(
        {
            "video_id": videos["video_id"],
            "patient_id": videos["patient_id"],
            "label": videos["label"] if "label" in videos else pd.array([pd.NA] * len(videos), dtype="Int64"),
            "score": videos["video_id"].map(video_scores(clips)),
            "num_clips": videos["video_id"].map(clips["video_id"].value_counts()).fillna(0).astype("int64"),
            "model": model,
        }
    )
    own = {*predictions.columns, "path"}
    return predictions.join(videos[[column for column in videos if column not in own]])


def check_videos(videos: pd.DataFrame, sectors: Mapping[str, Sector]) -> list[VideoInfo]:
    """Check that every video can be decoded, and that its sector, if it has one, lies in its frames.

    Returns:
        What each holds, in their order.

    Raises:
        VideoError: one line for each video of which this is not so.
    """
    infos, faults = [], []
    for video_id, path in zip(videos["video_id"], videos["path"], strict=True):
        try:
            infos.append(info := check_video(Path(path)))
            if video_id in sectors:
                check_sector(Path(path), sectors[video_id], info.width, info.height)
        except VideoError as error:
            faults.append(f"Video {video_id!r}: {error}")
    if faults:
        raise VideoError(listed(faults))
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


def _united(tables: Sequence[pd.DataFrame], schema: DataFrameSchema) -> pd.DataFrame:
    filled = [table for table in tables if not table.empty]
    rows = pd.concat(filled, ignore_index=True) if filled else empty_table(schema)
    return rows[[name for name in schema.columns if name in rows]]
