"""The report's figures, fit for a journal: one or two columns wide, SVG and PNG, type of 7 and 8 points.

Colours are those that the colour-blind tell apart (Okabe & Ito 2008), and never the only difference.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wauve_dist.evaluation.model_accuracy import ModelAccuracy
from wauve_dist.evaluation.scored_videos import ScoredVideos
from wauve_dist.reporting.wording import decimal, interval

MALIGNANT, BENIGN, INK, MUTED = "#D55E00", "#0072B2", "#22303c", "#8a949e"
MODEL_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#D55E00", "#000000")
MODEL_LINES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)), (0, (3, 3)), (0, (8, 2)), (0, (1, 3)))
SINGLE_COLUMN, DOUBLE_COLUMN = 88 / 25.4, 180 / 25.4  # inches
CHANCE: dict[str, Any] = {"color": MUTED, "linewidth": 0.6, "linestyle": (0, (4, 4))}
_DOTS_PER_INCH = 300  # what journals ask for at least; the SVG serves those that ask for more

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "svg.hashsalt": "wauve_dist",  # ids in the SVG must not differ from run to run
    "figure.facecolor": "white",
}
_LEGEND_ROW = 0.16  # inches
_NUM_SCORE_BINS = 25


class RenderedFigure(NamedTuple):
    """A figure as files: SVG for page and print, PNG where vectors are not taken."""

    svg: bytes
    png: bytes

    @property
    def data_uri(self) -> str:
        """The SVG as an address that holds its own content."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@matplotlib.rc_context(STYLE)
def roc_figure(results: Mapping[str, ModelAccuracy]) -> Figure:
    """ROC curves of all models with their bands and operating points."""
    figure, (axes,) = panels(SINGLE_COLUMN)
    axes.plot([0, 1], [0, 1], **CHANCE)
    for number, (model, result) in enumerate(results.items()):
        colour, line = model_style(number)
        estimate = result.auc
        label = f"{model}: AUC {decimal(estimate.value)} ({interval(estimate.ci_low, estimate.ci_high, False)})"
        opacity = 0.18 if len(results) == 1 else 0.10
        axes.fill_between(
            result.band.false_positive_rate, result.band.low, result.band.high, color=colour, alpha=opacity, linewidth=0
        )
        axes.plot(
            result.roc.false_positive_rate, result.roc.true_positive_rate, color=colour, linestyle=line, label=label
        )
        point = result.operating_point
        axes.plot(
            1 - point.specificity.value,
            point.sensitivity.value,
            marker="o",
            markersize=5.5,
            color=colour,
            markeredgecolor="white",
            markeredgewidth=1,
            linestyle="none",
            zorder=3,
        )
    axes.plot([], [], "o", color=MUTED, markersize=5.5, markeredgecolor="white", label="at the threshold")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="1 - specificity (benign called malignant)", ylabel="Sensitivity (malignant called malignant)")
    model_legend(axes, "lower right")
    return figure


@matplotlib.rc_context(STYLE)
def score_figure(scored: ScoredVideos, results: Mapping[str, ModelAccuracy]) -> Figure:
    """Scores by class, malignant upwards and benign downwards, one panel per model."""
    figure, rows = panels(SINGLE_COLUMN, 2.4, rows=len(results))
    edges = np.linspace(0, 1, _NUM_SCORE_BINS + 1)
    for (model, result), axes in zip(results.items(), rows, strict=True):
        scores, positive, absent = scored.scores[model], scored.positive, scored.no_lesion[model]
        highest = 1
        for of, sign, colour, name, va in (
            (positive, 1, MALIGNANT, "malignant", "bottom"),
            (~positive, -1, BENIGN, "benign", "top"),
        ):
            counts, _ = np.histogram(scores[of & ~absent], edges)
            width = edges[1] - edges[0]
            axes.bar(edges[:-1], sign * counts, width=width * 0.9, align="edge", color=colour)
            axes.annotate(
                name,
                xy=(1.02, 0),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, sign * 5),
                textcoords="offset points",
                color=colour,
                rotation=90,
                va=va,
            )
            highest = max(highest, int(counts.max()), int((of & absent).sum()))
            if absent.any():
                # Left of zero, hatched: these videos have no score of their own.
                axes.bar(-0.07, sign * (of & absent).sum(), width=0.036, color="white", edgecolor=colour, hatch="////")
        threshold = result.operating_point.threshold.value
        axes.axvline(threshold, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.text(
            threshold,
            1.01,
            f"threshold {threshold:.3g}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            fontsize=7,
        )
        axes.axhline(0, color=MUTED, linewidth=0.6)
        axes.set(ylim=(-1.15 * highest, 1.15 * highest), xlim=(-0.12 if absent.any() else -0.01, 1.01))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
        axes.set(ylabel="Videos", xlabel="Score")
        ticks = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
        axes.set_xticks(
            [-0.07, *ticks] if absent.any() else ticks,
            [*(["none\nfound"] if absent.any() else []), *(f"{tick:g}" for tick in ticks)],
        )
        if len(results) > 1:
            axes.set_title(model, pad=14)
    return figure


@matplotlib.rc_context(STYLE)
def calibration_figure(results: Mapping[str, ModelAccuracy]) -> Figure:
    """Observed share of malignant videos against the mean score of groups of equal size, one panel per model."""
    drawn = {model: result for model, result in results.items() if result.calibration is not None}
    figure, rows = panels(SINGLE_COLUMN, rows=len(drawn))
    for (model, result), axes in zip(drawn.items(), rows, strict=True):
        assert result.calibration is not None
        bins = result.calibration.bins
        score = np.array([group.mean_score for group in bins])
        observed = np.array([group.observed.value for group in bins])
        limits = np.array([(group.observed.ci_low, group.observed.ci_high) for group in bins]).T
        axes.plot([0, 1], [0, 1], **CHANCE)
        axes.vlines(score, *limits, color=BENIGN, linewidth=0.9)
        axes.plot(score, observed, color=BENIGN, marker="o", markersize=3.5, linewidth=0.9)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="Mean score of a group", ylabel="Malignant share of the group")
        slope, intercept = result.calibration.slope.value, result.calibration.intercept.value
        text = f"slope {decimal(slope, 2)}, intercept {decimal(intercept, 2)}"
        axes.set_title(f"{model}\n{text}" if len(drawn) > 1 else text)
    return figure


@matplotlib.rc_context(STYLE)
def rendered(figure: Figure) -> RenderedFigure:
    """Draw a figure; the same figure gives the same bytes."""
    vector, raster = io.BytesIO(), io.BytesIO()
    figure.savefig(vector, format="svg", metadata={"Date": None})
    figure.set_layout_engine("none")  # both are laid out alike, and once
    figure.savefig(raster, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return RenderedFigure(vector.getvalue(), raster.getvalue())


def panels(width: float, height: float | None = None, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Panels of the given size in inches (square without a height), one above the other.

    A plain Figure: nothing global to close.
    """
    figure = Figure(figsize=(width, (height or width) * rows), layout="constrained")
    return figure, list(figure.subplots(rows, squeeze=False).ravel())


def model_legend(axes: Axes, place: Literal["upper right", "lower right", "lower left"]) -> None:
    """Name the curves: within the axes, at ``place``, if they are one or two, else in rows below them."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) <= 2:
        axes.legend(loc=place)
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * len(labels))
    figure.legend(handles, labels, loc="outside lower left")


def model_style(number: int) -> tuple[str, Any]:
    """Colour and line style of the n-th model, the same in every figure."""
    return MODEL_COLOURS[number % len(MODEL_COLOURS)], MODEL_LINES[number % len(MODEL_LINES)]
