"""Readings of videos by readers, alone and with the model's score, as one complete table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, IntArray
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
        times_s: condition to the seconds that each reading took, float64 [readers, videos]; a condition without times
            is absent.
    """

    readers: tuple[str, ...]
    ranks: dict[str, IntArray]
    times_s: dict[str, FloatArray]

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
            reading times of some of them only, or only assisted readings or times.
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
    places = pd.MultiIndex.from_product([readers, video_ids])

    def crossed(condition: str, values: pd.Series) -> FloatArray:
        """Values by reader and video, float64 [readers, videos]; NaN where there is none."""
        chosen = readings["assisted"] == CONDITIONS.index(condition)
        by_place = pd.Series(
            values[chosen].to_numpy(np.float64),
            index=pd.MultiIndex.from_frame(readings.loc[chosen, ["reader", "video_id"]]),
        )
        table: FloatArray = by_place.reindex(places).to_numpy(np.float64).reshape(len(readers), len(video_ids))
        return table

    ranks = {c: crossed(c, readings["birads"].map(BIRADS_CATEGORIES.index)) for c in conditions}
    for condition, table in ranks.items():
        for reader, missing in _gaps(readers, video_ids, table):
            raise EvaluationError(
                f"{path}: reader {reader!r} has not read {len(missing)} of {len(video_ids)} videos {condition}: "
                f"{_listed(missing)}. Add these readings, or remove the videos from the predictions."
            )
    times = {c: crossed(c, readings["reading_time_s"]) for c in conditions} if "reading_time_s" in readings else {}
    times = {condition: table for condition, table in times.items() if not np.isnan(table).all()}
    for condition, table in times.items():
        for reader, missing in _gaps(readers, video_ids, table):
            raise EvaluationError(
                f"{path}, column 'reading_time_s': reader {reader!r} has no time for {len(missing)} of "
                f"{len(video_ids)} videos read {condition}: {_listed(missing)}. Fill these cells in, or empty the "
                f"column for all readings {condition}."
            )
    if "assisted" in times and "alone" not in times:
        raise EvaluationError(
            f"{path}, column 'reading_time_s': there are times of assisted readings only. Give those of unassisted "
            "readings too, or empty the column."
        )
    return Readings(readers, {condition: table.astype(np.intp) for condition, table in ranks.items()}, times)


def _gaps(readers: tuple[str, ...], video_ids: pd.Series, table: FloatArray) -> Iterator[tuple[str, list[str]]]:
    """Every reader with NaN in its row, and the videos where."""
    for reader, row in zip(readers, table, strict=True):
        if np.isnan(row).any():
            yield reader, video_ids.to_numpy()[np.isnan(row)].tolist()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
