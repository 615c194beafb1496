"""Tracks from annotated boxes: what a perfect detector and linker would hand to the classifier."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wauve_dist.structures.annotations import Annotations
from wauve_dist.structures.tables import TRACKS, TableError, empty_table
from wauve_dist.tracking.tracks import MAX_GAP, bridged, track_rows


def annotations_to_tracks(annotations: Annotations, max_gap: int = MAX_GAP) -> pd.DataFrame:
    """Turn annotated boxes into tracks of score 1.

    A track is a run of one instance's boxes. Up to ``max_gap`` frames in a row without a box are interpolated; a
    longer gap ends the track and starts another one. Tracks of any length are kept.

    Args:
        annotations: boxes whose ``instance_id`` names the lesion.
        max_gap: most frames in a row without a box that are bridged.

    Returns:
        Rows of ``tracks.parquet``; track ids count from 0 in each video, by instance, then by frame.

    Raises:
        TableError: an instance has two boxes in one frame, so it names more than one lesion.
    """
    boxes = annotations.boxes
    double = boxes[boxes.duplicated(["video_id", "instance_id", "frame"])]
    if not double.empty:
        first = double.iloc[0]
        raise TableError(
            f"Annotations: instance {first['instance_id']} has more than one box in frame {first['frame']} of video "
            f"{first['video_id']!r} ({len(double)} such boxes in all). Give each lesion of a video its own instance_id."
        )
    tables = []
    for video_id, in_video in boxes.sort_values(["video_id", "instance_id", "frame"]).groupby("video_id"):
        same_run = in_video["instance_id"].eq(in_video["instance_id"].shift()) & in_video["frame"].diff().le(
            max_gap + 1
        )
        tracks = [
            bridged(track_id, run["frame"], run[["x1", "y1", "x2", "y2"]], np.ones(len(run)))
            for track_id, (_, run) in enumerate(in_video.groupby((~same_run).cumsum()))
        ]
        tables.append(track_rows(tracks).assign(video_id=video_id))
    rows: pd.DataFrame = TRACKS.validate(pd.concat(tables, ignore_index=True)) if tables else empty_table(TRACKS)
    return rows[list(TRACKS.columns)]
