"""Two ways to call the same cases malignant or benign: two models, a reader and a model, alone and assisted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wauve_dist.evaluation.comparisons import generalized_score, mcnemar_exact, n_minus_1_chi_square
from wauve_dist.evaluation.inputs import BoolArray


@dataclass(frozen=True)
class CallComparison:
    """One figure under two ways of calling.

    Attributes:
        metric: sensitivity, specificity, accuracy, ppv or npv.
        difference: of the first minus that of the second; NaN where one is undefined.
        p: two-sided; NaN where the test is undefined.
        method: the test, in words.
        discordant: for McNemar, observations that only the first and that only the second calls rightly.
    """

    metric: str
    difference: float
    p: float
    method: str
    discordant: tuple[int, int] | None = None


def compare_calls(
    positive: BoolArray, first: BoolArray, second: BoolArray, clusters: NDArray[np.generic], *, unit: str = "patient"
) -> list[CallComparison]:
    """Compare two ways of calling the same observations.

    Sensitivity, specificity and accuracy by the exact McNemar test, predictive values by the N-1 chi-square test, as
    in the paper. The latter takes the calls for independent although the cases are the same; and the former takes
    the observations for independent, which several readings of a case or several cases of a patient are not. Where
    a test's assumption fails, the generalised score test, which needs neither, follows it.

    Args:
        positive: True for malignant, bool [n].
        first: True where the first calls it malignant, bool [n].
        second: the same of the second, bool [n].
        clusters: names of the independent units, [n].
        unit: what a cluster is, for ``method``.
    """
    several_per_cluster = len(np.unique(clusters)) < len(clusters)
    everything = np.ones_like(positive)
    rows = []
    for metric, counted in (("sensitivity", positive), ("specificity", ~positive), ("accuracy", everything)):
        right_first, right_second = (first == positive)[counted], (second == positive)[counted]
        only = int((right_first & ~right_second).sum()), int((right_second & ~right_first).sum())
        difference = (only[0] - only[1]) / len(right_first) if len(right_first) else np.nan
        rows.append(CallComparison(metric, difference, mcnemar_exact(*only), "McNemar exact", only))
        if several_per_cluster:
            p = _score_test(right_first, clusters[counted], right_second, clusters[counted])
            rows.append(CallComparison(metric, difference, p, _score_method(unit)))
    for metric, call in (("ppv", True), ("npv", False)):
        by_first, by_second = first == call, second == call
        right_first, right_second = (positive == call)[by_first], (positive == call)[by_second]
        (k1, n1), (k2, n2) = ((int(right.sum()), len(right)) for right in (right_first, right_second))
        difference = k1 / n1 - k2 / n2 if n1 and n2 else np.nan
        p = n_minus_1_chi_square(k1, n1, k2, n2)
        rows.append(CallComparison(metric, difference, p, "N-1 chi-square"))
        p = _score_test(right_first, clusters[by_first], right_second, clusters[by_second])
        rows.append(CallComparison(metric, difference, p, _score_method(unit)))
    return rows


def _score_method(unit: str) -> str:
    return f"generalised score, clustered by {unit}"


def _score_test(
    first: BoolArray, first_clusters: NDArray[np.generic], second: BoolArray, second_clusters: NDArray[np.generic]
) -> float:
    is_second = np.repeat([False, True], [len(first), len(second)])
    return generalized_score(
        np.concatenate([first, second]), is_second, np.concatenate([first_clusters, second_clusters])
    )
