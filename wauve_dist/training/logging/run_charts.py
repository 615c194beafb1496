"""What W&B draws of a validation: data of curves, for charts that are drawn in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from wauve_dist.evaluation.calibration import calibration
from wauve_dist.evaluation.curves import roc_band, roc_curve
from wauve_dist.evaluation.froc import froc_curve
from wauve_dist.evaluation.operating_point import choose_threshold
from wauve_dist.evaluation.precision_recall import precision_recall_curve
from wauve_dist.structures.annotations import Annotations

if TYPE_CHECKING:
    from wandb.plot.custom_chart import CustomChart

# Monitoring; a publication takes 9,999.
_NUM_RESAMPLES = 999
_CLASSES = ["benign", "malignant"]


class EpochAuc(NamedTuple):
    """AUC of an epoch between its bootstrap limits, 0..1."""

    epoch: int
    value: float
    low: float
    high: float


def classification_charts(videos: pd.DataFrame) -> dict[str, CustomChart]:
    """ROC with its band, precision and recall, calibration, and the confusion matrix at Youden's threshold.

    The threshold is chosen on these very videos, which flatters the matrix.

    Args:
        videos: patient_id, label, score; both labels occur.
    """
    import wandb

    labels, scores = videos["label"].to_numpy(int), videos["score"].to_numpy(float)
    roc = roc_curve(labels, scores)
    band = roc_band(labels, scores, videos["patient_id"].to_numpy(), seed=0, num_resamples=_NUM_RESAMPLES)
    found = precision_recall_curve(labels, scores)
    groups = calibration(labels, scores).bins
    mean_scores = [group.mean_score for group in groups]
    threshold = choose_threshold(labels, scores, "youden").value
    return {
        "charts/roc": _lines(
            "ROC of validation videos",
            "1 - specificity",
            {
                "sensitivity": (roc.false_positive_rate, roc.true_positive_rate),
                "95 % low": (band.false_positive_rate, band.low),
                "95 % high": (band.false_positive_rate, band.high),
            },
        ),
        "charts/precision_recall": _lines(
            "Precision of validation videos", "recall", {"precision": (found.recall, found.precision)}
        ),
        "charts/calibration": _lines(
            "Calibration on validation videos",
            "mean score of a group",
            {
                "malignant share": (mean_scores, [group.observed.value for group in groups]),
                "95 % low": (mean_scores, [group.observed.ci_low for group in groups]),
                "95 % high": (mean_scores, [group.observed.ci_high for group in groups]),
                "perfect": ([0.0, 1.0], [0.0, 1.0]),
            },
        ),
        "charts/confusion": wandb.plot.confusion_matrix(
            y_true=labels.tolist(),
            preds=(scores >= threshold).astype(int).tolist(),
            class_names=_CLASSES,
            title=f"Validation videos at {threshold:.3f} (Youden, chosen on them)",
        ),
    }


def detection_charts(truth: Annotations, boxes: pd.DataFrame) -> dict[str, CustomChart]:
    """FROC curve of the validation frames."""
    rate, sensitivity = froc_curve(truth, boxes, truth.frames["video_id"].unique())
    chart = _lines("FROC of validation frames", "false positives per frame", {"lesions found": (rate, sensitivity)})
    return {"charts/froc": chart}


def auc_chart(epochs: Sequence[EpochAuc]) -> dict[str, CustomChart]:
    """AUC over epochs between its limits."""
    numbers = [epoch.epoch for epoch in epochs]
    lines = {
        "AUC": (numbers, [epoch.value for epoch in epochs]),
        "95 % low": (numbers, [epoch.low for epoch in epochs]),
        "95 % high": (numbers, [epoch.high for epoch in epochs]),
    }
    return {"charts/auc": _lines("AUC of validation videos", "epoch", lines)}


def _lines(title: str, x_name: str, lines: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> CustomChart:
    """Build a chart from lines, name to x and y."""
    import wandb

    return wandb.plot.line_series(
        xs=[np.asarray(x).tolist() for x, _ in lines.values()],
        ys=[np.asarray(y).tolist() for _, y in lines.values()],
        keys=list(lines),
        title=title,
        xname=x_name,
    )
