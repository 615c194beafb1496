"""Figures of a reader study: operating points on the model's ROC curve (the paper's Fig. 4), agreement (Fig. 5)."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.evaluation.operating_point import OperatingPoint
from wauve_dist.evaluation.reader_accuracy import ReaderFigures
from wauve_dist.evaluation.reader_study import ReaderStudy
from wauve_dist.reporting.figures import CHANCE, DOUBLE_COLUMN, INK, MODEL_COLOURS, MUTED, STYLE
from wauve_dist.reporting.wording import decimal

CONDITION_COLOURS = {"alone": "#009E73", "assisted": "#CC79A7"}
_CONDITION_MARKERS = {"alone": "o", "assisted": "^"}
_MARGIN = 0.04
_CELL_INCHES = 0.41


@matplotlib.rc_context(STYLE)
def reader_roc_figure(model: str, result: ModelAccuracy, study: ReaderStudy) -> Figure:
    """The model's ROC curve with every reader alone and assisted, whole and at the readers' operating points."""
    figure = Figure(figsize=(DOUBLE_COLUMN, DOUBLE_COLUMN / 2), layout="constrained")
    whole, near = figure.subplots(1, 2)
    for axes in (whole, near):
        axes.plot([0, 1], [0, 1], **CHANCE)
        axes.plot(
            result.roc.false_positive_rate,
            result.roc.true_positive_rate,
            color=MODEL_COLOURS[0],
            label=f"{model}: AUC {decimal(result.auc.value)}",
        )
        axes.plot(*_rates(result.operating_point), "s", color=MODEL_COLOURS[0], markersize=5, markeredgecolor="white")
        for reader in study.readers.values():
            _arrow(axes, reader)
        for condition, point in study.average.figures.items():
            _average(axes, point, condition)
    for name, reader in study.readers.items():
        last = list(reader.figures)[-1]
        near.annotate(
            name,
            _rates(reader.figures[last]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=CONDITION_COLOURS[last],
        )
    points = np.array([_rates(point) for reader in study.readers.values() for point in reader.figures.values()])
    points = np.vstack([points, _rates(result.operating_point)])
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    near.set(xlim=(max(low[0], -0.01), min(high[0], 1.01)), ylim=(max(low[1], -0.01), min(high[1], 1.006)))
    near.set_title("Around the readers")
    whole.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    for axes in (whole, near):
        axes.set(xlabel="1 - specificity (benign called malignant)", ylabel="Sensitivity (malignant called malignant)")
    for size, who in ((3.5, "reader"), (6.5, "average reader")):
        for condition in study.average.figures:
            colour, marker = CONDITION_COLOURS[condition], _CONDITION_MARKERS[condition]
            whole.plot([], [], marker, color=colour, markersize=size, label=f"{who}, {condition}")
    whole.legend(loc="lower right")
    return figure


@matplotlib.rc_context(STYLE)
def kappa_figure(study: ReaderStudy) -> Figure:
    """Cohen's kappa of every pair of readers, one panel per condition; the darker, the more they agree."""
    readers, conditions = list(study.readers), list(study.average.figures)
    # Four readers twice fill one column of a journal.
    width = min(DOUBLE_COLUMN, 1.0 + _CELL_INCHES * (len(readers) - 1) * len(conditions))
    figure = Figure(figsize=(width, 0.6 + _CELL_INCHES * (len(readers) - 1)), layout="constrained")
    image = None
    for axes, condition in zip(figure.subplots(1, len(conditions), squeeze=False)[0], conditions, strict=True):
        table = np.full((len(readers), len(readers)), np.nan)
        for pair in study.kappas:
            if pair.condition == condition and pair.weights == "none":
                table[readers.index(pair.second), readers.index(pair.first)] = pair.kappa.value
        image = axes.imshow(table, vmin=0, vmax=1, cmap="Blues")
        for (row, column), value in np.ndenumerate(table):
            if row > column:
                colour = "white" if value > 0.6 else INK
                axes.text(column, row, decimal(value, 2), ha="center", va="center", color=colour)
        axes.set_xticks(range(len(readers) - 1), readers[:-1])
        axes.set_yticks(range(1, len(readers)), readers[1:])
        axes.set(xlim=(-0.5, len(readers) - 1.5), ylim=(len(readers) - 0.5, 0.5))
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_title(condition)
    assert image is not None
    figure.colorbar(image, ax=figure.axes, label="Cohen's kappa", shrink=0.8)
    return figure


def _rates(point: OperatingPoint) -> tuple[float, float]:
    return 1 - point.specificity.value, point.sensitivity.value


def _arrow(axes: Axes, reader: ReaderFigures) -> None:
    """One reader: a dot alone, a triangle assisted, and the way between."""
    points = {condition: _rates(point) for condition, point in reader.figures.items()}
    if len(points) == 2:
        axes.plot(*zip(*points.values(), strict=True), color=MUTED, linewidth=0.6, zorder=1)
    for condition, (x, y) in points.items():
        axes.plot(x, y, _CONDITION_MARKERS[condition], color=CONDITION_COLOURS[condition], markersize=3.5, alpha=0.85)


def _average(axes: Axes, point: OperatingPoint, condition: str) -> None:
    """The pooled reader with limits that keep a patient's readings together."""
    x, y = _rates(point)
    limits = {}
    for metric in ("specificity", "sensitivity"):
        estimate = getattr(point, metric)
        low, high = point.by_patient.get(metric, (estimate.ci_low, estimate.ci_high))
        limits[metric] = [[estimate.value - low], [high - estimate.value]]
    axes.errorbar(
        x,
        y,
        xerr=limits["specificity"][::-1],  # a high specificity is a low false positive rate
        yerr=limits["sensitivity"],
        color=CONDITION_COLOURS[condition],
        marker=_CONDITION_MARKERS[condition],
        markersize=6.5,
        markeredgecolor="white",
        linewidth=1.1,
        capsize=2,
        linestyle="none",
    )
