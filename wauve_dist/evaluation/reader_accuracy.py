"""What a reader, or the average reader, achieves alone and with the model's score.

A reader is an operating point: BI-RADS 4A and above is a malignant call. The average reader pools the readings of
several readers; its binomial intervals and tests take R readings of a case for R cases, so intervals and tests that
keep the readings of a patient together stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wauve_dist.evaluation.calls import CallComparison, compare_calls
from wauve_dist.evaluation.inputs import BoolArray
from wauve_dist.evaluation.operating_point import OperatingPoint, Threshold, evaluate_operating_point

# A call of 0 or 1 is a score, and 1 its threshold.
BIRADS_THRESHOLD = Threshold(1.0, "BI-RADS 4A and above", same_data=False)


@dataclass(frozen=True)
class ReaderFigures:
    """One reader, or the average reader.

    Attributes:
        figures: condition to the figures at the reader's operating point.
        against_model: condition to the comparison of reader (first) and model (second).
        against_alone: assisted (first) compared with alone (second); empty where the study has no assisted reading.
    """

    figures: dict[str, OperatingPoint]
    against_model: dict[str, list[CallComparison]]
    against_alone: list[CallComparison]


def evaluate_reader(
    calls: Mapping[str, BoolArray],
    positive: BoolArray,
    patients: NDArray[np.generic],
    model_called: BoolArray,
    *,
    seed: int,
    num_resamples: int,
) -> ReaderFigures:
    """Judge the calls of one reader, or of several, pooled.

    Args:
        calls: condition to True where a biopsy is called for, bool [readers, V].
        positive: True for malignant, bool [V].
        patients: the patient of each video, [V].
        model_called: True where the model calls it malignant at its threshold, bool [V].
        seed: of the resamples.
        num_resamples: of each bootstrap.
    """
    num_readers = len(calls["alone"])
    truth, groups, model = (np.tile(values, num_readers) for values in (positive, patients, model_called))
    pooled = {condition: called.ravel() for condition, called in calls.items()}
    return ReaderFigures(
        figures={
            condition: evaluate_operating_point(
                truth, called, BIRADS_THRESHOLD, groups, seed=seed, num_resamples=num_resamples
            )
            for condition, called in pooled.items()
        },
        against_model={condition: compare_calls(truth, called, model, groups) for condition, called in pooled.items()},
        against_alone=(
            compare_calls(truth, pooled["assisted"], pooled["alone"], groups) if "assisted" in pooled else []
        ),
    )
