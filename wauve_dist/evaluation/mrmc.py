"""Multi-reader multi-case studies: is a treatment better, beyond these very readers and these very cases?

Every reader reads every case under every treatment (for us: alone, and with the model's score). The figure of merit
is the empirical AUC of a reader's ratings. Two analyses of the same data:

* Obuchowski & Rockette (Commun Stat Simul 1995;24:285), an analysis of variance of the readers' AUCs whose errors
  are correlated, with covariances from the jackknife or from DeLong;
* Dorfman, Berbaum & Metz (Invest Radiol 1992;27:723), an analysis of variance of jackknife pseudo-values.

Degrees of freedom and the bounds at zero follow Hillis (Stat Med 2007;26:596) and Hillis, Berbaum & Metz (Acad
Radiol 2008;15:647); with them, and the jackknife in both, the two agree where readers are random.

Symbols: T treatments, R readers, C cases; ``_TRC`` names an array's axes. MS(T) is the treatments' mean square,
MS(TR) that of their interaction with readers, and so on. Covariances of the errors of two AUCs: cov1 same reader,
other treatment; cov2 other reader, same treatment; cov3 both other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from wauve_dist.evaluation.auc import Groups, auc_statistic
from wauve_dist.evaluation.bootstrap import leave_one_out
from wauve_dist.evaluation.delong import delong_covariance
from wauve_dist.evaluation.inputs import BoolArray, EvaluationError, FloatArray, IntArray, checked_scores, group_codes

_COVARIANCES = {"jackknife": "jackknife covariance", "delong": "DeLong covariance"}
RandomFactors = Literal["readers and cases", "cases", "readers"]


@dataclass(frozen=True)
class TreatmentMean:
    """The readers' mean AUC under one treatment, with its interval."""

    value: float
    ci_low: float
    ci_high: float
    standard_error: float
    df: float


@dataclass(frozen=True)
class TreatmentDifference:
    """Mean AUC of treatment ``first`` minus that of ``second`` (numbers of treatments from 0)."""

    first: int
    second: int
    difference: float
    ci_low: float
    ci_high: float
    standard_error: float
    df: float
    p: float


@dataclass(frozen=True)
class ErrorCovariance:
    """Error variance of a reader's AUC and the covariances of two, averaged over all that are alike."""

    variance: float
    cov1: float
    cov2: float
    cov3: float


@dataclass(frozen=True)
class MRMCResult:
    """One analysis of a multi-reader multi-case study.

    Attributes:
        aucs: float64 [T, R].
        ms_t: mean square of treatments, of the AUCs.
        ms_tr: mean square of the interaction of treatments and readers, of the AUCs.
        covariance: of the errors of the AUCs.
        f: the test of equal treatments.
        df1: T - 1.
        df2: of the error term; infinite where the reference is chi-square / df1.
        p: of the test of equal treatments.
        means: one per treatment.
        differences: one per pair of treatments.
        method: in words.
    """

    aucs: FloatArray
    ms_t: float
    ms_tr: float
    covariance: ErrorCovariance
    f: float
    df1: int
    df2: float
    p: float
    means: tuple[TreatmentMean, ...]
    differences: tuple[TreatmentDifference, ...]
    method: str


class _ErrorTerm(NamedTuple):
    """R times the variance of a treatment's mean AUC (or half of that of a difference), with degrees of freedom."""

    value: float
    df: float


def obuchowski_rockette(
    labels: ArrayLike,
    ratings_trc: ArrayLike,
    groups: Groups = None,
    *,
    random: RandomFactors = "readers and cases",
    covariance: Literal["jackknife", "delong"] = "jackknife",
    confidence: float = 0.95,
) -> MRMCResult:
    """Analyse a fully crossed study after Obuchowski & Rockette, in the form of Hillis (2007).

    Args:
        labels: 0 or 1, [C].
        ratings_trc: finite, higher is more malignant, [T, R, C].
        groups: the patient of each case, [C]: the jackknife leaves out patients and DeLong's covariance is
            clustered (Obuchowski 1997). None: one case per patient.
        random: what the conclusion should hold for: other readers and other cases, other cases read by these
            readers, or other readers of these cases.
        covariance: of the errors; unused where cases are fixed.
        confidence: of the intervals.

    Raises:
        EvaluationError: one class only, ratings that are missing, fewer than two treatments, or fewer than two
            readers where readers are random.
    """
    positive, ratings, codes = _checked(labels, ratings_trc, groups, random)
    num_treatments, num_readers, num_cases = ratings.shape
    flat = ratings.reshape(-1, num_cases)
    aucs, delong = delong_covariance(positive, flat, codes)
    by_cell = _jackknife_covariance(_left_out(positive, flat, codes)) if covariance == "jackknife" else delong
    errors = by_cell.reshape(num_treatments, num_readers, num_treatments, num_readers)
    auc_tr = aucs.reshape(num_treatments, num_readers)
    mean_error = _mean_covariances(errors)
    excess = max(mean_error.cov2 - mean_error.cov3, 0.0)
    error = _error_term(
        random,
        _ErrorTerm(_interaction(auc_tr), (num_treatments - 1) * (num_readers - 1)),
        _ErrorTerm(mean_error.variance - mean_error.cov1 + (num_readers - 1) * excess, np.inf),
        num_readers * excess,
    )
    per_treatment = []
    for treatment in range(num_treatments):
        own = errors[treatment, :, treatment, :]
        cov2 = max(_off_diagonal_mean(own), 0.0)
        per_treatment.append(
            _error_term(
                random,
                _ErrorTerm(_variance(auc_tr[treatment]), num_readers - 1),
                _ErrorTerm(float(np.diag(own).mean()) + (num_readers - 1) * cov2, np.inf),
                num_readers * cov2,
            )
        )
    method = f"Obuchowski-Rockette, random {random}" + ("" if random == "readers" else f", {_COVARIANCES[covariance]}")
    return _result(auc_tr, mean_error, error, per_treatment, confidence, method)


def dorfman_berbaum_metz(
    labels: ArrayLike,
    ratings_trc: ArrayLike,
    groups: Groups = None,
    *,
    random: RandomFactors = "readers and cases",
    confidence: float = 0.95,
) -> MRMCResult:
    """Analyse a fully crossed study after Dorfman, Berbaum & Metz, in the form of Hillis, Berbaum & Metz (2008).

    With random cases and fixed readers its F has finite degrees of freedom where Obuchowski-Rockette uses the
    chi-square; otherwise the two agree.

    Args, errors and result: as ``obuchowski_rockette``, with the jackknife.
    """
    positive, ratings, codes = _checked(labels, ratings_trc, groups, random)
    num_treatments, num_readers, num_cases = ratings.shape
    flat = ratings.reshape(-1, num_cases)
    aucs, _ = delong_covariance(positive, flat, codes)
    left_out = _left_out(positive, flat, codes)
    num_units = left_out.shape[1]
    y_trc = (num_units * aucs[:, None] - (num_units - 1) * left_out).reshape(num_treatments, num_readers, num_units)

    # Mean squares of pseudo-values, divided by C, are in units of the AUC's variance.
    ms_tc = num_readers * _interaction(y_trc.mean(axis=1)) / num_units
    error = _error_term(
        random,
        _ErrorTerm(_interaction(y_trc.mean(axis=2)), (num_treatments - 1) * (num_readers - 1)),
        _ErrorTerm(ms_tc, (num_treatments - 1) * (num_units - 1)),
        ms_tc - _three_way_interaction(y_trc) / num_units,
    )
    per_treatment = []
    for y_rc in y_trc:
        ms_c = num_readers * _variance(y_rc.mean(axis=0)) / num_units
        per_treatment.append(
            _error_term(
                random,
                _ErrorTerm(_variance(y_rc.mean(axis=1)), num_readers - 1),
                _ErrorTerm(ms_c, num_units - 1),
                ms_c - _interaction(y_rc) / num_units,
            )
        )
    errors = _jackknife_covariance(left_out).reshape(num_treatments, num_readers, num_treatments, num_readers)
    auc_tr = aucs.reshape(num_treatments, num_readers)
    method = f"Dorfman-Berbaum-Metz, random {random}"
    return _result(auc_tr, _mean_covariances(errors), error, per_treatment, confidence, method)


def _checked(
    labels: ArrayLike, ratings_trc: ArrayLike, groups: Groups, random: RandomFactors
) -> tuple[BoolArray, FloatArray, IntArray]:
    ratings = np.asarray(ratings_trc, dtype=np.float64)
    assert ratings.ndim == 3, f"ratings must be [T, R, C], not {ratings.shape}"
    num_treatments, num_readers, num_cases = ratings.shape
    if not np.isfinite(ratings).all():
        treatment, reader, case = (int(axis[0]) for axis in np.nonzero(~np.isfinite(ratings)))
        raise EvaluationError(
            f"treatment {treatment}, reader {reader}, case {case}: there is no rating. A fully crossed study needs "
            "every reader's rating of every case under every treatment."
        )
    num_needed = 1 if random == "cases" else 2
    if num_treatments < 2 or num_readers < num_needed:
        raise EvaluationError(
            f"{num_treatments} treatments and {num_readers} readers: a comparison needs at least 2 treatments and, "
            f"for random {random}, {num_needed} readers."
        )
    positive, _ = checked_scores(labels, ratings[0, 0])
    return positive, ratings, group_codes(groups, num_cases)


def _left_out(positive: BoolArray, flat_ratings: FloatArray, codes: IntArray) -> FloatArray:
    """AUCs with each patient left out in turn, float64 [T * R, units]."""
    left_out = np.stack([leave_one_out(auc_statistic(positive, row), codes) for row in flat_ratings])
    # DeLong's covariance, asked for first, has refused a class of a single patient.
    assert not np.isnan(left_out).any()
    return left_out


def _jackknife_covariance(left_out: FloatArray) -> FloatArray:
    """Covariance of the AUCs, float64 [T * R, T * R], from those with each unit left out."""
    num_units = left_out.shape[1]
    deviation = left_out - left_out.mean(axis=1, keepdims=True)
    return np.asarray((num_units - 1) / num_units * deviation @ deviation.T)


def _mean_covariances(errors: FloatArray) -> ErrorCovariance:
    """Average errors [T, R, T, R] over the cells that share both, one or neither of treatment and reader."""
    num_treatments, num_readers = errors.shape[:2]
    same_t = np.eye(num_treatments, dtype=bool)[:, None, :, None]
    same_r = np.eye(num_readers, dtype=bool)[None, :, None, :]

    def mean_where(chosen: BoolArray) -> float:
        return float(errors[chosen].mean()) if chosen.any() else 0.0

    return ErrorCovariance(
        mean_where(same_t & same_r),
        mean_where(~same_t & same_r),
        mean_where(same_t & ~same_r),
        mean_where(~same_t & ~same_r),
    )


def _error_term(random: RandomFactors, readers: _ErrorTerm, cases: _ErrorTerm, excess: float) -> _ErrorTerm:
    """Choose the error of a design; with both factors random, the readers' plus the cases' ``excess`` over it."""
    if random == "readers":
        return readers
    if random == "cases":
        return cases
    value = readers.value + max(excess, 0.0)
    # Where readers do not differ at all, only cases vary: Satterthwaite's limit.
    return _ErrorTerm(value, readers.df * (value / readers.value) ** 2 if readers.value > 0 else np.inf)


def _result(
    auc_tr: FloatArray,
    covariance: ErrorCovariance,
    error: _ErrorTerm,
    per_treatment: Sequence[_ErrorTerm],
    confidence: float,
    method: str,
) -> MRMCResult:
    num_treatments, num_readers = auc_tr.shape
    tail = 0.5 + confidence / 2
    values = auc_tr.mean(axis=1)
    ms_t = num_readers * _variance(values)
    means = []
    for value, term in zip(values.tolist(), per_treatment, strict=True):
        standard_error = float(np.sqrt(term.value / num_readers))
        margin = float(stats.t.ppf(tail, term.df)) * standard_error
        means.append(TreatmentMean(value, max(value - margin, 0.0), min(value + margin, 1.0), standard_error, term.df))
    standard_error = float(np.sqrt(2 * error.value / num_readers))
    margin = float(stats.t.ppf(tail, error.df)) * standard_error
    differences = []
    for first, second in combinations(range(num_treatments), 2):
        difference = float(values[first] - values[second])
        p = 2 * float(stats.t.sf(abs(difference) / standard_error, error.df)) if standard_error > 0 else np.nan
        differences.append(
            TreatmentDifference(
                first, second, difference, difference - margin, difference + margin, standard_error, error.df, p
            )
        )
    df1 = num_treatments - 1
    f = ms_t / error.value if error.value > 0 else np.nan
    # scipy's F has no infinite degrees of freedom; its limit is chi-square / df1.
    p = float(stats.f.sf(f, df1, error.df) if np.isfinite(error.df) else stats.chi2.sf(df1 * f, df1))
    return MRMCResult(
        auc_tr, ms_t, _interaction(auc_tr), covariance, f, df1, error.df, p, tuple(means), tuple(differences), method
    )


def _variance(values: FloatArray) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else np.nan


def _interaction(table: FloatArray) -> float:
    """Mean square of the interaction in a two-way table with one value per cell; NaN if an axis has one level."""
    rows, columns = table.shape
    if min(rows, columns) < 2:
        return np.nan
    residuals = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return float(np.sum(residuals**2) / ((rows - 1) * (columns - 1)))


def _three_way_interaction(y_trc: FloatArray) -> float:
    """Mean square of the three-way interaction of an array with one value per cell."""
    if min(y_trc.shape) < 2:
        return np.nan
    residuals = y_trc
    for axis in range(3):
        residuals = residuals - residuals.mean(axis=axis, keepdims=True)
    num_treatments, num_readers, num_cases = y_trc.shape
    return float(np.sum(residuals**2) / ((num_treatments - 1) * (num_readers - 1) * (num_cases - 1)))


def _off_diagonal_mean(matrix: FloatArray) -> float:
    others = ~np.eye(len(matrix), dtype=bool)
    return float(matrix[others].mean()) if others.any() else 0.0
