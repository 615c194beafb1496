"""The forest plot of a model's subgroups."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.evaluation.subgroups import LevelFigures, Subgroup
from wauve_dist.reporting.figures import DOUBLE_COLUMN, INK, MODEL_COLOURS, MUTED, STYLE
from wauve_dist.reporting.subgroup_section import typeset
from wauve_dist.reporting.wording import Estimate, p_value

_ROW_HEIGHT_INCHES = 0.2


@matplotlib.rc_context(STYLE)
def forest_figure(result: ModelAccuracy, subgroups: Sequence[Subgroup]) -> Figure:
    """AUC, sensitivity and specificity of every group with their intervals, the overall figure as a line."""
    labels, rows = ["All"], [0.0]
    drawn: list[tuple[float, LevelFigures]] = []
    headings: list[tuple[float, Subgroup]] = []
    y = 1.0
    for subgroup in subgroups:
        headings.append((y, subgroup))
        labels.append(typeset(subgroup.grouping.name))
        rows.append(y)
        for level, figures in subgroup.levels.items():
            y += 1
            drawn.append((y, figures))
            labels.append(f"{typeset(level)}  ({figures.positives}/{figures.n})")
            rows.append(y)
        y += 1.4
    figure = Figure(figsize=(DOUBLE_COLUMN, 0.7 + _ROW_HEIGHT_INCHES * y), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, metric in zip(panels, ("auc", "sensitivity", "specificity"), strict=True):
        overall = _estimate(result, metric)
        axes.axvline(overall.value, color=MUTED, linewidth=0.6, linestyle=(0, (3, 3)))
        for position, estimate, colour in [
            (0.0, overall, INK),
            *((row, _estimate(figures, metric), MODEL_COLOURS[0]) for row, figures in drawn),
        ]:
            axes.hlines(position, estimate.ci_low, estimate.ci_high, color=colour, linewidth=1)
            axes.plot(estimate.value, position, "s" if position else "D", color=colour, markersize=3.8)
        for position, subgroup in headings:
            axes.text(
                0.98,
                position,
                f"p {p_value(subgroup.tests[metric].p)}",
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="center",
                fontsize=7,
                color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )
        axes.set_title("AUC" if metric == "auc" else metric.capitalize())
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color="#eceff1", linewidth=0.6)
        axes.set_axisbelow(True)
    panels[0].set_yticks(rows, labels)
    for label in panels[0].get_yticklabels():
        label.set_fontweight(
            "bold" if label.get_text() in {typeset(s.grouping.name) for s in subgroups} | {"All"} else "normal"
        )
    panels[0].set_ylim(y - 0.4, -0.8)
    figure.supxlabel("In brackets: malignant / all cases of the group", fontsize=7)
    return figure


def _estimate(figures: ModelAccuracy | LevelFigures, metric: str) -> Estimate:
    found: Estimate = figures.auc if metric == "auc" else getattr(figures.operating_point, metric)
    return found
