"""The readers in a report: their part of metrics.json and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from wauve_dist.evaluation.calls import CallComparison
from wauve_dist.evaluation.inputs import EvaluationError
from wauve_dist.evaluation.mrmc import MRMCResult
from wauve_dist.evaluation.operating_point import PROPORTIONS
from wauve_dist.evaluation.reader_study import Adjustments, ReaderFigures, ReaderStudy
from wauve_dist.reporting.metrics import operating_point_document
from wauve_dist.structures.tables import BIRADS_CATEGORIES

AVERAGE = "average"
_OTHER_KEYS = (AVERAGE, "kappa", "fleiss", "icc", "adjustments", "mrmc")


def reader_document(study: ReaderStudy) -> dict[str, Any]:
    """The key ``readers`` of ``metrics.json``.

    Raises:
        EvaluationError: a reader has the name of another entry.
    """
    if taken := sorted(set(study.readers) & set(_OTHER_KEYS)):
        raise EvaluationError(f"--readers: a reader is called {taken[0]!r}, which names another part of the report.")
    return {
        **{reader: _reader(figures) for reader, figures in study.readers.items()},
        AVERAGE: _reader(study.average),
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
    }


def reader_tables(document: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The paper's Tables 4 and 5 and the agreement of readers, one row per figure, for CSV.

    Args:
        document: see ``reader_document``.
    """
    readers = {name: document[name] for name in (*reader_names(document), AVERAGE)}
    conditions = [name for name in ("alone", "assisted") if name in document[AVERAGE]]
    figures = [
        {"reader": reader, "condition": condition, "metric": metric, **part[condition][metric]}
        for reader, part in readers.items()
        for condition in conditions
        for metric in (*PROPORTIONS, "f1")
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
    return tables


def reader_names(document: Mapping[str, Any]) -> list[str]:
    """The readers of a document, without the average and the other entries."""
    return [name for name in document if name not in _OTHER_KEYS]


def _reader(reader: ReaderFigures) -> dict[str, Any]:
    tests = {f"{condition} against the model": rows for condition, rows in reader.against_model.items()}
    if reader.against_alone:
        tests["assisted against alone"] = reader.against_alone
    return {
        **{condition: operating_point_document(point) for condition, point in reader.figures.items()},
        "p": {comparison: _tests(rows) for comparison, rows in tests.items()},
    }


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
