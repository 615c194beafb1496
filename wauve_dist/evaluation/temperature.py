"""Temperature scaling: one number that makes scores say how likely they are right (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_expit

from wauve_dist.evaluation.auc import Groups
from wauve_dist.evaluation.inputs import FloatArray, checked_scores, group_codes

# Beyond these, scores are as good as 0, 1/2 and 1.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0

_NUM_GRID_POINTS = 49  # the likelihood of a mean need not have one valley only


def fitted_temperature(labels: ArrayLike, logits: ArrayLike, videos: Groups = None) -> float:
    """Return the temperature at which videos are likeliest; a video's score is the mean of sigmoid(logit / T).

    A few videos that the scores tell apart without an error would be likeliest at a temperature of 0. So a malignant
    video counts as malignant with (n + 1) / (n + 2) only, n being their number, and a benign one likewise, as Platt
    (1999) has it; with many videos that changes nothing.

    Args:
        labels: of each clip's video, 0 or 1, [n].
        logits: of the clips, [n].
        videos: the video of each clip, [n]; None: every clip is a video of its own.

    Returns:
        ``MIN_TEMPERATURE`` to ``MAX_TEMPERATURE``; above 1 where scores were too extreme.

    Raises:
        OneClassError: one of the classes is absent.
    """
    positive, values = checked_scores(labels, logits)
    codes = group_codes(videos, len(values))
    order = np.argsort(codes, kind="stable")
    num_clips = np.bincount(codes)
    first_clips = np.cumsum(num_clips) - num_clips
    is_malignant = np.bincount(codes, positive) > 0
    num_malignant, num_benign = is_malignant.sum(), (~is_malignant).sum()
    target = np.where(is_malignant, (num_malignant + 1) / (num_malignant + 2), 1 / (num_benign + 2))

    def log_mean(logits: FloatArray) -> FloatArray:  # of a video's clips; never 0, however large the logits
        return np.asarray(np.logaddexp.reduceat(log_expit(logits)[order], first_clips) - np.log(num_clips))

    def loss(log_temperature: float) -> float:
        tempered = values / np.exp(log_temperature)
        return -float((target * log_mean(tempered) + (1 - target) * log_mean(-tempered)).mean())

    grid = np.linspace(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE), _NUM_GRID_POINTS)
    best = int(np.argmin([loss(point) for point in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, _NUM_GRID_POINTS - 1)]
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))
