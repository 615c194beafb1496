"""How many cases and readers a planned study needs, and what a finished one could have seen.

Powers are of two-sided tests. A sample size is the smallest that reaches the power asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from wauve_dist.evaluation.mrmc import MRMCResult
from wauve_dist.evaluation.proportions import clopper_pearson

_MAX_SAMPLE_SIZE = 10_000_000


def proportion_sample_size(expected: float, half_width: float, confidence: float = 0.95) -> int:
    """Cases that give a proportion a Clopper-Pearson interval no wider than twice ``half_width``.

    For a sensitivity count malignant cases, for a specificity benign ones.

    Args:
        expected: the proportion expected, 0..1.
        half_width: above 0.
        confidence: of the interval.
    """
    _require_share("expected", expected)
    _require_share("half_width", half_width)

    def is_narrow(n: int) -> bool:
        interval = clopper_pearson(round(expected * n), n, confidence)
        return interval.ci_high - interval.ci_low <= 2 * half_width

    return _smallest(is_narrow)


def two_proportions_power(p1: float, n1: int, p2: float, n2: int, alpha: float = 0.05) -> float:
    """Power to tell the proportions of two independent groups apart with the chi-square test (Fleiss 1981).

    Args:
        p1: true proportion of the first group.
        n1: its cases.
        p2: true proportion of the second group.
        n2: its cases.
        alpha: two-sided level.
    """
    if not (0 <= p1 <= 1 and 0 <= p2 <= 1):
        raise ValueError(f"p1 {p1:g} and p2 {p2:g} must lie between 0 and 1.")
    _require_share("alpha", alpha)
    _require_count("cases", min(n1, n2))
    if n1 == 0 or n2 == 0:
        return 0.0
    pooled = (n1 * p1 + n2 * p2) / (n1 + n2)
    null_error = np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    true_error = np.sqrt(p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)
    if true_error == 0:
        return float(p1 != p2)
    margin = stats.norm.isf(alpha / 2) * null_error
    difference = abs(p1 - p2)
    return float(
        stats.norm.sf((margin - difference) / true_error) + stats.norm.cdf((-margin - difference) / true_error)
    )


def two_proportions_sample_size(p1: float, p2: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Cases of each of two groups with which ``two_proportions_power`` is reached."""
    for name, share in (("p1", p1), ("p2", p2), ("power", power), ("alpha", alpha)):
        _require_share(name, share)
    if p1 == p2:
        raise ValueError(f"p1 and p2 are both {p1:g}: there is no difference to find.")
    return _smallest(lambda n: two_proportions_power(p1, n, p2, n, alpha) >= power)


def mcnemar_power(share_first_only: float, share_second_only: float, num_pairs: int, alpha: float = 0.05) -> float:
    """Exact power of the exact McNemar test: over all numbers of discordant pairs and all their splits.

    Args:
        share_first_only: probability that of a pair only the first is right.
        share_second_only: probability that only the second is right.
        num_pairs: pairs of the study.
        alpha: two-sided level.
    """
    share = share_first_only + share_second_only
    if min(share_first_only, share_second_only) < 0:
        raise ValueError("share_first_only and share_second_only must not be negative.")
    _require_share("share_first_only + share_second_only", share)
    _require_share("alpha", alpha)
    _require_count("cases", num_pairs)
    discordant = np.arange(1, num_pairs + 1)
    # The test of d discordant pairs rejects if at most ``limit`` of them favour one side.
    limit = stats.binom.ppf(alpha / 2, discordant, 0.5)
    limit -= stats.binom.cdf(limit, discordant, 0.5) > alpha / 2
    share_first = share_first_only / share
    rejection = stats.binom.cdf(limit, discordant, share_first) + stats.binom.sf(
        discordant - limit - 1, discordant, share_first
    )
    return float(np.sum(stats.binom.pmf(discordant, num_pairs, share) * rejection))


def mcnemar_sample_size(
    share_first_only: float, share_second_only: float, power: float = 0.8, alpha: float = 0.05
) -> int:
    """Pairs with which the exact McNemar test reaches a power (see ``mcnemar_power``)."""
    _require_share("power", power)
    if share_first_only == share_second_only:
        raise ValueError("share_first_only equals share_second_only: there is no difference to find.")
    return _smallest(lambda n: mcnemar_power(share_first_only, share_second_only, n, alpha) >= power)


def auc_standard_error(auc: float, num_positive: int, num_negative: int) -> float:
    """Standard error to expect of an AUC before there are scores (Hanley & McNeil, Radiology 1982).

    Args:
        auc: expected, 0..1.
        num_positive: malignant cases.
        num_negative: benign cases.
    """
    two_positive, two_negative = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (num_positive - 1) * (two_positive - auc**2) + (num_negative - 1) * (two_negative - auc**2)
    )
    return float(np.sqrt(variance / (num_positive * num_negative)))


def auc_power(auc: float, null_auc: float, num_positive: int, num_negative: int, alpha: float = 0.05) -> float:
    """Power to tell an AUC from a fixed other one, by the normal approximation of Hanley and McNeil.

    Args:
        auc: true one, 0..1.
        null_auc: to be excluded.
        num_positive: malignant cases.
        num_negative: benign cases.
        alpha: two-sided level.
    """
    for name, share in (("auc", auc), ("null_auc", null_auc), ("alpha", alpha)):
        _require_share(name, share)
    _require_count("cases", min(num_positive, num_negative), at_least=1)
    margin = stats.norm.isf(alpha / 2) * auc_standard_error(null_auc, num_positive, num_negative)
    error = auc_standard_error(auc, num_positive, num_negative)
    return float(stats.norm.sf((margin - abs(auc - null_auc)) / error))


def auc_sample_size(
    auc: float, null_auc: float, negatives_per_positive: float, power: float = 0.8, alpha: float = 0.05
) -> int:
    """Malignant cases with which ``auc_power`` is reached.

    Args:
        auc: expected.
        null_auc: to be excluded.
        negatives_per_positive: benign cases for each malignant one, above 0.
        power: above 0 and below 1.
        alpha: two-sided level.
    """
    _require_share("power", power)
    if not negatives_per_positive > 0:
        raise ValueError(f"negatives_per_positive {negatives_per_positive:g} must be above 0.")
    if auc == null_auc:
        raise ValueError(f"auc and null_auc are both {auc:g}: there is no difference to find.")

    def is_enough(num_positive: int) -> bool:
        num_negative = max(1, round(negatives_per_positive * num_positive))
        return auc_power(auc, null_auc, num_positive, num_negative, alpha) >= power

    return _smallest(is_enough)


def mrmc_power(
    pilot: MRMCResult,
    num_pilot_cases: int,
    difference: float,
    num_readers: int,
    num_cases: int,
    alpha: float = 0.05,
) -> float:
    """Power of a two-treatment study with random readers and cases, from the components of a pilot.

    Hillis, Obuchowski & Berbaum (Acad Radiol 2011;18:129): error covariances shrink with the number of cases, the
    interaction of readers and treatments does not.

    Args:
        pilot: an Obuchowski-Rockette analysis of two treatments.
        num_pilot_cases: cases of the pilot.
        difference: of the mean AUCs, to be found.
        num_readers: of the planned study.
        num_cases: of the planned study, with the pilot's share of malignant ones.
        alpha: two-sided level.
    """
    assert pilot.df1 == 1, "the formula is for two treatments"
    if num_readers < 2:
        raise ValueError(f"num_readers {num_readers}: random readers need at least 2.")
    _require_count("cases", num_cases, at_least=1)
    _require_share("alpha", alpha)
    errors = pilot.covariance
    excess = max(errors.cov2 - errors.cov3, 0.0)
    interaction = max(pilot.ms_tr - errors.variance + errors.cov1 + excess, 0.0)
    shrink = num_pilot_cases / num_cases
    error = interaction + shrink * (errors.variance - errors.cov1 + (num_readers - 1) * excess)
    reader_error = interaction + shrink * (errors.variance - errors.cov1 - excess)
    df = error**2 / (reader_error**2 / (num_readers - 1))
    noncentrality = num_readers * difference**2 / 2 / error
    if noncentrality == 0:
        return alpha
    return float(stats.ncf.sf(stats.f.isf(alpha, 1, df), 1, df, noncentrality))


def _smallest(suffices: Callable[[int], bool]) -> int:
    """Smallest number that suffices, to within the saw-teeth of discrete tests: doubling, then bisection."""
    high = 2
    while not suffices(high):
        high *= 2
        if high > _MAX_SAMPLE_SIZE:
            raise ValueError(f"more than {_MAX_SAMPLE_SIZE} cases would be needed. Ask for less precision or power.")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} {value:g} must lie between 0 and 1.")


def _require_count(name: str, number: int, at_least: int = 0) -> None:
    if number < at_least:
        raise ValueError(f"{name} {number} must be at least {at_least}.")
