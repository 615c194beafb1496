"""The readers on the HTML page: rows of its tables and the sentences of its methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wauve_dist.evaluation.operating_point import PROPORTIONS, OperatingPoint
from wauve_dist.reporting.metrics import operating_point_document
from wauve_dist.reporting.reader_section import AVERAGE, reader_names
from wauve_dist.reporting.reading_time_page import reading_time_methods, reading_time_page
from wauve_dist.reporting.wording import decimal, interval, p_value, percent

_SHORT = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
}


def reader_page(document: Mapping[str, Any], model: str, point: OperatingPoint) -> dict[str, Any]:
    """What the template ``readers.html.j2`` shows.

    Args:
        document: the part ``readers`` of metrics.json.
        model: name of the model.
        point: its figures at the threshold.
    """
    names = reader_names(document)
    conditions = [name for name in ("alone", "assisted") if name in document[AVERAGE]]
    bodies = [{"heading": "", "rows": [_row(model, operating_point_document(point), [])]}]
    for condition in conditions:
        comparison, heading = {
            "alone": ("alone against the model", "Readers alone; p against the model"),
            "assisted": ("assisted against alone", "Readers with the model's score; p against the same reader alone"),
        }[condition]
        rows = [_row(name, document[name][condition], document[name]["p"][comparison]) for name in names]
        average = _row("average", document[AVERAGE][condition], document[AVERAGE]["p"][comparison])
        bodies.append({"heading": heading, "rows": [*rows, {**average, "is_average": True}]})
    return {
        "metrics": list(_SHORT.values()),
        "bodies": bodies,
        "num_readers": len(names),
        "mrmc": [_mrmc_row(analysis) for analysis in document["mrmc"]],
        "adjustments": [
            {"reader": reader, "kind": kind, **moved}
            for reader, classes in document["adjustments"].items()
            for kind, moved in classes.items()
        ],
        "avoided": sum(classes["benign"]["biopsies_avoided"] for classes in document["adjustments"].values()),
        "missed": sum(classes["malignant"]["biopsies_avoided"] for classes in document["adjustments"].values()),
        "agreement": _agreement_rows(document, conditions),
        "conditions": conditions,
        "times": reading_time_page(document["reading_times"]) if "reading_times" in document else None,
    }


def reader_methods(document: Mapping[str, Any]) -> list[str]:
    """The methods paragraphs on readers, from what was computed."""
    num_readers = len(reader_names(document))
    texts = [
        f"{num_readers} readers gave BI-RADS categories; 4A and above was counted as the call “malignant”. Intervals "
        "and tests of single readers are those of the models: exact McNemar for sensitivity, specificity and accuracy, "
        "N-1 chi-square for predictive values. The average reader pools the readings of all readers; its binomial "
        "intervals and its tests of that kind take readings of one case for independent. Limits from a bootstrap of "
        "patients and generalised score tests, which do not, stand beneath in italics. Both speak of these readers."
    ]
    if "auc" in document[reader_names(document)[0]]["alone"]:
        texts.append("The AUCs of single readers' categories, with DeLong's intervals, are in tables/readers.csv.")
    if document["mrmc"]:
        texts.append(
            "To generalise to other readers, the AUCs of the BI-RADS categories alone and assisted were compared by "
            "multi-reader multi-case analyses after Obuchowski and Rockette and after Dorfman, Berbaum and Metz, with "
            "the degrees of freedom of Hillis."
        )
    if document["kappa"]:
        texts.append(
            "Agreement of two readers: Cohen's kappa of the six categories, with the interval of Fleiss, Cohen and "
            "Everitt; of all readers: Fleiss' kappa with Gwet's interval, and intraclass correlations of the "
            "categories' ranks (Shrout and Fleiss; intervals of McGraw and Wong)."
        )
    if "reading_times" in document:
        texts.append(reading_time_methods(document["reading_times"]))
    return texts


def _row(name: str, figures: Mapping[str, Any], tests: list[dict[str, Any]]) -> dict[str, Any]:
    cells = []
    for metric in PROPORTIONS:
        figure = figures[metric]
        of_metric = [test for test in tests if test["metric"] == metric]
        binomial = next((test for test in of_metric if "score" not in test["method"]), None)
        clustered = next((test for test in of_metric if "score" in test["method"]), None)
        cells.append(
            {
                "value": percent(figure["value"]),
                "interval": _limits(figure, as_percent=True),
                "by_patient": _by_patient(figure),
                "p": p_value(binomial["p"]) if binomial else "",
                "p_adjusted": p_value(binomial["p_adjusted"]) if binomial and "p_adjusted" in binomial else "",
                "p_clustered": p_value(clustered["p"]) if clustered and "ci_by_patient" in figure else "",
            }
        )
    return {"name": name, "cells": cells, "is_average": False}


def _mrmc_row(analysis: Mapping[str, Any]) -> dict[str, str]:
    difference = analysis["difference"]
    return {
        "method": analysis["method"],
        **{
            condition: f"{decimal(mean['value'])} ({_limits(mean, as_percent=False)})"
            for condition, mean in analysis["means"].items()
        },
        "gain": decimal(difference["difference"]),
        "limits": _limits(difference, as_percent=False),
        "p": p_value(analysis["p"]),
    }


def _agreement_rows(document: Mapping[str, Any], conditions: list[str]) -> list[dict[str, Any]]:
    """Coefficients of all readers, one row each, one cell per condition."""
    by_name: dict[str, dict[str, Mapping[str, Any]]] = {}
    for condition in conditions:
        if condition in document["fleiss"]:
            by_name.setdefault("Fleiss' kappa", {})[condition] = document["fleiss"][condition]
        for form, icc in document["icc"].get(condition, {}).items():
            by_name.setdefault(form, {})[condition] = icc
    return [
        {
            "name": name,
            "cells": [
                {
                    "value": decimal(row[condition]["value"]),
                    "interval": _limits(row[condition], as_percent=False),
                }
                for condition in conditions
            ],
        }
        for name, row in by_name.items()
    ]


def _limits(estimate: Mapping[str, Any], *, as_percent: bool) -> str:
    return interval(estimate["ci_low"], estimate["ci_high"], as_percent)


def _by_patient(estimate: Mapping[str, Any]) -> str:
    if "ci_by_patient" not in estimate:
        return ""
    low, high = estimate["ci_by_patient"]
    return interval(low, high, True)
