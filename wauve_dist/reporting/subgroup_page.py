"""The subgroups on the HTML page: rows of its table and the sentences of its methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wauve_dist.evaluation.operating_point import PROPORTIONS
from wauve_dist.evaluation.subgroups import DROP, SMALL_CLASS, SUFFICIENT_POWER
from wauve_dist.reporting.population_section import population_rows
from wauve_dist.reporting.subgroup_section import TESTS, group_names, typeset
from wauve_dist.reporting.wording import count, decimal, interval, p_value, percent


def subgroup_page(document: Mapping[str, Any], populations: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the template ``subgroups.html.j2`` shows, one entry per expression.

    Args:
        document: the part ``subgroups`` of metrics.json.
        populations: the part ``populations``.
    """
    return [
        {
            "name": typeset(name),
            "rows": [_row(level, groups[level]) for level in group_names(groups)],
            "p": [
                {
                    "value": p_value(groups[TESTS][metric]["p"]),
                    "adjusted": p_value(groups[TESTS][metric]["p_adjusted"])
                    if "p_adjusted" in groups[TESTS][metric]
                    else "",
                    "method": groups[TESTS][metric]["method"],
                }
                for metric in ("auc", *PROPORTIONS)
            ],
            "notes": _notes(groups),
            "groups": [typeset(level) for level in group_names(groups)],
            "population": [
                {**row, "groups": list(row["groups"].values()), "p": p_value(row["p"]) if row["test"] else ""}
                for row in population_rows(populations[name])
            ],
        }
        for name, groups in document.items()
    ]


def subgroup_methods(document: Mapping[str, Any]) -> list[str]:
    """The methods paragraph on subgroups, from what was computed."""
    tests = sorted({test["method"] for groups in document.values() for test in groups[TESTS].values()})
    return [
        "Subgroups were judged at the threshold of the whole. Differences between the groups were tested by: "
        f"{'; '.join(tests)} (of two groups Fisher's exact test if one has fewer than {SMALL_CLASS} malignant or "
        f"benign cases). A group is marked where the power to find a sensitivity or specificity {100 * DROP:.0f} "
        f"points below that of the other groups is under {SUFFICIENT_POWER:.0%}: there, no visible difference is no "
        "evidence of none. Whether the groups are alike was tested for age, one per patient, by the t-test (more than "
        "two groups: analysis of variance), for other numbers by the Wilcoxon rank-sum (Kruskal-Wallis) test, for "
        "categories by Pearson's chi-square test."
    ]


def _row(level: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    auc = figures["auc"]
    return {
        "name": typeset(level),
        "size": f"{figures['positives']} / {figures['n']}",
        "underpowered": figures["underpowered"],
        "power": ", ".join(f"{metric} {percent(power)}" for metric, power in figures["power"].items()),
        "cells": [
            {
                "value": decimal(auc["value"]),
                "interval": interval(auc["ci_low"], auc["ci_high"], False),
            },
            *(
                {
                    "value": percent(figures[metric]["value"]),
                    "interval": interval(figures[metric]["ci_low"], figures[metric]["ci_high"], True),
                }
                for metric in PROPORTIONS
            ),
        ],
    }


def _notes(groups: Mapping[str, Any]) -> list[str]:
    notes = []
    if groups["not_in_a_group"]:
        notes.append(f"{count(groups['not_in_a_group'], 'video')} in no group: the value is missing or in no range.")
    if groups["patients_in_several_groups"]:
        notes.append(
            f"{count(groups['patients_in_several_groups'], 'patient')} with videos in several groups; "
            "the tests take the groups for independent."
        )
    return notes
