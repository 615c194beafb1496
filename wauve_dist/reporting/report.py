"""From predictions to a report: metrics.json, report.html, model_card.md, tables/*.{csv,tex}, figures/*.{png,svg}."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wauve_dist.reporting.cases import cases_of
from wauve_dist.reporting.checklists import fill_checklists
from wauve_dist.reporting.figures import RenderedFigure, calibration_figure, rendered, roc_figure, score_figure
from wauve_dist.reporting.findings import Findings, compute
from wauve_dist.reporting.latex import latex_table
from wauve_dist.reporting.model_card import model_card
from wauve_dist.reporting.page import render_page
from wauve_dist.reporting.population import population_table
from wauve_dist.reporting.reader_figures import kappa_figure, reader_roc_figure
from wauve_dist.reporting.report_tables import caption_of, report_tables
from wauve_dist.reporting.request import EvaluationRequest, read_inputs
from wauve_dist.reporting.subgroup_figures import forest_figure
from wauve_dist.reporting.utility_figures import decision_figure, froc_figure, precision_recall_figure
from wauve_dist.structures.provenance import atomic_write, claim_folder, sha256_of, write_provenance

_KINDS = ("svg", "png")


def evaluate(request: EvaluationRequest, out: Path) -> dict[str, Any]:
    """Evaluate the predictions of one or several models on the same videos and write the report.

    Every number is computed and every picture drawn before the first file is written; ``metrics.json`` comes last.

    Args:
        request: the files and what to compute of them.
        out: a new or empty folder.

    Returns:
        The content of ``metrics.json``.

    Raises:
        TableError: an input breaks the contract of its table.
        EvaluationError: inputs that contradict each other, or that do not allow a figure that was asked for.
        FileExistsError: ``out`` holds something.
    """
    inputs = read_inputs(request)
    claim_folder(out)
    findings = compute(request, inputs)
    metrics, point = findings.metrics, findings.results[findings.main].operating_point
    cases = cases_of(findings.scored, findings.main, point.threshold.value, inputs.clips, request.thumbnails)
    population = population_table(findings.scored.videos)
    figures = draw(findings)
    checklists = fill_checklists(findings)
    made_from = request.made_from(list(findings.results))
    fingerprints = {role: sha256_of(path) for role, path in made_from.items()}
    page = render_page(
        findings,
        adjustment=request.adjustment,
        cases=cases,
        figures={name: figure.data_uri for name, figure in figures.items()},
        population=population,
        has_clips=inputs.clips is not None,
        has_thumbnails=request.thumbnails.is_dir(),
        fingerprints=fingerprints,
        checklists=checklists,
        seed=request.seed,
    )
    files = {f"figures/{name}.{kind}": getattr(figure, kind) for name, figure in figures.items() for kind in _KINDS}
    tables = report_tables(findings, population, cases) | {each.table: each.items for each in checklists}
    for name, table in tables.items():
        files[f"tables/{name}.csv"] = table.to_csv(index=False).encode()
        files[f"tables/{name}.tex"] = latex_table(table, name, caption_of(name)).encode()
    files["model_card.md"] = model_card(findings, fingerprints).encode()
    files["report.html"] = page.encode()
    files["metrics.json"] = (json.dumps(metrics, indent=2, allow_nan=False) + "\n").encode()
    for name, content in files.items():
        with atomic_write(out / name) as temporary:
            temporary.write_bytes(content)
    write_provenance(out / "metrics.json", made_from, **request.settings)
    return metrics


def draw(findings: Findings) -> dict[str, RenderedFigure]:
    """Draw every figure for which there are numbers, by name."""
    results, study = findings.results, findings.study
    figures = {
        "roc": roc_figure(results),
        "scores": score_figure(findings.scored, results),
        "precision_recall": precision_recall_figure(results, float(findings.scored.positive.mean())),
        "decision_curve": decision_figure(results),
    }
    if any(result.calibration for result in results.values()):
        figures["calibration"] = calibration_figure(results)
    if findings.detector is not None:
        figures["froc"] = froc_figure(findings.detector.froc)
    if study is not None:
        figures["readers"] = reader_roc_figure(findings.main, results[findings.main], study)
        if study.kappas:
            figures["kappa"] = kappa_figure(study)
    if findings.subgroups:
        figures["subgroups"] = forest_figure(results[findings.main], findings.subgroups)
    return {name: rendered(figure) for name, figure in figures.items()}
