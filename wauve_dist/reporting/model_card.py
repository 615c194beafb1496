"""The model card: one page that goes where the model goes (Mitchell et al., FAT* 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wauve_dist import __version__
from wauve_dist.reporting.findings import Findings
from wauve_dist.reporting.population_section import population_rows
from wauve_dist.reporting.statements import known_limits
from wauve_dist.reporting.subgroup_section import group_names, typeset
from wauve_dist.reporting.wording import count, decimal, headline, interval, percent, threshold_words

_OPEN = "- **Open:** "


def model_card(findings: Findings, fingerprints: Mapping[str, str]) -> str:
    """Write the card of the model that a report is about, in Markdown.

    What a run cannot know, such as the use that is meant, stands there as open.

    Args:
        findings: everything that was computed.
        fingerprints: role of an input file to its SHA-256.
    """
    sections = {
        "Intended use": [
            f"{_OPEN}who is meant to use the model, on whom, and at which step of care.",
            f"{_OPEN}uses that are out of scope.",
            "- For research; not a medical device.",
        ],
        "Data it was judged on": _data(findings),
        "Accuracy": _accuracy(findings),
        "Threshold": _threshold(findings),
        "Groups of cases": _groups(findings.metrics),
        "Lesion detector": _detector(findings.metrics),
        "Known limits": [f"- {_escape(limit)}" for limit in known_limits(findings)],
        "Training data and training": [f"{_OPEN}the data, their time and place, and the training."],
        "Ethical considerations": [f"{_OPEN}consent, approval, fairness and the harm of wrong calls."],
        "How this card was made": [
            f"By wauve_dist {__version__} from the files with these SHA-256:",
            "",
            *(f"- {_escape(role)}: `{digest}`" for role, digest in fingerprints.items()),
            "",
            "Methods: report.html. Numbers: metrics.json.",
        ],
    }
    lines = [f"# Model card: {_escape(findings.main)}"]
    for heading, body in sections.items():
        if body:
            lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines) + "\n"


def _data(findings: Findings) -> list[str]:
    metrics = findings.metrics
    lines = [
        f"{count(metrics['n'], 'video')} of {count(metrics['patients'], 'patient')}, {metrics['positives']} malignant "
        f"({metrics['positives'] / metrics['n']:.1%})."
    ]
    for name in ("split", "site"):
        if name in metrics.get("populations", {}):
            rows = population_rows({"label": metrics["populations"][name]["label"]})
            groups = list(rows[0]["groups"])
            lines += ["", *_table([name, *groups], [[row["level"], *row["groups"].values()] for row in rows])]
    return lines


def _accuracy(findings: Findings) -> list[str]:
    rows = []
    result = findings.results[findings.main]
    rows.append(["AUC", decimal(result.auc.value), interval(result.auc.ci_low, result.auc.ci_high, False)])
    rows += [[row["name"], row["value"], row["interval"]] for row in headline(result)]
    area = result.average_precision
    rows.append(["Average precision", decimal(area.value), interval(area.ci_low, area.ci_high, False)])
    rows.append(["Brier score", decimal(result.brier), ""])
    if fit := result.calibration:
        for name, part in (("Calibration slope", fit.slope), ("Calibration intercept", fit.intercept)):
            rows.append([name, decimal(part.value, 2), interval(part.ci_low, part.ci_high, False)])
    return _table(["", "estimate", "95 % interval"], rows)


def _threshold(findings: Findings) -> list[str]:
    threshold = findings.results[findings.main].operating_point.threshold
    return [f"Called malignant from a score of {threshold.value:.4g} on, {threshold_words(threshold)}."]


def _groups(metrics: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            typeset(name),
            typeset(level),
            f"{groups[level]['positives']} / {groups[level]['n']}",
            decimal(groups[level]["auc"]["value"]),
            *(percent(groups[level][metric]["value"]) for metric in ("sensitivity", "specificity")),
        ]
        for name, groups in metrics.get("subgroups", {}).items()
        for level in group_names(groups)
    ]
    heading = ["groups by", "group", "malignant / all", "AUC", "sensitivity", "specificity"]
    return _table(heading, rows) if rows else []


def _detector(metrics: Mapping[str, Any]) -> list[str]:
    if "detection" not in metrics:
        return []
    found = metrics["detection"]
    limits = found["ap50_interval"]
    return [
        f"AP50 {decimal(found['ap50'])} ({interval(limits['ci_low'], limits['ci_high'], False)}) on "
        f"{found['num_frames']:,} annotated frames of {count(found['num_videos'], 'video')}."
    ]


def _table(heading: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(map(_escape, line)) + " |" for line in lines]


def _escape(text: str) -> str:
    """Names are the user's: in Markdown a bar ends a cell, and an angle bracket begins a tag."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
