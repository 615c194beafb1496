"""Readings of videos by readers, alone and with the model's score, as one complete table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, IntArray
from wauve_dist.structures.tables import BIRADS_CATEGORIES

# The paper's operating point: a biopsy, and with it a malignant call, from BI-RADS 4A on.
BIOPSY_RANK = BIRADS_CATEGORIES.index("4A")
CONDITIONS = ("alone", "assisted")

_MAX_LISTED = 8


@dataclass(frozen=True)
class Readings:
    """A fully crossed reader study: every reader read every video, under each condition.

    Attributes:
        readers: names, in order.
        ranks: condition (``alone``, and ``assisted`` where the study has it) to the rank of the BI-RADS category in
            ``BIRADS_CATEGORIES``, int64 [readers, videos].
    """

    readers: tuple[str, ...]
    ranks: dict[str, IntArray]

    def called(self, condition: str) -> BoolArray:
        """True where a biopsy is called for (4A and above), bool [readers, videos]."""
        return self.ranks[condition] >= BIOPSY_RANK


def cross_readings(readings: pd.DataFrame, video_ids: pd.Series, path: Path) -> Readings:
    """Arrange a readings table by reader and video.

    Args:
        readings: the contract ``structures.tables.READERS``.
        video_ids: the videos of the evaluation, in the order wanted.
        path: where the readings come from, for messages.

    Raises:
        EvaluationError: a video that is not evaluated, a reader who has not read every video under every condition,
            or only assisted readings.
    """
    if readings.empty:
        raise EvaluationError(f"{path}: holds no reading.")
    unknown = sorted(set(readings["video_id"]) - set(video_ids))
    if unknown:
        raise EvaluationError(
            f"{path}, column 'video_id': {_listed(unknown)} ({len(unknown)} videos) are not in the predictions. "
            "Readers and model are compared on the same videos: predict these or remove their readings."
        )
    conditions = [name for name, code in zip(CONDITIONS, (0, 1), strict=True) if (readings["assisted"] == code).any()]
    if "alone" not in conditions:
        raise EvaluationError(f"{path}, column 'assisted': holds no unassisted reading (0) to compare with.")
    readers = tuple(sorted(readings["reader"].unique()))
    rank = readings["birads"].map(BIRADS_CATEGORIES.index)
    crossed = {
        condition: pd.DataFrame({"reader": readings["reader"], "video_id": readings["video_id"], "rank": rank})[
            readings["assisted"] == CONDITIONS.index(condition)
        ]
        .set_index(["reader", "video_id"])["rank"]
        .reindex(pd.MultiIndex.from_product([readers, video_ids]))
        .to_numpy(np.float64)
        .reshape(len(readers), len(video_ids))
        for condition in conditions
    }
    for condition, ranks in crossed.items():
        for reader, row in zip(readers, ranks, strict=True):
            if np.isnan(row).any():
                missing = video_ids.to_numpy()[np.isnan(row)].tolist()
                raise EvaluationError(
                    f"{path}: reader {reader!r} has not read {len(missing)} of {len(row)} videos {condition}: "
                    f"{_listed(missing)}. Add these readings, or remove the videos from the predictions."
                )
    return Readings(readers, {condition: ranks.astype(np.intp) for condition, ranks in crossed.items()})


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
