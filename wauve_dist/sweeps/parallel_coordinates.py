"""A sweep as parallel coordinates (Inselberg 1985): an axis a parameter, a line a trial, the metric last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wauve_dist.reporting.figures import DOUBLE_COLUMN, INK, STYLE, panels, rendered
from wauve_dist.structures.provenance import atomic_write
from wauve_dist.sweeps.results import best_first, in_words
from wauve_dist.sweeps.sweep import Sweep
from wauve_dist.sweeps.sweep_file import Choice, Parameter, SweepRefused
from wauve_dist.sweeps.trials import Trial

_FILE = "parallel_coordinates.png"
_NUM_TICKS = 5


def write_plot(folder: Path) -> None:
    """Draw the trials that have a figure, those that were stopped early dotted, into the sweep's folder.

    Raises:
        SweepRefused: there is no sweep, or no trial of it has a figure yet.
    """
    sweep = Sweep(folder)
    judged = [trial for trial in best_first(sweep, sweep.trials()) if trial.value is not None]
    if not judged:
        raise SweepRefused(f"{folder}: no trial has logged {sweep.file.metric} yet.")
    path = folder / _FILE
    with atomic_write(path) as temporary:
        temporary.write_bytes(rendered(parallel_coordinates(sweep, judged)).png)
    print(f"{len(judged)} trials are drawn in {path}")


@matplotlib.rc_context(STYLE)
def parallel_coordinates(sweep: Sweep, judged: Sequence[Trial]) -> Figure:
    """Draw trials that have a figure, the best ones first; the best of the finished ones is thick."""
    varied = {name: axis for name, axis in sweep.file.parameters.items() if axis.ends[0] != axis.ends[-1]}
    values = np.array([trial.value for trial in judged], np.float64)
    is_up = sweep.file.goal == "maximize"
    colours = ScalarMappable(Normalize(values.min(), values.max()), "viridis_r" if is_up else "viridis")  # best: dark
    best = next((number for number, trial in enumerate(judged) if trial.state == "finished"), None)
    figure, (axes,) = panels(DOUBLE_COLUMN, DOUBLE_COLUMN * 0.42)
    heights = np.stack([*(_heights(axis, judged, name) for name, axis in varied.items()), _scaled(values)], axis=1)
    for number in reversed(range(len(judged))):  # the best ones on top
        is_best, was_stopped = number == best, judged[number].state == "stopped"
        axes.plot(
            heights[number],
            color=colours.to_rgba(values[number]),
            linewidth=2.6 if is_best else 1.0,
            linestyle=(0, (1.5, 1.2)) if was_stopped else "solid",
            alpha=1.0 if is_best else 0.75,
        )
    ticks = [*(_ticks(axis) for axis in varied.values()), _number_ticks(values.min(), values.max(), False)]
    for place, labels in enumerate(ticks):
        _draw_axis(axes, place, labels)
    names = [*(name.removeprefix("model.").removeprefix("data.") for name in varied), sweep.file.metric]
    axes.set_xticks(range(len(names)), names)
    axes.set(xlim=(-0.25, len(names) - 0.55), ylim=(-0.04, 1.04), yticks=[])
    axes.tick_params(axis="x", length=0, pad=6)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def _heights(axis: Parameter, trials: Sequence[Trial], name: str) -> NDArray[np.float64]:
    """Return where trials cross a parameter's axis, 0 at its foot to 1."""
    given = [trial.parameters[name] for trial in trials]
    if isinstance(axis, Choice):
        return np.array([axis.values.index(value) for value in given]) / (len(axis.values) - 1)
    if axis.scale == "log_uniform_values":
        return np.log(np.array(given) / axis.low) / math.log(axis.high / axis.low)
    return (np.array(given, np.float64) - axis.low) / (axis.high - axis.low)


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread else np.full_like(values, 0.5)


def _ticks(axis: Parameter) -> list[str]:
    """Return labels from the foot of an axis to its head, at equal distances."""
    if isinstance(axis, Choice):
        return [in_words(value) for value in axis.values]
    return _number_ticks(axis.low, axis.high, axis.scale == "log_uniform_values")


def _number_ticks(low: float, high: float, logarithmic: bool) -> list[str]:
    spaced = np.geomspace if logarithmic else np.linspace
    return [f"{value:.2g}" if logarithmic else f"{value:.3g}" for value in spaced(low, high, _NUM_TICKS)]


def _draw_axis(axes: Axes, place: int, labels: Sequence[str]) -> None:
    axes.axvline(place, color=INK, linewidth=0.8, zorder=0)
    for label, height in zip(labels, np.linspace(0, 1, len(labels)), strict=True):
        axes.plot([place - 0.015, place], [height] * 2, color=INK, linewidth=0.8)
        axes.annotate(
            label,
            (place, height),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=7,
            color=INK,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )
