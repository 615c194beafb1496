"""Reporting guidelines, filled in where a run knows the answer and marked open where only the authors do."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import pandas as pd

from wauve_dist import __version__
from wauve_dist.reporting.checklist_items import GUIDELINES
from wauve_dist.reporting.findings import Findings
from wauve_dist.reporting.statements import known_limits
from wauve_dist.reporting.subgroup_section import group_names
from wauve_dist.reporting.wording import count, decimal, headline, interval, percent, threshold_words

ANSWERED, PARTLY, OPEN = "answered", "in part", "open"


class Checklist(NamedTuple):
    """A guideline as far as a run answers it.

    Attributes:
        guideline: its name.
        items: columns ``item``, ``asks``, ``status`` (``answered``, ``in part`` or ``open``) and ``answer``.
    """

    guideline: str
    items: pd.DataFrame

    @property
    def table(self) -> str:
        """Name of its table."""
        return "checklist_" + re.sub(r"\W+", "_", self.guideline.lower())

    @property
    def counts(self) -> dict[str, int]:
        """Items of every status."""
        found = Counter(self.items["status"])
        return {status: found[status] for status in (ANSWERED, PARTLY, OPEN)}


def fill_checklists(findings: Findings) -> list[Checklist]:
    """Fill in TRIPOD+AI, CLAIM 2024 and STARD-AI."""
    known = facts(findings)
    filled = []
    for guideline, items in GUIDELINES.items():
        rows = []
        for item in items:
            answer = known.get(item.evidence, "")
            status = OPEN if not answer else PARTLY if item.is_partial else ANSWERED
            rows.append({"item": item.number, "asks": item.asks, "status": status, "answer": answer})
        filled.append(Checklist(guideline, pd.DataFrame(rows)))
    return filled


def facts(findings: Findings) -> dict[str, str]:
    """What a run knows, each in a sentence; what it does not know is absent."""
    scored, metrics = findings.scored, findings.metrics
    result = findings.results[findings.main]
    point = result.operating_point
    confusion = point.confusion
    auc = result.auc
    no_lesion = f"No lesion was found in {count(result.num_no_lesion, 'video')}, counted as score 0, a benign call."
    found = {
        "numbers": f"{count(len(scored.videos), 'video')} of {count(metrics['patients'], 'patient')}, "
        f"{metrics['positives']} malignant.",
        "missing": f"{count(scored.num_unlabelled, 'video')} without a label left out. {no_lesion}",
        "no_lesion": no_lesion,
        "characteristics": "tables/population*.csv, with unknown values counted.",
        "measures": "AUC, partial AUC, average precision, sensitivity, specificity, predictive values, accuracy, F1, "
        "Brier score, net benefit" + (", calibration slope and intercept." if result.calibration else "."),
        "uncertainty": "95 % intervals of every figure; methods written out in report.html.",
        "threshold": f"A score of {point.threshold.value:.4g} and above is called malignant; the threshold was "
        f"{threshold_words(point.threshold)}.",
        "performance": f"AUC {decimal(auc.value)} ({interval(auc.ci_low, auc.ci_high, False)}); "
        + "; ".join(f"{row['name']} {row['value']} ({row['interval']})" for row in headline(result))
        + ".",
        "cross_table": f"{confusion.tp} found, {confusion.fn} missed, {confusion.fp} false alarms, {confusion.tn} "
        "cleared.",
        "failures": f"{confusion.fn} missed and {confusion.fp} false alarms, shown first in report.html and listed in "
        "tables/videos.csv.",
        "software": f"Evaluated with wauve_dist {__version__}.",
        "limits": " ".join(known_limits(findings)),
        "audit": "Score, call and outcome of every video are in tables/videos.csv; the hashes of all inputs in "
        "metrics.json.provenance.json.",
    }
    return found | _of_the_data(scored.videos) | _of_the_groups(metrics)


def _of_the_data(videos: pd.DataFrame) -> dict[str, str]:
    found = {}
    for column in ("site", "vendor"):
        if column in videos and videos[column].notna().any():
            names = sorted(videos[column].dropna().unique())
            found[f"{column}s"] = f"{count(len(names), column)}: {', '.join(names)}."
    if "pathology" in videos and videos.loc[videos["label"] == 0, "pathology"].notna().any():
        found["pathology"] = "Pathology of the benign lesions: tables/population.csv."
    if "split" in videos and len(set(videos["split"].dropna())) > 1:
        num_splits = videos.groupby("patient_id")["split"].nunique()
        sizes = ", ".join(f"{split} {number}" for split, number in videos["split"].value_counts(sort=False).items())
        found["partition"] = (
            f"Videos by split: {sizes}. {count(int((num_splits > 1).sum()), 'patient')} with videos in several splits; "
            "compared in tables/population_by_split.csv."
        )
    return found


def _of_the_groups(metrics: dict[str, Any]) -> dict[str, str]:
    if "subgroups" not in metrics:
        return {}
    names = list(metrics["subgroups"])
    found = {"groups": f"Accuracy by {', '.join(names)}, with tests: tables/subgroups.csv."}
    if "site" in names:
        groups = metrics["subgroups"]["site"]
        rates = {
            name: [percent(groups[name][metric]["value"]) for metric in ("sensitivity", "specificity")]
            for name in group_names(groups)
        }
        sites = ", ".join(
            f"{name} {sensitivity} and {specificity}" for name, (sensitivity, specificity) in rates.items()
        )
        found["by_site"] = f"Sensitivity and specificity by site: {sites}; tests in tables/subgroups.csv."
    return found
