"""Everything that an evaluation computes, before anything of it is drawn or written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from wauve_dist.evaluation.groupings import MAX_LEVELS, Grouping
from wauve_dist.evaluation.model_accuracy import ModelAccuracy, ModelComparison, compare_models, evaluate_model
from wauve_dist.evaluation.population import Characteristic, compare_populations
from wauve_dist.evaluation.reader_study import ReaderStudy, evaluate_readers
from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.evaluation.subgroups import Subgroup, evaluate_subgroup
from wauve_dist.reporting.detector_section import DetectorAccuracy, detector_document, evaluate_detector
from wauve_dist.reporting.metrics import metrics_document
from wauve_dist.reporting.multiplicity import add_adjusted_p_values
from wauve_dist.reporting.population_section import population_document
from wauve_dist.reporting.reader_section import reader_document
from wauve_dist.reporting.request import EvaluationInputs, EvaluationRequest, threshold_of
from wauve_dist.reporting.subgroup_section import subgroup_document
from wauve_dist.structures.tables import SPLITS


@dataclass(frozen=True)
class Findings:
    """The figures of an evaluation.

    Attributes:
        scored: the videos.
        results: model to its figures; the first is the one that the report is about.
        comparisons: of every pair of models.
        detector: of the first model, or None.
        study: the readers, or None.
        subgroups: of the first model.
        populations: name of a grouping to the characteristics of its groups.
        metrics: all of this as ``metrics.json``.
    """

    scored: ScoredVideos
    results: dict[str, ModelAccuracy]
    comparisons: list[ModelComparison]
    detector: DetectorAccuracy | None
    study: ReaderStudy | None
    subgroups: list[Subgroup]
    populations: dict[str, list[Characteristic]]
    metrics: dict[str, Any]

    @property
    def main(self) -> str:
        """The model that the report is about."""
        return next(iter(self.results))


def compute(request: EvaluationRequest, inputs: EvaluationInputs) -> Findings:
    """Compute every figure that was asked for.

    Raises:
        EvaluationError: the data do not allow a figure that was asked for.
    """
    scored, readings = inputs.scored, inputs.readings
    sampling = {"seed": request.seed, "num_resamples": request.num_resamples}
    detector = evaluate_detector(inputs.boxes, scored, **sampling, fps=request.fps) if inputs.boxes else None
    threshold_for = partial(threshold_of, request, readings)
    results = {model: evaluate_model(scored, model, threshold_for, **sampling) for model in scored.scores}
    comparisons = compare_models(scored, results)
    main, result = next(iter(results.items()))
    threshold = result.operating_point.threshold
    study = None
    if readings is not None:
        called = scored.scores[main] >= threshold.value
        study = evaluate_readers(readings, scored.positive, scored.patients, called, **sampling)
    subgroups = [
        evaluate_subgroup(grouping, scored.positive, scored.scores[main], scored.patients, threshold, **sampling)
        for grouping in inputs.groupings
    ]
    populations = {
        grouping.name: compare_populations(scored.videos.drop(columns=grouping.column), grouping.levels)
        for grouping in inputs.groupings + origins(scored.videos, {g.name for g in inputs.groupings})
    }
    metrics = metrics_document(
        scored,
        results,
        comparisons,
        detector_document(detector) if detector else None,
        reader_document(study) if study else None,
        subgroup_document(subgroups) if subgroups else None,
        population_document(populations) or None,
    )
    if request.adjustment != "none":
        add_adjusted_p_values(metrics, request.adjustment)
    return Findings(scored, results, comparisons, detector, study, subgroups, populations, metrics)


def origins(videos: pd.DataFrame, named: Collection[str]) -> list[Grouping]:
    """Groups by split and by site, where the videos have several, for the table of who was examined.

    Args:
        videos: see ``ScoredVideos``.
        named: groupings that are there already.
    """
    groupings = []
    for column in ("split", "site"):
        if column not in videos or column in named:
            continue
        present = videos[column].dropna().unique().tolist()
        ordered = [split for split in SPLITS if split in present] if column == "split" else sorted(present)
        levels = {level: np.asarray(videos[column] == level, dtype=bool) for level in ordered}
        if 2 <= len(levels) <= MAX_LEVELS:
            groupings.append(Grouping(column, column, levels, int(videos[column].isna().sum())))
    return groupings
