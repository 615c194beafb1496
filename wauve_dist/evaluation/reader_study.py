"""What readers achieve alone and with the model's score, and how far they agree.

The average reader pools the readings of all readers (see ``reader_accuracy``), as the paper does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wauve_dist.evaluation.agreement import Agreement, cohens_kappa, fleiss_kappa, intraclass_correlations
from wauve_dist.evaluation.auc import AUCEstimate
from wauve_dist.evaluation.delong import delong_auc
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, IntArray
from wauve_dist.evaluation.mrmc import MRMCResult, RandomFactors, dorfman_berbaum_metz, obuchowski_rockette
from wauve_dist.evaluation.operating_point import Threshold
from wauve_dist.evaluation.reader_accuracy import ReaderFigures, evaluate_reader
from wauve_dist.evaluation.reading_times import ReadingTimes, evaluate_reading_times
from wauve_dist.evaluation.readings import BIOPSY_RANK, Readings
from wauve_dist.structures.tables import BIRADS_CATEGORIES

MATCH_READERS = "match-readers"  # the threshold rule of that name


@dataclass(frozen=True)
class PairKappa:
    """Agreement of two readers under one condition."""

    first: str
    second: str
    condition: str
    weights: str
    kappa: Agreement


@dataclass(frozen=True)
class Adjustments:
    """How one reader moved the BI-RADS category of cases of one class after seeing the model's score.

    Attributes:
        transitions: int64 [6, 6]: how often category i alone became category j assisted.
    """

    transitions: IntArray

    @property
    def num_unchanged(self) -> int:
        """Cases whose category stayed."""
        return int(np.trace(self.transitions))

    @property
    def num_upgrades(self) -> int:
        """Cases that moved to a higher category."""
        return int(np.triu(self.transitions, 1).sum())

    @property
    def num_downgrades(self) -> int:
        """Cases that moved to a lower category."""
        return int(np.tril(self.transitions, -1).sum())

    @property
    def num_biopsies_added(self) -> int:
        """Cases that moved from follow-up (3 and below) to biopsy (4A and above)."""
        return int(self.transitions[:BIOPSY_RANK, BIOPSY_RANK:].sum())

    @property
    def num_biopsies_avoided(self) -> int:
        """Cases that moved from biopsy to follow-up: a gain in benign cases, a missed cancer in malignant ones."""
        return int(self.transitions[BIOPSY_RANK:, :BIOPSY_RANK].sum())


@dataclass(frozen=True)
class ReaderStudy:
    """Everything about the readers.

    Attributes:
        readers: name to figures.
        average: the pooled reader; ``by_patient`` of its figures are limits that keep a patient's readings together.
        aucs: reader to condition to the AUC of the BI-RADS categories; empty where a class has a single patient.
        kappas: every pair of readers, condition and weighting.
        fleiss: condition to Fleiss' kappa of all readers; empty for a single reader.
        icc: condition to form to intraclass correlation of the BI-RADS ranks; empty for a single reader.
        adjustments: reader to class (``benign``, ``malignant``) to the shifts; empty without assisted readings.
        mrmc: assisted (first treatment) minus alone (second), AUC of the BI-RADS ranks, by design and method;
            empty without assisted readings or with a single reader.
        times: how long the readings took; None without times.
    """

    readers: dict[str, ReaderFigures]
    average: ReaderFigures
    aucs: dict[str, dict[str, AUCEstimate]]
    kappas: list[PairKappa]
    fleiss: dict[str, Agreement]
    icc: dict[str, dict[str, Agreement]]
    adjustments: dict[str, dict[str, Adjustments]]
    mrmc: list[MRMCResult]
    times: ReadingTimes | None


def match_readers(positive: BoolArray, scores: FloatArray, readings: Readings) -> Threshold:
    """Choose the threshold at which the model's sensitivity is nearest to that of the readers' average, unassisted.

    Of equally near sensitivities the lower threshold, with the higher sensitivity, is taken; of thresholds with the
    same sensitivity the highest, which calls the fewest benign cases.

    Raises:
        EvaluationError: every malignant score is 0.
    """
    target = readings.called("alone")[:, positive].mean()
    candidates = np.unique(scores[positive & (scores > 0)])
    if not len(candidates):
        raise EvaluationError(f"--threshold-rule {MATCH_READERS}: the model scores every malignant video 0.")
    sensitivity = np.array([np.mean(scores[positive] >= candidate) for candidate in candidates])
    nearest = int(np.argmin(np.round(np.abs(sensitivity - target), 12)))
    return Threshold(float(candidates[nearest]), MATCH_READERS, same_data=True)


def evaluate_readers(
    readings: Readings,
    positive: BoolArray,
    patients: NDArray[np.generic],
    model_called: BoolArray,
    *,
    seed: int,
    num_resamples: int = 9999,
) -> ReaderStudy:
    """Compute the whole reader study.

    Args:
        readings: of V videos.
        positive: True for malignant, bool [V].
        patients: the patient of each video, [V].
        model_called: True where the model calls it malignant at its threshold, bool [V].
        seed: of the resamples.
        num_resamples: of each bootstrap.
    """
    judge = partial(
        evaluate_reader,
        positive=positive,
        patients=patients,
        model_called=model_called,
        seed=seed,
        num_resamples=num_resamples,
    )
    calls = {condition: readings.called(condition) for condition in readings.ranks}
    several = len(readings.readers) > 1
    return ReaderStudy(
        readers={
            reader: judge({condition: called[row : row + 1] for condition, called in calls.items()})
            for row, reader in enumerate(readings.readers)
        },
        average=judge(calls),
        aucs=_aucs(readings, positive, patients),
        kappas=_pair_kappas(readings),
        fleiss=(
            {c: fleiss_kappa(ranks.T, range(len(BIRADS_CATEGORIES))) for c, ranks in readings.ranks.items()}
            if several
            else {}
        ),
        icc={c: intraclass_correlations(ranks.T) for c, ranks in readings.ranks.items()} if several else {},
        adjustments=_adjustments(readings, positive),
        mrmc=_mrmc(readings, positive, patients),
        times=evaluate_reading_times(
            readings, positive, patients, model_called, seed=seed, num_resamples=num_resamples
        ),
    )


def _aucs(readings: Readings, positive: BoolArray, patients: NDArray[np.generic]) -> dict[str, dict[str, AUCEstimate]]:
    if any(len(np.unique(patients[of])) < 2 for of in (positive, ~positive)):
        return {}
    return {
        reader: {c: delong_auc(positive, ranks[row], patients) for c, ranks in readings.ranks.items()}
        for row, reader in enumerate(readings.readers)
    }


def _pair_kappas(readings: Readings) -> list[PairKappa]:
    ranks = range(len(BIRADS_CATEGORIES))
    return [
        PairKappa(
            readings.readers[i],
            readings.readers[j],
            condition,
            weights,
            cohens_kappa(table[i].tolist(), table[j].tolist(), ranks, weights),
        )
        for condition, table in readings.ranks.items()
        for i, j in combinations(range(len(readings.readers)), 2)
        for weights in ("none", "linear", "quadratic")
    ]


def _adjustments(readings: Readings, positive: BoolArray) -> dict[str, dict[str, Adjustments]]:
    if "assisted" not in readings.ranks:
        return {}
    size = len(BIRADS_CATEGORIES)
    moves = readings.ranks["alone"] * size + readings.ranks["assisted"]
    return {
        reader: {
            kind: Adjustments(np.bincount(row[of], minlength=size**2).reshape(size, size))
            for kind, of in (("benign", ~positive), ("malignant", positive))
        }
        for reader, row in zip(readings.readers, moves, strict=True)
    }


def _mrmc(readings: Readings, positive: BoolArray, patients: NDArray[np.generic]) -> list[MRMCResult]:
    if "assisted" not in readings.ranks or len(readings.readers) < 2:
        return []
    ratings = np.stack([readings.ranks["assisted"], readings.ranks["alone"]]).astype(np.float64)
    designs: tuple[RandomFactors, ...] = ("readers and cases", "cases", "readers")
    return [
        *(obuchowski_rockette(positive, ratings, patients, random=random) for random in designs),
        obuchowski_rockette(positive, ratings, patients, covariance="delong"),
        dorfman_berbaum_metz(positive, ratings, patients),
    ]
