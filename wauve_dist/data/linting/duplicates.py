"""Videos that share frames, identical or nearly so, across splits, labels, boxes and patients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wauve_dist.data.linting.findings import Finding
from wauve_dist.data.linting.frame_hashes import FrameHashes
from wauve_dist.data.near_duplicates import MAX_DOWNWARD_DISTANCE, near_pairs
from wauve_dist.structures.annotations import Annotations

# One similar view can be chance; a tenth of a video is a copy.
_MIN_COPIED_SHARE = 0.1


class _Difference(NamedTuple):
    """What two videos of one picture differ in, and what to do."""

    check: str
    column: str
    here: object
    there: object
    remedy: str


def shared_frames(hashes: FrameHashes) -> pd.DataFrame:
    """Find all pairs of videos that share a frame.

    Returns:
        A row per pair: first, second (places of the videos, first < second), num_first, num_second (frames of each
        that the other one has too), num_identical (of num_first, to the pixel), first_frame, second_frame (the most
        alike pair).
    """
    # Adjacent frames often look the same, so pictures are compared once per video, whatever the number of its frames.
    looks, shown, counts = np.unique(
        np.stack([hashes.videos.astype(np.uint64), hashes.pictures, hashes.downward], axis=1),
        axis=0,
        return_index=True,
        return_counts=True,
    )
    videos, frames = hashes.videos[shown], hashes.frames[shown]
    pictures, downward = looks[:, 1], looks[:, 2]
    chunks = [np.empty((0, 2), np.int32)]
    for pairs in near_pairs(pictures, videos):
        agree = np.bitwise_count(downward[pairs[:, 0]] ^ downward[pairs[:, 1]]) <= MAX_DOWNWARD_DISTANCE
        chunks.append(_in_video_order(pairs[agree], videos).astype(np.int32))
    first, second = np.concatenate(chunks).T
    near = pd.DataFrame({"first": videos[first], "second": videos[second], "first_look": first, "second_look": second})
    near["distance"] = np.bitwise_count(pictures[first] ^ pictures[second])
    near = near.sort_values(["first", "second", "distance", "first_look", "second_look"])
    table = near.groupby(["first", "second"])[["first_look", "second_look"]].first()
    table["first_frame"], table["second_frame"] = frames[table["first_look"]], frames[table["second_look"]]
    for side in ("first", "second"):
        matched = near.drop_duplicates(["first", "second", f"{side}_look"])
        num_frames = pd.Series(counts[matched[f"{side}_look"]], index=matched.index)
        table[f"num_{side}"] = num_frames.groupby([matched["first"], matched["second"]]).sum()
    identical = _identical_frames(hashes)
    table["num_identical"] = identical["num_identical"].reindex(table.index, fill_value=0)
    table.update(identical[["first_frame", "second_frame"]])
    return table.drop(columns=["first_look", "second_look"]).astype(int).reset_index()


def _identical_frames(hashes: FrameHashes) -> pd.DataFrame:
    """Per pair of videos (the index first, second): num_identical, first_frame, second_frame."""
    frames = pd.DataFrame({"pixels": hashes.pixels, "video": hashes.videos, "frame": hashes.frames})
    held = frames.groupby(["pixels", "video"])["frame"].agg(["first", "size"]).reset_index()
    held = held[held.duplicated("pixels", keep=False)]
    pairs = held.merge(held, on="pixels", suffixes=("_first", "_second"))
    pairs = pairs[pairs["video_first"] < pairs["video_second"]].sort_values("first_first")
    groups = pairs.rename(columns={"video_first": "first", "video_second": "second"}).groupby(["first", "second"])
    return groups.agg(
        num_identical=("size_first", "sum"),
        first_frame=("first_first", "first"),
        second_frame=("first_second", "first"),
    )


def duplicate_findings(
    manifest: pd.DataFrame, hashes: FrameHashes, annotations: Annotations | None = None
) -> Iterator[Finding]:
    """Report videos that share frames although they differ in split, label, whether there is a lesion, or patient.

    Args:
        manifest: the rows that were hashed, in that order.
        hashes: of their frames.
        annotations: unchecked boxes (``parse_annotations``), or None.
    """
    lesions = {} if annotations is None else _lesions(annotations)
    splits, labels = (manifest.get(name, pd.Series(pd.NA, index=manifest.index)) for name in ("split", "label"))
    video_ids, patients = manifest["video_id"].tolist(), manifest["patient_id"].tolist()
    for pair in shared_frames(hashes).itertuples():
        a, b = int(pair.first), int(pair.second)
        share = max(pair.num_first / hashes.num_frames[a], pair.num_second / hashes.num_frames[b])
        is_copy = pair.num_identical > 0 or share >= _MIN_COPIED_SHARE
        shared = f"{pair.num_first} of {hashes.num_frames[a]} frames are in {video_ids[b]!r} too, "
        shared += f"{pair.num_identical} of them identical"
        differences = [
            _Difference(
                *("duplicate-across-splits", "split", splits.iloc[a], splits.iloc[b]),
                "Give both one patient_id and split anew.",
            ),
            _Difference(
                *("duplicate-across-labels", "label", labels.iloc[a], labels.iloc[b]),
                "Find out which label is right; drop a copy.",
            ),
        ]
        found = [d for d in differences if pd.notna(d.here) and pd.notna(d.there) and d.here != d.there]
        here, there = lesions.get(video_ids[a]), lesions.get(video_ids[b])
        if here is not None and there is not None:
            seen_here, seen_there = pair.first_frame in here, pair.second_frame in there
            if (seen_here and not there) or (seen_there and not here):
                found.append(
                    _Difference(
                        *("duplicate-across-boxes", "frames with a box:", len(here), len(there)),
                        "Find out if it shows a lesion: without a box, the detector learns that it shows none.",
                    )
                )
        if not found and patients[a] != patients[b]:
            remedy = "If it is one patient, give both one patient_id, so that no split tears them apart."
            found = [_Difference("duplicate-across-patients", "patient", patients[a], patients[b], remedy)]
        for difference in found:
            yield Finding(
                "error" if is_copy and difference.column != "patient" else "warning",
                difference.check,
                f"{shared}; {difference.column} {difference.here} here, {difference.there} there.",
                difference.remedy,
                video_ids[a],
                int(pair.first_frame),
                video_ids[b],
                int(pair.second_frame),
                float(share + pair.num_identical),
            )


def _lesions(annotations: Annotations) -> dict[str, set[int]]:
    """Frames with a box, of every video that has annotated frames."""
    lesions: dict[str, set[int]] = {video_id: set() for video_id in annotations.frames["video_id"]}
    for video_id, frames in annotations.boxes.groupby("video_id")["frame"]:
        lesions[video_id] = set(frames)
    return lesions


def _in_video_order(pairs: NDArray[np.int64], videos: NDArray[np.int32]) -> NDArray[np.int64]:
    swapped = videos[pairs[:, 0]] > videos[pairs[:, 1]]
    return np.where(swapped[:, None], pairs[:, ::-1], pairs)
