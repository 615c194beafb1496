from itertools import product

import numpy as np
import pandas as pd
import pytest

from wauve_dist.evaluation.ratios import ratio_by_patient

PATIENTS = {"a": "p", "b": "p", "c": "q", "d": "r"}
FOUND = pd.Series({"a": 1, "b": 3, "c": 0, "d": 2})
LESIONS = pd.Series({"d": 4, "c": 2, "b": 3, "a": 2})


@pytest.mark.parametrize("confidence", [0.96, 0.74])
def test_value_and_limits_are_those_of_the_exact_distribution_over_patients(confidence):
    """Three patients have 27 resamples."""
    by_patient = {"p": (4, 5), "q": (0, 2), "r": (2, 4)}
    exact = sorted(
        sum(by_patient[patient][0] for patient in draw) / sum(by_patient[patient][1] for patient in draw)
        for draw in product("pqr", repeat=3)
    )
    ratio = ratio_by_patient(FOUND, LESIONS, PATIENTS, seed=0, num_resamples=6000, confidence=confidence)
    assert (ratio.value, ratio.numerator, ratio.denominator) == (pytest.approx(6 / 11), 6, 11)
    tail = int(27 * (1 - confidence) / 2)
    assert (ratio.ci_low, ratio.ci_high) == pytest.approx((exact[tail], exact[-1 - tail]))


def test_resamples_without_a_denominator_are_drawn_anew():
    ratio = ratio_by_patient(
        pd.Series({"a": 1, "c": 0}), pd.Series({"a": 2, "c": 0}), PATIENTS, seed=0, num_resamples=400
    )
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == (0.5, 0.5, 0.5)
    assert 60 < ratio.redrawn < 220  # one resample in four is of patient q alone


def test_what_cannot_be_divided_or_resampled_says_so():
    nothing = ratio_by_patient(0 * FOUND, 0 * LESIONS, PATIENTS, seed=0)
    assert np.isnan([nothing.value, nothing.ci_low, nothing.ci_high]).all()
    assert nothing.method == "nothing to divide by"
    single = ratio_by_patient(FOUND[["a", "b"]], LESIONS, PATIENTS, seed=0)
    assert single.value == pytest.approx(4 / 5)
    assert np.isnan(single.ci_low)
    assert single.method == "no interval: a single patient"
