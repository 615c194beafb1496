"""What every statistic demands of labels and scores, checked once and said clearly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


class EvaluationError(ValueError):
    """The data do not allow the statistic that was asked for; the message says why and what would."""


class OneClassError(EvaluationError):
    """Only malignant or only benign cases, where a statistic needs both."""


def checked_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[BoolArray, FloatArray]:
    """Return labels as bool [n] (True: malignant) and scores as float64 [n], n >= 2, both classes present.

    Raises:
        EvaluationError: lengths differ, a label is neither 0 nor 1, a score is not finite.
        OneClassError: one of the classes is absent.
    """
    label_values, score_values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if label_values.ndim != 1 or label_values.shape != score_values.shape:
        raise EvaluationError(
            f"labels {label_values.shape} and scores {score_values.shape} must be two lists of one length."
        )
    if not np.isin(label_values, (0, 1)).all():
        wrong = sorted({str(value) for value in label_values[~np.isin(label_values, (0, 1))]})
        raise EvaluationError(f"labels must be 0 (benign) or 1 (malignant), found {', '.join(wrong[:5])}.")
    if not np.isfinite(score_values).all():
        row = int(np.flatnonzero(~np.isfinite(score_values))[0])
        raise EvaluationError(f"scores must be finite numbers, item {row} is {score_values[row]}.")
    positive = label_values.astype(bool)
    if positive.all() or not positive.any():
        present, absent = ("malignant", "benign") if positive.any() else ("benign", "malignant")
        raise OneClassError(
            f"all {len(positive)} cases are {present}: without a {absent} case there is no ROC curve, no AUC and "
            f"no comparison of the classes. Add {absent} cases or choose another selection."
        )
    return positive, score_values


def group_codes(groups: Sequence[object] | NDArray[np.generic] | None, num_items: int) -> IntArray:
    """Number the independent units (patients) 0..G-1 in the order of their names: intp [n].

    ``None`` makes every item a unit of its own. The order of names, unlike that of rows, does not depend on how a
    file is sorted.
    """
    if groups is None:
        return np.arange(num_items)
    if len(groups) != num_items:
        raise EvaluationError(f"there are {len(groups)} groups for {num_items} items; every item needs its group.")
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    return codes.astype(np.intp)
