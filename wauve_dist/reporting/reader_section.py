"""The readers in a report: their part of metrics.json and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from wauve_dist.evaluation.auc import AUCEstimate
from wauve_dist.evaluation.calls import CallComparison
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.mrmc import MRMCResult
from wauve_dist.evaluation.operating_point import PROPORTIONS
from wauve_dist.evaluation.reader_accuracy import ReaderFigures
from wauve_dist.evaluation.reader_study import Adjustments, ReaderStudy
from wauve_dist.evaluation.reading_times import ReaderTimes, ReadingTimes
from wauve_dist.evaluation.readings import CONDITIONS
from wauve_dist.reporting.metrics import delong_document, operating_point_document
from wauve_dist.structures.tables import BIRADS_CATEGORIES

AVERAGE = "average"
_OTHER_KEYS = (AVERAGE, "kappa", "fleiss", "icc", "adjustments", "mrmc", "reading_times")


def reader_document(study: ReaderStudy) -> dict[str, Any]:
    """The key ``readers`` of ``metrics.json``.

    Raises:
        EvaluationError: a reader has the name of another entry.
    """
    if taken := sorted(set(study.readers) & set(_OTHER_KEYS)):
        raise EvaluationError(f"--readers: a reader is called {taken[0]!r}, which names another part of the report.")
    return {
        **{reader: _reader(figures, study.aucs.get(reader, {})) for reader, figures in study.readers.items()},
        AVERAGE: _reader(study.average, {}),
        "kappa": [
            {"first": k.first, "second": k.second, "condition": k.condition, "weights": k.weights, **asdict(k.kappa)}
            for k in study.kappas
        ],
        "fleiss": {condition: asdict(kappa) for condition, kappa in study.fleiss.items()},
        "icc": {
            condition: {form: asdict(icc) for form, icc in forms.items()} for condition, forms in study.icc.items()
        },
        "adjustments": {
            reader: {kind: _adjustments(moved) for kind, moved in classes.items()}
            for reader, classes in study.adjustments.items()
        },
        "mrmc": [_mrmc(result) for result in study.mrmc],
        **({"reading_times": _reading_times(study.times)} if study.times else {}),
    }


def reader_tables(document: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The paper's Tables 4 and 5, agreement and times of readers, one row per figure, for CSV.

    Args:
        document: see ``reader_document``.
    """
    readers = {name: document[name] for name in (*reader_names(document), AVERAGE)}
    conditions = _conditions_of(document[AVERAGE])
    figures = [
        {"reader": reader, "condition": condition, "metric": metric, **part[condition][metric]}
        for reader, part in readers.items()
        for condition in conditions
        for metric in ("auc", *PROPORTIONS, "f1")
        if metric in part[condition]
    ]
    tests = [
        {"reader": reader, "comparison": comparison, **row}
        for reader, part in readers.items()
        for comparison, rows in part["p"].items()
        for row in rows
    ]
    tables = {"readers": pd.DataFrame(figures), "reader_tests": pd.DataFrame(tests)}
    if document["kappa"]:
        tables["kappa"] = pd.DataFrame(document["kappa"])
    if document["adjustments"]:
        tables["adjustments"] = pd.DataFrame(
            [
                {"reader": reader, "class": kind, **{k: v for k, v in moved.items() if k != "moves"}, **moved["moves"]}
                for reader, classes in document["adjustments"].items()
                for kind, moved in classes.items()
            ]
        )
    if "reading_times" in document:
        tables |= _time_tables(document["reading_times"])
    return tables


def reader_names(document: Mapping[str, Any]) -> list[str]:
    """The readers of a document, without the average and the other entries."""
    return [name for name in document if name not in _OTHER_KEYS]


def _reader(reader: ReaderFigures, aucs: Mapping[str, AUCEstimate]) -> dict[str, Any]:
    tests = {f"{condition} against the model": rows for condition, rows in reader.against_model.items()}
    if reader.against_alone:
        tests["assisted against alone"] = reader.against_alone
    return {
        **{
            condition: _auc(aucs, condition) | operating_point_document(point)
            for condition, point in reader.figures.items()
        },
        "p": {comparison: _tests(rows) for comparison, rows in tests.items()},
    }


def _auc(aucs: Mapping[str, AUCEstimate], condition: str) -> dict[str, Any]:
    return {"auc": delong_document(aucs[condition])} if condition in aucs else {}


def _tests(rows: Sequence[CallComparison]) -> list[dict[str, Any]]:
    return [{key: value for key, value in asdict(row).items() if value is not None} for row in rows]


def _adjustments(moved: Adjustments) -> dict[str, Any]:
    upwards = sorted(np.argwhere(moved.transitions).tolist(), key=lambda move: (move[1] < move[0], move))
    return {
        "n": int(moved.transitions.sum()),
        "unchanged": moved.num_unchanged,
        "upgrades": moved.num_upgrades,
        "downgrades": moved.num_downgrades,
        "biopsies_added": moved.num_biopsies_added,
        "biopsies_avoided": moved.num_biopsies_avoided,
        "moves": {
            f"{BIRADS_CATEGORIES[alone]}>{BIRADS_CATEGORIES[assisted]}": int(moved.transitions[alone, assisted])
            for alone, assisted in upwards
            if alone != assisted
        },
    }


def _reading_times(times: ReadingTimes) -> dict[str, Any]:
    readers = {**times.readers, AVERAGE: times.average}
    return {
        "readers": {name: _reader_times(reader) for name, reader in readers.items()},
        "groups": [
            {"low_s": g.low_s, "high_s": g.high_s, "n": g.n, "positives": g.positives, **_reader(g.average, {})}
            for g in times.groups
        ],
    }


def _reader_times(times: ReaderTimes) -> dict[str, Any]:
    document = {condition: asdict(summary) for condition, summary in times.summaries.items()}
    if times.ratio is not None:
        document["ratio"] = asdict(times.ratio)
    if times.test is not None:
        document["test"] = asdict(times.test)
    return document


def _time_tables(document: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    rows = []
    for reader, times in document["readers"].items():
        row = {"reader": reader}
        for condition in _conditions_of(times):
            row |= {f"{condition}_{quantile}": value for quantile, value in times[condition].items()}
        if "ratio" in times:
            row |= {"ratio": times["ratio"]["value"]}
            row |= {f"ratio_{limit}": times["ratio"][limit] for limit in ("ci_low", "ci_high")}
        rows.append(row | {key: value for key, value in times.get("test", {}).items() if key != "method"})
    tables = {"reading_times": pd.DataFrame(rows)}
    if document["groups"]:
        tables["reading_time_groups"] = pd.DataFrame(
            [
                {
                    "seconds": f"{group['low_s']:.2f} to {group['high_s']:.2f}",
                    "videos": group["n"],
                    "condition": condition,
                    "metric": metric,
                    **group[condition][metric],
                    "p": assisted_test(group, metric).get("p"),
                }
                for group in document["groups"]
                for condition in _conditions_of(group)
                for metric in (*PROPORTIONS, "f1")
            ]
        )
    return tables


def assisted_test(reader: Mapping[str, Any], metric: str, *, clustered: bool = False) -> Mapping[str, Any]:
    """The paper's test of a metric, assisted against alone, or the clustered one; empty where there is none."""
    tests = reader["p"].get("assisted against alone", [])
    of_kind = (test for test in tests if ("score" in test["method"]) is clustered)
    return next((test for test in of_kind if test["metric"] == metric), {})


def _conditions_of(part: Mapping[str, Any]) -> list[str]:
    return [condition for condition in CONDITIONS if condition in part]


def _mrmc(result: MRMCResult) -> dict[str, Any]:
    """One analysis; an infinite number of degrees of freedom, which JSON lacks, is left out."""
    document = asdict(result)
    document["aucs"] = dict(zip(("assisted", "alone"), result.aucs.tolist(), strict=True))
    document["means"] = dict(zip(("assisted", "alone"), map(_finite, document["means"]), strict=True))
    (difference,) = document.pop("differences")
    document["difference"] = {
        "of": "assisted minus alone",
        **{key: value for key, value in _finite(difference).items() if key not in ("first", "second")},
    }
    return _finite(document)


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if not (isinstance(value, float) and np.isinf(value))}
