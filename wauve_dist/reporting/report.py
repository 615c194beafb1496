"""From predictions to a report: metrics.json, report.html, tables/*.csv, figures/*.{png,svg}."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from wauve_dist.evaluation.detection import ap50_interval, coco_average_precision
from wauve_dist.evaluation.groupings import parse_groupings
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray
from wauve_dist.evaluation.model_accuracy import compare_models, evaluate_model
from wauve_dist.evaluation.operating_point import PROPORTIONS, Threshold, choose_threshold, given_threshold
from wauve_dist.evaluation.population import compare_populations
from wauve_dist.evaluation.reader_study import MATCH_READERS, evaluate_readers, match_readers
from wauve_dist.evaluation.readings import cross_readings
from wauve_dist.evaluation.scored_videos import ScoredVideos, read_scored_videos
from wauve_dist.evaluation.subgroups import evaluate_subgroup
from wauve_dist.reporting.cases import Case, cases_of, read_clips
from wauve_dist.reporting.figures import calibration_figure, rendered, roc_figure, score_figure
from wauve_dist.reporting.metrics import metrics_document
from wauve_dist.reporting.multiplicity import add_adjusted_p_values
from wauve_dist.reporting.page import render_page
from wauve_dist.reporting.population import population_table
from wauve_dist.reporting.population_section import population_document, population_rows
from wauve_dist.reporting.reader_figures import kappa_figure, reader_roc_figure
from wauve_dist.reporting.reader_section import reader_document, reader_tables
from wauve_dist.reporting.subgroup_figures import forest_figure
from wauve_dist.reporting.subgroup_section import subgroup_document, subgroup_table
from wauve_dist.structures.annotations import Annotations, read_annotations
from wauve_dist.structures.provenance import atomic_write, claim_folder, sha256_of, write_provenance
from wauve_dist.structures.tables import DETECTIONS, READERS, read_table

# Each resample passes over every detection of every frame, of which there are far more than videos.
_MAX_AP_RESAMPLES = 999
_ACCURACY_COLUMNS = ("value", "ci_low", "ci_high", "k", "n", "method", "resamples")


def evaluate(
    predictions: Sequence[Path],
    out: Path,
    *,
    threshold: float | None,
    threshold_rule: str | None,
    split: str | None,
    detections: Path | None,
    annotations: Path | None,
    num_resamples: int,
    seed: int,
    readers: Path | None = None,
    subgroups: str | None = None,
    adjustment: str = "none",
) -> dict[str, Any]:
    """Evaluate the predictions of one or several models on the same videos and write the report.

    Every number is computed and every picture drawn before the first file is written; ``metrics.json`` comes last.

    Args:
        predictions: a predictions table per model; the report's pages on single videos are about the first.
        out: a new or empty folder.
        threshold: fixed beforehand; None: ``threshold_rule`` chooses.
        threshold_rule: see ``choose_threshold``, or ``match-readers``; chosen per model, on the same data, and flagged
            as such.
        split: count only this split; None: all videos.
        detections: DETECTIONS table of the first model's detector; needs ``annotations``.
        annotations: COCO-VID file with the true boxes.
        num_resamples: of each bootstrap; the detector's AP50 takes at most 999.
        seed: of all resamples.
        readers: READERS table of the same videos, compared with the first model.
        subgroups: comma-separated expressions (see ``evaluation.groupings``), for the first model.
        adjustment: for looking at many p-values: ``holm``, ``benjamini-hochberg``, ``bonferroni`` or ``none``.

    Returns:
        The content of ``metrics.json``.

    Raises:
        TableError: an input breaks the contract of its table.
        EvaluationError: inputs that contradict each other, or that do not allow a figure that was asked for.
        FileExistsError: ``out`` holds something.
    """
    if (threshold is None) == (threshold_rule is None):
        raise EvaluationError("give either --threshold or --threshold-rule, not both.")
    if (detections is None) != (annotations is None):
        raise EvaluationError("--detections and --annotations go together: found boxes are judged by true ones.")
    scored = read_scored_videos(predictions, split)
    clips = read_clips(predictions[0])
    readings = cross_readings(read_table(readers, READERS), scored.videos["video_id"], readers) if readers else None
    groupings = parse_groupings(subgroups, scored.videos) if subgroups else []
    claim_folder(out)
    detection = None
    if detections is not None and annotations is not None:
        detection = _evaluate_detector(detections, read_annotations(annotations), scored, num_resamples, seed)

    def threshold_of(positive: BoolArray, scores: FloatArray) -> Threshold:
        if threshold is not None:
            return given_threshold(threshold)
        assert threshold_rule is not None
        if threshold_rule == MATCH_READERS:
            if readings is None:
                raise EvaluationError(f"--threshold-rule {MATCH_READERS}: give the readings to match with --readers.")
            return match_readers(positive, scores, readings)
        return choose_threshold(positive, scores, threshold_rule)

    results = {
        model: evaluate_model(scored, model, threshold_of, seed=seed, num_resamples=num_resamples)
        for model in scored.scores
    }
    comparisons = compare_models(scored, results)
    main = next(iter(results))
    point = results[main].operating_point
    study = None
    if readings is not None:
        called = scored.scores[main] >= point.threshold.value
        study = evaluate_readers(
            readings, scored.positive, scored.patients, called, seed=seed, num_resamples=num_resamples
        )
    judged = [
        evaluate_subgroup(
            grouping,
            scored.positive,
            scored.scores[main],
            scored.patients,
            point.threshold,
            seed=seed,
            num_resamples=num_resamples,
        )
        for grouping in groupings
    ]
    metrics = metrics_document(
        scored,
        results,
        comparisons,
        detection,
        reader_document(study) if study else None,
        subgroup_document(judged) if judged else None,
        population_document(
            {g.name: compare_populations(scored.videos.drop(columns=g.column), g.levels) for g in groupings}
        )
        or None,
    )
    thumbnails = predictions[0].parent / "thumbnails"
    cases = cases_of(scored, main, point.threshold.value, clips, thumbnails)

    if adjustment != "none":
        add_adjusted_p_values(metrics, adjustment)
    figures = {"roc": rendered(roc_figure(results)), "scores": rendered(score_figure(scored, results))}
    if any(result.calibration for result in results.values()):
        figures["calibration"] = rendered(calibration_figure(results))
    if study is not None:
        figures["readers"] = rendered(reader_roc_figure(main, results[main], study))
        if study.kappas:
            figures["kappa"] = rendered(kappa_figure(study))
    if judged:
        figures["subgroups"] = rendered(forest_figure(results[main], judged))
    population = population_table(scored.videos)
    made_from = {f"predictions {model}": path for model, path in zip(results, predictions, strict=True)}
    made_from |= {
        role: path
        for role, path in (("detections", detections), ("annotations", annotations), ("readers", readers))
        if path is not None
    }
    page = render_page(
        scored=scored,
        results=results,
        comparisons=metrics["comparisons"],
        adjustment=adjustment,
        detection=detection,
        readers=metrics.get("readers"),
        subgroups=metrics.get("subgroups"),
        populations=metrics.get("populations"),
        cases=cases,
        figures={name: figure.data_uri for name, figure in figures.items()},
        population=population,
        has_clips=clips is not None,
        has_thumbnails=thumbnails.is_dir(),
        fingerprints={role: sha256_of(path) for role, path in made_from.items()},
        seed=seed,
    )
    for name, figure in figures.items():
        _write(out / "figures" / f"{name}.svg", figure.svg)
        _write(out / "figures" / f"{name}.png", figure.png)
    for name, table in _tables(population, metrics, cases).items():
        _write(out / "tables" / f"{name}.csv", table.to_csv(index=False).encode())
    _write(out / "report.html", page.encode())
    _write(out / "metrics.json", (json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode())
    settings = {"threshold": threshold, "threshold_rule": threshold_rule, "split": split}
    settings |= {"subgroups": subgroups, "adjustment": adjustment}
    write_provenance(out / "metrics.json", made_from, **settings, num_resamples=num_resamples, seed=seed)
    return metrics


def _evaluate_detector(
    path: Path, annotations: Annotations, scored: ScoredVideos, num_resamples: int, seed: int
) -> dict[str, Any]:
    table = read_table(path, DETECTIONS)
    patients = dict(zip(scored.videos["video_id"], scored.videos["patient_id"], strict=True))
    annotated = set(annotations.frames["video_id"])
    counted = {video_id: patient for video_id, patient in patients.items() if video_id in annotated}
    if not counted:
        raise EvaluationError(
            f"{path}: none of the {len(patients)} predicted videos is annotated. Give the annotations of these videos."
        )
    precision = coco_average_precision(annotations, table, counted)
    limits = ap50_interval(annotations, table, counted, seed=seed, num_resamples=min(num_resamples, _MAX_AP_RESAMPLES))
    return {
        **precision,
        "ap50_interval": asdict(limits),
        "num_videos": len(counted),
        "num_videos_without_annotation": len(patients) - len(counted),
    }


def _tables(population: pd.DataFrame, metrics: Mapping[str, Any], cases: Sequence[Case]) -> dict[str, pd.DataFrame]:
    accuracy = pd.DataFrame(
        [
            {"model": model, "metric": name, **{key: figures[name].get(key) for key in _ACCURACY_COLUMNS}}
            for model, figures in metrics["models"].items()
            for name in ("auc", "auc_delong", *PROPORTIONS, "f1")
            if name in figures
        ]
    )
    videos = pd.DataFrame(
        [
            {
                "video_id": case.video_id,
                "patient_id": case.patient_id,
                "label": int(case.malignant),
                "score": case.score,
                "call": int(case.called),
                "outcome": case.outcome,
                "no_lesion_found": int(case.no_lesion),
                "num_clips": case.num_clips,
            }
            for case in cases
        ]
    ).sort_values("video_id")
    tables = {"population": population, "accuracy": accuracy, "videos": videos}
    if metrics["comparisons"]:
        tables["comparisons"] = pd.DataFrame(metrics["comparisons"])
    if "readers" in metrics:
        tables |= reader_tables(metrics["readers"])
    if "subgroups" in metrics:
        tables["subgroups"] = subgroup_table(metrics["subgroups"])
        for number, (_, document) in enumerate(metrics["populations"].items(), start=1):
            rows = population_rows(document)
            tables[f"population_by_group_{number}"] = pd.DataFrame([{**row, **row.pop("groups")} for row in rows])
    return tables


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
