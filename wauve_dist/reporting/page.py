"""The HTML page: one file, nothing fetched, fit for print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from wauve_dist import __version__
from wauve_dist.reporting import statements, wording
from wauve_dist.reporting.cases import MAX_THUMBNAILS, OUTCOMES, Case
from wauve_dist.reporting.checklists import Checklist
from wauve_dist.reporting.detector_page import detector_rows
from wauve_dist.reporting.findings import Findings
from wauve_dist.reporting.population_section import population_rows
from wauve_dist.reporting.reader_page import reader_methods, reader_page
from wauve_dist.reporting.subgroup_page import subgroup_methods, subgroup_page

_BIRADS_WORDS = ("BI-RADS 3 | 4A", "4A | 4B", "4B | 4C", "4C | 5")


def render_page(
    findings: Findings,
    *,
    adjustment: str,
    cases: Sequence[Case],
    figures: Mapping[str, str],
    population: pd.DataFrame,
    has_clips: bool,
    has_thumbnails: bool,
    fingerprints: Mapping[str, str],
    checklists: Sequence[Checklist],
    seed: int,
) -> str:
    """Render ``report.html``.

    Args:
        findings: everything that was computed.
        adjustment: of p-values, by name.
        cases: the videos in the order of the table.
        figures: name to data URI.
        population: see ``population_table``.
        has_clips: clip scores were there.
        has_thumbnails: a thumbnails folder was there.
        fingerprints: role of an input file to its SHA-256.
        checklists: the reporting guidelines, filled in.
        seed: of the resamples.
    """
    scored, results, metrics = findings.scored, findings.results, findings.metrics
    detection, readers, subgroups = (metrics.get(part) for part in ("detection", "readers", "subgroups"))
    # Groups of subgroups are described beside their figures.
    populations = {name: part for name, part in metrics.get("populations", {}).items() if name not in (subgroups or {})}
    environment = Environment(
        loader=PackageLoader("wauve_dist", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(decimal=wording.decimal, percent=wording.percent, p_value=wording.p_value)
    environment.globals["interval"] = wording.interval
    main, result = next(iter(results.items()))
    return environment.get_template("report.html.j2").render(
        main=main,
        result=result,
        point=result.operating_point,
        pairs=wording.pairs_of_hundred(result.auc.value),
        results=results,
        headlines={model: wording.headline(other) for model, other in results.items()},
        threshold_words=wording.threshold_words(result.operating_point.threshold),
        comparisons={
            f"{a} minus {b}": list(rows)
            for (a, b), rows in groupby(metrics["comparisons"], lambda row: (row["a"], row["b"]))
        },
        net_benefits=[
            {**row, "boundary": words}
            for row, words in zip(
                metrics["models"][main]["decision_curve"]["at_birads_boundaries"], _BIRADS_WORDS, strict=True
            )
        ],
        detection=detection,
        detection_rows=detector_rows(detection) if detection else None,
        readers=reader_page(readers, main, result.operating_point) if readers else None,
        subgroups=subgroup_page(subgroups, metrics["populations"]) if subgroups else None,
        origins=[
            {"name": name, "groups": list(rows[0]["groups"]), "rows": rows}
            for name, rows in ((name, population_rows(document)) for name, document in populations.items())
        ],
        cases=cases,
        outcomes=OUTCOMES,
        num_pictures=sum(bool(case.thumbnail) for case in cases),
        max_pictures=MAX_THUMBNAILS,
        figures=figures,
        population=population.to_dict("records"),
        num_videos=len(scored.videos),
        num_patients=int(scored.videos["patient_id"].nunique()),
        num_positive=int(scored.positive.sum()),
        cautions=statements.cautions(scored, results),
        methods=statements.methods(findings, seed, adjustment)
        + (reader_methods(readers) if readers else [])
        + (subgroup_methods(subgroups) if subgroups else []),
        absent=statements.not_computed(findings, has_clips, has_thumbnails),
        fingerprints=fingerprints,
        checklists=[{"name": c.guideline, "counts": c.counts, "rows": c.items.to_dict("records")} for c in checklists],
        version=__version__,
    )
