"""Videos that share frames, identical or nearly so, across splits, labels and patients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wauve_dist.data.linting.findings import Finding
from wauve_dist.data.linting.frame_hashes import FrameHashes
from wauve_dist.data.near_duplicates import near_pairs

# One similar view can be chance; a tenth of a video is a copy.
_MIN_COPIED_SHARE = 0.1


def shared_frames(hashes: FrameHashes) -> pd.DataFrame:
    """Find all pairs of videos that share a frame.

    Returns:
        A row per pair: first, second (places of the videos, first < second), num_first, num_second (frames of each
        that the other one has too; repeats of one frame count once), num_identical (of num_first, to the pixel),
        first_frame, second_frame (the most alike pair).
    """
    # A frozen image counts once, or a title card would meet itself a thousand times.
    _, kept = np.unique(np.stack([hashes.videos.astype(np.uint64), hashes.pixels], axis=1), axis=0, return_index=True)
    videos, pixels, pictures = hashes.videos[kept], hashes.pixels[kept], hashes.pictures[kept]
    chunks = [_in_video_order(pairs, videos).astype(np.int32) for pairs in near_pairs(pictures, videos)]
    first, second = np.concatenate([np.empty((0, 2), np.int32), *chunks]).T
    pairs = pd.DataFrame({"first": videos[first], "second": videos[second]})
    pairs["distance"] = np.bitwise_count(pictures[first] ^ pictures[second])
    pairs["identical"] = pixels[first] == pixels[second]
    pairs["first_frame"], pairs["second_frame"] = hashes.frames[kept][first], hashes.frames[kept][second]
    pairs = pairs.sort_values(
        ["first", "second", "identical", "distance", "first_frame"], ascending=[True, True, False, True, True]
    )
    groups = pairs.groupby(["first", "second"])
    table = groups[["first_frame", "second_frame"]].first()
    table["num_first"], table["num_second"] = groups["first_frame"].nunique(), groups["second_frame"].nunique()
    table["num_identical"] = pairs[pairs["identical"]].groupby(["first", "second"])["first_frame"].nunique()
    return table.fillna({"num_identical": 0}).astype(int).reset_index()


def duplicate_findings(manifest: pd.DataFrame, hashes: FrameHashes) -> Iterator[Finding]:
    """Report videos that share frames although they differ in split, label or patient.

    Args:
        manifest: the rows that were hashed, in that order.
        hashes: of their frames.
    """
    splits, labels = (manifest.get(name, pd.Series(pd.NA, index=manifest.index)) for name in ("split", "label"))
    video_ids, patients = manifest["video_id"].tolist(), manifest["patient_id"].tolist()
    for pair in shared_frames(hashes).itertuples():
        a, b = int(pair.first), int(pair.second)
        share = max(pair.num_first / hashes.num_frames[a], pair.num_second / hashes.num_frames[b])
        is_copy = pair.num_identical > 0 or share >= _MIN_COPIED_SHARE
        shared = f"{pair.num_first} of {hashes.num_frames[a]} frames are in {video_ids[b]!r} too, "
        shared += f"{pair.num_identical} of them identical"
        for check, first, second, remedy in (
            ("duplicate-across-splits", splits.iloc[a], splits.iloc[b], "Give both one patient_id and split anew."),
            ("duplicate-across-labels", labels.iloc[a], labels.iloc[b], "Find out which label is right; drop a copy."),
        ):
            if pd.notna(first) and pd.notna(second) and first != second:
                yield Finding(
                    "error" if is_copy else "warning",
                    check,
                    f"{shared}; {check.rsplit('-', 1)[1].removesuffix('s')} {first} here, {second} there.",
                    remedy,
                    video_ids[a],
                    int(pair.first_frame),
                    video_ids[b],
                    int(pair.second_frame),
                    float(share + pair.num_identical),
                )
        if patients[a] != patients[b]:
            yield Finding(
                "warning",
                "duplicate-across-patients",
                f"{shared}; patient {patients[a]!r} here, {patients[b]!r} there.",
                "If it is one patient, give both one patient_id, so that no split tears them apart.",
                video_ids[a],
                int(pair.first_frame),
                video_ids[b],
                int(pair.second_frame),
                float(share + pair.num_identical),
            )


def _in_video_order(pairs: NDArray[np.int64], videos: NDArray[np.int32]) -> NDArray[np.int64]:
    swapped = videos[pairs[:, 0]] > videos[pairs[:, 1]]
    return np.where(swapped[:, None], pairs[:, ::-1], pairs)
