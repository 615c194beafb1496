"""A model's figures within groups of cases, and whether the groups differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wauve_dist.evaluation.auc import AUCEstimate, bootstrap_auc
from wauve_dist.evaluation.comparisons import fisher_exact, n_minus_1_chi_square, pearson_chi_square
from wauve_dist.evaluation.delong import delong_covariance
from wauve_dist.evaluation.groupings import Grouping
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray
from wauve_dist.evaluation.operating_point import PROPORTIONS, OperatingPoint, Threshold, evaluate_operating_point
from wauve_dist.evaluation.sample_size import two_proportions_power

# Cochran (Biometrics 1954;10:417) advises the exact test for samples below 20; here, of either class of a level.
SMALL_CLASS = 20
# A level is underpowered if a figure lower by DROP than in the rest would be missed more often than once in five times.
DROP, SUFFICIENT_POWER = 0.10, 0.80


@dataclass(frozen=True)
class LevelFigures:
    """A model's figures within one group.

    Attributes:
        n: cases.
        positives: malignant ones.
        auc: with its bootstrap interval.
        operating_point: at the model's threshold.
        power: ``sensitivity`` and ``specificity`` to the power to find it lower by ``DROP`` here than in the rest.
    """

    n: int
    positives: int
    auc: AUCEstimate
    operating_point: OperatingPoint
    power: dict[str, float]

    @property
    def is_underpowered(self) -> bool:
        """Whether this group would likely hide such a loss."""
        return min(self.power.values()) < SUFFICIENT_POWER


@dataclass(frozen=True)
class GroupTest:
    """Whether a figure differs between the groups: two-sided p (NaN where undefined) and the test, in words."""

    p: float
    method: str


@dataclass(frozen=True)
class Subgroup:
    """A grouping, judged.

    Attributes:
        grouping: the groups.
        levels: group to figures.
        tests: ``auc`` and each of the five proportions to the test between the groups.
        num_shared_patients: patients with cases in several groups, whom the tests take for different ones.
    """

    grouping: Grouping
    levels: dict[str, LevelFigures]
    tests: dict[str, GroupTest]
    num_shared_patients: int


def evaluate_subgroup(
    grouping: Grouping,
    positive: BoolArray,
    scores: FloatArray,
    patients: NDArray[np.generic],
    threshold: Threshold,
    *,
    seed: int,
    num_resamples: int = 9999,
) -> Subgroup:
    """Compute a model's figures in every group, and test them between the groups.

    Two groups are compared with the N-1 chi-square test; where one of them has fewer than ``SMALL_CLASS`` malignant
    or benign cases, all of its figures with Fisher's exact test; more than two with Pearson's chi-square. AUCs with
    the unpaired DeLong test, or for more than two groups its chi-square of homogeneity.

    Args:
        grouping: of n cases.
        positive: True for malignant, bool [n].
        scores: of the model, float64 [n].
        patients: the patient of each case, [n].
        threshold: the model's, the same in every group.
        seed: of the resamples.
        num_resamples: of each bootstrap.

    Raises:
        EvaluationError: a group has one class only.
    """
    for name, chosen in grouping.levels.items():
        if positive[chosen].all() or not positive[chosen].any():
            kind = "malignant" if positive[chosen].all() else "benign"
            raise EvaluationError(
                f"--subgroups {grouping.name}: all {int(chosen.sum())} cases of {name!r} are {kind}, so that most "
                "figures are undefined. Join it with another group, or leave this expression out."
            )
    points = {
        name: evaluate_operating_point(
            positive[of], scores[of], threshold, patients[of], seed=seed, num_resamples=num_resamples
        )
        for name, of in grouping.levels.items()
    }
    levels = {
        name: LevelFigures(
            n=int(of.sum()),
            positives=int(positive[of].sum()),
            auc=bootstrap_auc(positive[of], scores[of], patients[of], seed=seed, num_resamples=num_resamples),
            operating_point=points[name],
            power=_power(points, name),
        )
        for name, of in grouping.levels.items()
    }
    tests = {"auc": _auc_test(grouping, positive, scores, patients)}
    tests |= {metric: _proportion_test(metric, list(points.values())) for metric in PROPORTIONS}
    in_levels = Counter(patient for of in grouping.levels.values() for patient in set(patients[of].tolist()))
    num_shared = sum(count > 1 for count in in_levels.values())
    return Subgroup(grouping, levels, tests, num_shared)


def _proportion_test(metric: str, points: list[OperatingPoint]) -> GroupTest:
    counts = [(getattr(point, metric).k, getattr(point, metric).n) for point in points]
    if len(counts) > 2:
        return GroupTest(pearson_chi_square([[k, n - k] for k, n in counts]), "Pearson chi-square")
    (k1, n1), (k2, n2) = counts
    smallest = min(min(point.sensitivity.n, point.specificity.n) for point in points)
    if smallest < SMALL_CLASS:
        return GroupTest(fisher_exact(k1, n1, k2, n2), "Fisher exact")
    return GroupTest(n_minus_1_chi_square(k1, n1, k2, n2), "N-1 chi-square")


def _auc_test(grouping: Grouping, positive: BoolArray, scores: FloatArray, patients: NDArray[np.generic]) -> GroupTest:
    """Chi-square of AUCs about their mean, weighted by precision; of two AUCs it is the square of DeLong's z."""
    two = len(grouping.levels) == 2
    method = "DeLong, unpaired" if two else "DeLong, chi-square of homogeneity"
    values, variances = [], []
    for of in grouping.levels.values():
        if any(len(np.unique(patients[of & kind])) < 2 for kind in (positive, ~positive)):
            return GroupTest(np.nan, f"{method}: undefined, a class of a group has a single patient")
        (value,), covariance = delong_covariance(positive[of], scores[of], patients[of])
        values.append(value)
        variances.append(covariance[0, 0])
    if min(variances) == 0:
        # A perfectly separated group of a few cases is not known without error.
        return GroupTest(np.nan, f"{method}: undefined at zero variance")
    if two:
        statistic = (values[0] - values[1]) ** 2 / sum(variances)
    else:
        weights = 1 / np.array(variances)
        mean = np.average(values, weights=weights)
        statistic = float(np.sum(weights * (np.array(values) - mean) ** 2))
    return GroupTest(float(stats.chi2.sf(statistic, len(values) - 1)), method)


def _power(points: dict[str, OperatingPoint], level: str) -> dict[str, float]:
    power = {}
    for metric in ("sensitivity", "specificity"):
        here = getattr(points[level], metric)
        elsewhere = [getattr(point, metric) for name, point in points.items() if name != level]
        num_elsewhere = sum(proportion.n for proportion in elsewhere)
        share = sum(proportion.k for proportion in elsewhere) / num_elsewhere
        power[metric] = two_proportions_power(max(share - DROP, 0.0), here.n, share, num_elsewhere)
    return power
