"""Reading times on the HTML page: rows of its tables and the sentences of its methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wauve_dist.evaluation.readings import CONDITIONS
from wauve_dist.reporting.reader_section import assisted_test
from wauve_dist.reporting.wording import decimal, interval, p_value, percent

_METRICS = ("sensitivity", "specificity", "accuracy")


def reading_time_page(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the template ``readers.html.j2`` shows of times.

    Args:
        document: the part ``readers.reading_times`` of metrics.json.
    """
    return {
        "conditions": [name for name in CONDITIONS if name in document["readers"]["average"]],
        "rows": [_row(name, times) for name, times in document["readers"].items()],
        "has_ratio": "ratio" in document["readers"]["average"],
        "metrics": [metric.capitalize() for metric in _METRICS],
        "groups": [_group(group) for group in document["groups"]],
    }


def reading_time_methods(document: Mapping[str, Any]) -> str:
    """The methods paragraph on times, from what was computed."""
    average = document["readers"]["average"]
    texts = []
    if "test" in average:
        texts.append(
            "Assisted and unassisted times were compared within reader and case by the Wilcoxon signed-rank test, for "
            "the average reader and where a patient has several videos of one mean difference per patient."
        )
    if "ratio" in average:
        texts.append(f"The ratio of times is their geometric mean; interval: {average['ratio']['method']}.")
    elif "test" in average:
        texts.append("A ratio is not given, since a time is not above 0.")
    if document["groups"]:
        texts.append(
            "The videos were split in thirds by the mean of their unassisted reading times; in each the average reader "
            "was judged as in the whole, with the exact McNemar test of assisted against alone."
        )
    return " ".join(texts)


def _row(name: str, times: Mapping[str, Any]) -> dict[str, Any]:
    ratio, test = times.get("ratio"), times.get("test")
    return {
        "name": name,
        "times": [
            f"{times[c]['median_s']:.1f} ({times[c]['q1_s']:.1f} to {times[c]['q3_s']:.1f})"
            for c in CONDITIONS
            if c in times
        ],
        "difference": f"{test['median_difference_s']:+.1f}" if test else "",
        "p": p_value(test["p"]) if test else "",
        "p_adjusted": p_value(test["p_adjusted"]) if test and "p_adjusted" in test else "",
        "ratio": decimal(ratio["value"]) if ratio else "",
        "limits": interval(ratio["ci_low"], ratio["ci_high"], False) if ratio else "",
    }


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    conditions = [name for name in CONDITIONS if name in group]
    cells = []
    for metric in _METRICS:
        test, clustered = (assisted_test(group, metric, clustered=kind) for kind in (False, True))
        cells.append(
            {
                "values": [percent(group[condition][metric]["value"]) for condition in conditions],
                "p": p_value(test["p"]) if test else "",
                "p_adjusted": p_value(test["p_adjusted"]) if "p_adjusted" in test else "",
                "p_clustered": p_value(clustered["p"]) if clustered else "",
            }
        )
    return {
        "seconds": f"{group['low_s']:.1f} to {group['high_s']:.1f} s",
        "size": f"{group['positives']} / {group['n']}",
        "cells": cells,
    }
