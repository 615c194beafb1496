"""What a study found, for the console; the report has the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from wauve_dist.study.config import StudyConfig

_WORDS = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "f1": "F1",
}
_COMPARED = ("auc", "sensitivity", "specificity", "accuracy")  # what fits beside each other into 80 columns


def print_result(config: StudyConfig) -> None:
    """Print the figures of a study that is done, and where its report is."""
    console = Console()
    report = config.out / "report"
    metrics = json.loads((report / "metrics.json").read_text())
    title = f"Test set: {metrics['n']} videos, {metrics['positives']} malignant"
    console.print(_of_one(metrics, title) if len(metrics["models"]) == 1 else comparison_table(metrics, title))
    console.print(f"Report: {report / 'report.html'}")


def _of_one(metrics: Mapping[str, Any], title: str) -> Table:
    table = Table(title=title)
    for column in ("Metric", "Value", "95 % interval"):
        table.add_column(column, justify="left" if column == "Metric" else "right")
    [model] = metrics["models"].values()
    for words, metric in [*((words, model[name]) for name, words in _WORDS.items()), _detector(metrics)]:
        table.add_row(words, _number(metric["value"]), f"{_number(metric['ci_low'])} to {_number(metric['ci_high'])}")
    return table


def comparison_table(metrics: Mapping[str, Any], title: str) -> Table:
    """Lay out several models as Table 2 of the paper does, a row a model, with p-values against the first.

    The predictive values and F1 are in the report.

    Args:
        metrics: content of ``metrics.json``.
        title: of the table.
    """
    first = next(iter(metrics["models"]))
    # Of several tests of a figure the first counts, which is the paper's.
    p_values = {(row["b"], row["metric"]): row["p"] for row in reversed(metrics["comparisons"]) if row["a"] == first}
    words, detector = _detector(metrics)
    low, high = _number(detector["ci_low"]), _number(detector["ci_high"])
    table = Table(
        title=title,
        caption=f"95 % intervals; p against {first}: paired DeLong for the AUC, exact McNemar for the rest. "
        f"{words}: {_number(detector['value'])} ({low} to {high}).",
    )
    table.add_column("Model")
    for name in _COMPARED:
        table.add_column(_WORDS[name], justify="right", no_wrap=True)
    for model, figures in metrics["models"].items():
        cells = []
        for name in _COMPARED:
            figure = figures[name]
            interval = f"{_number(figure['value'])}\n{_number(figure['ci_low'])}-{_number(figure['ci_high'])}"
            p_value = p_values.get((model, name))
            cells.append(interval if p_value is None else f"{interval}\np = {_p(p_value)}")
        table.add_row(model, *cells, end_section=True)
    return table


def _detector(metrics: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return "Detector AP50", metrics["detection"]["ap50_interval"]


def _number(value: float | None) -> str:
    """Write a figure; it can be undefined, such as the PPV where no video is called malignant."""
    return "undefined" if value is None else f"{value:.3f}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
