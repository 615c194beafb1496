"""Tracks against lesions: which lesion each track is on, and what is missed, mixed up, broken or made up.

A box of a track is on a lesion if they overlap by IoU 0.50 or more. Bridged boxes count as all others: the classifier
is shown them too. What lies on frames that nobody annotated is left aside.

Identities are judged by the assignment of whole tracks to whole lesions, one to one, that explains most boxes
(IDF1: Ristani et al., ECCV Workshops 2016); interruptions are the fragmentations of Li et al., CVPR 2009.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.structures.annotations import Annotations

MATCH_IOU = 0.5
TRUE_PURITY = 0.5
"""A track of which less than this share is on one lesion is a false positive."""

TRACK_RATIOS = {
    "lesion_recall": ("found_lesions", "lesions"),
    "track_recall": ("covered_boxes", "lesion_boxes"),
    "track_purity": ("pure_boxes", "track_boxes"),
    "idf1": ("identified_boxes", "all_boxes"),
    "interruptions_per_lesion": ("interruptions", "covered_lesions"),
    "false_positive_tracks_per_video": ("false_tracks", "videos"),
}
"""Figure to the columns of ``JudgedTracks.counts`` whose sums are divided."""

_LESION = ["video_id", "instance_id"]
_TRACK = ["video_id", "track_id"]


class JudgedTracks(NamedTuple):
    """Lesions and tracks, and who is on whom.

    Attributes:
        lesions: video_id, instance_id, boxes, covered_boxes (under a box of any track), interruptions (how often the
            cover breaks off and comes back), score (of the best true-positive track on it; NaN: not found).
        tracks: video_id, track_id, boxes (on annotated frames), pure_boxes (on the lesion that it is on most),
            instance_id (of that lesion; missing: on none), is_true, score (mean over all its boxes).
        counts: what adds up over videos; the index is video_id.
    """

    lesions: pd.DataFrame
    tracks: pd.DataFrame
    counts: pd.DataFrame


def judge_tracks(annotations: Annotations, tracks: pd.DataFrame, video_ids: Collection[str]) -> JudgedTracks:
    """Compare the tracks of some videos with their lesions.

    Args:
        annotations: the true boxes, whose ``instance_id`` names the lesion, and the list of annotated frames.
        tracks: a TRACKS table.
        video_ids: the videos to count; those without a lesion have false-positive tracks at most.

    Raises:
        EvaluationError: a video without annotated frames, or two boxes of one lesion in a frame.
    """
    frames = annotations.frames.loc[annotations.frames["video_id"].isin(video_ids), ["video_id", "frame"]]
    if missing := sorted(set(video_ids) - set(frames["video_id"])):
        raise EvaluationError(
            f"{len(missing)} of {len(set(video_ids))} videos have no annotated frame ({', '.join(missing[:5])}"
            f"{', …' if len(missing) > 5 else ''}). Leave them out or add them to the annotations."
        )
    true = annotations.boxes.merge(frames, on=["video_id", "frame"]).sort_values([*_LESION, "frame"], ignore_index=True)
    _refuse_double_lesions(true)
    found = tracks.merge(frames, on=["video_id", "frame"])
    pairs = true.merge(found, on=["video_id", "frame"], suffixes=("_true", "_found"))
    pairs = pairs[_paired_iou(pairs) >= MATCH_IOU]
    shared = pairs.groupby([*_LESION, "track_id"], as_index=False).size()
    judged = _tracks(found, shared, tracks)
    lesions = _lesions(true, pairs, judged)
    return JudgedTracks(lesions, judged, _counts(frames, lesions, judged, shared))


def _refuse_double_lesions(true: pd.DataFrame) -> None:
    double = true[true.duplicated([*_LESION, "frame"])]
    if not double.empty:
        first = double.iloc[0]
        raise EvaluationError(
            f"--annotations: instance {first['instance_id']} has more than one box in frame {first['frame']} of video "
            f"{first['video_id']!r} ({len(double)} such boxes in all). To judge tracks, give each lesion of a video "
            "its own instance_id."
        )


def _paired_iou(pairs: pd.DataFrame) -> pd.Series:
    """Intersection over union of the two boxes of each row, 0..1."""
    true, found = (pairs[[f"{side}_{who}" for side in ("x1", "y1", "x2", "y2")]].to_numpy(np.float64) for who in _WHO)
    sides = np.minimum(true[:, 2:], found[:, 2:]) - np.maximum(true[:, :2], found[:, :2])
    intersection = np.clip(sides, 0, None).prod(axis=1)
    areas = (true[:, 2:] - true[:, :2]).prod(axis=1) + (found[:, 2:] - found[:, :2]).prod(axis=1)
    return pd.Series(intersection / (areas - intersection), index=pairs.index)


_WHO = ("true", "found")


def _tracks(found: pd.DataFrame, shared: pd.DataFrame, tracks: pd.DataFrame) -> pd.DataFrame:
    """The tracks that have a box on an annotated frame; of two lesions alike, a track is on that of lower number."""
    main = shared.sort_values([*_TRACK, "size", "instance_id"], ascending=[True, True, False, True])
    main = main.drop_duplicates(_TRACK).rename(columns={"size": "pure_boxes"})
    judged = found.groupby(_TRACK, as_index=False).size().rename(columns={"size": "boxes"})
    judged = judged.merge(main, on=_TRACK, how="left").merge(tracks.groupby(_TRACK, as_index=False)["score"].mean())
    judged["pure_boxes"] = judged["pure_boxes"].fillna(0).astype("int64")
    judged["instance_id"] = judged["instance_id"].astype("Int64")
    return judged.assign(is_true=judged["pure_boxes"] >= TRUE_PURITY * judged["boxes"])


def _lesions(true: pd.DataFrame, pairs: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    covered = pairs[[*_LESION, "frame"]].drop_duplicates().assign(covered=True)
    boxes = true[[*_LESION, "frame"]].merge(covered, on=[*_LESION, "frame"], how="left")
    boxes["covered"] = boxes["covered"].notna()
    # A stretch of cover begins where the lesion's box before is not covered, or is another lesion's.
    before = boxes.groupby(_LESION)["covered"].shift(fill_value=False)
    boxes["begins"] = boxes["covered"] & ~before.astype(bool)
    lesions = boxes.groupby(_LESION, as_index=False).agg(
        boxes=("frame", "size"), covered_boxes=("covered", "sum"), stretches=("begins", "sum")
    )
    lesions["interruptions"] = (lesions.pop("stretches") - 1).clip(lower=0)
    best = judged[judged["is_true"]].astype({"instance_id": "int64"}).groupby(_LESION, as_index=False)["score"].max()
    return lesions.merge(best, on=_LESION, how="left")


def _counts(frames: pd.DataFrame, lesions: pd.DataFrame, judged: pd.DataFrame, shared: pd.DataFrame) -> pd.DataFrame:
    of_lesions = lesions.assign(
        lesions=1, found_lesions=lesions["score"].notna(), covered_lesions=lesions["covered_boxes"] > 0
    ).rename(columns={"boxes": "lesion_boxes"})
    of_tracks = judged.assign(false_tracks=~judged["is_true"]).rename(columns={"boxes": "track_boxes"})
    columns = (
        (of_lesions, ["lesions", "found_lesions", "covered_lesions", "lesion_boxes", "covered_boxes", "interruptions"]),
        (of_tracks, ["track_boxes", "pure_boxes", "false_tracks"]),
    )
    counts = frames.groupby("video_id").size().to_frame("frames").assign(videos=1)
    counts = counts.join([table.groupby("video_id")[names].sum() for table, names in columns])
    identified = {video: _identified_boxes(of_video) for video, of_video in shared.groupby("video_id")}
    # IDF1 = 2 IDTP / (2 IDTP + IDFP + IDFN), and every box of a lesion or track is one of the three.
    counts["identified_boxes"] = 2 * pd.Series(identified, dtype="float64").reindex(counts.index)
    counts = counts.fillna(0).astype("int64")
    return counts.assign(all_boxes=counts["lesion_boxes"] + counts["track_boxes"])


def _identified_boxes(shared: pd.DataFrame) -> int:
    """IDTP of a video: boxes that the best assignment of tracks to lesions, one to one, explains."""
    table = shared.pivot_table(index="instance_id", columns="track_id", values="size", fill_value=0).to_numpy()
    return int(table[linear_sum_assignment(table, maximize=True)].sum())
