"""What a finished reader study tells of the power of the next one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.mrmc import MRMCResult, obuchowski_rockette
from wauve_dist.evaluation.readings import cross_readings
from wauve_dist.evaluation.sample_size import mrmc_power
from wauve_dist.evaluation.scored_videos import read_scored_videos
from wauve_dist.structures.tables import READERS, read_table


class PilotStudy(NamedTuple):
    """The gain of assisted over unassisted readers in a study, and its cases."""

    result: MRMCResult
    num_cases: int

    def power(self, difference: float, num_readers: int, num_cases: int, alpha: float = 0.05) -> float:
        """Power of a study of this kind with other numbers (see ``sample_size.mrmc_power``)."""
        return mrmc_power(self.result, self.num_cases, difference, num_readers, num_cases, alpha)


def read_pilot_study(predictions: Path, readers: Path) -> PilotStudy:
    """Analyse the BI-RADS categories of a pilot, alone and assisted.

    Args:
        predictions: a PREDICTIONS table, for labels and patients.
        readers: a READERS table of the same videos with both conditions and at least two readers.

    Raises:
        TableError: a table breaks its contract.
        EvaluationError: tables that contradict each other, or without assisted readings or a second reader.
    """
    scored = read_scored_videos([predictions])
    readings = cross_readings(read_table(readers, READERS), scored.videos["video_id"], readers)
    if "assisted" not in readings.ranks or len(readings.readers) < 2:
        raise EvaluationError(f"{readers}: a pilot needs two readers at least, each alone and assisted.")
    ratings = np.stack([readings.ranks["assisted"], readings.ranks["alone"]]).astype(np.float64)
    return PilotStudy(obuchowski_rockette(scored.positive, ratings, scored.patients), len(scored.videos))
