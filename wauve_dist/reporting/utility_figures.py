"""Figures on the use of a score: precision-recall, decision curve; and what the detector finds at which price."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wauve_dist.evaluation.decision_curve import BIRADS_BOUNDARIES
from wauve_dist.evaluation.froc import FROC_RATES, Froc
from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.reporting.figures import (
    CHANCE,
    INK,
    MODEL_COLOURS,
    MUTED,
    SINGLE_COLUMN,
    STYLE,
    model_legend,
    model_style,
    panels,
)
from wauve_dist.reporting.wording import decimal, interval


@matplotlib.rc_context(STYLE)
def precision_recall_figure(results: Mapping[str, ModelAccuracy], prevalence: float) -> Figure:
    """Precision-recall curves of all models with their bands and operating points."""
    figure, (axes,) = panels(SINGLE_COLUMN, 2.9)
    axes.axhline(prevalence, **CHANCE)
    for number, (model, result) in enumerate(results.items()):
        colour, line = model_style(number)
        area, band, curve = result.average_precision, result.precision_recall_band, result.precision_recall
        axes.fill_between(
            band.recall,
            band.low,
            band.high,
            step="pre",
            color=colour,
            alpha=0.18 if len(results) == 1 else 0.10,
            linewidth=0,
        )
        axes.step(
            np.append(0, curve.recall),
            np.append(curve.precision[0], curve.precision),
            where="pre",
            color=colour,
            linestyle=line,
            label=f"{model}: AP {decimal(area.value)} ({interval(area.ci_low, area.ci_high, False)})",
        )
        point = result.operating_point
        axes.plot(
            point.sensitivity.value,
            point.ppv.value,
            "o",
            color=colour,
            markersize=5.5,
            markeredgecolor="white",
            zorder=3,
        )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.set(xlabel="Recall (sensitivity)", ylabel="Precision (PPV)")
    model_legend(axes, "lower left")
    return figure


@matplotlib.rc_context(STYLE)
def decision_figure(results: Mapping[str, ModelAccuracy]) -> Figure:
    """Net benefit of acting on each model's score, on every case and on none."""
    figure, (axes,) = panels(SINGLE_COLUMN, 2.9)
    curves = [result.decision_curve for result in results.values()]
    for boundary in BIRADS_BOUNDARIES:
        axes.axvline(boundary, color=MUTED, linewidth=0.5, alpha=0.6)
    axes.axhline(0, color=INK, linewidth=0.7)
    axes.plot(curves[0].probability, curves[0].biopsy_for_all, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
    for number, (model, curve) in enumerate(zip(results, curves, strict=True)):
        colour, line = model_style(number)
        opacity = 0.18 if len(results) == 1 else 0.10
        axes.fill_between(curve.probability, curve.ci_low, curve.ci_high, color=colour, alpha=opacity, linewidth=0)
        axes.plot(curve.probability, curve.net_benefit, color=colour, linestyle=line, label=model)
    top = max(float(curve.ci_high.max()) for curve in curves)
    floor = -0.12 * top
    axes.set(xlim=(0, 1), ylim=(floor, 1.05 * top))
    axes.annotate("biopsy for none", (0, 0), xytext=(6, -3), textcoords="offset points", va="top", fontsize=7)
    middle = int(np.argmax(curves[0].biopsy_for_all < 0.4 * curves[0].biopsy_for_all.max()))
    axes.annotate(
        "biopsy\nfor all",
        (curves[0].probability[middle], curves[0].biopsy_for_all[middle]),
        xytext=(-6, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=7,
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel="Probability of cancer from which one would biopsy", ylabel="Net benefit (cancers per case)")
    model_legend(axes, "upper right")
    return figure


@matplotlib.rc_context(STYLE)
def froc_figure(curve: Froc) -> Figure:
    """Share of lesion boxes found against false positives per frame, with limits at the customary rates."""
    figure, (axes,) = panels(SINGLE_COLUMN, 2.7)
    lowest = FROC_RATES[0] / 2
    shown = curve.false_positives >= lowest
    start = curve.sensitivity[~shown][-1]
    rates = np.concatenate([[lowest], curve.false_positives[shown], [FROC_RATES[-1]]])
    found = np.concatenate([[start], curve.sensitivity[shown], [curve.sensitivity[-1]]])
    axes.step(rates, found, where="post", color=MODEL_COLOURS[0])
    points = curve.points
    axes.vlines(
        [point.false_positives for point in points],
        [point.ci_low for point in points],
        [point.ci_high for point in points],
        color=MODEL_COLOURS[0],
        linewidth=0.9,
    )
    axes.plot(
        [point.false_positives for point in points],
        [point.value for point in points],
        "o",
        color=MODEL_COLOURS[0],
        markersize=3.5,
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(FROC_RATES, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.minorticks_off()
    axes.set(xlim=(lowest, 1.1 * FROC_RATES[-1]), ylim=(0, 1.02))
    axes.set(xlabel="False positives per frame", ylabel="Lesion boxes found")
    return figure
