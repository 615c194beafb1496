"""Lines of a sweep's plot, where their parameters and figures put them."""

import numpy as np
import pytest
from agents import Work
from PIL import Image

from wauve_dist.sweeps.parallel_coordinates import parallel_coordinates, write_plot
from wauve_dist.sweeps.sweep import Sweep
from wauve_dist.sweeps.sweep_file import SweepRefused
from wauve_dist.sweeps.trials import Trial

PARAMETERS = {
    "model.lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
    "model.weight_decay": {"min": 0.0, "max": 0.2},
    "model.classifier.dropout": {"values": [0.0, 0.2, 0.5]},
}


@pytest.fixture
def sweep(tmp_path):
    work = Work(tmp_path)
    work.create(PARAMETERS, method="random", run_cap=4)
    return Sweep(work.out)


def trial(number, lr, decay, dropout, **more):
    names = ("model.lr", "model.weight_decay", "model.classifier.dropout")
    values = dict(zip(names, (lr, decay, dropout), strict=True))
    return Trial(number, {"seconds": 1.0, "behaviour": "train", **values}, **more)


def test_a_line_crosses_each_axis_at_its_value_and_the_best_is_thick_and_on_top(sweep):
    best = trial(0, 1e-3, 0.05, 0.2, state="finished", value=0.2)
    other = trial(1, 1e-5, 0.2, 0.5, state="stopped", value=0.6)
    axes = parallel_coordinates(sweep, [best, other]).axes[0]
    lines = [line for line in axes.lines if len(line.get_ydata()) == 4]  # three parameters that vary, and the metric
    np.testing.assert_allclose(lines[0].get_ydata(), [0.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(lines[1].get_ydata(), [0.5, 0.25, 0.5, 0.0])
    assert lines[1].get_linewidth() > lines[0].get_linewidth()
    assert (lines[0].is_dashed(), lines[1].is_dashed()) == (True, False)
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        *("lr", "weight_decay", "classifier.dropout", "val/loss")
    ]
    told = {note.get_text() for note in axes.texts}
    assert {"1e-05", "0.001", "0.1", "0.05", "0.2", "0.5", "0.6"} <= told


def test_the_plot_lies_in_the_sweep_s_folder_and_waits_for_a_figure(sweep, capsys):
    with pytest.raises(SweepRefused, match="no trial has logged val/loss yet"):
        write_plot(sweep.folder)
    (sweep.folder / "trials").mkdir()
    trial(0, 1e-3, 0.05, 0.2, state="finished", value=0.2).write(sweep.folder / "trials" / "0000.json")
    trial(1, 1e-3, 0.05, 0.2, state="failed", fault="no label").write(sweep.folder / "trials" / "0001.json")
    write_plot(sweep.folder)
    path = sweep.folder / "parallel_coordinates.png"
    assert capsys.readouterr().out == f"1 trials are drawn in {path}\n"
    assert Image.open(path).width > 2000
